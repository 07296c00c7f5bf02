"""Metrics against hand-made answers and other libraries."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from hybridanim import metrics

RNG = np.random.default_rng(0)
A = RNG.integers(0, 256, (40, 50, 3), np.uint8)
B = np.clip(A.astype(int) + RNG.integers(-9, 10, A.shape), 0, 255).astype(np.uint8)


def test_l1_is_the_mean_difference():
    assert metrics.l1(A, B) == pytest.approx(np.abs(A / 255 - B / 255).mean())
    assert metrics.l1(A, A) == 0


def test_psnr_is_scikit_images():
    assert metrics.psnr(A, B) == pytest.approx(peak_signal_noise_ratio(A, B), abs=1e-3)
    assert metrics.psnr(A, A) == 99


def test_masked_psnr_sees_only_the_mask():
    broken = A.copy()
    broken[:10] = 0
    mask = np.ones(A.shape[:2], bool)
    mask[:10] = False
    assert metrics.psnr(A, broken, mask) == 99
    assert metrics.psnr(A, broken) < 20


def test_ssim_is_one_for_equals_and_falls():
    assert metrics.ssim(A, A) == pytest.approx(1)
    assert metrics.ssim(A, B) < 1


def test_akd_is_per_coordinate():
    points = RNG.uniform(0, 100, (12, 2))
    assert metrics.keypoint_distance(points, points + np.array([3, -1])) == pytest.approx(2)


def test_jitter_of_steady_motion_is_none():
    steady = np.arange(10)[:, None, None] * np.ones((10, 5, 2))
    assert metrics.jitter(steady) == pytest.approx(0)
    shaken = steady + np.where(np.arange(10) % 2, 0.5, -0.5)[:, None, None]
    assert metrics.jitter(shaken) == pytest.approx(2)


def test_cosine():
    assert metrics.cosine(np.array([1.0, 0]), np.array([2.0, 0])) == pytest.approx(1)
    assert metrics.cosine(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(0)


def test_stillness_is_numpys_standard_deviation():
    still = metrics.Stillness()
    clip = np.repeat(A[None], 6, 0)
    clip[:, :20] = RNG.integers(0, 256, (6, 20, 50, 3), np.uint8)
    for frame in clip:
        still.add(frame)
    mask = still.mask()
    assert mask[20:].all() and not mask[:20].any()
