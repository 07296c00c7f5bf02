"""Transfer of pose and expression between two faces of the model."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from hybridanim.face import face_model, head_pose
from hybridanim.face.face_model import AXES, measure
from hybridanim.motion import head_transfer
from hybridanim.motion.head_transfer import DriverFace
from hybridanim.types import Crop, FaceFit, HeadPose

MODEL = face_model.load()
BODY = np.eye(2, 3, dtype=np.float32)
CROP = Crop(0.0, 0.0, 256.0)
MOUTH, LID = AXES.index("jaw_open"), AXES.index("left_lid_open")


def fit(seed, angles=(0, 0, 0), scale_px=100.0, shift=(128.0, 128.0), **amounts):
    identity = np.random.default_rng(seed).standard_normal(len(MODEL.identity)) * 0.5
    identity = identity.astype(np.float32)
    expression = MODEL.along(**amounts).astype(np.float32)
    pose = HeadPose(head_pose.rotation_matrix(angles), scale_px, np.array(shift))
    quantities = measure(MODEL.vertices(identity, expression)).astype(np.float32)
    neutral = measure(MODEL.vertices(identity)).astype(np.float32)
    return FaceFit(pose, identity, expression, 1.0, quantities, neutral)


def source_of(face):
    return SimpleNamespace(face=face, crop=CROP)


def moved(now, reference, source, strength=1.0):
    faces = (DriverFace.of(one, CROP) for one in (now, reference))
    return head_transfer.relative(*faces, source_of(source), MODEL, BODY, strength)


def quantity(source, target, column):
    return measure(MODEL.vertices(source.identity, target.expression))[column]


def test_the_reference_frame_leaves_the_pose():
    source, driver = fit(1, (10, 5, -3)), fit(2, (-20, 0, 8), 70.0, (90.0, 140.0))
    target = moved(driver, driver, source)
    own = head_transfer.in_crop(source.pose, source_of(source))
    np.testing.assert_allclose(target.pose.rotation, own.rotation, atol=1e-9)
    assert target.pose.scale_px == pytest.approx(own.scale_px)
    np.testing.assert_allclose(target.pose.shift_px, own.shift_px, atol=1e-6)


def test_a_turn_is_transferred_in_full_whatever_the_faces_start_from():
    source, reference = fit(1, (10, 5, -3)), fit(2, (-20, 0, 8))
    now = fit(2, (10, 0, 8))
    target = moved(now, reference, source)
    own = head_transfer.in_crop(source.pose, source_of(source)).rotation
    turn = cv2.Rodrigues(target.pose.rotation @ own.T)[0]
    wanted = cv2.Rodrigues(now.pose.rotation @ reference.pose.rotation.T)[0]
    np.testing.assert_allclose(turn, wanted, atol=1e-9)
    half = cv2.Rodrigues(moved(now, reference, source, 0.5).pose.rotation @ own.T)[0]
    np.testing.assert_allclose(half, wanted / 2, atol=1e-9)


def test_a_shift_counts_in_heads():
    source, reference = fit(1, scale_px=100.0), fit(2, scale_px=50.0)
    now = fit(2, scale_px=50.0, shift=(133.0, 128.0))
    target = moved(now, reference, source)
    own = head_transfer.in_crop(source.pose, source_of(source))
    shift_px = (target.pose.shift_px - own.shift_px) * CROP.side_px / 2
    np.testing.assert_allclose(shift_px, (10, 0), atol=1e-3)  # a tenth of a head, as the driver's


def test_a_blink_shuts_by_the_same_share():
    source = fit(1)
    open_eyes, shut = fit(2), fit(2, left_lid_open=-0.25, right_lid_open=-0.25)
    level = head_transfer._SHUT_LIDS
    share = (shut.quantities[LID] - level) / (shut.neutral[LID] - level)
    target = moved(shut, open_eyes, source)
    assert quantity(source, target, LID) == pytest.approx(share * source.quantities[LID], abs=0.03)


def test_an_open_mouth_of_the_source_is_shut_by_a_driver_with_shut_lips():
    source = fit(1, jaw_open=0.1)
    driver = fit(2)
    assert source.quantities[MOUTH] > 0.08
    target = moved(driver, driver, source)
    assert quantity(source, target, MOUTH) == pytest.approx(source.neutral[MOUTH], abs=0.015)


def test_a_driver_that_starts_with_an_open_mouth_can_shut_it():
    source, begins, later = fit(1), fit(2, jaw_open=0.1), fit(2)
    assert quantity(source, moved(begins, begins, source), MOUTH) > 0.07
    assert quantity(source, moved(later, begins, source), MOUTH) < source.neutral[MOUTH] + 0.015


def test_a_smile_that_drives_a_smile_is_no_wider_smile():
    smile = {"mouth_wide": 0.12, "left_corner_up": 0.04, "right_corner_up": 0.04}
    source, driver = fit(1, **smile), fit(2, **smile)
    wide = AXES.index("mouth_wide")
    own = source.quantities[wide]
    assert quantity(source, moved(driver, driver, source), wide) == pytest.approx(own, abs=0.03)
    neutral = fit(1)
    gained = quantity(neutral, moved(driver, driver, neutral), wide) - neutral.quantities[wide]
    assert gained == pytest.approx(0.12, abs=0.03)


def test_absolute_motion_takes_pose_and_expression_of_the_driver():
    source = fit(1, (5, 0, 0), jaw_open=0.05)
    now = fit(1, (25, -5, 3), 80.0, (140.0, 120.0), jaw_open=0.1, mouth_wide=0.05)
    target = head_transfer.absolute(DriverFace.of(now, CROP), source_of(source), MODEL, BODY)
    np.testing.assert_allclose(target.pose.rotation, now.pose.rotation)
    shown = measure(MODEL.vertices(source.identity, target.expression))
    np.testing.assert_allclose(shown[[0, 1, 5, 6]], now.quantities[[0, 1, 5, 6]], atol=0.02)


def test_no_strength_no_motion():
    source, now = fit(1, (10, 0, 0)), fit(2, (30, 10, 0), jaw_open=0.1)
    target = moved(now, fit(2), source, 0.0)
    own = head_transfer.own_target(source_of(source))
    np.testing.assert_allclose(target.pose.rotation, own.pose.rotation, atol=1e-9)
    np.testing.assert_allclose(target.expression, own.expression, atol=0.02)


def test_mixed_goes_from_one_target_to_the_other():
    source = fit(1)
    a = head_transfer.own_target(source_of(source))
    b = moved(fit(2, (30, 0, 0)), fit(2), source)
    np.testing.assert_allclose(head_transfer.mixed(a, b, 0).pose.rotation, a.pose.rotation)
    np.testing.assert_allclose(
        head_transfer.mixed(a, b, 1).pose.rotation, b.pose.rotation, atol=1e-9
    )
    middle = head_transfer.mixed(a, b, 0.5).pose.rotation
    assert head_pose.angles_deg(middle)[0] == pytest.approx(15, abs=1e-6)


def test_translations_saturate_inside_the_crop():
    far = head_transfer.limited_shift(np.array([5.0, 0.0]), np.zeros(2), 0.8)
    assert 0.6 < far[0] < 0.81 and far[1] == 0
    near = head_transfer.limited_shift(np.array([0.1, -0.1]), np.zeros(2), 0.8)
    np.testing.assert_allclose(near, (0.1, -0.1))
