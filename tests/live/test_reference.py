"""The reference of a live run: the best of the first seconds, and the hint for the driver."""

from dataclasses import replace

import pytest

from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.live.reference import Hint, ReferenceKeeper, hint_for, rescaled
from hybridanim.motion.reference import reference_of


def posed(results, source, turn_deg):
    yaw, pitch, roll = source.rotation_deg
    angles = (yaw + turn_deg, pitch, roll)
    tracks = replace(
        results.tracks, rotation_deg=angles, rotation_confidence=1.0, landmarks_xy_px=None, lost=""
    )
    return tracks


def test_the_hint_is_green_near_the_source_and_does_not_flicker(results, source):
    assert hint_for(posed(results, source, 3), source, None).is_good
    assert hint_for(posed(results, source, 20), source, None) is None
    between = posed(results, source, 13.5)
    assert hint_for(between, source, None) is None
    assert hint_for(between, source, Hint("", True)).is_good
    lost = hint_for(replace(results.tracks, lost="gone"), source, None)
    assert lost is not None and not lost.is_good


def test_the_reference_is_the_best_of_the_first_seconds(results, source):
    keeper = ReferenceKeeper(is_auto=True)
    took = [
        keeper.update(posed(results, source, turn), source, time_s) is not None
        for time_s, turn in [(0, 30), (0.5, 10), (1, 20), (2, 9.5), (2.5, 2), (4, 0)]
    ]
    assert took == [True, True, False, False, True, False]
    first = ReferenceKeeper(is_auto=False)
    assert first.update(posed(results, source, 30), source, 0) is not None
    assert first.update(posed(results, source, 0), source, 1) is None
    keeper.reset()
    assert keeper.update(posed(results, source, 30), source, 10) is not None
    assert keeper.update(replace(results.tracks, lost="gone"), source, 11) is None


def test_a_rescaled_reference_is_the_same_pose(results, source):
    reference = reference_of(posed(results, source, 5), MEAN_SHAPE)
    assert reference is not None
    half = rescaled(reference, 0.5)
    assert half.keypoints is reference.keypoints
    assert half.crop.side_px == pytest.approx(reference.crop.side_px / 2)
    back = rescaled(half, 2.0)
    assert back.head.center_xy_px == pytest.approx(reference.head.center_xy_px)
    assert back.crop.x_px == pytest.approx(reference.crop.x_px)


def test_a_better_confirmed_face_replaces_the_reference_unless_the_user_chose_it(results, source):
    half = posed(results, source, 0)  # posed like the source, but only half a face
    whole = replace(posed(results, source, 30), is_new_reference=True)
    keeper = ReferenceKeeper(is_auto=True)
    assert keeper.update(half, source, 0) is not None
    assert keeper.update(replace(whole, is_new_reference=False), source, 1) is None
    assert keeper.update(whole, source, 9) is not None
    keeper.stop_search()
    keeper.take(half)
    assert keeper.update(whole, source, 10) is None
