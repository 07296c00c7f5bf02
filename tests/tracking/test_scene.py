"""Tracks of body and background: synthetic scenes whose parts move in a known way."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.config import KeypointsConfig
from hybridanim.face.anchors import FOLLOW
from hybridanim.motion import body as motion_body
from hybridanim.motion import sparse
from hybridanim.motion.keypoints import place_anchors
from hybridanim.motion.reference import Reference, reference_of
from hybridanim.tracking import scene
from hybridanim.types import Crop, Frame, HeadBox, Keypoints, SceneTracks, Source, Tracks

SIZE = 320
HEAD = HeadBox((160.0, 120.0), 110.0)
CROP = Crop(20.0, 0.0, 280.0)
BODY = FOLLOW < 1


def noise(seed: int, sigma: float = 2.0) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype(np.float32)
    found = cv2.GaussianBlur(found, (0, 0), sigma)
    return 128 + 45 * found / found.std()


def shape_of(part: str) -> np.ndarray:
    """Where a part lies in the first frame, (H, W) float32."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    if part == "body":
        corners = np.array([[130, 178], [190, 178], [290, 270], [300, 400], [20, 400], [30, 270]])
        cv2.fillPoly(mask, [corners], 1.0)
    else:
        cv2.ellipse(mask, (160, 115), (44, 62), 0, 0, 360, 1.0, -1)
    return mask


