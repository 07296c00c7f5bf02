"""Landmark errors of readings that were made from the labels with known errors."""

from dataclasses import replace

import numpy as np
import pytest

from hybridanim.evaluation import landmark_errors, mesh_signals
from hybridanim.evaluation.landmark_errors import NUMBERS, Reading, compare, read_tracks, summary
from hybridanim.face import face_model, head_pose
from hybridanim.face.landmarks import GROUPS, POINTS
from hybridanim.face.mean_shape import MEAN_SHAPE_3D
from hybridanim.types import FaceFit, HeadPose, Tracks

RNG = np.random.default_rng(3)
N = 40


def labels(angles=None, count=N):
    """(N, 478, 3): the mean face where it has points, the others about it, turned, in pixels."""
    base = RNG.normal(0, 0.3, (478, 3))
    base[NUMBERS] = MEAN_SHAPE_3D
    angles = np.zeros((count, 3)) if angles is None else angles
    return np.array([90 * base @ head_pose.rotation_matrix(a).T + [120, 110, 0] for a in angles])


def readings(meshes, angles=None):
    angles = np.zeros((len(meshes), 3)) if angles is None else angles
    found = []
    for mesh, turn in zip(meshes, angles, strict=True):
        given = np.full((478, 2), np.nan)
        given[NUMBERS] = mesh[NUMBERS, :2]
        found.append(Reading(given, mesh_signals.openings(given), np.asarray(turn, float)))
    return found


def nothing():
    return Reading(np.full((478, 2), np.nan), np.full(3, np.nan), np.full(3, np.nan))


def speaking(meshes, amount=0.1):
    """The same with a mouth whose opening varies."""
    spoken = meshes.copy()
    gap = (
        amount
        * (1 + np.sin(np.arange(len(meshes))))
        * np.hypot(*(meshes[:, 152, :2] - meshes[:, 10, :2]).T)
    )
    spoken[:, 14] = spoken[:, 13]
    spoken[:, 14, 1] += gap
    return spoken


def test_the_labels_themselves_have_no_error():
    turns = np.stack([15 * np.sin(np.arange(N)), np.linspace(-9, 9, N), np.full(N, 4.0)], 1)
    truth = speaking(labels(turns))
    found = summary([compare(truth, readings(truth, turns))])
    for name in ("points", "mouth", "eyes", "width", "yaw_deg", "pitch_deg", "roll_turn_deg"):
        assert found[name] == pytest.approx(0, abs=1e-6), name
    assert found["mouth_r"] == found["mouth_gain"] == pytest.approx(1)
    assert found["yaw_r"] == found["yaw_gain"] == pytest.approx(1)
    assert found["found"] == found["turned"] == 1 and "false" not in found
    assert found["mouth_clips"] == found["yaw_clips"] == 1 and found["frames"] == N


def test_a_shift_is_a_share_of_the_outer_eye_distance():
    truth = labels()
    eyes = np.linalg.norm(truth[0, 33, :2] - truth[0, 263, :2])
    moved = truth + np.array([0.03 * eyes, 0.04 * eyes, 50])  # depth does not count
    found = summary([compare(truth, readings(moved))])
    assert found["points"] == pytest.approx(5)
    one = truth.copy()
    one[:, NUMBERS[list(GROUPS["left_brow"])], 0] += 0.1 * eyes
    found = summary([compare(truth, readings(one))])
    assert found["points_left_brow"] == pytest.approx(10) and found["points_nose"] == 0
    assert found["points"] == pytest.approx(10 * 5 / len(POINTS))


def test_gain_is_the_slope_over_the_teacher_within_clips():
    truths = [speaking(labels(), 0.1), speaking(labels(), 0.06)]
    clips = []
    for truth, gain, bias in zip(truths, (0.5, 0.9), (0.0, 0.3), strict=True):
        given = readings(truth)
        own = [replace(r, openings=gain * r.openings + bias) for r in given]
        clips.append(compare(truth, own))
    found = summary(clips)
    assert found["mouth_gain"] == pytest.approx(0.7) and found["mouth_r"] == pytest.approx(1)
    assert found["mouth_clips"] == 2 and found["eyes_clips"] == 0 and "eyes_r" not in found
    assert found["mouth_r_pooled"] < 0.6  # the clips' biases differ
    both = [np.concatenate([c.openings[i, :, 0] for c in clips]) for i in (0, 1)]
    assert found["mouth_r_pooled"] == pytest.approx(np.corrcoef(*both)[0, 1])


