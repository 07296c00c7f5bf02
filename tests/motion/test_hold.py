"""A driver's face that is not sure is held, and nothing jumps."""

from itertools import pairwise

import cv2
import numpy as np

from hybridanim.face import head_pose
from hybridanim.motion import hold
from hybridanim.motion.head_transfer import DriverFace
from hybridanim.types import HeadPose

FPS = 30


def face(yaw=0.0, length=1.0, mouth=0.0, shift=(0.0, 0.0)):
    expression = np.zeros(32, np.float32)
    expression[0] = length
    pose = HeadPose(head_pose.rotation_matrix((yaw, 0, 0)), 0.8, np.array(shift))
    return DriverFace(pose, expression, np.ones(2), mouth)


def played(faces, confidence=None, confirmed=None):
    """What is shown of a sequence; None is a frame without a face."""
    state, out = None, []
    for index, one in enumerate(faces):
        if one is None:
            state = hold.missed(state, index / FPS)
            continue
        sure = 1.0 if confidence is None else confidence[index]
        seen = 1.0 if confirmed is None else confirmed[index]
        state, shown = hold.step(state, one, sure, seen, index / FPS)
        out.append(shown)
    return out


def reasons(faces, confidence=None, confirmed=None):
    """Why each frame of a sequence is held; None is a frame without a face."""
    state, out = None, []
    for index, one in enumerate(faces):
        sure = 1.0 if confidence is None else confidence[index]
        seen = 1.0 if confirmed is None else confirmed[index]
        if one is None:
            state = hold.missed(state, index / FPS)
        else:
            state, _ = hold.step(state, one, sure, seen, index / FPS)
        out.append("" if state is None else state.why)
    return out


def yaws(faces):
    return np.array([head_pose.angles_deg(one.pose.rotation)[0] for one in faces])


def test_a_sure_face_is_passed_on_as_it_is():
    faces = [face(40 * np.sin(index / 3), 5 + index % 3) for index in range(60)]  # 400 degrees/s
    for before, after in zip(faces, played(faces), strict=True):
        assert after.pose is before.pose
        np.testing.assert_array_equal(after.expression, before.expression)


def test_one_frame_that_jumps_moves_nothing():
    faces = [face(5)] * 10 + [face(50, shift=(0.7, 0))] + [face(5)] * 10
    shown = played(faces)
    np.testing.assert_allclose(yaws(shown), 5, atol=1e-6)
    np.testing.assert_allclose([one.pose.shift_px for one in shown], 0, atol=1e-9)


def test_a_cut_to_another_pose_is_reached_without_a_jump():
    shown = yaws(played([face(-30)] * 5 + [face(30)] * 45))
    assert shown[5] == shown[4]
    assert max(abs(b - a) for a, b in pairwise(shown)) * FPS < 300  # degrees per second
    assert abs(shown[-1] - 30) < 0.5


def test_a_turn_to_profile_stops_where_the_fit_is_unsure_and_comes_back():
    turn = np.concatenate([np.arange(0, 90, 3), np.arange(90, 0, -3), np.zeros(30)])
    faces = [face(yaw, length=2 + (yaw > 60) * 2) for yaw in turn]
    shown = played(faces)
    found = yaws(shown)
    assert 48 < found.max() < 62
    assert max(abs(b - a) for a, b in pairwise(found)) < 10
    assert max(one.expression[0] for one in shown) < 4
    assert found[-1] == 0


def test_a_covered_face_keeps_its_expression_but_moves():
    faces = [face(0, 2)] * 5 + [face(index, 9.5) for index in range(20)] + [face(20, 2)] * 30
    confirmed = [1.0] * 5 + [0.0] * 20 + [1.0] * 30
    shown = played(faces, confirmed=confirmed)
    assert {float(one.expression[0]) for one in shown} == {2.0}
    np.testing.assert_allclose(yaws(shown), yaws(faces), atol=1e-9)
    grimace = played([face(0, 2)] * 5 + [face(0, 9.5)] * 20)  # of a face that is confirmed
    assert grimace[-1].expression[0] == 9.5


def test_a_fit_without_confidence_is_held_and_blended_back():
    faces = [face(0)] * 5 + [face(20, mouth=0.1)] * 45
    shown = played(faces, confidence=[1.0] * 5 + [0.5] * 5 + [1.0] * 40)
    np.testing.assert_allclose(yaws(shown[:10]), 0, atol=1e-9)
    steps = np.diff([one.mouth for one in shown])
    assert steps.min() >= 0 and steps.max() < 0.02
    assert shown[-1].mouth == 0.1


def test_after_frames_without_a_face_nothing_jumps():
    shown = played([face(0)] * 5 + [None] * 5 + [face(25)] * 40)
    assert np.abs(np.diff(yaws(shown))).max() < 5
    assert abs(yaws(shown)[-1] - 25) < 1e-6


def test_faces_mix_from_one_to_the_other():
    a, b = face(0, 1, 0.0), face(40, 3, 0.2)
    middle = hold.mixed(a, b, 0.5)
    turn = cv2.Rodrigues(middle.pose.rotation @ a.pose.rotation.T)[0]
    assert np.isclose(np.rad2deg(np.linalg.norm(turn)), 20)
    assert middle.expression[0] == 2 and np.isclose(middle.mouth, 0.1)


def test_why_a_face_is_held_is_said_until_it_is_passed_on_again():
    calm = [face(5)] * 5
    assert set(reasons(calm * 4)) == {""}
    cases = {
        hold.JUMP: reasons([*calm, face(60, shift=(0.7, 0)), *calm * 12]),
        hold.UNLIKELY: reasons([*calm, face(5, length=14.0), *calm * 12]),
        hold.UNSURE: reasons(calm * 13 + [face(5)], confidence=[1] * 5 + [0.4] + [1] * 60),
        hold.MISSED: reasons([*calm, None, *calm * 12]),
    }
    slow = [face(yaw) for yaw in (*range(0, 60, 2), *range(60, -1, -2))]
    cases[hold.PROFILE] = reasons([*slow, *[face(0)] * 60])
    for why, found in cases.items():
        held = [k for k, one in enumerate(found) if one]
        assert held and {found[k] for k in held} == {why}
        assert held == list(range(held[0], held[-1] + 1)) and found[-1] == ""
        assert len(held) > 5, "also while trust comes back"