def picture(background: np.ndarray, body: np.ndarray, head: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of the scene with each part moved by a (2, 3) affine in pixels."""

    def moved(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(
            image, affine, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )

    out = moved(noise(1), background)
    for seed, part, affine in ((2, "body", body), (3, "head", head)):
        share = cv2.warpAffine(shape_of(part), affine, (SIZE, SIZE))
        out = out + share * (moved(noise(seed), affine) - out)
    return np.clip(out, 0, 255).astype(np.uint8)


def about(x: float, y: float, turn_deg: float, grow: float, shift: tuple[float, float]):
    """A similarity about a point, (2, 3) float32."""
    linear = geometry.similarity(grow, turn_deg)
    middle = np.array([x, y])
    return np.column_stack([linear, middle + shift - linear @ middle]).astype(np.float32)


STILL = np.eye(2, 3, dtype=np.float32)


def follow(background: np.ndarray, body: np.ndarray, head: np.ndarray) -> SceneTracks:
    """The corners after ten frames on the way to these motions."""
    state, found = scene.step(scene.SceneState(), picture(STILL, STILL, STILL), HEAD)
    for share in np.linspace(0.1, 1, 10):
        parts = (STILL + share * (part - STILL) for part in (background, body, head))
        state, found = scene.step(state, picture(*parts), HEAD)
    assert found is not None
    return found


def keypoints(affine: np.ndarray = STILL) -> Keypoints:
    rest = place_anchors(HEAD, None, None, CROP)
    places = geometry.px_from_norm(rest.xy_norm, CROP) @ affine[:, :2].T + affine[:, 2]
    jacobian = (affine[:, :2] @ rest.jacobian).astype(np.float32)
    return Keypoints(geometry.norm_from_px(places, CROP), jacobian, rest.confidence)


@pytest.fixture(scope="module")
def nod():
    """A camera that pans, a body that leans and a head that goes its own way."""
    motions = (
        about(160, 160, 0, 1, (5, -3)),
        about(160, 300, 4, 1.03, (9, 4)),
        about(160, 115, -6, 1, (-12, 5)),
    )
    return motions, follow(*motions)


def test_shoulders_go_with_the_body_and_not_with_the_head(nod):
    (_, body, head), found = nod
    now = motion_body.with_body(keypoints(head), keypoints(), HEAD, found, CROP)
    truth = keypoints(body)
    shoulders = FOLLOW.min() == FOLLOW
    off_px = (now.xy_norm - truth.xy_norm)[shoulders] * CROP.side_px / 2
    assert np.abs(off_px).max() < 2.5  # they have moved by 10 and 17
    assert np.abs(now.jacobian - truth.jacobian)[shoulders].max() < 0.03
    np.testing.assert_array_equal(now.xy_norm[~BODY], keypoints(head).xy_norm[~BODY])


def test_a_panning_camera_is_recovered(nod):
    (background, _, head), found = nod
    got = motion_body.background(keypoints(head), keypoints(), HEAD, found, CROP)
    assert got is not None
    corners = np.array([[-0.9, -0.9], [0.9, -0.9], [-0.9, 0.0], [0.9, 0.0]], np.float32)
    places = geometry.px_from_norm(corners, CROP)
    truth = geometry.norm_from_px(places @ background[:, :2].T + background[:, 2], CROP)
    off_px = (corners @ got[:, :2].T + got[:, 2] - truth) * CROP.side_px / 2
    assert np.abs(off_px).max() < 1.0


def test_a_background_that_stands_is_exactly_still():
    head = about(160, 115, 5, 1.04, (14, 3))
    found = follow(STILL, about(160, 300, 2, 1, (4, 0)), head)
    got = motion_body.background(keypoints(head), keypoints(), HEAD, found, CROP)
    np.testing.assert_array_equal(got, STILL)


def test_few_corners_leave_the_body_to_the_head():
    none = np.zeros((0, 2), np.float32)
    nothing = SceneTracks(none, none, np.zeros(0, np.float32), np.zeros(0, bool))
    head = about(160, 120, 0, 1, (20, 0))
    now = motion_body.with_body(keypoints(head), keypoints(), HEAD, nothing, CROP)
    moved_px = (now.xy_norm - keypoints().xy_norm)[BODY, 0] * CROP.side_px / 2
    np.testing.assert_allclose(moved_px, 20 * FOLLOW[BODY], atol=0.2)
    assert motion_body.background(now, keypoints(), HEAD, nothing, CROP) is None


def test_lost_corners_come_back():
    shown = picture(STILL, STILL, STILL)
    state, first = scene.step(scene.SceneState(), shown, HEAD)
    covered = np.full_like(shown, 90)
    for _ in range(6):
        state, hidden = scene.step(state, covered, HEAD)
    for _ in range(6):
        state, back = scene.step(state, shown, HEAD)
    assert first is not None and hidden is not None and back is not None
    assert len(hidden.xy_px) < 0.2 * len(first.xy_px)
    assert len(back.xy_px) > 0.8 * len(first.xy_px)
    np.testing.assert_allclose(back.xy_px, back.reference_xy_px, atol=0.2)


def test_nothing_before_a_head_and_a_new_size_begins_anew():
    shown = picture(STILL, STILL, STILL)
    assert scene.step(scene.SceneState(), shown, None)[1] is None
    state, _ = scene.step(scene.SceneState(), shown, HEAD)
    state, found = scene.step(state, shown[:, 10:], HEAD)
    assert found is not None and (found.confidence == 1).all()
    np.testing.assert_array_equal(found.xy_px, found.reference_xy_px)


@pytest.fixture(scope="module")
def source() -> Source:
    image = np.zeros((64, 64, 3), np.uint8)
    return Source(image, CROP, image, keypoints(), HEAD, np.zeros((64, 64), np.float32), image)


def at_first(found: SceneTracks) -> SceneTracks:
    """The same corners where they were in the first frame."""
    return dataclasses.replace(found, xy_px=found.reference_xy_px)


def tracks_of(points: Keypoints, beside: SceneTracks | None, head: HeadBox = HEAD) -> Tracks:
    none, ids = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    return Tracks(
        none, none, ids, ids, np.zeros(0, np.float32), head=head,
        keypoints=points, keypoints_crop=CROP, scene=beside,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("motion", "background", "moves"),
    [
        ("absolute", "auto", True),
        ("relative", "auto", False),
        ("relative", "follow", True),
        ("absolute", "still", False),
    ],
)
def test_when_the_background_follows(nod, source, motion, background, moves):
    (truth, _, head), found = nod
    config = KeypointsConfig(motion=motion, background=background, smooth=0)
    start = at_first(found)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    state = sparse.SparseState(crop=CROP)
    state, first = sparse.step(
        state, Frame(image), tracks_of(keypoints(), start), source, config, None
    )
    assert first.background is None
    _, then = sparse.step(
        state, Frame(image, 1, 0.04), tracks_of(keypoints(head), found), source, config, None
    )
    assert (then.background is not None) == moves
    if then.background is not None:  # source <- target: the way back
        shift_px = then.background[:, 2] * CROP.side_px / 2
        np.testing.assert_allclose(shift_px, -truth[:, 2], atol=1.2)


def test_a_later_reference_puts_the_body_at_rest_too(nod, source):
    """A person who moved and then says "this is rest" has a body at rest, not only a head."""
    (_, _, head), found = nod
    config = KeypointsConfig(smooth=0)
    start = at_first(found)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    state = sparse.SparseState(crop=CROP)
    state, _ = sparse.step(state, Frame(image), tracks_of(keypoints(), start), source, config, None)
    later = tracks_of(keypoints(head), found)
    reference = reference_of(later, None)
    state = dataclasses.replace(state, reference=reference)
    _, then = sparse.step(state, Frame(image, 1, 0.04), later, source, config, None)
    np.testing.assert_allclose(then.target.xy_norm, source.keypoints.xy_norm, atol=0.02)


def test_the_body_rests_as_in_the_reference_picture(source):
    """Somebody sat down before the reference frame, head and body alike: at rest there."""
    shift = about(0, 0, 0, 1, (24, 6))
    start, later = (picture(STILL, affine, affine) for affine in (STILL, shift))
    state, first = scene.step(scene.SceneState(), start, HEAD)
    there = HeadBox((184.0, 126.0), HEAD.size_px)
    image = np.repeat(later[..., None], 3, 2)
    resting = scene.elsewhere(state, image, there, HEAD)
    assert resting is not None
    moved_px = (resting.xy_px - resting.reference_xy_px)[resting.is_body]
    np.testing.assert_allclose(np.median(moved_px, 0), [24, 6], atol=0.3)

    reference = Reference(keypoints(shift), there, CROP)
    follow_state = sparse.SparseState(crop=CROP, reference=reference)
    config, blank = KeypointsConfig(smooth=0), np.zeros((SIZE, SIZE, 3), np.uint8)
    tracks = dataclasses.replace(tracks_of(keypoints(), first), reference_scene=resting)
    follow_state, _ = sparse.step(follow_state, Frame(blank), tracks, source, config, None)
    for share in (0.25, 0.5, 0.75, 1.0):
        part = STILL + share * (shift - STILL)
        state, now = scene.step(state, picture(STILL, part, part), there)
    tracks = dataclasses.replace(tracks_of(keypoints(shift), now), reference_scene=resting)
    _, then = sparse.step(follow_state, Frame(blank, 1, 0.04), tracks, source, config, None)
    np.testing.assert_allclose(then.target.xy_norm, source.keypoints.xy_norm, atol=0.02)


def test_a_lost_head_takes_the_background_to_rest(nod, source):
    (_, _, head), found = nod
    config = KeypointsConfig(motion="absolute", smooth=0)
    start = at_first(found)
    image, state = np.zeros((SIZE, SIZE, 3), np.uint8), sparse.SparseState(crop=CROP)
    seen = tracks_of(keypoints(head), found)
    lost = dataclasses.replace(seen, lost="hidden", keypoints=None, keypoints_crop=None)
    shifts = []
    first = tracks_of(keypoints(), start)
    for i, tracks in enumerate([first, seen, *[lost] * 100, seen]):
        state, motion = sparse.step(state, Frame(image, i, i / 25), tracks, source, config, None)
        shifts.append(0.0 if motion.background is None else float(motion.background[0, 2]))
    steps = np.abs(np.diff(shifts))
    assert abs(shifts[1]) > 0.02 and abs(shifts[-2]) < 0.05 * abs(shifts[1])
    assert steps[1:].max() < 0.2 * abs(shifts[1])  # neither leaving nor coming back is a jump
