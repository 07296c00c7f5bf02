"""The fit against a face whose pose, identity and expression are known."""

import numpy as np
import pytest

from hybridanim.face import face_fit, face_model, head_pose
from hybridanim.face.face_fit import Carried, Observation
from hybridanim.face.face_model import AXES, measure
from hybridanim.types import HeadPose

MODEL = face_model.load()
RNG = np.random.default_rng(3)
WHO = (0.7 * RNG.standard_normal(len(MODEL.identity))).astype(np.float32)


def seen(angles_deg, expression=None, *, noise_px=0.0, scale_px=110.0, shift=(130.0, 120.0)):
    """The points of a known face, its pose and vertices."""
    pose = HeadPose(head_pose.rotation_matrix(angles_deg), scale_px, np.array(shift))
    vertices = MODEL.vertices(WHO, expression)
    points = pose.project(vertices)
    return Observation(points + noise_px * RNG.standard_normal(points.shape), 1.0), pose, vertices


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, 0, 0), (-40, 10, -15), (10, -20, 30)])
def test_pose_of_an_exact_face(angles):
    state, found = None, None
    for _ in range(8):
        points, pose, _ = seen(angles)
        state, found = face_fit.fit(MODEL, points, state)
    np.testing.assert_allclose(head_pose.angles_deg(found.pose.rotation), angles, atol=1.0)
    assert found.pose.scale_px == pytest.approx(pose.scale_px, rel=0.02)
    np.testing.assert_allclose(found.pose.shift_px, pose.shift_px, atol=1.5)


def test_openings_follow_within_a_clip_and_the_identity_settles():
    state, got, true = None, [], []
    for i in range(60):
        lid = -0.25 * (i % 12 < 4)
        wave = 0.5 - 0.5 * np.cos(i / 4)
        expression = MODEL.along(jaw_open=0.1 * wave, left_lid_open=lid, right_lid_open=lid)
        points, _, vertices = seen((10 * np.sin(i / 9), 0, 0), expression, noise_px=0.5)
        state, found = face_fit.fit(MODEL, points, state)
        got.append(found.quantities)
        true.append(measure(vertices))
    got, true = np.array(got)[20:], np.array(true)[20:]
    for name, least in (("jaw_open", 0.97), ("left_lid_open", 0.9)):
        column = AXES.index(name)
        assert np.corrcoef(got[:, column], true[:, column])[0, 1] > least
        assert np.polyfit(true[:, column], got[:, column], 1)[0] == pytest.approx(1, abs=0.15)
    column = AXES.index("jaw_open")
    assert found.neutral[column] == pytest.approx(measure(MODEL.vertices(WHO))[column], abs=0.03)


def test_flow_steadies_the_pose():
    def jitter(is_carried):
        rng = np.random.default_rng(1)
        state, turns, last = None, [], None
        rows = np.flatnonzero(~face_fit.IS_FINE)
        for _ in range(40):
            _, pose, vertices = seen((0, 0, 0))
            exact = pose.project(vertices)
            noisy = exact + 1.5 * rng.standard_normal((1, 3))  # the whole window shakes
            carried = None
            if is_carried and last is not None:
                carried = Carried(rows, last[face_fit.ROWS[rows], :2])
            state, found = face_fit.fit(MODEL, Observation(noisy, 1.0), state, carried)
            last = found.pose.project(MODEL.vertices(found.identity, found.expression))
            turns.append(found.pose.shift_px)
        return np.abs(np.diff(np.array(turns)[10:], 2, axis=0)).mean()

    assert jitter(True) < 0.6 * jitter(False)


def test_outliers_do_not_turn_the_head():
    points, _, _ = seen((0, 0, 0))
    bad = points.xyz_px.copy()
    bad[[234, 93, 132, 58]] += [25, 0, 0]  # a hand on the cheek
    _, found = face_fit.fit(MODEL, Observation(bad, 1.0))
    assert np.abs(head_pose.angles_deg(found.pose.rotation)).max() < 4


def test_eyes_and_mouth_alone_keep_the_pose():
    state, _ = face_fit.fit(MODEL, seen((15, 5, 0))[0])
    points, _, _ = seen((15, 5, 0), MODEL.along(jaw_open=0.08))
    _, found = face_fit.fit(MODEL, Observation(points.xyz_px, 1.0, is_coarse=False), state)
    assert found.quantities[0] > found.neutral[0] + 0.05
    np.testing.assert_allclose(head_pose.angles_deg(found.pose.rotation), (15, 5, 0), atol=2.5)
