"""A teacher's landmarks and their face boxes -> the mean shapes of face/mean_shape.py.

Generalised Procrustes analysis (Gower 1975): shapes are aligned to their mean by similarities, then
averaged together with their mirror images; place and size of the mean are relative to the face box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridanim.face.landmarks import GROUPS, MIRROR
from hybridanim.fitting import fit_similarity
from hybridanim.geometry import apply_affine
from hybridanim.types import Array

_LARGEST_YAW_DEG = 8.0


def mean_shape(shapes: Sequence[Array]) -> Array:
    """(L, 2) float32 symmetric mean of shapes (L, 2), all in units of their face boxes."""
    mean = _symmetric(np.median(shapes, axis=0))
    for _ in range(5):
        aligned = [apply_affine(fit_similarity(shape, mean), shape) for shape in shapes]
        mean = _symmetric(np.mean(aligned, axis=0))
    matrices = [fit_similarity(mean, shape) for shape in shapes]
    size = np.median([np.hypot(*matrix[:, 0]) for matrix in matrices])
    middle = np.median([shape.mean(0) for shape in shapes], axis=0)
    placed = (mean - mean.mean(0)) * size + middle * [0, 1]
    return _symmetric(placed).astype(np.float32)


def mean_shape_3d(shapes: Sequence[Array], mean: Array) -> Array:
    """(L, 3) float32 symmetric mean, centred at 0, of those shapes (L, 3) that are nearly frontal.

    In the units of ``mean`` (L, 2); a shape's depth is scaled like its x and y.
    """
    aligned = []
    for shape in shapes:
        if abs(_yaw_deg(shape)) > _LARGEST_YAW_DEG:
            continue
        matrix = fit_similarity(shape[:, :2], mean)
        depth = (shape[:, 2] - shape[:, 2].mean()) * np.hypot(*matrix[:, 0])
        aligned.append(np.column_stack([apply_affine(matrix, shape[:, :2]), depth]))
    found = _symmetric(np.mean(aligned, axis=0))
    return (found - found.mean(0)).astype(np.float32)


def _yaw_deg(shape: Array) -> float:
    """Angle between the line through the ears and the picture plane."""
    left, right = shape[GROUPS["jaw"][0]], shape[GROUPS["jaw"][-1]]
    across = right - left
    return float(np.rad2deg(np.arctan2(across[2], np.hypot(across[0], across[1]))))


def _symmetric(shape: Array) -> Array:
    flipped = shape[MIRROR].copy()
    flipped[:, 0] *= -1
    return (shape + flipped) / 2


def as_literal(name: str, values: Array) -> str:
    """Python source of a constant array, four decimals."""
    rows = "\n".join("        [" + ", ".join(f"{v:.4f}" for v in row) + "]," for row in values)
    return f"{name}: Array = np.array(\n    [\n{rows}\n    ],\n    np.float32,\n)\n"
