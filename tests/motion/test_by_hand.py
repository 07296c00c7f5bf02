"""Poses by hand, measured back on the moved face."""

from dataclasses import replace

import numpy as np
import pytest

from hybridanim.drive import parse
from hybridanim.errors import InputError
from hybridanim.face import face_fit, head_pose, mesh
from hybridanim.face.face_model import AXES, measure
from hybridanim.motion import by_hand, head_transfer
from tests.motion.test_head_transfer import CROP, MODEL, fit, source_of

RNG_SEEDS = (1, 4)


def target(face, **amounts):
    return by_hand.target(source_of(face), MODEL, by_hand.controls(amounts))


def quantities(face, **amounts):
    vertices = MODEL.vertices(face.identity, target(face, **amounts).expression)
    return dict(zip(AXES, measure(vertices), strict=True))


@pytest.mark.parametrize("angles", [(20, 0, 0), (-30, 0, 0), (0, 15, 0), (0, 0, 25), (20, -10, 12)])
def test_angles_come_back_from_the_projected_points(angles):
    """Observed points -> pose_of -> the change since the picture, within 0.1 degree."""
    face = fit(1, (10, 5, -3))

    def seen(one):
        vertices = MODEL.vertices(face.identity, one.expression)
        return face_fit.pose_of(MODEL, one.pose.project(vertices)).rotation

    yaw, pitch, roll = angles
    after = seen(target(face, yaw=yaw, pitch=pitch, roll=roll))
    turn = after @ seen(target(face)).T
    np.testing.assert_allclose(head_pose.angles_deg(turn), angles, atol=0.1)


def test_nothing_given_is_the_picture():
    face = fit(1, (10, 5, -3), jaw_open=0.05)
    own, found = head_transfer.own_target(source_of(face)), target(face)
    np.testing.assert_array_equal(found.expression, own.expression)
    np.testing.assert_allclose(found.pose.rotation, own.pose.rotation, atol=1e-15)
    np.testing.assert_array_equal(found.pose.shift_px, own.pose.shift_px)
    assert found.pose.scale_px == own.pose.scale_px


@pytest.mark.parametrize("seed", RNG_SEEDS)
def test_the_jaw_opens_by_the_documented_amount(seed):
    face = fit(seed)
    before, after = quantities(face), quantities(face, jaw=1)
    assert after["jaw_open"] - before["jaw_open"] == pytest.approx(by_hand.JAW_OPEN, abs=2e-3)
    others = [name for name in AXES if name != "jaw_open"]
    np.testing.assert_allclose(
        [after[name] for name in others], [before[name] for name in others], atol=3e-3
    )


def test_the_jaw_shuts_an_open_mouth():
    face = fit(1, jaw_open=0.1)
    vertices = MODEL.vertices(face.identity, target(face, jaw=-1).expression)
    assert abs(vertices[14, 1] - vertices[13, 1]) < 0.003  # heads


@pytest.mark.parametrize("seed", RNG_SEEDS)
def test_a_blink_shuts_the_eye_of_that_side_of_the_picture(seed):
    face = fit(seed)
    for side, name in enumerate(("left", "right")):
        vertices = MODEL.vertices(face.identity, target(face, **{f"blink_{name}": 1}).expression)
        gaps = [vertices[c[12], 1] - vertices[c[4], 1] for c in mesh.EYES]
        assert gaps[side] < 0 < 0.02 < gaps[1 - side]
        left = vertices[mesh.EYES[side][4], 0] < 0
        assert left == (name == "left")  # x is the picture's


@pytest.mark.parametrize(
    ("control", "name", "sign"),
    [
        ("smile", "mouth_wide", 1),
        ("smile", "left_corner_up", 1),
        ("brows", "right_brow_up", 1),
        ("gaze_x", "gaze_x", 1),
        ("gaze_y", "gaze_y", -1),
    ],
)
def test_amounts_move_what_they_name_both_ways(control, name, sign):
    face = fit(1)
    low, own, high = (quantities(face, **{control: amount})[name] for amount in (-1, 0, 1))
    assert sign * (high - own) > 0.02 and sign * (own - low) > 0.02


