"""Painted mouth and eyes: nothing without motion, nothing beyond lips and lids, no new colours."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hybridanim.config import RenderConfig
from hybridanim.face import face_model, mesh, paint_windows
from hybridanim.face.face_model import measure
from hybridanim.face.paint_windows import KINDS, MOUTH
from hybridanim.motion import head_mesh, head_transfer
from hybridanim.rendering import painters, warp
from hybridanim.runtime import painters as runtime
from hybridanim.types import Crop, FaceFit, HeadBox, HeadPose, HeadTarget, Keypoints, Source

MODEL = face_model.load()
NONE = np.zeros((0, 2), np.float32)


def photograph(size):
    """A smooth colour picture."""
    rng = np.random.default_rng(3)
    small = rng.uniform(60, 200, (24, 24, 3)).astype(np.float32)
    return np.clip(cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC), 0, 255).astype(
        np.uint8
    )


def source_of(image, yaw_deg=0.0):
    size = len(image)
    turn = cv2.Rodrigues(np.deg2rad([0.0, yaw_deg, 0.0]))[0]
    pose = HeadPose(turn, 0.42 * size, np.array([0.5, 0.52]) * size)
    zero = np.zeros(len(MODEL.expression), np.float32)
    found = measure(MODEL.vertices()).astype(np.float32)
    identity = np.zeros(len(MODEL.identity), np.float32)
    return Source(
        picture=image,
        crop=Crop(0.0, 0.0, float(size)),
        image=image,
        keypoints=Keypoints(NONE, np.zeros((0, 2, 2), np.float32), NONE[:, 0]),
        head=HeadBox((size / 2, size / 2), 0.42 * size),
        subject=np.ones((size, size), np.float32),
        inpainted_background=image,
        face=FaceFit(pose, identity, zero, 1.0, found, found),
    )


def full(windows, quantities):
    """A painter that paints everything it may in one unusual colour."""
    colour = np.full((len(windows), 3, *windows.shape[2:]), 4.0, np.float32)
    return colour, np.ones_like(colour[:, :1])


FULL = dict.fromkeys(KINDS, full)


def frame(source, networks, **amounts):
    """Warped and painted picture of an expression, and the moved face."""
    own = head_transfer.own_target(source)
    target = HeadTarget(own.pose, own.expression + MODEL.along(**amounts), own.body)
    head = head_mesh.build(source, MODEL)
    assert head is not None
    motion = head_mesh.dense(head, target, 64)
    warped = warp.render(warp.prepare(source, RenderConfig()), motion)
    windows = painters.prepare(source, MODEL)
    assert windows is not None
    assert motion.face is not None
    return warped, painters.paint(warped, motion.face, windows, networks), motion.face


def test_without_motion_the_source_comes_back_bit_for_bit():
    source = source_of(photograph(128))
    warped, painted, _ = frame(source, FULL)
    assert painted is warped
    np.testing.assert_array_equal(painted, source.image)


def test_a_corrected_face_is_where_its_corrections_say():
    """Lips that ``FaceFit.offset`` opens are open in the source, so nothing is to be painted."""
    source = source_of(photograph(128))
    assert source.face is not None
    offset = np.zeros_like(MODEL.mean)
    offset[list(mesh.INNER_LIPS[11:]), 1] = 0.06
    corrected = replace(source, face=replace(source.face, offset=offset))
    warped, painted, face = frame(corrected, FULL)
    lips = face.xy_norm[[13, 14], 1]
    assert lips[1] - lips[0] > 0.04
    np.testing.assert_array_equal(painted, warped)


def test_a_source_without_a_face_has_no_windows():
    source = source_of(photograph(64))
    assert painters.prepare(replace(source, face=None), MODEL) is None


@pytest.mark.parametrize("size", [128, 256, 640])
def test_paint_is_confined_to_the_lips(size):
    source = source_of(photograph(size))
    warped, painted, face = frame(source, FULL, jaw_open=0.12)
    changed = (warped != painted).any(-1)
    points = (face.xy_norm[list(MOUTH.points[:20])] + 1) * (size / 2) - 0.5
    lips = np.zeros((size, size), np.uint8)
    cv2.fillPoly(lips, [np.round(points).astype(np.int32)], 1)
    assert changed[lips > 0].mean() > 0.95
    reach = round(0.075 * 0.42 * size) + 1  # margin and blur, in pixels of the picture
    wide = cv2.dilate(lips, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    assert not changed[wide == 0].any()


def test_only_what_moves_is_painted():
    source = source_of(photograph(256))
    warped, painted, face = frame(source, FULL, left_lid_open=-0.2)
    changed = np.argwhere((warped != painted).any(-1)).mean(0)[::-1]
    left = (face.xy_norm[[33, 133]].mean(0) + 1) * 128 - 0.5
    assert np.hypot(*(changed - left)) < 8


def test_the_far_eye_of_a_turned_head_is_not_painted():
    source = source_of(photograph(256), yaw_deg=60)
    shut = {"left_lid_open": -0.2, "right_lid_open": -0.2}
    warped, painted, face = frame(source, FULL, **shut)
    changed = (warped != painted).any(-1)
    near, far = (np.round((face.xy_norm[iris] + 1) * 128 - 0.5).astype(int) for iris in (473, 468))
    assert changed[near[1], near[0]]
    assert not changed[far[1], far[0]]


def test_a_grey_source_stays_grey():
    grey = np.repeat(photograph(256)[..., :1], 3, -1)
    for networks in (FULL, runtime.load()):
        warped, painted, _ = frame(source_of(grey), networks, jaw_open=0.12, left_lid_open=-0.2)
        assert (warped != painted).any()
        assert np.ptp(painted.astype(int), axis=-1).max() <= 1


def test_paint_comes_in_without_a_jump():
    source = source_of(photograph(128))
    amounts = [[], []]
    for opening in np.linspace(0, 0.06, 13):
        warped, painted, _ = frame(source, FULL, jaw_open=float(opening))
        amounts[0].append(np.abs(painted.astype(int) - warped).sum())
    steps = np.diff(amounts[0]) / max(amounts[0])
    assert amounts[0][0] == 0
    assert np.abs(steps).max() < 0.45


def test_a_window_put_back_unchanged_changes_nothing():
    rng = np.random.default_rng(5)
    picture = rng.integers(0, 256, (90, 90, 3), np.uint8)
    matrix = np.array([[0.9, 0.2, 3.0], [-0.2, 0.9, -4.0]])
    window = paint_windows.cut(picture, matrix, MOUTH)
    out = picture.copy()
    painters.put_back(out, matrix, window, np.zeros(window.shape, np.float32))
    np.testing.assert_array_equal(out, picture)


def test_a_window_is_put_back_where_it_was_cut():
    ramp = np.arange(200, dtype=np.float32)
    picture = np.clip(np.stack([np.add.outer(0.4 * ramp, 0.5 * ramp)] * 3, -1), 0, 255)
    picture = picture.astype(np.uint8)
    turn = cv2.getRotationMatrix2D((100.0, 100.0), 25.0, 0.8)
    turn[:, 2] -= [52, 68]
    window = paint_windows.cut(picture, turn, MOUTH)
    height, width = window.shape[:2]
    inner = np.zeros((height, width, 1), np.float32)
    inner[8:-8, 8:-8] = 1
    out = np.zeros_like(picture)
    painters.put_back(out, turn, np.zeros_like(window), inner * window)
    shown = out.max(-1) > 0
    sure = cv2.erode(shown.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert sure.sum() > 1000
    assert np.abs(out[sure].astype(int) - picture[sure]).max() <= 3


def test_windows_beyond_the_picture_are_left_out():
    picture = photograph(64)
    out = picture.copy()
    far = np.array([[1.0, 0, 500.0], [0, 1.0, 500.0]])
    window = np.zeros((64, 96, 3), np.uint8)
    painters.put_back(out, far, window, np.ones(window.shape, np.float32))
    np.testing.assert_array_equal(out, picture)


def test_the_middle_of_a_wide_mouth_keeps_the_renderers_darkness():
    inside = np.zeros((64, 96), np.uint8)
    inside[20:44, 20:76] = 255
    depth = painters._depth_of_gap(inside)
    assert depth[32, 48] == 1 and depth[inside == 0].max() == 0
    column = depth[20:33, 48]
    assert (np.diff(column) >= 0).all() and column[0] < 0.05
    narrow = np.zeros_like(inside)
    narrow[31:33, 20:76] = 255
    assert painters._depth_of_gap(narrow).max() < 0.05  # between lips that hardly part
