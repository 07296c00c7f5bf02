"""The head mesh: no motion changes nothing, known motion moves known points, lips and lids part."""

from types import SimpleNamespace

import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.face import face_model, head_pose, mesh
from hybridanim.face.anchors import ANCHORS
from hybridanim.face.face_model import measure
from hybridanim.motion import head_mesh, head_transfer
from hybridanim.types import Crop, FaceFit, HeadPose, HeadTarget, Keypoints

MODEL = face_model.load()
CELLS = 128
BODY = np.eye(2, 3, dtype=np.float32)


def source(angles=(0, 0, 0), **amounts):
    expression = MODEL.along(**amounts).astype(np.float32)
    identity = np.zeros(len(MODEL.identity), np.float32)
    pose = HeadPose(head_pose.rotation_matrix(angles), 100.0, np.array([128.0, 128.0]))
    quantities = measure(MODEL.vertices(identity, expression)).astype(np.float32)
    neutral = measure(MODEL.mean).astype(np.float32)
    fit = FaceFit(pose, identity, expression, 1.0, quantities, neutral)
    subject = np.ones((256, 256), np.float32)
    return SimpleNamespace(face=fit, crop=Crop(0.0, 0.0, 256.0), subject=subject)


def turned(head, angles):
    turn = head_pose.rotation_matrix(angles)
    pose = HeadPose(turn @ head.pose.rotation, head.pose.scale_px, head.pose.shift_px)
    return HeadTarget(pose, head.expression.astype(np.float32), BODY)


def sampled(grid, xy):
    """The grid's value at normalised places (N, 2), of the nearest cell."""
    at = np.clip(((xy + 1) / 2 * CELLS).astype(int), 0, CELLS - 1)
    return grid[at[:, 1], at[:, 0]]


@pytest.mark.parametrize("angles", [(0, 0, 0), (20, 0, 0), (-15, 10, 10)])
def test_no_motion_is_the_identity(angles):
    one = source(angles)
    head = head_mesh.build(one, MODEL)
    motion = head_mesh.dense(head, head_transfer.own_target(one), CELLS)
    cell = 2 / CELLS
    apart = np.abs(motion.grid_norm - geometry.grid_norm(CELLS))
    assert np.percentile(apart, 97) < 0.05 * cell
    assert apart.max() < 3 * cell  # where a turned source hides a part of itself


@pytest.mark.parametrize("angles", [(25, 0, 0), (-25, 0, 0), (0, 15, 0), (0, 0, 20)])
def test_visible_vertices_carry_their_own_pixels(angles):
    one = source()
    head = head_mesh.build(one, MODEL)
    target = turned(head, angles)
    motion = head_mesh.dense(head, target, CELLS)
    now = head_mesh.moved(head, target)
    inner = [1, 4, 9, 151, 50, 280, 199, 205, 425, 61, 291]  # nose, forehead, cheeks, mouth
    away = np.linalg.norm(sampled(motion.grid_norm, now[inner, :2]) - head.rest[inner, :2], axis=1)
    assert np.median(away) < 2 / CELLS  # within a cell
    assert away.max() < 5 * 2 / CELLS


def test_far_pixels_stand_still():
    head = head_mesh.build(source(), MODEL)
    grid = head_mesh.dense(head, turned(head, (30, 0, 0)), CELLS).grid_norm
    still = geometry.grid_norm(CELLS)
    assert np.abs(grid - still)[-4:, :].max() < 0.03  # the chest
    assert np.abs(grid - still)[:2, :2].max() < 0.2


def test_the_body_moves_by_its_affine():
    head = head_mesh.build(source(), MODEL)
    body = np.array([[1, 0, 0.1], [0, 1, 0]], np.float32)
    target = head_transfer.own_target(source())
    target = HeadTarget(target.pose, target.expression, body)
    grid = head_mesh.dense(head, target, CELLS).grid_norm
    shift = (grid - geometry.grid_norm(CELLS))[-3:, 20:-20]
    np.testing.assert_allclose(shift[..., 0], -0.1, atol=0.02)


def test_an_opening_mouth_shows_its_inside_and_shut_lips_do_not():
    head = head_mesh.build(source(), MODEL)
    wide = head.expression + MODEL.along(jaw_open=0.12)
    target = HeadTarget(head.pose, wide.astype(np.float32), BODY)
    interior = head_mesh.dense(head, target, CELLS).interior
    now = head_mesh.moved(head, target)
    middle = now[[13, 14], :2].mean(0)
    x, y = ((middle + 1) / 2 * len(interior)).astype(int)
    assert interior[y, x] == 1
    assert interior.sum() < 0.02 * interior.size
    assert head_mesh.dense(head, head_transfer.own_target(source()), CELLS).interior is None


