"""Teeth: the upper ones stay with the head, the lower ones go with the jaw."""

import numpy as np
import pytest

from hybridanim.face import face_model, head_pose
from hybridanim.motion import teeth
from hybridanim.types import HeadPose

MODEL = face_model.load()
NEUTRAL = np.zeros(len(MODEL.identity), np.float32)
OWN = teeth.build(MODEL, NEUTRAL)
UPPER = len(OWN.fixed)
MIDDLE = 12  # column of a strip


def pose(angles=(0, 0, 0), scale=1.0):
    return HeadPose(head_pose.rotation_matrix(angles), scale, np.zeros(2))


def acted(**amounts):
    return MODEL.vertices(NEUTRAL, MODEL.along(**amounts))


def test_an_opening_jaw_moves_the_lower_teeth_alone():
    shut, wide = (teeth.moved(OWN, acted(jaw_open=n), pose()) for n in (0.0, 0.12))
    np.testing.assert_allclose(wide[:UPPER], shut[:UPPER])
    front = UPPER + MIDDLE  # cutting edge of the lower front teeth
    lip = acted(jaw_open=0.12)[14, 1] - acted()[14, 1]
    assert wide[front, 1] - shut[front, 1] == pytest.approx(lip, rel=0.25)
    assert wide[front, 2] > shut[front, 2]  # about a hinge, so backwards too


def test_teeth_lie_behind_the_lips():
    face, shown = acted(), teeth.moved(OWN, acted(), pose())
    assert shown[:, 2].min() > face[[13, 14], 2].min()
    upper_edge = shown[2 * 25 + MIDDLE]
    assert abs(upper_edge[1] - face[13, 1]) < 0.02  # at the lip's edge, by a few millimetres
    lower_edge = shown[UPPER + MIDDLE]
    assert lower_edge[1] < upper_edge[1] + 0.005 and lower_edge[2] > upper_edge[2]  # they overlap


def test_the_shut_mouth_has_no_angle_and_a_lip_alone_opens_no_jaw():
    assert teeth.jaw_angle(OWN, acted()) == pytest.approx(0, abs=0.03)
    face = acted()
    face[14, 1] += 0.08  # the lower lip is drawn down, the chin is not
    assert teeth.jaw_angle(OWN, face) < 0.06


def test_strips_turn_with_the_head():
    frontal = teeth.moved(OWN, acted(), pose())
    turned = teeth.moved(OWN, acted(), pose((30, 10, 5), 2.0))
    rotation = head_pose.rotation_matrix((30, 10, 5))
    np.testing.assert_allclose(turned, 2 * frontal @ rotation.T, atol=1e-6)


def test_places_lie_in_the_texture():
    assert (OWN.places_mm >= 0).all()
    assert (OWN.places_mm <= teeth.ATLAS_MM).all()
    assert OWN.triangles.max() == len(OWN.places_mm) - 1
