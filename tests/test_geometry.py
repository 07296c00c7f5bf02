"""Coordinates and warps against torch, scipy and hand-made answers."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from hybridanim import geometry
from hybridanim.types import Crop

RNG = np.random.default_rng(3)
PICTURE = (ndimage.gaussian_filter(RNG.random((64, 64, 3)), (2, 2, 0)) * 255).astype(np.uint8)


@pytest.mark.parametrize("size", [16, 64, 65])
def test_identity_warp_returns_the_picture(size):
    picture = RNG.integers(0, 256, (size, size, 3), np.uint8)
    warped = geometry.warp(picture, geometry.grid_norm(size), cv2.INTER_LINEAR)
    np.testing.assert_array_equal(warped, picture)


def test_warp_is_torch_grid_sample_without_aligned_corners():
    torch = pytest.importorskip("torch")
    grid = geometry.grid_norm(48) * np.float32(0.8) + np.float32(0.05)
    image = PICTURE.astype(np.float32)
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(image).permute(2, 0, 1)[None],
        torch.from_numpy(grid)[None],
        align_corners=False,
        padding_mode="border",
    )
    found = geometry.warp(image, grid, cv2.INTER_LINEAR)
    # OpenCV rounds positions to 1/32 pixel
    np.testing.assert_allclose(found, expected[0].permute(1, 2, 0).numpy(), atol=2.5)


def test_warp_then_inverse_comes_back():
    grid = geometry.grid_norm(64)
    linear = np.array([[0.95, 0.1], [-0.1, 1.02]], np.float32)
    there = geometry.warp(PICTURE, grid @ linear.T)
    back = geometry.warp(there, grid @ np.linalg.inv(linear).T.astype(np.float32))
    inside = slice(16, 48)
    difference = np.abs(back[inside, inside].astype(int) - PICTURE[inside, inside])
    assert difference.mean() < 2


def test_pixels_and_norm_are_inverse():
    crop = Crop(-7.5, 3.25, 211.0)
    xy = RNG.uniform(-50, 300, (40, 2))
    np.testing.assert_allclose(
        geometry.px_from_norm(geometry.norm_from_px(xy, crop), crop), xy, atol=1e-3
    )
    corner = geometry.norm_from_px(np.array([-8.0, 2.75]), crop)  # outer edge of the first pixel
    np.testing.assert_allclose(corner, [-1, -1], atol=1e-6)


def test_crop_of_whole_pixels_is_a_slice():
    crop = Crop(10, 20, 30)
    np.testing.assert_array_equal(geometry.crop_image(PICTURE, crop, 30), PICTURE[20:50, 10:40])


def test_crop_shrinks_like_area_averaging():
    crop = Crop(0, 0, 64)
    found = geometry.crop_image(PICTURE, crop, 16)
    expected = PICTURE.reshape(16, 4, 16, 4, 3).mean((1, 3))
    np.testing.assert_allclose(found, expected, atol=1.01)


def test_crop_beyond_the_picture_repeats_its_edge():
    found = geometry.crop_image(PICTURE, Crop(-16, 0, 64), 64)
    np.testing.assert_array_equal(found[:, :16], np.repeat(PICTURE[:, :1], 16, 1))
    np.testing.assert_array_equal(found[:, 16:], PICTURE[:, :48])


def test_inverse_2x2_is_numpys():
    matrices = RNG.normal(size=(20, 2, 2)) + 2 * np.eye(2)
    np.testing.assert_allclose(
        geometry.inverse_2x2(matrices), np.linalg.inv(matrices), rtol=1e-6, atol=1e-9
    )
    flat = geometry.inverse_2x2(np.array([[[1.0, 1.0], [1.0, 1.0]]]))
    assert np.isfinite(flat).all()


def test_similarity_turns_clockwise_on_the_screen():
    right = geometry.similarity(2.0, 90) @ np.array([1, 0])
    np.testing.assert_allclose(right, [0, 2], atol=1e-6)  # y is down


def test_resized_grid_keeps_affine_motion():
    linear = np.array([[0.9, 0.1], [0, 1.1]], np.float32)
    small, large = geometry.grid_norm(64) @ linear.T, geometry.grid_norm(512) @ linear.T
    found = geometry.resize_grid(small, 512)
    inside = slice(8, 504)
    np.testing.assert_allclose(found[inside, inside], large[inside, inside], atol=1e-5)
