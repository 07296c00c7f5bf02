"""How near a result is to the truth: pictures, landmarks, identity, steadiness.

Pictures are (H, W, 3) uint8 RGB, points (L, 2) pixels. Definitions follow the field's evaluation
code where there is one (pose-evaluation of Siarohin et al. 2019): L1 in [0, 1], AKD as the mean
absolute difference per coordinate, not a Euclidean distance.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from .types import Array

STILL_GREY = 2.5  # a pixel whose standard deviation over the clip is below counts as background


def l1(truth: Array, result: Array) -> float:
    """Mean absolute difference over pixels and channels, in [0, 1]."""
    return float(cv2.norm(truth, result, cv2.NORM_L1)) / (255 * truth.size)


def psnr(truth: Array, result: Array, mask: Array | None = None) -> float:
    """Peak signal-to-noise ratio in dB; mask: (H, W) bool, pixels that count. 99 when equal."""
    difference = truth.astype(np.float32) - result
    squares = (difference**2).mean(-1)
    error = float(squares.mean() if mask is None else squares[mask].mean())
    return min(99.0, 10 * np.log10(255**2 / max(error, 1e-9)))


def ssim(truth: Array, result: Array) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian 11x11, sigma 1.5), mean over channels."""
    score: Any = structural_similarity(  # its type allows a tuple that only full=True gives
        truth, result, channel_axis=-1, gaussian_weights=True, use_sample_covariance=False
    )
    return float(score)


def keypoint_distance(truth: Array, result: Array) -> float:
    """AKD: mean of |dx| and |dy| over the points, in pixels."""
    return float(np.abs(np.asarray(truth) - result).mean())


def cosine(a: Array, b: Array) -> float:
    """Cosine of two embeddings (CSIM), in [-1, 1]."""
    return float(a @ b / max(1e-9, float(np.linalg.norm(a) * np.linalg.norm(b))))


def jitter(points: Array) -> float:
    """Mean absolute second difference over time of (T, L, 2) points, pixels; nan under 3 frames."""
    if len(points) < 3:
        return float("nan")
    return float(np.abs(np.diff(points, 2, axis=0)).mean())


class Stillness:
    """Finds the background of a clip: pixels that hardly change; memory of two pictures."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, image: Array) -> None:
        """One frame, (H, W, 3) uint8."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)
        self._count += 1
        self._sum = self._sum + grey
        self._squares = self._squares + grey * grey

    def mask(self) -> Array:
        """(H, W) bool, True where the standard deviation is below STILL_GREY grey levels."""
        mean = np.asarray(self._sum) / self._count
        variance = np.asarray(self._squares) / self._count - mean * mean
        return np.sqrt(np.maximum(variance, 0)) < STILL_GREY
