"""Tracks of motion files: rest, rate, blinks, and back to faces."""

from __future__ import annotations

import numpy as np
import pytest

from hybridanim.face import face_model, head_pose
from hybridanim.motion import moods, motion_measures, motion_track
from hybridanim.motion.head_transfer import DriverFace
from hybridanim.motion.imagined_motion import ImaginedMotion, Wish
from hybridanim.motion.motion_file import MotionHeader, MotionWriter
from hybridanim.motion.motion_track import LIDS, MOUTH, RATE_HZ, TURN
from hybridanim.motion.sparse import Seen
from hybridanim.types import HeadPose

COUNT, FPS = 150, 30


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A motion file of 5 s: a yaw of 10 degrees at 1 Hz, one blink at 2 s, a mouth at 3 Hz."""
    path = tmp_path_factory.mktemp("known") / "m.safetensors"
    like = ImaginedMotion(Wish())
    first = like.stretches[0].first
    writer = MotionWriter(path, like.expression)
    writer.begin(first, None)
    for index in range(COUNT):
        t = index / FPS
        pose = HeadPose(
            head_pose.rotation_matrix((10 * np.sin(2 * np.pi * t), 5.0, 0.0)), 0.8, np.zeros(2)
        )
        shut = max(0.0, 1 - abs(t - 2.0) / 0.12)
        face = DriverFace(
            pose, np.zeros(like.expression, np.float32),
            np.full(2, 0.9 * (1 - shut), np.float32), 0.05 * (1 + np.sin(6 * np.pi * t)),
        )  # fmt: skip
        writer.add(t, Seen(first.keypoints, None, False, face, 1.0, first.head))
    writer.close(MotionHeader(*(like.header.fps, like.header.time_base, like.header.view)))
    return path


def test_rate_rest_and_turn(known):
    (track,) = motion_track.read(known)
    assert len(track.values) == pytest.approx(COUNT / FPS * RATE_HZ, abs=1)
    assert track.rest_deg == pytest.approx((0, 5, 0), abs=0.5)
    yaw = np.rad2deg(np.linalg.norm(track.values[:, TURN], axis=1))
    assert yaw.max() == pytest.approx(10, abs=0.7)


def test_the_blink_is_a_channel_of_its_own(known):
    (track,) = motion_track.read(known)
    (start,) = np.flatnonzero(track.onsets)
    assert start / RATE_HZ == pytest.approx(1.88, abs=0.1)
    assert track.blinks.max() == 1 and track.blinks[: start - 1].max() == 0
    np.testing.assert_allclose(track.values[:, LIDS], 1.0, atol=0.09)


def test_a_row_becomes_its_face_again(known):
    (track,) = motion_track.read(known)
    rest = HeadPose(head_pose.rotation_matrix((0.0, 5.0, 0.0)), 0.8, np.zeros(2))
    face = motion_track.face_of(track.values[6], 0.0, rest)
    yaw, pitch, _ = head_pose.angles_deg(face.pose.rotation)
    assert yaw == pytest.approx(10 * np.sin(2 * np.pi * 6 / RATE_HZ), abs=1)
    assert pitch == pytest.approx(5, abs=1)
    assert motion_track.face_of(track.values[6], 1.0, rest).lids.max() == 0


def test_quantities_are_what_the_model_measures():
    model = face_model.load()
    moved = model.along(jaw_open=0.02, left_corner_up=0.01)
    found = motion_track.quantities(moved[None])[0]
    true = face_model.measure(model.vertices(None, moved)) - face_model.measure(model.mean)
    np.testing.assert_allclose(found[[0, 2]], [0.02, 0.01], atol=2e-3)
    np.testing.assert_allclose(found[[0, 2]], true[[0, 2]], atol=6e-3)


def test_statistics_tell_moods(known):
    (track,) = motion_track.read(known)
    moving = track.values[: moods.WINDOW]
    still = np.repeat(moving[:1], moods.WINDOW, 0)
    names = dict(zip(moods.STATISTICS, range(len(moods.STATISTICS)), strict=True))
    more, less = moods.statistics(moving), moods.statistics(still)
    for name in ("speech", "shake", "speed"):
        assert more[names[name]] > less[names[name]] + 1
    one = np.zeros(len(moods.STATISTICS))
    assert moods.label(one) == "talking"
    one[names["smile"]] = 2
    assert moods.label(one) == "laughing"
    one[:] = -1
    assert moods.label(one) == "idle"


def test_the_frechet_distance_is_that_of_gaussians():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4000, 3))
    b = 2 * rng.standard_normal((4000, 3)) + [1.0, 0, 0]
    assert motion_measures.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert motion_measures.frechet(a, b) == pytest.approx(1 + 3, rel=0.06)  # (2 - 1)^2 an axis


def test_figures_of_known_motion(known):
    (track,) = motion_track.read(known)
    found = motion_measures.figures([(track.values, track.blinks, track.onsets)])
    assert found.blinks_per_minute == pytest.approx(12, rel=0.05)
    assert found.turn_deg_s == pytest.approx(40, rel=0.12)  # mean of |2 pi 10 cos|
    assert found.mouth_speed == pytest.approx(0.6, rel=0.15)
    assert found.closed == 1
    assert MOUTH == 8
