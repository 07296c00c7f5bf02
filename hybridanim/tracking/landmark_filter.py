"""Landmarks fitted on each picture + feature motion -> landmarks that neither shake nor drift.

A fit on one picture is free of drift but shakes by about a hundredth of the face; optical flow is
steady but drifts. The flow predicts, the fit corrects with a small gain, and with a large one where
a whole neighbourhood disagrees by more than the fit's usual noise (a mouth that opens fast).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybridanim.types import Array, FaceBox, HeadBox

from .registration import squared_distances

LEAST_CONFIDENCE = 0.5
_NOISE_HEADS = 0.012  # what a fit shakes by, in head sizes
_GAIN = 0.3
_CALM = 0.5
_NEIGHBOURHOOD = 0.05  # head sizes; disagreement is averaged over it


class Fitted(Protocol):
    """Landmarks of one picture, see alignment.Landmarks."""

    @property
    def xy_px(self) -> Array: ...  # noqa: D102

    @property
    def confidence(self) -> float: ...  # noqa: D102


class Fitter(Protocol):
    """What fits landmarks, see alignment.Aligner."""

    def fit(self, grey: Array, face: FaceBox) -> Fitted: ...  # noqa: D102

    def track(self, grey: Array, previous_xy_px: Array) -> Fitted: ...  # noqa: D102


@dataclass(frozen=True)
class FaceLandmarks:
    """(L, 2) float32 picture points and how sure they are, in [0, 1]."""

    xy_px: Array
    confidence: float
    pending: Array | None = None  # (L, 2) float32 correction that is due in the next frame


def start(fitter: Fitter, grey: Array, head: HeadBox) -> FaceLandmarks | None:
    """Landmarks in a head box, or None when they are not on a face."""
    x, y = head.center_xy_px
    size = head.size_px
    found = fitter.fit(grey, FaceBox(x - size / 2, y - size / 2, size, size))
    if found.confidence < LEAST_CONFIDENCE:
        return None
    return FaceLandmarks(np.asarray(found.xy_px, np.float32), float(found.confidence))


def predicted(before: Array, own: Array, error: Array, motion: Callable[[Array], Array]) -> Array:
    """(L, 2) where flow says the landmarks are.

    before: last positions. own, error: each landmark's own flow, see carry.carry. motion: the map
    of the features from the last picture to this one, which fills in where the own flow failed.
    """
    around = motion(before)
    trust = np.isfinite(error) * np.exp(-np.where(np.isfinite(error), error, 0.0))
    return (around + 0.6 * trust[:, None] * (own - around)).astype(np.float32)


def correction(expected: Array, fitted: Array, size_px: float) -> tuple[Array, bool]:
    """(L, 2) to add to the expected positions, and whether all is calm; size_px: the head's side.

    Calm: no neighbourhood disagrees by more than the fit's noise, so the next fit can wait a frame.
    """
    apart = fitted - expected
    reach2 = 2 * (_NEIGHBOURHOOD * size_px) ** 2
    kernel = np.exp(squared_distances(expected, expected) * np.float32(-1 / reach2))
    together = kernel @ apart / kernel.sum(1, keepdims=True)
    excess = np.hypot(*together.T) / (_NOISE_HEADS * size_px) - 1
    gain = _GAIN + (1 - _GAIN) * np.clip(excess / 2, 0, 1)
    return (gain[:, None] * apart).astype(np.float32), bool(excess.max() < _CALM)
