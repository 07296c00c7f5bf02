"""The learned and the hybrid tracker with a detector that knows: motion carried, loss, windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.config import TrackConfig
from hybridanim.face import head_box
from hybridanim.motion import keypoints
from hybridanim.tracking import detection, hybrid, keypoint_flow, learned
from hybridanim.tracking.detection import KeypointsPx
from hybridanim.types import Crop, Frame, HeadBox, Keypoints
from tests import synthetic
from tests.oracle_detector import Oracle, face_points, under

SIZE, COUNT = 256, 24
HEAD = HeadBox((128.0, 120.0), 90.0)


@pytest.fixture(scope="module")
def clip():
    """Frames of a photograph under a path of affines, and the truth of every frame."""
    picture = synthetic.photograph(SIZE)
    affines = synthetic.wandering_affines(COUNT, SIZE, seed=3)
    first = face_points(picture)
    frames = synthetic.moved_picture(picture, affines).frames
    return frames, [under(first, affine) for affine in affines]


def frames_of(images):
    return [Frame(image, index, index / 25) for index, image in enumerate(images)]


def follow(step, state, images, detector, *more):
    """Tracks of every frame."""
    found = []
    for frame in frames_of(images):
        state, tracks = step(state, frame, detector, *more)
        found.append(tracks)
    return found


def run_learned(images, detector):
    return follow(learned.step, learned.initial_state(), images, detector)


def run_hybrid(images, detector, every=3, face_fit=False):
    config = TrackConfig(anchor_every=every, face_fit=face_fit)
    return follow(hybrid.step, hybrid.initial_state(), images, detector, config)


def places(tracks):
    assert tracks.keypoints is not None
    return geometry.px_from_norm(tracks.keypoints.xy_norm, tracks.keypoints_crop)


def jacobians(tracks):
    return tracks.keypoints.jacobian * (tracks.keypoints_crop.side_px / 2)


def astray_px(found, truth):
    """(T, K, 2) from the true places."""
    return np.array([places(a) - b.xy_px for a, b in zip(found, truth, strict=True)])


def errors_px(found, truth):
    """(T, K) distances."""
    return np.linalg.norm(astray_px(found, truth), axis=-1)


def test_learned_tracks_say_what_the_detector_says(clip):
    frames, truth = clip
    found = run_learned(frames, Oracle().tell(frames, truth))
    assert errors_px(found, truth).max() < 1e-3
    for tracks, known in zip(found, truth, strict=True):
        np.testing.assert_allclose(jacobians(tracks), known.linear_px, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found[5].reference_xy_px, truth[0].xy_px, atol=1e-3)
    assert [tracks.new for tracks in found[:3]] == [38, 0, 0]


def test_the_head_box_is_that_of_the_landmarks(clip):
    frames, truth = clip
    found = run_learned(frames, Oracle().tell(frames, truth))
    first = found[0].head
    for tracks, known in zip(found, truth, strict=True):
        head = tracks.head
        scale = np.sqrt(np.linalg.det(known.linear_px[0] @ np.linalg.inv(truth[0].linear_px[0])))
        assert head.size_px == pytest.approx(first.size_px * scale, rel=0.03)


def test_the_turn_of_the_head_follows_a_turned_picture(clip):
    frames, truth = clip
    middle = (127.5, 127.5)
    turns = [synthetic.affine_about(middle, turn_deg=angle) for angle in np.linspace(0, 20, 12)]
    images = synthetic.moved_picture(frames[0], turns).frames
    known = [under(truth[0], turn) for turn in turns]
    found = run_learned(images, Oracle().tell(images, known))
    assert found[-1].rotation_deg[2] - found[0].rotation_deg[2] == pytest.approx(20, abs=2.5)
    assert found[-1].rotation_confidence > 0.5


def test_hybrid_carries_affine_motion_between_anchors(clip):
    frames, truth = clip
    detector = Oracle().tell(frames, truth)
    found = run_hybrid(frames, detector, every=1000)  # one anchor, then flow alone
    assert detector.calls <= 3
    error = errors_px(found, truth)
    carried = keypoint_flow.watched(38)
    assert np.median(error) < 0.35
    assert error[:, carried].max() < 2.0
    linear = np.array([jacobians(tracks) for tracks in found])
    known = np.array([points.linear_px for points in truth])
    assert np.median(np.abs(linear - known)) < 0.03 * 90


def test_hybrid_asks_the_detector_as_seldom_as_it_is_told(clip):
    frames, truth = clip
    detector = Oracle().tell(frames, truth)
    found = run_hybrid(frames, detector, every=3)
    assert detector.calls < 0.55 * len(frames)
    assert np.median(errors_px(found, truth)) < 0.2


def test_hybrid_takes_the_shaking_out_of_a_detector(clip):
    frames, truth = clip
    error, jitter = [], []
    for way in (run_learned, run_hybrid):
        apart = astray_px(way(frames, Oracle(noise_px=0.4).tell(frames, truth)), truth)
        error.append(np.sqrt((apart[6:] ** 2).mean()))
        jitter.append(np.abs(np.diff(apart, 2, axis=0)).mean())
    assert error[1] < 0.85 * error[0]
    assert jitter[1] < 0.5 * jitter[0]


def test_an_anchor_makes_no_step(clip):
    """A detector that is off by a constant after the first look is approached, not jumped to."""
    frames, truth = clip
    off = [truth[0], *(replace(one, xy_px=one.xy_px + np.array([0.45, 0])) for one in truth[1:])]
    found = run_hybrid(frames, Oracle().tell(frames, off), every=4)
    lag = np.median(astray_px(found, truth)[..., 0], axis=1)
    assert np.abs(np.diff(lag)).max() < 0.2
    assert lag[-1] == pytest.approx(0.45, abs=0.1)


def test_a_blink_calls_the_detector_at_once(clip):
    frames, truth = clip
    still, closed = frames[0], frames[0].copy()
    lids = [k for k in range(38) if keypoint_flow.watched(38)[k]][4:8]
    points = replace(truth[0], xy_px=truth[0].xy_px.copy())
    middle = truth[0].xy_px[lids].mean(0)
    x0, y0 = (int(v) for v in truth[0].xy_px[lids].min(0) - 6)
    x1, y1 = (int(v) for v in truth[0].xy_px[lids].max(0) + 6)
    closed[y0:y1, x0:x1] = closed[y0:y1, x0:x1].mean((0, 1)).astype(np.uint8)  # skin over the eyes
    points.xy_px[lids, 1] = middle[1]
    images = [still] * 4 + [closed] * 3
    detector = Oracle().tell([still, closed], [truth[0], points])
    found = run_hybrid(images, detector, every=1000)
    moved = np.abs(truth[0].xy_px[lids, 1] - middle[1]) > 2
    assert np.abs(places(found[4])[lids, 1] - middle[1])[moved].max() < 1.0

    # where a fitted face gives the lids, the detector keeps its interval
    calls = []
    for shown in (images, [still] * len(images)):
        seen = Oracle().tell([still, closed], [truth[0], points])
        run_hybrid(shown, seen, every=1000, face_fit=True)
        calls.append(seen.calls)
    assert calls[0] == calls[1] < detector.calls


@pytest.mark.parametrize("way", [run_learned, run_hybrid], ids=["learned", "hybrid"])
def test_a_lost_head_is_said_and_found_again(way, clip):
    frames, truth = clip
    dark = [np.zeros_like(frames[0])] * 8
    found = way([*frames[:6], *dark, *frames[6:]], Oracle().tell(frames, truth))
    assert all(found[:6])
    assert not any(found[6:14])
    assert all(tracks.lost and tracks.keypoints is None for tracks in found[6:14])
    back = [bool(tracks) for tracks in found[14:]]
    assert all(back[learned.SEARCH_FRAMES :])
    shown = [tracks for tracks in found if tracks]
    assert np.median(errors_px(shown[-5:], truth[-5:])) < 0.3


@pytest.mark.parametrize("way", [run_learned, run_hybrid], ids=["learned", "hybrid"])
def test_nothing_is_found_in_noise(way):
    rng = np.random.default_rng(0)
    found = way(list(rng.integers(0, 256, (3, 128, 128, 3), np.uint8)), Oracle())
    assert [tracks.lost for tracks in found] == [learned.NO_FACE] * 3


def test_a_window_stands_while_the_head_moves_little():
    window = keypoints.crop_around(HEAD)
    x, y = HEAD.center_xy_px
    near = HeadBox((x + 0.09 * HEAD.size_px, y), 1.05 * HEAD.size_px)
    assert detection.next_window(window, near) == window
    far = HeadBox((x + 0.5 * HEAD.size_px, y), HEAD.size_px)
    now = detection.next_window(window, far)
    shift = now.x_px - window.x_px
    assert shift == pytest.approx(0.5 * HEAD.size_px - 0.04 * window.side_px, abs=1e-6)
    assert detection.next_window(now, far) == now
    large = HeadBox((x, y), 1.5 * HEAD.size_px)
    ratio = detection.next_window(window, large).side_px / window.side_px
    assert ratio == pytest.approx(1.5 / 1.08, rel=1e-6)


def test_what_is_no_face_is_not_taken_for_one(clip):
    _, truth = clip
    window = keypoints.crop_around(head_box.from_anchors(truth[0].xy_px))
    head, likeness = detection.estimate_head(truth[0], window)
    assert head is not None and likeness > 0.9
    rng = np.random.default_rng(1)
    heap = KeypointsPx(rng.uniform(60, 200, (38, 2)), truth[0].linear_px, truth[0].confidence)
    assert detection.estimate_head(heap, window)[1] < detection.LEAST_CONFIDENCE
    tiny = replace(truth[0], xy_px=128 + 0.2 * (truth[0].xy_px - 128))
    assert detection.estimate_head(tiny, window)[0] is None
    mirrored = replace(truth[0], xy_px=truth[0].xy_px * (1, -1) + (0, 250))
    assert detection.estimate_head(mirrored, window)[1] == 0


def test_a_frame_detector_looks_at_the_middle_square():
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (90, 160, 3), np.uint8)
    known = KeypointsPx(rng.uniform(50, 80, (5, 2)), 30 * np.tile(np.eye(2), (5, 1, 1)), np.ones(5))
    for way in (run_learned, run_hybrid):
        detector = Oracle("frame", 5).tell([image], [known])
        tracks = way([image] * 4, detector)[-1]
        assert set(detector.windows) == {Crop(35.0, 0.0, 90.0)}
        assert tracks.head is None and tracks
        np.testing.assert_allclose(places(tracks), known.xy_px, atol=0.05)


def test_another_crop_means_the_same_places():
    rng = np.random.default_rng(3)
    points = Keypoints(
        rng.uniform(-1, 1, (38, 2)).astype(np.float32),
        rng.normal(0, 1, (38, 2, 2)).astype(np.float32),
        np.ones(38, np.float32),
    )
    here, there = Crop(10.5, -7.25, 200.0), Crop(40.0, 3.0, 120.0)
    moved = keypoints.in_crop(points, here, there)
    np.testing.assert_allclose(
        geometry.px_from_norm(moved.xy_norm, there), geometry.px_from_norm(points.xy_norm, here),
        atol=1e-4,
    )  # fmt: skip
    np.testing.assert_allclose(moved.jacobian * 120, points.jacobian * 200, rtol=1e-5)
