"""Openings and rotation of meshes that were drawn with known ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hybridanim.evaluation import mesh_signals
from hybridanim.evaluation.mesh_signals import follow, openings, rotation, turns_deg
from hybridanim.face import head_pose
from hybridanim.face.landmarks import GROUPS, MESH

RNG = np.random.default_rng(7)


def drawn(mouth=0.1, eyes=0.3, width=0.6, height=200.0):
    """(478, 3) points at random places but for those that openings are measured by."""
    mesh = RNG.normal(0, 40, (478, 3))
    mesh[10], mesh[152] = (0, -height / 2, 0), (0, height / 2, 9)
    mesh[13], mesh[14] = (0, 40, -9), (0, 40 + mouth * height, 5)
    for outer, inner, upper, lower, x in ((33, 133, 159, 145, -50), (263, 362, 386, 374, 50)):
        mesh[outer], mesh[inner] = (1.2 * x, -30, 3), (0.4 * x, -30, 2)
        gap = eyes * 0.8 * abs(x)
        mesh[upper], mesh[lower] = (0.8 * x, -30 - gap / 2, 1), (0.8 * x, -30 + gap / 2, 8)
    mesh[61], mesh[291] = (-60 * width, 45, 0), (60 * width, 45, 4)
    return mesh


def turned(mesh, yaw=0.0, pitch=0.0, roll=0.0, scale=1.0, shift=(0, 0, 0)):
    return scale * mesh @ head_pose.rotation_matrix((yaw, pitch, roll)).T + np.array(shift)


@pytest.mark.parametrize("value", [(0.0, 0.05, 0.4), (0.1, 0.3, 0.6), (0.3, 0.45, 0.9)])
def test_openings_are_those_that_were_drawn(value):
    mesh = drawn(*value)
    np.testing.assert_allclose(openings(mesh), value, atol=1e-12)
    again = turned(np.vstack([mesh[:, :2].T, np.zeros(478)]).T, roll=30, scale=2.5, shift=(9, 4, 0))
    np.testing.assert_allclose(openings(again), value, atol=1e-12)
    np.testing.assert_allclose(openings(np.stack([mesh, mesh])), [value, value], atol=1e-12)


def test_a_missing_point_spoils_its_own_values_alone():
    mesh = drawn()
    mesh[159] = np.nan
    found = openings(mesh)
    assert np.isnan(found[1]) and np.isfinite(found[[0, 2]]).all()
    assert np.isnan(openings(np.full((2, 478, 3), np.nan))).all()


def test_one_eye_alone_closes_half():
    mesh = drawn(eyes=0.4)
    mesh[145] = mesh[159]
    assert openings(mesh)[1] == pytest.approx(0.2)


def test_rotation_is_scipys():
    before = RNG.normal(size=(24, 3))
    for seed in range(5):
        turn = Rotation.random(rng=seed)
        after = 3 * turn.apply(before) + [4, 5, 6] + 0.05 * RNG.normal(size=(24, 3))
        a, b = before - before.mean(0), after - after.mean(0)
        expected = Rotation.align_vectors(b, a)[0].as_matrix()
        np.testing.assert_allclose(rotation(before, after), expected, atol=1e-6)
    assert np.isnan(rotation(before, np.where(before > 2, np.nan, before) * np.nan)).all()


def test_a_flat_or_mirrored_cloud_gives_a_rotation():
    before = RNG.normal(size=(24, 3)) * [1, 1, 0]
    found = rotation(before, before @ np.diag([-1.0, 1, 1]))
    assert np.linalg.det(found) == pytest.approx(1)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("angle", [-35.0, -4.0, 20.0])
def test_turns_about_one_axis_have_the_signs_of_head_pose(axis, angle):
    mesh = drawn()
    angles = np.zeros(3)
    angles[axis] = angle
    found = turns_deg(turned(mesh, *angles, scale=0.7, shift=(3, 1, 2))[None], mesh)
    np.testing.assert_allclose(found[0], angles, atol=1e-9)


def test_turns_leave_the_mouth_out():
    mesh = drawn()
    spoken = mesh.copy()
    spoken[[13, 14, 61, 291, 152]] += 30
    np.testing.assert_allclose(turns_deg(spoken[None], mesh), 0, atol=1e-9)


def test_turns_are_the_angles_of_the_transposed_rotation():
    mesh, angles = drawn(), (25.0, -12.0, 8.0)
    r = head_pose.rotation_matrix(angles)
    yaw = np.degrees(np.arcsin(r[0, 2]))
    pitch = np.degrees(np.arctan2(-r[1, 2], r[2, 2]))
    roll = np.degrees(np.arctan2(-r[0, 1], r[0, 0]))
    found = turns_deg(turned(mesh, *angles)[None], mesh)[0]
    np.testing.assert_allclose(np.abs(found), np.abs([yaw, pitch, roll]), atol=1e-9)


def test_follow_is_pearson_and_the_least_squares_slope():
    driver = RNG.uniform(0, 1, 60)
    result = 0.4 * driver + 0.1 * RNG.normal(size=60) + 3
    found = follow(driver, result, 0.02)
    assert found == pytest.approx(
        (np.corrcoef(driver, result)[0, 1], np.polyfit(driver, result, 1)[0])
    )
    gaps_d, gaps_r = driver.copy(), result.copy()
    gaps_d[3], gaps_r[7:20] = np.nan, np.nan
    kept = np.isfinite(gaps_d) & np.isfinite(gaps_r)
    assert follow(gaps_d, gaps_r, 0.02) == pytest.approx(
        (
            np.corrcoef(driver[kept], result[kept])[0, 1],
            np.polyfit(driver[kept], result[kept], 1)[0],
        )
    )


def test_follow_of_a_shuffled_series_is_nothing():
    driver = np.sin(np.linspace(0, 60, 4000))
    found = follow(driver, RNG.permutation(driver), 0.02)
    assert found is not None and abs(found[0]) < 0.06 and abs(found[1]) < 0.06
    order = RNG.permutation(4000)  # the same order for both changes nothing
    assert follow(driver[order], 0.5 * driver[order], 0.02) == pytest.approx((1, 0.5))


def test_what_does_not_move_or_is_too_short_does_not_count():
    driver = np.linspace(0, 1, 30)
    assert follow(driver, np.full(30, 0.2), 0.02) == pytest.approx((0, 0))
    assert follow(0.03 * driver, driver, 0.02) is None
    assert follow(driver[:10], driver[:10], 0.02) is None
    assert follow(driver, np.full(30, np.nan), 0.02) is None


def test_landmark_numbers_are_the_meshs_and_the_irises():
    numbers = mesh_signals.landmark_numbers()
    assert len(set(numbers.tolist())) == len(numbers) and numbers.min() >= 0
    changed = np.nonzero(numbers != MESH)[0]
    irises = [GROUPS["left_iris"][0], GROUPS["right_iris"][0]]
    assert sorted(changed.tolist()) == sorted(irises)
    assert numbers[irises].tolist() == [468, 473]
