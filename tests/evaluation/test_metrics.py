"""Metrics against hand-made answers and other libraries."""

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.spatial.distance
import scipy.stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hybridanim.evaluation import metrics

RNG = np.random.default_rng(0)
A = RNG.integers(0, 256, (40, 50, 3), np.uint8)
B = np.clip(A.astype(int) + RNG.integers(-9, 10, A.shape), 0, 255).astype(np.uint8)
SMOOTH = np.repeat(np.repeat(A[:10, :10], 6, 0), 6, 1)


def test_l1_is_the_mean_difference():
    assert metrics.l1(A, B) == pytest.approx(np.abs(A / 255 - B / 255).mean())
    assert metrics.l1(A, A) == 0


def test_masked_l1_sees_only_the_mask():
    mask = RNG.random(A.shape[:2]) < 0.3
    assert metrics.l1(A, B, mask) == pytest.approx(np.abs(A / 255 - B / 255)[mask].mean())
    assert np.isnan(metrics.l1(A, B, np.zeros_like(mask)))


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


@pytest.mark.parametrize("other", [B, A[::-1].copy(), np.full_like(A, 250), A])
def test_ssim_is_scikit_images(other):
    expected = structural_similarity(
        A, other, channel_axis=-1, gaussian_weights=True, use_sample_covariance=False
    )
    assert metrics.ssim(A, other) == pytest.approx(expected, abs=2e-5)


def test_ssim_of_flat_bright_pictures_is_exact():
    bright = np.full((30, 30, 3), 254, np.uint8)
    bright[::2] = 255
    other = np.full((30, 30, 3), 254, np.uint8)
    expected = structural_similarity(
        bright, other, channel_axis=-1, gaussian_weights=True, use_sample_covariance=False
    )
    assert metrics.ssim(bright, other) == pytest.approx(expected, abs=2e-5)


def test_sharpness_falls_with_blur_and_is_a_share():
    blurred = scipy.ndimage.gaussian_filter(SMOOTH.astype(float), (1, 1, 0)).astype(np.uint8)
    assert metrics.sharpness(SMOOTH, SMOOTH) == 1
    assert metrics.sharpness(SMOOTH, blurred) < 0.7
    assert metrics.sharpness(blurred, SMOOTH) > 1.4


def test_akd_is_per_coordinate():
    points = RNG.uniform(0, 100, (12, 2))
    assert metrics.keypoint_distance(points, points + np.array([3, -1])) == pytest.approx(2)


def test_second_differences_of_steady_motion_are_none():
    steady = np.arange(10)[:, None, None] * np.ones((10, 5, 2))
    assert metrics.second_difference(steady) == pytest.approx(0)
    shaken = steady + np.where(np.arange(10) % 2, 0.5, -0.5)[:, None, None]
    assert metrics.second_difference(shaken) == pytest.approx(np.full(8, 2))


def test_cosine_and_embedding_distance():
    a, b = RNG.normal(size=(2, 128))
    cosine = 1 - scipy.spatial.distance.cosine(a, b)
    assert metrics.cosine(a, b) == pytest.approx(cosine)
    # of unit vectors |a - b|^2 = 2 - 2 a.b, whatever their lengths were
    assert metrics.embedding_distance(3 * a, b) == pytest.approx(2 - 2 * cosine)
    assert metrics.embedding_distance(a, 5 * a) == pytest.approx(0, abs=1e-12)


def test_angles_differ_the_short_way_round():
    errors = metrics.angle_errors_deg(np.array([179, 10, 0]), np.array([-179, 7, -4]))
    assert errors == pytest.approx([2, 3, 4])


def test_following_is_scipys_regression():
    driver = RNG.uniform(0, 1, 40)
    result = 0.6 * driver + 0.1 * RNG.uniform(0, 1, 40)
    line = scipy.stats.linregress(driver, result)
    assert metrics.opening_correlation([(result, driver)]) == pytest.approx(
        (line.rvalue, line.slope)
    )


def test_following_over_clips_is_the_regression_about_their_own_means():
    drivers = RNG.uniform(0, 1, 40), RNG.uniform(0.3, 0.6, 25)
    clips = [(0.5 * d + RNG.uniform(0, 0.2, len(d)) + i, d) for i, d in enumerate(drivers)]
    centred = [np.concatenate([c[at] - c[at].mean() for c in clips]) for at in (0, 1)]
    line = scipy.stats.linregress(centred[1], centred[0])
    resting = (RNG.uniform(0, 1, 30), RNG.uniform(0.300, 0.301, 30))  # says nothing
    found = metrics.opening_correlation([*clips, resting])
    assert found == pytest.approx((line.rvalue, line.slope))


def test_a_result_that_rests_follows_nothing_and_a_resting_driver_says_nothing():
    driver = RNG.uniform(0, 1, 40)
    assert metrics.opening_correlation([(np.full(40, 0.3), driver)]) == (0, pytest.approx(0))
    assert np.isnan(metrics.opening_correlation([(driver, np.full(40, 0.3))])).all()
    assert np.isnan(metrics.opening_correlation([(driver[:2], driver[:2])])).all()


def test_frechet_distance_is_the_published_formula():
    a, b = RNG.normal(size=(60, 5)), RNG.normal(0.5, 1.7, size=(80, 5))
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    apart = ((a.mean(0) - b.mean(0)) ** 2).sum()
    expected = apart + np.trace(cov_a + cov_b - 2 * root)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_holds_with_fewer_rows_than_features():
    a = RNG.normal(size=(6, 20))
    assert metrics.frechet_distance(a, a + 1.0) == pytest.approx(20, rel=1e-4)


def test_stillness_is_numpys_standard_deviation():
    still = metrics.StaticPixels()
    clip = np.repeat(A[None], 6, 0)
    clip[:, :20] = RNG.integers(0, 256, (6, 20, 50, 3), np.uint8)
    for frame in clip:
        still.add(frame)
    mask = still.mask()
    assert mask[20:].all() and not mask[:20].any()
