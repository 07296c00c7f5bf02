"""The avatar of drawn heads: hair behind hair, a neck below, light of the other half."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.config import RenderConfig
from hybridanim.face import face_model, head_pose
from hybridanim.face.face_model import measure
from hybridanim.motion import head_mesh
from hybridanim.prepare import avatar
from hybridanim.rendering import warp
from hybridanim.rendering.transparency import Backdrop, Transparency
from hybridanim.types import Crop, FaceFit, HeadBox, HeadPose, HeadTarget, Keypoints, Source

MODEL = face_model.load()
SIZE = 256
HAIR, SKIN, WALL = (70, 40, 20), (220, 170, 140), (30, 90, 200)
BODY = np.eye(2, 3, dtype=np.float32)


def drawn(yaw=0.0, light=0.0):
    """A head with hair round its face, a neck, and a wall; light: brighter to the right."""
    identity = np.zeros(len(MODEL.identity), np.float32)
    expression = np.zeros(len(MODEL.expression), np.float32)
    rotation = head_pose.rotation_matrix((yaw, 0, 0))
    pose = HeadPose(rotation, 105.0, np.array([128.0, 128.0]))
    face = pose.project(MODEL.mean)[:468, :2]
    mask, image = np.zeros((SIZE, SIZE), np.uint8), np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:] = WALL
    middle = tuple(int(n) for n in face.mean(0) - [0, 12])
    neck = (middle[0] - 26, middle[1] + 30), (middle[0] + 26, SIZE)
    for target, hair, skin in ((image, HAIR, SKIN), (mask, 255, 255)):
        cv2.rectangle(target, *neck, skin, -1)
        cv2.ellipse(target, middle, (64, 76), 0, 180, 360, hair, -1)
        cv2.ellipse(target, middle, (64, 40), 0, 0, 180, hair, -1)
        cv2.fillConvexPoly(target, cv2.convexHull(np.round(face).astype(np.int32)), skin)
    factor = 1 + light * geometry.grid_norm(SIZE)[..., :1]
    noise = np.random.default_rng(2).normal(0, 6, (SIZE, SIZE, 1))
    image = np.clip(image * factor + noise, 0, 255).astype(np.uint8)
    quantities = measure(MODEL.mean).astype(np.float32)
    points = Keypoints(
        np.zeros((1, 2), np.float32), np.eye(2, dtype=np.float32)[None], np.ones(1, np.float32)
    )
    wall = np.empty_like(image)
    wall[:] = WALL
    return Source(
        picture=image, crop=Crop(0, 0, float(SIZE)), image=image, keypoints=points,
        head=HeadBox((128.0, 128.0), 105.0),
        subject=cv2.GaussianBlur(mask, (0, 0), 0.7).astype(np.float32) / 255,
        inpainted_background=wall,
        face=FaceFit(pose, identity, expression, 1.0, quantities, quantities),
    )  # fmt: skip


def rendered(source, yaw, config=None):
    head = head_mesh.build(source, MODEL)
    turn = head_pose.rotation_matrix((yaw, 0, 0))
    pose = HeadPose(turn @ head.pose.rotation, head.pose.scale_px, head.pose.shift_px)
    target = HeadTarget(pose, head.expression.astype(np.float32), BODY)
    is_on = source.avatar is not None
    motion = head_mesh.dense(head, target, 192, explain=False, avatar=is_on)
    return warp.render(warp.prepare(source, config or RenderConfig()), motion), motion


def is_like(image, colour):
    return np.abs(image.astype(int) - colour).max(-1) < 45


FRONTAL = drawn()
WITH = replace(FRONTAL, avatar=avatar.paint(FRONTAL, MODEL))


def test_behind_hair_is_hair_and_nothing_of_wall_or_face():
    atlas = WITH.avatar.behind
    upper = atlas[:, atlas.shape[1] // 3 : -atlas.shape[1] // 3]
    assert is_like(upper, HAIR).mean() > 0.97
    assert not is_like(atlas, WALL).any()
    assert WITH.avatar.is_painted.mean() > 0.3


def test_the_neck_is_skin():
    atlas = WITH.avatar.behind
    for side in (atlas[:, :8], atlas[:, -8:]):
        assert is_like(side, np.array(SKIN) * 0.93).mean() > 0.9


@pytest.mark.parametrize("yaw", [40, -40])
def test_a_turned_head_is_hair_where_it_was_wall(yaw):
    picture, motion = rendered(WITH, yaw)
    assert motion.behind is not None
    share = cv2.resize(motion.behind.share, (SIZE, SIZE))
    covered = share[:120] > 0.98  # above the neck
    assert covered.sum() > 300
    assert is_like(picture[:120][covered], HAIR).mean() > 0.9


def test_a_source_that_does_not_move_is_itself():
    np.testing.assert_array_equal(rendered(WITH, 0)[0], WITH.image)


def test_what_is_behind_is_opaque_where_the_background_is_taken_away():
    picture, motion = rendered(WITH, 40)
    cut = Transparency(WITH, RenderConfig(), Backdrop("transparent"))
    shown = cut(picture, motion)
    covered = cv2.resize(motion.behind.share, (SIZE, SIZE))[:120] > 0.98
    assert covered.sum() > 300 and shown.alpha[:120][covered].mean() > 245
    assert is_like(shown.image[:120][covered], HAIR).mean() > 0.85
    assert not shown.alpha[5].any()  # the wall


def test_one_sheet_has_nothing_behind():
    config = RenderConfig(composite="sheet")
    np.testing.assert_array_equal(rendered(WITH, 30, config)[0].shape, (SIZE, SIZE, 3))
    prepared = warp.prepare(WITH, config)
    assert prepared.shell is None and prepared.other is None


def test_the_other_half_comes_in_its_own_light():
    source = drawn(light=0.4)
    painted = avatar.paint(source, MODEL)
    x = geometry.grid_norm(SIZE)[0, :, 0]
    row = painted.other[150]
    face = (np.abs(x) < 0.25) & (np.abs(x) > 0.1)
    # mirrored, it has the brightness of the place that it comes to
    np.testing.assert_allclose(row[face].mean(), source.image[150][::-1][face].mean(), rtol=0.05)
    left, right = face & (x < 0), face & (x > 0)
    assert row[left].mean() > 1.07 * row[right].mean()
    assert source.image[150][left].mean() < 0.9 * source.image[150][right].mean()


def test_a_hidden_half_is_the_mirror_image_of_the_other():
    source = drawn(yaw=28)
    marked = source.image.copy()
    head = head_mesh.build(source, MODEL)
    mark = head.rest[MODEL.mirror[454], :2]  # near the ear on the side that is seen
    cv2.circle(marked, tuple(int(n) for n in (mark + 1) * 128), 9, (0, 255, 0), -1)
    source = replace(source, image=marked, picture=marked)
    painted = replace(source, avatar=avatar.paint(source, MODEL))
    with_avatar, motion = rendered(painted, -56)
    without, _ = rendered(source, -56)
    assert motion.mirrored is not None
    red, green, blue = np.moveaxis(np.stack([without, with_avatar]).astype(int), -1, 0)
    green = (green > red + 40) & (green > blue + 40) & (geometry.grid_norm(SIZE)[..., 0] > 0.25)
    assert green[1].sum() > green[0].sum() + 60  # at the side that was hidden


def test_without_a_fitted_face_there_is_none():
    assert avatar.paint(replace(FRONTAL, face=None), MODEL) is None
