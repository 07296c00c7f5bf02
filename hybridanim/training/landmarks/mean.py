"""Taught frames and their face boxes -> the mean face of ``alignment_shape``, flat and in depth.

Generalised Procrustes analysis (Gower 1975): shapes are laid over their mean by similarities, then
averaged with their mirror images; the mean is placed and sized as the cascade's boxes have it.
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
    """(L, 2) float32 symmetric mean of shapes (L, 2) given in units of their face boxes."""
    mean = _symmetric(np.median(shapes, axis=0))
    for _ in range(5):
        laid = [apply_affine(fit_similarity(shape, mean), shape) for shape in shapes]
        mean = _symmetric(np.mean(laid, axis=0))
    matrices = [fit_similarity(mean, shape) for shape in shapes]
    size = np.median([np.hypot(*matrix[:, 0]) for matrix in matrices])
    middle = np.median([shape.mean(0) for shape in shapes], axis=0)
    placed = (mean - mean.mean(0)) * size + middle * [0, 1]
    return _symmetric(placed).astype(np.float32)


def mean_shape_3d(shapes: Sequence[Array], mean: Array) -> Array:
    """(L, 3) float32 symmetric mean of the nearly frontal ones of shapes (L, 3), about 0.

    In the units of ``mean`` (L, 2); the depth of each is scaled as its x and y are.
    """
    laid = []
    for shape in shapes:
        if abs(_yaw_deg(shape)) > _LARGEST_YAW_DEG:
            continue
        matrix = fit_similarity(shape[:, :2], mean)
        depth = (shape[:, 2] - shape[:, 2].mean()) * np.hypot(*matrix[:, 0])
        laid.append(np.column_stack([apply_affine(matrix, shape[:, :2]), depth]))
    found = _symmetric(np.mean(laid, axis=0))
    return (found - found.mean(0)).astype(np.float32)


def _yaw_deg(shape: Array) -> float:
    """How far the line between the ears leaves the picture's plane."""
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
