"""Metrics of a result by its truth: pictures, landmarks, identity, pose, jitter.

Pictures are (H, W, 3) uint8 RGB, points (L, 2) pixels. Definitions follow the field's evaluation
code where there is one (pose-evaluation of Siarohin et al. 2019): L1 in [0, 1], AKD as the mean
absolute difference per coordinate, not a Euclidean distance, AED as a sum of squares without root.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from hybridanim.types import Array

STATIC_GREY = 2.5  # a pixel whose standard deviation over the clip is lower counts as background
LEAST_OPENING_STD = 0.02  # clips whose driver opens eyes or mouth less than that do not count
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SSIM_SIDE, _SSIM_SIGMA = 11, 1.5


def l1(truth: Array, result: Array, mask: Array | None = None) -> float:
    """Mean absolute difference over pixels and channels, in [0, 1]; lower is better.

    mask: (H, W) bool, pixels that count; nan if it is empty. Siarohin et al. 2019.
    """
    if mask is None:
        return float(cv2.norm(truth, result, cv2.NORM_L1)) / (255 * truth.size)
    count = int(mask.sum()) * truth.shape[2]
    if not count:
        return float("nan")
    return float(cv2.norm(truth, result, cv2.NORM_L1, mask.astype(np.uint8))) / (255 * count)


def psnr(truth: Array, result: Array, mask: Array | None = None) -> float:
    """Peak signal-to-noise ratio in dB; mask: (H, W) bool, pixels that count. 99 when equal."""
    difference = truth.astype(np.float32) - result
    squares = (difference**2).mean(-1)
    error = float(squares.mean() if mask is None else squares[mask].mean())
    return min(99.0, 10 * np.log10(255**2 / max(error, 1e-9)))


def ssim(truth: Array, result: Array) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian 11x11, sigma 1.5), mean over channels.

    Both at least 11 pixels high and wide. Windows that reach beyond the picture are left out.
    """
    a, b = (p.astype(np.float32) - 128 for p in (truth, result))  # centred: squares stay exact

    def mean(values: Array) -> Array:
        rim = _SSIM_SIDE // 2
        found = cv2.GaussianBlur(values, (_SSIM_SIDE, _SSIM_SIDE), _SSIM_SIGMA)
        return found[rim:-rim, rim:-rim]

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + 128, mean_b + 128
    light = (2 * mean_a * mean_b + _SSIM_C1) / (mean_a**2 + mean_b**2 + _SSIM_C1)
    form = (2 * covariance + _SSIM_C2) / (variance_a + variance_b + _SSIM_C2)
    return float((light * form).mean(dtype=np.float64))


def sharpness(truth: Array, result: Array) -> float:
    """Fine detail of the result as a share of the truth's: mean |Laplacian| of grey; 1 = as sharp.

    A ratio of averages: it does not tell whether the detail is at the right place.
    """
    fine = [
        float(np.abs(cv2.Laplacian(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.CV_32F)).mean())
        for p in (truth, result)
    ]
    return fine[1] / max(fine[0], 1e-6)


def keypoint_distance(truth: Array, result: Array) -> float:
    """AKD: mean of |dx| and |dy| over the points, in pixels. Siarohin et al. 2019."""
    return float(np.abs(np.asarray(truth) - result).mean())


def cosine(a: Array, b: Array) -> float:
    """Cosine of two embeddings (CSIM), in [-1, 1]; higher = more alike."""
    return float(a @ b / max(1e-9, float(np.linalg.norm(a) * np.linalg.norm(b))))


def embedding_distance(a: Array, b: Array) -> float:
    """AED: sum of squared differences of the embeddings at unit length, in [0, 4]; no root.

    As in Siarohin et al. 2019, whose network is another one: compare figures of one network only.
    """
    unit_a, unit_b = (v / max(1e-9, float(np.linalg.norm(v))) for v in (a, b))
    return float(((unit_a - unit_b) ** 2).sum())


def angle_errors_deg(truth: Array, result: Array) -> Array:
    """(3,) absolute differences of yaw, pitch and roll in degrees, at most 180."""
    apart = (np.asarray(result, np.float64) - truth + 180) % 360 - 180
    return np.abs(apart)


def second_difference(points: Array) -> Array:
    """Mean absolute second difference over time, (T, L, 2) points -> (T - 2,), in their units."""
    return np.abs(np.diff(np.asarray(points, np.float64), 2, axis=0)).mean((1, 2))


def opening_correlation(clips: Sequence[tuple[Array, Array]]) -> tuple[float, float]:
    """Correlation and gain of results' openings with their drivers', (T,) and (T,) a clip.

    The means of each clip are subtracted and the products summed over the clips, so that a clip
    counts in proportion to its driver's motion. For one clip these are the Pearson correlation and
    the slope of result over driver: gain 1 opens and closes as much as the driver, 0 not at all. A
    result that does not move has correlation 0. nan, nan where no driver's standard deviation
    reaches LEAST_OPENING_STD.
    """
    products = np.zeros(3)  # result driver, result result, driver driver
    for result, driver in clips:
        if len(driver) >= 3 and np.std(driver) >= LEAST_OPENING_STD:
            a, b = (np.asarray(v, np.float64) - np.mean(v) for v in (result, driver))
            products += (a @ b, a @ a, b @ b)
    together, of_result, of_driver = products
    if not of_driver:
        return float("nan"), float("nan")
    correlation = together / np.sqrt(of_result * of_driver) if of_result > 1e-9 else 0.0
    return float(correlation), float(together / of_driver)


def frechet_distance(a: Array, b: Array) -> float:
    """Frechet distance of Gaussians fitted to two sets of features (N, F) and (M, F).

    |mean_a - mean_b|^2 + trace(C_a + C_b - 2 (C_a C_b)^1/2), Heusel et al. 2017: the "D" of FID.
    """
    mean_a, mean_b = a.mean(0), b.mean(0)
    cov_a, cov_b = (np.atleast_2d(np.cov(v, rowvar=False)) for v in (a, b))
    # the eigenvalues of C_a C_b are real and not negative; its root's trace is the sum of theirs
    values = np.linalg.eigvals(cov_a @ cov_b).real
    root = float(np.sqrt(np.maximum(values, 0)).sum())
    apart = float(((mean_a - mean_b) ** 2).sum())
    return apart + float(np.trace(cov_a) + np.trace(cov_b)) - 2 * root


class StaticPixels:
    """Finds the pixels of a clip that hardly change, in the memory of two pictures."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, image: Array) -> None:
        """One frame, (H, W, 3) uint8."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)
        self._count += 1
        self._sum = self._sum + grey
        self._squares = self._squares + grey * grey

    def mask(self) -> Array:
        """(H, W) bool, True where the standard deviation is below STATIC_GREY grey levels."""
        mean = np.asarray(self._sum) / self._count
        variance = np.asarray(self._squares) / self._count - mean * mean
        return np.sqrt(np.maximum(variance, 0)) < STATIC_GREY
