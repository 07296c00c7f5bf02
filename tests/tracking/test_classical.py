"""Oracle: a photograph moved by known affines, with an occluder that passes before the face."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from skimage import data

from hybridanim.config import TrackConfig
from hybridanim.profiles import TrackerProfile
from hybridanim.tracking import classical
from hybridanim.types import HEAD, Blob, FaceBox, Frame, SkinMask

SIZE = 256
FACE = FaceBox(69.0, 82.0, 86.0, 86.0)  # brows to chin in the crop below, seen by eye
CENTRE = np.array(FACE.center_xy_px)


@cache
def photograph():
    picture = data.astronaut()[0:256, 110:366]
    return cv2.copyMakeBorder(picture, 64, 64, 64, 64, cv2.BORDER_REFLECT)


def affine(turn_deg=0.0, scale=1.0, shear=0.0, shift=(0.0, 0.0)):
    """2x3 about the face's centre, in pixels of the crop: now from first."""
    a = np.deg2rad(turn_deg)
    matrix = scale * np.array([[np.cos(a), -np.sin(a) + shear], [np.sin(a), np.cos(a)]])
    return np.column_stack([matrix, CENTRE + shift - matrix @ CENTRE])


def sway(i):
    return affine(
        9 * np.sin(i / 7), 1 + 0.07 * np.sin(i / 9), 0.05 * np.sin(i / 5),
        (14 * np.sin(i / 6), 9 * np.sin(i / 8)),
    )  # fmt: skip