@pytest.mark.parametrize(
    ("amounts", "said"),
    [
        ({"nose": 1}, "pose: expected a known option, got 'nose'"),
        ({"yaw": 61}, "pose: yaw: expected -60 to 60, got 61"),
        ({"jaw": float("nan")}, "pose: jaw: expected a number"),
        ({"smile": "much"}, "pose: smile: expected a number"),
    ],
)
def test_what_it_refuses(amounts, said):
    with pytest.raises(InputError, match=said):
        target(fit(1), **amounts)


def test_a_source_without_a_face_is_refused():
    with pytest.raises(InputError, match="fitted face"):
        by_hand.target(source_of(None), MODEL, by_hand.Controls())


def test_the_crop_is_the_frame_of_the_shift():
    face = fit(1)
    own, found = target(face).pose, target(face, shift_x=0.1, zoom=1).pose
    moved = (found.shift_px - own.shift_px) * CROP.side_px / 2
    np.testing.assert_allclose(moved, (10, 0), atol=1e-3)  # a tenth of a head of 100 pixels
    assert found.scale_px == pytest.approx(2 * own.scale_px)


def acted(face, **amounts):
    """The face as another picture of the same person would show it."""
    found = target(face, **amounts)
    own = face.pose
    turn = found.pose.rotation
    quantity = measure(MODEL.vertices(face.identity, found.expression)).astype(np.float32)
    return replace(
        face,
        pose=replace(own, rotation=turn),
        expression=found.expression,
        quantities=quantity,
    )


@pytest.mark.parametrize(
    "amounts",
    [
        {"yaw": 20, "pitch": -10, "roll": 5},
        {"jaw": 0.6},
        {"smile": 0.7},
        {"smile": -0.5},
        {"brows": 0.8},
        {"blink_left": 1, "blink_right": 0.4},
        {"blink_left": -0.5, "blink_right": -1},
        {"gaze_x": 0.7, "gaze_y": -0.6},
        {"yaw": -15, "jaw": 0.3, "smile": 0.4, "brows": -0.5, "blink_right": 1, "gaze_x": -0.5},
    ],
)
@pytest.mark.parametrize("seed", RNG_SEEDS)
def test_what_was_posed_is_read_off_the_face(seed, amounts):
    """Posed by hand, then copied: the same amounts, on its own source and on a neutral face."""
    face = fit(seed, (8, -4, 2))
    seen = acted(face, **amounts)
    wanted = by_hand.controls(amounts)
    for onto in (face, None):
        found = by_hand.copied(seen, onto)
        for name in by_hand.RANGES:
            if onto is None and by_hand.PARTS[name] == "pose":
                continue
            limit = {"pose": 0.5, "eyes": 0.15}.get(by_hand.PARTS[name], 0.06)
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=limit), name
    turned_by = by_hand.copied(seen).yaw
    assert turned_by == pytest.approx(head_pose.angles_deg(seen.pose.rotation)[0])


def test_a_copied_expression_replaces_that_of_the_source():
    """A source that laughs is given the mouth of a neutral picture: it shuts."""
    laughing, calm = fit(1, jaw_open=0.12, left_corner_up=0.05, right_corner_up=0.05), fit(4)
    found = by_hand.copied(calm, laughing)
    assert found.jaw < -0.8 and found.smile < -0.5
    after = quantities(laughing, **{n: getattr(found, n) for n in ("jaw", "smile")})
    assert after["jaw_open"] < 0.03


def test_strengths_of_the_parts_scale_their_controls():
    by = by_hand.Controls(yaw=40, jaw=0.5, blink_left=1, brows=0.4)
    found = by_hand.scaled(by, parse("pose=2,eyes=0.5"))
    assert found == by_hand.Controls(yaw=60, blink_left=0.5)
