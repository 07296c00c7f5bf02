"""Stills that move: keypoints are where the picture shows them, Jacobians are its derivative."""

import cv2
import numpy as np
import pytest

from hybridanim.training.data import portraits
from hybridanim.training.data.portraits import MotionRange, PortraitWarp
from hybridanim.types import Array

SIDE = 160


def path(seed: int, reach: float = np.inf) -> list[PortraitWarp]:
    rng = np.random.default_rng(seed)
    centre = np.array([0.1, -0.1])
    return portraits.smooth_warps(7, rng, MotionRange(), centre=centre, reach=reach)


def dot(xy_norm: Array) -> Array:
    x, y = (xy_norm + 1) * SIDE / 2 - 0.5
    yy, xx = np.mgrid[:SIDE, :SIDE]
    bell = np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / 2.0**2)
    return np.repeat((255 * bell).astype(np.uint8)[..., None], 3, 2)


def brightest(picture: Array) -> Array:
    grey = picture[..., 0].astype(np.float64)
    yy, xx = np.mgrid[:SIDE, :SIDE]
    return (np.array([(grey * xx).sum(), (grey * yy).sum()]) / grey.sum() + 0.5) * 2 / SIDE - 1


@pytest.mark.parametrize("reach", [np.inf, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_keypoints_are_where_the_frames_show_them(seed: int, reach: float) -> None:
    rows = np.zeros((3, 7), np.float32)
    rows[:, :2] = [(0.2, 0.1), (-0.3, -0.35), (0.0, 0.4)]
    rows[:, 2:6] = np.eye(2).ravel()
    smooth_warps = path(seed, reach)
    for k in range(3):
        frames, found = portraits.animate(dot(rows[k, :2]), {"teacher": rows}, smooth_warps)
        for frame, points in zip(frames, found["teacher"], strict=True):
            np.testing.assert_allclose(brightest(frame), points[k, :2], atol=0.012)
    assert np.ptp(found["teacher"][:, 0, :2], axis=0).max() > 0.02  # and they do move


@pytest.mark.parametrize("reach", [np.inf, 0.5])
def test_jacobians_by_small_differences(reach: float) -> None:
    warp = path(1, reach)[3]
    rng = np.random.default_rng(0)
    xy = rng.uniform(-0.8, 0.8, (20, 2))
    step = 1e-5
    columns = [(warp(xy + step * e) - warp(xy - step * e)) / (2 * step) for e in np.eye(2)]
    np.testing.assert_allclose(warp.derivative(xy), np.stack(columns, -1), atol=1e-6)
    np.testing.assert_allclose(warp(warp.inverse(xy)), xy, atol=1e-9)
    # a keypoint's Jacobian maps a step of the face to the same step as the frame shows it
    rows = np.zeros((20, 7), np.float32)
    rows[:, :2], rows[:, 2:6] = xy, rng.normal(0, 0.3, (20, 4))
    direction = np.array([1e-4, -2e-4])
    beside = rows.copy()
    beside[:, :2] += rows[:, 2:6].reshape(-1, 2, 2) @ direction
    moved = warp.inverse(beside[:, :2].astype(float)) - warp.inverse(rows[:, :2].astype(float))
    found = portraits.move_keypoints(rows, warp)[:, 2:6].reshape(-1, 2, 2) @ direction
    np.testing.assert_allclose(found, moved, atol=1e-6)


def test_the_first_frame_is_the_picture_and_nothing_folds() -> None:
    picture = cv2.resize(
        np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8), (SIDE, SIDE)
    )
    for seed in range(6):
        smooth_warps = path(seed, 0.6)
        frames, _ = portraits.animate(picture, {}, smooth_warps[:1])
        np.testing.assert_array_equal(frames[0], picture)
        grid = np.dstack(np.meshgrid(*[np.linspace(-1, 1, 41)] * 2))
        assert all(np.linalg.det(warp.derivative(grid)).min() > 0 for warp in smooth_warps)


def test_of_a_face_the_border_stands() -> None:
    corners = np.array([(-1.0, -1), (1, -1), (-1, 1), (1, 1)])
    for warp in path(2, 0.45):
        assert np.abs(warp(corners) - corners).max() < 0.03