def moved(truth, occluder=None, face=False, noise=1.5, seed=0):
    """A frame and its mask; occluder: x, y, width, height of a textured board."""
    from_padded = truth.copy()
    from_padded[:, 2] -= truth[:, :2] @ (64, 64)
    picture = cv2.warpAffine(photograph(), from_padded, (SIZE, SIZE), flags=cv2.INTER_CUBIC)
    skin = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(skin, (112, 116), (42, 60), 0, 0, 360, 255, -1)
    skin = cv2.warpAffine(skin, truth, (SIZE, SIZE), flags=cv2.INTER_NEAREST)
    if occluder is not None:
        x, y, width, height = occluder
        board = np.random.default_rng(5).integers(20, 235, (height // 4, width // 4, 3), np.uint8)
        board = cv2.resize(board, (width, height), interpolation=cv2.INTER_CUBIC)
        left, right = np.clip([x, x + width], 0, SIZE)
        picture[y : y + height, left:right] = board[:, left - x : right - x]
        skin[y : y + height, left:right] = 0
    grain = np.random.default_rng(seed).normal(0, noise, picture.shape)
    picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(skin)
    blob = Blob(HEAD, (x, y, width, height), (x + width / 2, y + height / 2), 1.0)
    hit = FACE if face else None
    return picture, SkinMask(skin, (blob,), face=hit)


def follow(truths, occluders=None, config=None, cover=None):
    """Tracks of every frame of the moved photograph."""
    state, all_tracks = classical.initial_state(), []
    for i, truth in enumerate(truths):
        occluder = occluders[i] if occluders else None
        picture, mask = moved(truth, occluder, face=i == 0, seed=i)
        if cover is not None and cover(i):
            picture, mask = np.full_like(picture, 60), SkinMask(0 * mask.mask, lost="covered")
        frame = Frame(picture, i, i / 30)
        state, tracks = classical.step(state, frame, mask, config or TrackConfig(), None)
        all_tracks.append(tracks)
    return all_tracks


def places(truth, xy):
    return xy @ truth[:, :2].T + truth[:, 2]


def in_face():
    y, x = np.mgrid[72:168:6, 76:150:6].reshape(2, -1).astype(float)
    keep = ((x - 112) / 36) ** 2 + ((y - 122) / 44) ** 2 < 1
    return np.stack([x, y], 1)[keep]


def local_affines(tracks, points):
    """Where plain least squares on the 24 nearest tracks puts points of the first frame."""
    found = []
    for point in points:
        near = np.argsort(((tracks.reference_xy_px - point) ** 2).sum(1))[:24]
        design = np.column_stack([tracks.reference_xy_px[near] - point, np.ones(len(near))])
        found.append(np.linalg.lstsq(design, tracks.xy_px[near], rcond=None)[0][2])
    return np.array(found)


@cache
def swayed():
    return follow([sway(i) for i in range(50)])


@cache
def occluded():
    boxes = [(-80 + 9 * i, 100, 48, 48) for i in range(46)]
    return boxes, follow([sway(i) for i in range(46)], boxes)


def test_local_affines_of_a_moving_photograph_are_recovered():
    points = in_face()
    errors = [
        np.linalg.norm(local_affines(t, points) - places(sway(i), points), axis=1)
        for i, t in enumerate(swayed())
    ]
    assert all(len(t.xy_px) >= 40 and not t.lost for t in swayed())
    assert np.median(np.concatenate(errors)) < 0.25
    assert max(np.median(e) for e in errors) < 0.6


def test_correspondences_do_not_drift_away_from_the_reference():
    last = swayed()[-1]
    error = np.linalg.norm(last.xy_px - places(sway(49), last.reference_xy_px), axis=1)
    assert np.median(error) < 0.4
    assert np.percentile(error, 95) < 1.5


def test_local_affines_are_recovered_while_an_occluder_passes():
    boxes, all_tracks = occluded()
    points = in_face()
    errors = []
    for i, (tracks, (x, y, width, height)) in enumerate(zip(all_tracks, boxes, strict=True)):
        truth = places(sway(i), points)
        away = ~((np.abs(truth - (x + width / 2, y + height / 2)) < width / 2 + 6).all(1))
        found = local_affines(tracks, points[away])
        errors.append(np.linalg.norm(found - truth[away], axis=1))
    assert np.median(np.concatenate(errors)) < 0.3
    assert max(np.median(e) for e in errors) < 1.0


def test_features_under_the_occluder_are_gone_within_three_frames():
    boxes, all_tracks = occluded()
    covered_for = {}
    longest = 0
    for i, (tracks, (x, y, width, height)) in enumerate(zip(all_tracks, boxes, strict=True)):
        # where each feature truly is, whatever the tracker believes
        truth = places(sway(i), tracks.reference_xy_px)
        inside = (truth[:, 0] > x) & (truth[:, 0] < x + width)
        inside &= (truth[:, 1] > y) & (truth[:, 1] < y + height)
        covered_for = {n: covered_for.get(n, 0) + 1 for n in tracks.ids[inside].tolist()}
        longest = max([longest, *covered_for.values()])
    assert any(t.dropped > 8 for t in all_tracks)
    assert longest <= 3


def test_features_come_back_as_themselves_after_the_occluder():
    _, all_tracks = occluded()
    before = set(all_tracks[6].ids.tolist())
    hidden = set(all_tracks[20].ids.tolist())
    after = set(all_tracks[-1].ids.tolist())
    assert len(before - hidden) >= 10
    assert len((before - hidden) & after) >= 0.5 * len(before - hidden)


def test_the_head_box_follows_and_does_not_pump():
    still = follow([affine() for _ in range(25)])
    sizes = np.array([t.head.size_px for t in still[3:]])
    assert np.abs(np.diff(np.log(sizes))).max() < 2e-3
    for i, tracks in enumerate(swayed()):
        x, y = places(sway(i), CENTRE)
        assert np.hypot(tracks.head.center_xy_px[0] - x, tracks.head.center_xy_px[1] - y) < 6
    turned = [t.head.roll_deg for t in swayed()]
    assert np.corrcoef(turned, [9 * np.sin(i / 7) for i in range(50)])[0, 1] > 0.95


def test_a_still_head_gives_still_tracks():
    still = follow([affine() for _ in range(20)])
    both = np.intersect1d(still[5].ids, still[-1].ids)
    first = still[5].xy_px[np.isin(still[5].ids, both)][
        np.argsort(still[5].ids[np.isin(still[5].ids, both)])
    ]
    last = still[-1].xy_px[np.isin(still[-1].ids, both)][
        np.argsort(still[-1].ids[np.isin(still[-1].ids, both)])
    ]
    assert len(both) > 30
    assert np.median(np.linalg.norm(first - last, axis=1)) < 0.15


def test_a_jump_of_a_third_of_the_head_is_followed():
    truths = [affine(shift=(0 if i < 8 else 38, 0 if i < 8 else -14)) for i in range(14)]
    last = follow(truths)[-1]
    error = np.linalg.norm(last.xy_px - places(truths[-1], last.reference_xy_px), axis=1)
    assert not last.lost
    assert len(last.xy_px) > 30
    assert np.median(error) < 0.5


def test_leaving_and_coming_back_keeps_the_reference():
    truths = [
        affine(shift=(0, 0) if i < 12 else (12, 5), scale=1 if i < 12 else 1.06) for i in range(48)
    ]
    all_tracks = follow(truths, cover=lambda i: 12 <= i < 34)
    assert all(t.lost and not t for t in all_tracks[14:33])
    last = all_tracks[-1]
    assert not last.lost, last.lost
    error = np.linalg.norm(last.xy_px - places(truths[-1], last.reference_xy_px), axis=1)
    old = np.isin(last.ids, all_tracks[10].ids)
    assert old.sum() >= 15
    assert np.median(error[old]) < 0.5
    assert np.median(error) < 1.5


def test_nothing_to_see_is_a_value_with_a_reason():
    black = Frame(np.zeros((120, 160, 3), np.uint8))
    mask = SkinMask(np.zeros((120, 160), np.uint8), lost="the picture is black")
    state = classical.initial_state()
    for _ in range(3):
        state, tracks = classical.step(state, black, mask, TrackConfig(), None)
    assert not tracks and tracks.lost
    assert tracks.xy_px.shape == (0, 2) and tracks.head is None


@pytest.mark.parametrize("corners", ["harris", "moravec"])
def test_other_corner_measures_track_as_well(corners):
    config = TrackConfig(corners=corners)
    last = follow([sway(i) for i in range(16)], config=config)[-1]
    error = np.linalg.norm(last.xy_px - places(sway(15), last.reference_xy_px), axis=1)
    assert len(last.xy_px) >= 30
    assert np.median(error) < 0.4


def test_a_profile_replaces_the_settings():
    profile = TrackerProfile("harris", 20, 11, 2, 0.5)
    config = classical.with_profile(TrackConfig(), profile)
    assert (config.corners, config.max_features, config.window_px) == ("harris", 20, 11)
    assert classical.with_profile(TrackConfig(), None) == TrackConfig()


def test_inputs_stay_as_they_were_and_a_new_state_repeats_the_result():
    picture, mask = moved(affine(), face=True)
    copies = picture.copy(), mask.mask.copy()
    results = [
        classical.step(classical.initial_state(), Frame(picture), mask, TrackConfig(), None)[1]
        for _ in range(2)
    ]
    assert np.array_equal(picture, copies[0]) and np.array_equal(mask.mask, copies[1])
    assert np.array_equal(results[0].xy_px, results[1].xy_px)