def test_a_shuffled_tracker_follows_nothing():
    truth = speaking(labels(count=600))
    found = summary([compare(truth, readings(truth[RNG.permutation(600)]))])
    assert abs(found["mouth_r"]) < 0.15 and abs(found["mouth_gain"]) < 0.15


def test_frames_without_a_face_are_counted_and_left_out():
    truth = speaking(labels())
    own = readings(truth)
    truth[:10] = np.nan  # the teacher sees nothing, the tracker does in six of these
    own[:4] = [nothing()] * 4
    own[20:35] = [nothing()] * 15
    found = summary([compare(truth, own)])
    assert found["false"] == pytest.approx(0.6)
    assert found["found"] == found["turned"] == pytest.approx(0.5)
    assert found["points"] == pytest.approx(0) and found["mouth_r"] == pytest.approx(1)
    empty = summary([compare(truth, [nothing()] * N)])
    assert empty["found"] == 0 and "points" not in empty and "yaw_deg" not in empty


def test_a_bias_of_the_rotation_is_an_error_and_no_turn():
    turns = np.zeros((N, 3))
    turns[:, 2] = np.linspace(0, 20, N)
    biased = turns + np.array([0, 0, 5.0])
    truth = labels(turns)
    found = summary([compare(truth, readings(truth, biased))])
    assert found["roll_deg"] == pytest.approx(5, abs=1e-6)
    assert found["roll_turn_deg"] == pytest.approx(0, abs=1e-6)
    half = summary([compare(truth, readings(truth, 0.5 * turns))])
    assert half["roll_turn_deg"] == pytest.approx(5, abs=0.01)  # the median of 0 to 10


def tracks(**given):
    none = np.zeros(0)
    return Tracks(
        none.reshape(0, 2).astype(np.float32),
        none.reshape(0, 2).astype(np.float32),
        none.astype(np.int64),
        none.astype(np.int64),
        none.astype(np.float32),
        **given,
    )


def test_tracks_are_read_where_they_are_confident():
    points = (90 * MEAN_SHAPE_3D[:, :2] + 100).astype(np.float32)
    given = {"landmarks_xy_px": points, "rotation_deg": (3.0, 2.0, 1.0)}
    found = read_tracks(tracks(**given, landmarks_confidence=0.9, rotation_confidence=0.5))
    np.testing.assert_array_equal(found.mesh_xy_px[NUMBERS], points)
    assert np.isfinite(found.openings).all() and found.angles_deg.tolist() == [3, 2, 1]
    assert np.isnan(found.mesh_xy_px).all(1).sum() == 478 - len(POINTS)
    for more in ({"lost": "no face", "landmarks_confidence": 0.9}, {"rotation_confidence": 0.0}):
        found = read_tracks(tracks(**given, **more))
        assert np.isnan(found.mesh_xy_px).all() and np.isnan(found.openings).all()
        assert np.isnan(found.angles_deg).all()


def test_a_fitted_face_goes_before_landmarks():
    model = face_model.load()
    expression = np.zeros(len(model.expression), np.float32)
    identity = np.zeros(len(model.identity), np.float32)
    pose = HeadPose(head_pose.rotation_matrix((10.0, 5.0, -3.0)), 90.0, np.array([120.0, 110.0]))
    nothing_said = np.zeros(len(face_model.AXES), np.float32)
    fit = FaceFit(pose, identity, expression, 0.8, nothing_said, nothing_said)
    points = np.zeros((len(POINTS), 2), np.float32)
    given = {"landmarks_xy_px": points, "landmarks_confidence": 0.9}
    found = read_tracks(tracks(face=fit, **given))
    r = head_pose.rotation_matrix((10.0, 5.0, -3.0))
    expected = 90 * (model.mean @ r.T)[:, :2] + [120, 110]
    np.testing.assert_allclose(found.mesh_xy_px, expected, atol=1e-3)
    label = np.column_stack([expected, 90 * (model.mean @ r.T)[:, 2]])
    seen = compare(label[None], [found])
    assert seen.point_errors.max() < 1e-4 and np.ptp(seen.openings, axis=0).max() < 1e-5
    without = read_tracks(tracks(face=replace(fit, confidence=0.0), **given))
    np.testing.assert_array_equal(without.mesh_xy_px[NUMBERS], points)


def test_the_teachers_rotation_is_absolute():
    for angles in ((0, 0, 0), (30.0, 10.0, -8.0), (-20.0, -15.0, 40.0)):
        label = labels(np.array([angles]))[0]
        found = landmark_errors.teacher_angles_deg(label)
        np.testing.assert_allclose(found, angles, atol=1e-4)
    assert np.isnan(landmark_errors.teacher_angles_deg(np.full((478, 3), np.nan))).all()
