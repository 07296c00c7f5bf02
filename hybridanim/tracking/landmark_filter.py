"""Complementary filter of landmarks: per-frame fits + optical flow -> neither jitter nor drift.

A fit to one picture does not drift but jitters by about a hundredth of the face; optical flow is
smooth but drifts. The flow predicts, the fit corrects with a small gain, and with a large one where
a whole neighbourhood differs by more than the fit's noise (a mouth that opens fast).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybridanim.types import Array, FaceBox, HeadBox

from .registration import squared_distances

LEAST_CONFIDENCE = 0.5  # of a fit that is on a face
_NOISE_HEADS = 0.012  # jitter of a fit, in head sizes
_GAIN = 0.3  # least share of the difference that is corrected
_CALM = 0.5  # largest excess over the noise of a small correction
_NEIGHBOURHOOD = 0.05  # sigma of the average of the differences, in head sizes


class Fitted(Protocol):
    """Landmarks of one picture, see ``aligner.Landmarks``."""

    @property
    def xy_px(self) -> Array: ...  # noqa: D102

    @property
    def confidence(self) -> float: ...  # noqa: D102


class Fitter(Protocol):
    """Fits landmarks, see ``aligner.Aligner``."""

    def fit(self, grey: Array, face: FaceBox) -> Fitted: ...  # noqa: D102

    def track(self, grey: Array, previous_xy_px: Array) -> Fitted: ...  # noqa: D102


@dataclass(frozen=True)
class FaceLandmarks:
    """(L, 2) float32 points, pixels of the picture, and their confidence in [0, 1]."""

    xy_px: Array
    confidence: float
    pending: Array | None = None  # (L, 2) float32 correction to add in the next frame


def start(fitter: Fitter, grey: Array, head: HeadBox) -> FaceLandmarks | None:
    """Fit landmarks in a head box; None when their confidence is too low."""
    x, y = head.center_xy_px
    size = head.size_px
    found = fitter.fit(grey, FaceBox(x - size / 2, y - size / 2, size, size))
    if found.confidence < LEAST_CONFIDENCE:
        return None
    return FaceLandmarks(np.asarray(found.xy_px, np.float32), float(found.confidence))


def predict(before: Array, own: Array, error: Array, motion: Callable[[Array], Array]) -> Array:
    """(L, 2) float32 landmarks predicted by optical flow.

    before: last positions. own, error: each landmark's own flow and its error, see
    ``features.follow``. motion: map of the features from the last picture to this one, used where
    the landmark's own flow is unreliable.
    """
    around = motion(before)
    trust = np.isfinite(error) * np.exp(-np.where(np.isfinite(error), error, 0.0))
    return (around + 0.6 * trust[:, None] * (own - around)).astype(np.float32)


def correction(expected: Array, fitted: Array, size_px: float) -> tuple[Array, bool]:
    """(L, 2) float32 correction of the expected positions, and whether it is small everywhere.

    Small: no neighbourhood differs by more than the fit's noise, so the next fit can be skipped.
    size_px: side of the head box.
    """
    apart = fitted - expected
    reach2 = 2 * (_NEIGHBOURHOOD * size_px) ** 2
    kernel = np.exp(squared_distances(expected, expected) * np.float32(-1 / reach2))
    together = kernel @ apart / kernel.sum(1, keepdims=True)
    excess = np.hypot(*together.T) / (_NOISE_HEADS * size_px) - 1
    gain = _GAIN + (1 - _GAIN) * np.clip(excess / 2, 0, 1)
    return (gain[:, None] * apart).astype(np.float32), bool(excess.max() < _CALM)