def test_a_source_with_an_open_mouth_keeps_what_it_shows():
    one = source(jaw_open=0.1)
    head = head_mesh.build(one, MODEL)
    motion = head_mesh.dense(head, head_transfer.own_target(one), CELLS)
    assert motion.interior is None
    inside = head.rest[[13, 14], :2].mean(0, keepdims=True)
    np.testing.assert_allclose(sampled(motion.grid_norm, inside), inside, atol=2 / CELLS)


def test_teeth_keep_their_size_when_the_mouth_opens_further():
    one = source(jaw_open=0.06)
    head = head_mesh.build(one, MODEL)
    wide = head.expression + MODEL.along(jaw_open=0.08)
    target = HeadTarget(head.pose, wide.astype(np.float32), BODY)
    now = head_mesh.moved(head, target)
    upper, edge = now[-38 + 4], now[-38 + 13]  # the middle of the upper lip and of its part's edge
    before = head.rest[-38 + 13] - head.rest[-38 + 4]
    np.testing.assert_allclose(edge - upper, before, atol=1e-6)
    interior = head_mesh.dense(head, target, CELLS).interior
    places = ((np.array([upper, edge])[:, :2].mean(0) + 1) / 2 * len(interior)).astype(int)
    assert interior[places[1], places[0]] == 0  # the teeth are not painted over
    assert interior.max() == 1


def test_shut_lids_hide_the_iris():
    head = head_mesh.build(source(), MODEL)
    expression = head.expression.copy()
    for _ in range(3):
        face = MODEL.vertices(head.identity, expression)
        opening = measure(face)[[5, 6]]
        expression = expression + MODEL.along(left_lid_open=-opening[0], right_lid_open=-opening[1])
    target = HeadTarget(head.pose, expression.astype(np.float32), BODY)
    grid = head_mesh.dense(head, target, CELLS).grid_norm
    iris = head_mesh.dense(head, head_transfer.own_target(source()), CELLS).grid_norm

    def shows(grid):
        """Number of cells that show the left iris."""
        centre = MODEL.mean[468, :2] * head.pose.scale_px + head.pose.shift_px
        return int((np.linalg.norm(grid - centre, axis=-1) < 0.02).sum())

    assert shows(iris) > 4
    assert shows(grid) <= 0.35 * shows(iris)


def test_gaze_moves_the_iris_alone():
    head = head_mesh.build(source(), MODEL)
    expression = (head.expression + MODEL.along(gaze_x=0.3)).astype(np.float32)
    now = head_mesh.moved(head, HeadTarget(head.pose, expression, BODY))
    start = 468 + len(head.ring_own)
    apart = (now - head.rest)[start : start + 42, 0]
    assert apart[16] > 0.01 and apart[21 + 16] > 0.01  # both irises, to the right
    assert np.abs(apart[:16]).max() < 1e-9


def test_keypoints_turn_with_the_mesh():
    head = head_mesh.build(source(), MODEL)
    count = len(ANCHORS)
    nose = head.rest[[195, 4], :2].mean(0)  # the landmarks of the tip
    places = np.tile(nose, (count, 1)).astype(np.float32)
    eye = np.repeat(np.eye(2, dtype=np.float32)[None], count, 0)
    points = Keypoints(places, eye, np.ones(count, np.float32))
    target = turned(head, (20, 0, 0))
    vertices = head_mesh.moved(head, target)
    found = head_mesh.keypoints(head, vertices, points, points)
    now = vertices[[195, 4], :2].mean(0)
    nose = [anchor.name for anchor in ANCHORS].index("nose_tip")
    np.testing.assert_allclose(found.xy_norm[nose], now, atol=0.02)


def test_keypoints_of_the_lips_part_with_them():
    head = head_mesh.build(source(), MODEL)
    count = len(ANCHORS)
    eye = np.repeat(np.eye(2, dtype=np.float32)[None], count, 0)
    points = Keypoints(np.zeros((count, 2), np.float32), eye, np.ones(count, np.float32))
    wide = (head.expression + MODEL.along(jaw_open=0.1)).astype(np.float32)
    vertices = head_mesh.moved(head, HeadTarget(head.pose, wide, BODY))
    found = head_mesh.keypoints(head, vertices, points, points)
    names = [anchor.name for anchor in ANCHORS]
    upper, lower = (names.index(f"{part}_lip_inside") for part in ("upper", "lower"))
    gap = found.xy_norm[lower, 1] - found.xy_norm[upper, 1]
    assert gap > 0.06 * head.pose.scale_px


def test_a_source_without_a_face_has_no_mesh():
    assert head_mesh.build(SimpleNamespace(face=None), MODEL) is None


def test_the_contours_are_those_of_the_mesh():
    assert len(set(mesh.OUTLINE)) == 36
    assert len(set(mesh.INNER_LIPS)) == 20
