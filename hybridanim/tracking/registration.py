"""Smooth maps between the reference frame and the present one, from correspondences.

A robust affine plus the local residual, interpolated by a Gaussian kernel. It places new features
in the reference frame, predicts where lost ones are, and detects features that move unlike their
neighbours (on a hand in front of the face).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridanim.fitting import fit_robust_affine, squared_length
from hybridanim.geometry import apply_affine
from hybridanim.types import Array, HeadBox

_REACH = 0.14  # sigma of the residual's kernel, in head sizes
_PRIOR = 0.3  # weight of a zero residual against one feature


@dataclass(frozen=True)
class Map:
    """A smooth map of the picture plane; calling it maps (M, 2) points, float32."""

    affine: Array  # (2, 3) float64
    nodes: Array  # (N, 2) where the residual is known
    residual: Array  # (N, 2) residual of the affine
    weight: Array  # (N,)
    reach_px: float  # sigma of the kernel

    def __call__(self, xy: Array) -> Array:
        """The mapped points."""
        mapped = apply_affine(self.affine, xy)
        if not len(self.nodes) or not len(xy):
            return mapped.astype(np.float32)
        # single precision: the kernel is by far the largest array here
        kernel = np.exp(squared_distances(xy, self.nodes) * np.float32(-0.5 / self.reach_px**2))
        kernel *= self.weight.astype(np.float32)
        known = np.column_stack([self.residual, np.ones(len(self.nodes))]).astype(np.float32)
        total = kernel @ known
        return (mapped + total[:, :2] / (total[:, 2:] + np.float32(_PRIOR))).astype(np.float32)


def squared_distances(xy: Array, others: Array) -> Array:
    """(M, N) float32 squared distances of (M, 2) from (N, 2) points."""
    x, y = np.asarray(xy, np.float32).T
    other_x, other_y = np.asarray(others, np.float32).T
    return (x[:, None] - other_x) ** 2 + (y[:, None] - other_y) ** 2


def fit_map(before: Array, after: Array, weight: Array, size_px: float) -> Map:
    """The map of (N, 2) rows with (N,) weights; size_px: side of the head in ``before``."""
    affine, robust = fit_robust_affine(before, after, weight, 0.03 * size_px)
    residual = after - apply_affine(affine, before)
    return Map(affine, before, residual, robust * weight, _REACH * size_px)


def box_map(before: HeadBox, after: HeadBox) -> Map:
    """The similarity that takes one head box to another."""
    angle = np.deg2rad(after.roll_deg - before.roll_deg)
    size = after.size_px / before.size_px
    cosine, sine = size * np.cos(angle), size * np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = np.array(after.center_xy_px) - turn @ np.array(before.center_xy_px)
    none = np.zeros((0, 2))
    return Map(np.column_stack([turn, shift]), none, none, np.zeros(0), 1.0)


def unlike_neighbours(
    reference_xy: Array, residual: Array, limit_px: float, neighbours: int = 9
) -> Array:
    """(N,) bool: rows whose residual is over ``limit_px`` off the median of their neighbours'."""
    if len(reference_xy) < neighbours + 3:
        return np.zeros(len(reference_xy), bool)
    astray = np.zeros(len(reference_xy), bool)
    # a median lies inside the bounding box of all residuals: most rows need no neighbours
    reach = np.maximum(residual - residual.min(0), residual.max(0) - residual)
    rows = np.nonzero(squared_length(reach) > limit_px**2)[0]
    if not len(rows):
        return astray
    distance2 = squared_distances(reference_xy[rows], reference_xy)
    distance2[np.arange(len(rows)), rows] = np.inf
    nearest = np.argpartition(distance2, neighbours, axis=1)[:, :neighbours]
    usual = np.sort(residual[nearest], axis=1)[:, neighbours // 2]
    astray[rows] = squared_length(residual[rows] - usual) > limit_px**2
    return astray
