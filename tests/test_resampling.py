"""Smaller pictures: means are kept, edges stay in place, fine patterns do not alias."""

import cv2
import numpy as np
import pytest

from hybridanim import resampling


def waves(height, width, period_px, channels=None):
    """A vertical grating of grey levels 28 to 228."""
    x = np.arange(width) + 0.5
    row = np.rint(128 + 100 * np.cos(2 * np.pi * x / period_px)).astype(np.uint8)
    picture = np.repeat(row[None], height, axis=0)
    return picture if channels is None else np.repeat(picture[..., None], channels, axis=2)


@pytest.mark.parametrize("scale", [1.0, 0.7, 0.5, 0.3, 0.25, 0.1])
def test_halving_stops_within_one_and_a_half(scale):
    picture = np.random.default_rng(0).integers(0, 256, (96, 128), np.uint8)
    found, left = resampling.halved(picture, scale)
    times = round(np.log2(picture.shape[1] / found.shape[1]))
    assert 0.5 < left <= 1 and left == pytest.approx(scale * 2**times)
    blocks = picture.reshape(96 >> times, 2**times, 128 >> times, 2**times).mean((1, 3))
    assert np.abs(found - blocks).max() <= 0.5 + 0.5 * times  # rounded once a halving


def test_halving_drops_an_odd_last_row_and_column_and_ends_at_tiny_pictures():
    picture = np.arange(35, dtype=np.uint8).reshape(5, 7)
    found, left = resampling.halved(picture, 0.5)
    np.testing.assert_array_equal(found, [[4, 6, 8], [18, 20, 22]])
    assert left == 1.0
    assert resampling.halved(picture[:3], 0.1)[0].shape == (3, 7)


@pytest.mark.parametrize("size", [(100, 75), (64, 48), (50, 30), (33, 24), (20, 15)])
@pytest.mark.parametrize("channels", [None, 3])
def test_shrunk_has_the_size_and_the_mean(size, channels):
    picture = waves(96, 128, 53.0, channels)
    found = resampling.shrunk(picture, size)
    assert found.shape[:2] == size[::-1] and found.dtype == np.uint8
    assert found.shape[2:] == picture.shape[2:]
    area = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(float) - area).mean() < 6
    assert abs(found.mean() - area.mean()) < 1.5


def test_an_edge_stays_where_it_is():
    picture = np.zeros((90, 120), np.uint8)
    picture[:, 47:] = 240
    for width in (120, 99, 80, 60, 41, 30):
        row = resampling.shrunk(picture, (width, width * 3 // 4))[5].astype(float)
        edge_px = (240 - row).sum() / 240  # how much of the row is dark
        assert edge_px == pytest.approx(47 * width / 120, abs=0.1)


@pytest.mark.parametrize("width", [62, 77, 90])
def test_patterns_too_fine_to_show_turn_grey(width):
    picture = waves(96, 128, 2.2)  # finer than two of the new pixels: sampled bare it would alias
    found = resampling.shrunk(picture, (width, 72 * width // 96)).astype(float)
    bare = cv2.resize(picture, (width, 72 * width // 96), interpolation=cv2.INTER_NEAREST)
    assert found.std() < 0.35 * bare.astype(float).std()


def test_nothing_is_done_to_a_picture_of_that_size():
    picture = waves(40, 60, 9.0)
    assert resampling.shrunk(picture, (60, 40)) is picture
    assert resampling.halved(picture, 0.6) == (picture, 0.6)
