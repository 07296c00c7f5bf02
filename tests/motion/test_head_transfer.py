"""Transfer of pose and expression between two faces of the model."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from hybridanim.drive import ALL, parse
from hybridanim.face import face_model, head_pose, mesh
from hybridanim.face.face_model import AXES, measure
from hybridanim.motion import head_transfer
from hybridanim.motion.head_transfer import DriverFace
from hybridanim.types import Crop, FaceFit, HeadPose

MODEL = face_model.load()
BODY = np.eye(2, 3, dtype=np.float32)
CROP = Crop(0.0, 0.0, 256.0)
MOUTH, LID = AXES.index("jaw_open"), AXES.index("left_lid_open")
LIDS = [row for contour in mesh.EYES for row in contour]
LIPS = [*mesh.OUTER_LIPS, *mesh.INNER_LIPS]
ACTING = {
    "jaw_open": 0.08, "mouth_wide": 0.06, "left_corner_up": 0.03, "left_lid_open": -0.15,
    "right_lid_open": -0.1, "left_brow_up": 0.03, "right_brow_up": 0.03, "gaze_x": 0.2,
}  # fmt: skip


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


def moved(now, reference, source, strength=1.0, parts=ALL, **options):
    faces = (DriverFace.of(one, CROP) for one in (now, reference))
    drive = parse(parts).times(strength)
    return head_transfer.relative(*faces, source_of(source), MODEL, BODY, drive, **options)


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
    level = head_transfer.SHUT_LIDS
    share = (shut.quantities[LID] - level) / (shut.neutral[LID] - level)
    target = moved(shut, open_eyes, source)
    assert quantity(source, target, LID) == pytest.approx(share * source.quantities[LID], abs=0.03)


def shut(seed, **amounts):
    """A face whose lips meet; the neutral one of most people, an average, is slightly open."""
    return fit(seed, jaw_open=-float(fit(seed).neutral[MOUTH]), **amounts)


def test_an_open_mouth_of_the_source_is_shut_by_a_driver_with_shut_lips():
    source = fit(1, jaw_open=0.1)
    driver = shut(2)
    assert source.quantities[MOUTH] > 0.08 and driver.quantities[MOUTH] < 0.005
    target = moved(driver, driver, source)
    assert quantity(source, target, MOUTH) < 0.01


def test_a_driver_that_starts_with_an_open_mouth_can_shut_it():
    source, begins, later = fit(1), fit(2, jaw_open=0.1), shut(2)
    assert quantity(source, moved(begins, begins, source), MOUTH) > 0.07
    assert quantity(source, moved(later, begins, source), MOUTH) < 0.01


def test_lips_part_by_as_much_as_the_drivers():
    """Also below the opening of the neutral face, where most of talking takes place."""
    source, start = fit(1), float(fit(2).neutral[MOUTH])
    openings = np.array([0.01, 0.02, 0.03, 0.05, 0.1])
    drivers = [fit(2, jaw_open=opening - start) for opening in openings]
    shown = [quantity(source, moved(one, drivers[0], source), MOUTH) for one in drivers]
    np.testing.assert_allclose(shown, [one.quantities[MOUTH] for one in drivers], atol=0.002)


def test_a_mouth_widens_by_as_much_as_the_drivers():
    wide = AXES.index("mouth_wide")
    source = fit(1, mouth_wide=0.02, left_corner_up=0.02, left_brow_up=0.04)
    for amount in (-0.08, -0.03, 0.04, 0.1):
        driver = fit(2, mouth_wide=amount, left_brow_up=0.04)
        shown = quantity(source, moved(driver, driver, source), wide) - source.quantities[wide]
        assert shown == pytest.approx(amount, abs=0.012)


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


def acted(source, parts, strength=1.0):
    """The source moved by an actor, and how its vertices moved."""
    driver = fit(2, (25, -8, 6), 120.0, (140.0, 118.0), **ACTING)
    target = moved(driver, fit(2), source, 1.0, parts if strength == 1 else f"{parts}={strength}")
    before = MODEL.vertices(source.identity, source.expression)
    return target, MODEL.vertices(source.identity, target.expression) - before


def is_own_pose(target, source):
    own = head_transfer.in_crop(source.pose, source_of(source))
    return (
        np.array_equal(target.pose.rotation, own.rotation)
        and target.pose.scale_px == own.scale_px
        and np.array_equal(target.pose.shift_px, own.shift_px)
    )


def test_all_parts_are_the_whole_motion():
    source, driver = fit(1, jaw_open=0.02), fit(2, **ACTING)
    whole = moved(driver, fit(2), source)
    parts = moved(driver, fit(2), source, 1.0, "eyes,lips,expression=1.0000001,pose")
    np.testing.assert_allclose(parts.expression, whole.expression, atol=1e-5)
    np.testing.assert_array_equal(parts.pose.rotation, whole.pose.rotation)


@pytest.mark.parametrize("own", [{}, {"left_lid_open": -0.1, "jaw_open": 0.05}])
def test_lips_alone_leave_pose_lids_gaze_and_brows(own):
    source = fit(1, (10, 5, -3), **own)
    target, change = acted(source, "lips")
    assert is_own_pose(target, source)
    seen = measure(MODEL.vertices(source.identity, target.expression))
    kept = [row for row, name in enumerate(AXES) if "lid" in name or "gaze" in name]
    kept += [AXES.index("left_brow_up"), AXES.index("right_brow_up")]
    np.testing.assert_allclose(seen[kept], source.quantities[kept], atol=1e-3)
    assert np.abs(change[LIDS]).max() < 0.003 < 0.015 < np.abs(change[LIPS]).max()  # heads


def test_eyes_alone_leave_pose_and_mouth():
    source = fit(1, (10, 5, -3), jaw_open=0.06)
    target, change = acted(source, "eyes")
    assert is_own_pose(target, source)
    seen = measure(MODEL.vertices(source.identity, target.expression))
    kept = [row for row, name in enumerate(AXES) if "mouth" in name or "jaw" in name]
    np.testing.assert_allclose(seen[kept], source.quantities[kept], atol=1e-3)
    assert seen[LID] < source.quantities[LID] - 0.05
    assert np.abs(change[LIPS]).max() < 0.006  # heads; the lips' own motion is ten times that


def test_the_pose_alone_leaves_the_expression():
    source = fit(1, (10, 5, -3), **ACTING)
    target, change = acted(source, "pose")
    assert np.abs(change).max() < 1e-4
    whole, _ = acted(source, ALL)
    np.testing.assert_array_equal(target.pose.rotation, whole.pose.rotation)


@pytest.mark.parametrize(("part", "rows"), [("lips", LIPS), ("eyes", LIDS)])
def test_strengths_are_linear_in_their_region(part, rows):
    source = fit(1)
    full, half, more = (acted(source, part, strength)[1][rows] for strength in (1, 0.5, 1.3))
    size = np.linalg.norm(full)
    assert np.linalg.norm(half - 0.5 * full) < 0.06 * size
    assert np.linalg.norm(more - 1.3 * full) < 0.06 * size


@pytest.mark.parametrize("seed", range(5))
def test_a_blink_closes_fully_whatever_the_sizes_of_the_eyes(seed):
    """The lids' middle points meet, as heights over the eye's width; a share shows no eye."""
    source = fit(seed, left_lid_open=0.06, right_lid_open=-0.06)
    shut = fit(seed + 9, left_lid_open=-0.35, right_lid_open=-0.35)
    target = moved(shut, fit(seed + 9), source)
    face = MODEL.vertices(source.identity, target.expression)
    for contour in mesh.EYES:
        width = np.linalg.norm(face[contour[0]] - face[contour[8]])
        gaps = (face[list(contour[:8:-1]), 1] - face[list(contour[1:8]), 1]) / width
        assert gaps[3] < 0 and gaps.max() < 0.03


def test_absolute_motion_has_parts():
    source, now = fit(1, (5, 0, 0)), fit(2, (25, -5, 3), 80.0, jaw_open=0.1)
    seen = DriverFace.of(now, CROP)
    target = head_transfer.absolute(seen, source_of(source), MODEL, BODY, parse("lips"))
    assert is_own_pose(target, source)
    assert quantity(source, target, MOUTH) > source.quantities[MOUTH] + 0.07
    assert quantity(source, target, LID) == pytest.approx(source.quantities[LID], abs=1e-3)


def test_neutral_relaxes_a_smile_that_the_driver_does_not_have():
    source, driver = fit(1, mouth_wide=0.12, left_corner_up=0.04, right_corner_up=0.04), fit(2)
    wide = AXES.index("mouth_wide")
    kept = quantity(source, moved(driver, driver, source), wide)
    relaxed = quantity(source, moved(driver, driver, source, relaxes=True), wide)
    assert kept == pytest.approx(source.quantities[wide], abs=0.02)
    assert relaxed == pytest.approx(source.neutral[wide], abs=0.02)
    eyes = moved(driver, driver, source, 1.0, "eyes", relaxes=True)
    assert quantity(source, eyes, wide) == pytest.approx(source.quantities[wide], abs=1e-3)


def test_neutral_opens_sleepy_eyes_but_no_shut_ones():
    driver = fit(2)
    own = {}
    for name, amount in (("awake", 0.0), ("sleepy", -0.12), ("shut", -0.3)):
        source = fit(1, left_lid_open=amount, right_lid_open=amount)
        target = moved(driver, driver, source, relaxes=True)
        own[name] = quantity(source, target, LID) - source.quantities[LID]
    assert abs(own["awake"]) < 0.01 and abs(own["shut"]) < 0.01
    assert own["sleepy"] > 0.05


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


def lids_over_time(shares, rate_hz=25.0):
    """Lids of a driver whose openings are these shares of the neutral face's, as transferred."""
    face = DriverFace(HeadPose(np.eye(3), 0.5, np.zeros(2)), np.zeros(4), np.ones(2), 0.0)
    state, out = head_transfer.OpenLids.start(0.0), []
    for n, share in enumerate(shares):
        now = replace(face, lids=np.full(2, share))
        state, seen = state.step(now, (n + 1) / rate_hz)
        out.append(float(seen.lids[0]))
    return np.array(out)


def test_eyes_that_never_open_fully_count_as_open_after_some_seconds():
    shares = np.full(150, 0.5)
    shares[100:104] = 0.05  # a blink
    found = lids_over_time(shares)
    assert found[0] < 0.55 and found[75] > 0.85 and found[99] > 0.92
    assert found[100:104].max() < 0.15 and found[106] > 0.9
    # eyes that are open stay as they are, and a blink changes nothing of what follows
    open_eyes = np.ones(100)
    open_eyes[50:55] = 0.0
    found = lids_over_time(open_eyes)
    np.testing.assert_array_equal(found[:50], 1)
    assert found[50:55].max() == 0 and np.abs(found[60:] - 1).max() < 0.1


def test_shut_eyes_stay_shut_however_long():
    assert lids_over_time(np.full(500, 0.02)).max() < 0.06
