"""Head rotation against projected heads, OpenCV's own conventions, and a drawn head."""

from __future__ import annotations

import numpy as np
import pytest

from hybridanim.face import head_pose
from hybridanim.face.mean_shape import MEAN_SHAPE_3D
from hybridanim.profiles import CameraProfile
from hybridanim.types import HeadBox

PICTURE = np.zeros((480, 640, 3), np.uint8)


def seen(points, angles, centre=(320.0, 240.0), size=120.0, focal=704.0):
    """Project head points; written out here, apart from the code under test."""
    yaw, pitch, roll = np.deg2rad(angles)
    x, y, z = np.asarray(points, float).T
    y, z = y * np.cos(pitch) + z * np.sin(pitch), -y * np.sin(pitch) + z * np.cos(pitch)
    x, z = x * np.cos(yaw) - z * np.sin(yaw), x * np.sin(yaw) + z * np.cos(yaw)
    x, y = x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)
    depth = focal / size
    offset = (np.array(centre) - (319.5, 239.5)) / focal * depth
    x, y, z = x + offset[0], y + offset[1], z + depth
    return np.stack([x / z * focal + 319.5, y / z * focal + 239.5], 1)


def lens(head):
    return head_pose.Intrinsics(head_pose.camera_matrix(PICTURE, head, None))


def test_signs_are_as_documented():
    nose = np.array([0.0, 0.0, -1.0])
    assert (head_pose.rotation_matrix((30, 0, 0)) @ nose)[0] > 0  # to the picture's right
    assert (head_pose.rotation_matrix((0, 30, 0)) @ nose)[1] < 0  # up
    assert (head_pose.rotation_matrix((0, 0, 30)) @ [1, 0, 0])[1] > 0  # clockwise: right side sinks


def test_angles_survive_the_matrix():
    rng = np.random.default_rng(0)
    for angles in rng.uniform(-70, 70, (50, 3)):
        matrix = head_pose.rotation_matrix(tuple(angles))
        assert np.allclose(matrix @ matrix.T, np.eye(3)) and np.linalg.det(matrix) > 0
        assert np.allclose(head_pose.angles_deg(matrix), angles)


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (-18, 9, 7), (5, -20, -15), (35, 10, 3)])
def test_known_rotations_of_the_mean_face_are_found(angles):
    head = HeadBox((320.0, 240.0), 120.0)
    xy = seen(MEAN_SHAPE_3D, angles) + np.random.default_rng(1).normal(0, 0.4, (74, 2))
    found = head_pose.solve_landmarks(xy, lens(head), head_pose.frontal(head))
    assert found is not None and found.confidence > 0.8
    assert np.abs(np.subtract(found.angles_deg, angles)).max() < 2.0


def test_features_lifted_from_a_frontal_head_tell_its_turns():
    head = HeadBox((320.0, 240.0), 120.0)
    rng = np.random.default_rng(2)
    xy = seen(MEAN_SHAPE_3D, (0, 0, 0))[rng.permutation(74)[:50]]
    points = head_pose.lift(xy, head_pose.frontal(head))
    assert np.isfinite(points).all(1).mean() > 0.8
    order = [np.argmin(np.linalg.norm(seen(MEAN_SHAPE_3D, (0, 0, 0)) - p, axis=1)) for p in xy]
    for angles in ((20, 0, 0), (-15, 8, 5), (0, -12, 0)):
        now = seen(MEAN_SHAPE_3D, angles)[order]
        found = head_pose.solve(points, now, lens(head), head_pose.frontal(head))
        assert found is not None
        assert np.abs(np.subtract(found.angles_deg, angles)).max() < 3.0


def test_lifting_in_any_pose_projects_back():
    turned = head_pose.Pose((20.0, -8.0, 10.0), (300.0, 200.0), 100.0)
    xy = np.random.default_rng(3).uniform(-30, 30, (40, 2)) + turned.centre_xy_px
    points = head_pose.lift(xy, turned)
    hit = np.isfinite(points).all(1)
    assert hit.sum() > 30
    back = points[hit] @ head_pose.rotation_matrix(turned.angles_deg).T
    assert np.abs(back[:, :2] * 100 + turned.centre_xy_px - xy[hit]).max() < 2.5
    assert np.isnan(head_pose.lift(np.array([[600.0, 200.0]]), turned)).all()


def test_a_head_at_the_edge_that_faces_the_camera_is_not_turned():
    head = HeadBox((560.0, 120.0), 90.0)
    slope = (np.array(head.center_xy_px) - (319.5, 239.5)) / 704.0
    # turned so that the nose points at the camera, not along its axis
    facing = (-np.rad2deg(np.arctan(slope[0])), np.rad2deg(np.arctan(slope[1])), 0.0)
    xy = seen(MEAN_SHAPE_3D, facing, head.center_xy_px, head.size_px)
    found = head_pose.solve_landmarks(xy, lens(head), head_pose.frontal(head))
    assert found is not None
    assert np.abs(found.angles_deg[:2]).max() < 2.0


def test_a_camera_profile_is_scaled_to_the_picture():
    camera = CameraProfile(1200.0, 1200.0, 639.5, 479.5, (1280, 960))
    matrix = head_pose.camera_matrix(PICTURE, HeadBox((320.0, 240.0), 100.0), camera)
    assert matrix[0, 0] == pytest.approx(600) and matrix[0, 2] == pytest.approx(319.75, abs=0.5)


def test_too_few_or_absurd_points_give_none():
    head = HeadBox((320.0, 240.0), 120.0)
    xy = seen(MEAN_SHAPE_3D, (0, 0, 0))
    assert head_pose.solve(MEAN_SHAPE_3D[:5], xy[:5], lens(head), head_pose.frontal(head)) is None
    nowhere = np.full((20, 3), np.nan)
    assert head_pose.solve(nowhere, xy[:20], lens(head), head_pose.frontal(head)) is None


def test_smoothing_stills_noise_and_follows_a_turn():
    rng = np.random.default_rng(4)
    truth = np.where(np.arange(90) < 60, 0.0, np.minimum(30, (np.arange(90) - 60) * 5.0))
    state, out = head_pose.Pose(), []
    noisy = truth + rng.normal(0, 0.7, 90)
    for i, yaw in enumerate(noisy):
        state = head_pose.smooth(
            state, head_pose.Pose((float(yaw), 0.0, 0.0), confidence=1.0), i / 30 + 0.1
        )
        out.append(state.angles_deg[0])
    assert np.std(np.diff(out[5:60])) < 0.5 * np.std(np.diff(noisy[5:60]))
    assert abs(out[75] - 30) < 3


def test_a_steady_pose_takes_over_the_absolute_level_slowly():
    steady, absolute = head_pose.Pose((10.0, 0.0, 0.0)), head_pose.Pose((13.0, -2.0, 0.0))
    offset = (0.0, 0.0, 0.0)
    first, offset = head_pose.fuse(steady, absolute, offset)
    assert first is not None and 10 < first.angles_deg[0] < 10.5
    for _ in range(120):
        last, offset = head_pose.fuse(steady, absolute, offset)
    assert last is not None and np.allclose(last.angles_deg, (13, -2, 0), atol=0.1)
    assert head_pose.fuse(None, absolute, offset)[0] is absolute
    assert head_pose.fuse(None, None, offset)[0] is None
