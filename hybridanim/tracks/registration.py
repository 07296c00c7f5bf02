"""Correspondences between the reference frame and now -> maps between the two.

A robust affine (iteratively reweighted least squares, Cauchy weights) plus the local remainder,
spread by a Gaussian kernel: what new features are registered by, lost ones are looked for by, and
features that move unlike their neighbours (on a hand before the face) are found out by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array, HeadBox

_REACH = 0.14  # of the local remainder, in head sizes
_IDENTITY = np.eye(3, 2)
_PRIOR = 0.3  # weight of "no local remainder" against one feature


@dataclass(frozen=True)
class Map:
    """A smooth map of the picture plane; calling it maps (M, 2) points, float32."""

    affine: Array  # (2, 3) float64
    nodes: Array  # (N, 2) where the remainder is known
    remainder: Array  # (N, 2) what the affine leaves
    weight: Array  # (N,)
    reach_px: float

    def __call__(self, xy: Array) -> Array:
        """The mapped points."""
        mapped = apply_affine(self.affine, xy)
        if not len(self.nodes) or not len(xy):
            return mapped.astype(np.float32)
        distance2 = ((xy[:, None] - self.nodes) ** 2).sum(-1)
        kernel = np.exp(-distance2 / (2 * self.reach_px**2)) * self.weight
        local = kernel @ self.remainder / (kernel.sum(1, keepdims=True) + _PRIOR)
        return (mapped + local).astype(np.float32)


def middle(values: Array) -> float:
    """The median, the upper one of an even number; several times as fast as numpy's own."""
    half = len(values) // 2
    return float(np.partition(values, half)[half])


def apply_affine(affine: Array, xy: Array) -> Array:
    """(..., 2) points under a 2x3 affine."""
    return xy @ affine[:, :2].T + affine[:, 2]


def fit_map(before: Array, after: Array, weight: Array, size_px: float) -> Map:
    """The map from ``before`` (N, 2) to ``after``; size_px: the head box side in ``before``."""
    affine, robust = fit_affine(before, after, weight, 0.03 * size_px)
    remainder = after - apply_affine(affine, before)
    return Map(affine, before, remainder, robust * weight, _REACH * size_px)


def box_map(before: HeadBox, after: HeadBox) -> Map:
    """The similarity that takes one head box to another."""
    angle = np.deg2rad(after.roll_deg - before.roll_deg)
    size = after.size_px / before.size_px
    cosine, sine = size * np.cos(angle), size * np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = np.array(after.center_xy_px) - turn @ np.array(before.center_xy_px)
    none = np.zeros((0, 2))
    return Map(np.column_stack([turn, shift]), none, none, np.zeros(0), 1.0)


def fit_affine(
    before: Array, after: Array, weight: Array, noise_px: float, rounds: int = 3
) -> tuple[Array, Array]:
    """Robust 2x3 affine and the (N,) share in [0, 1] that each row was believed.

    With fewer than six rows a similarity is fitted, with fewer than two a translation.
    """
    if len(before) < 6:
        return _few(before, after, weight), np.ones(len(before))
    origin = before.mean(0)
    design = np.ones((len(before), 3))
    design[:, :2] = before - origin
    robust = np.ones(len(before))
    columns = np.zeros((3, 2))
    for _ in range(rounds):
        weighted = design * (robust * weight)[:, None]
        normal = weighted.T @ design
        ridge = np.eye(3) * (1e-6 * float(np.trace(normal)) + 1e-9)
        columns = np.linalg.solve(normal + ridge, weighted.T @ after + ridge @ _IDENTITY)
        error2 = ((after - design @ columns) ** 2).sum(1)
        robust = 1 / (1 + error2 / max(noise_px**2, 2 * middle(error2)))
    affine = columns.T.copy()
    affine[:, 2] -= affine[:, :2] @ origin
    return affine, robust


def _few(before: Array, after: Array, weight: Array) -> Array:
    """2x3 map from too few rows for an affine."""
    affine = np.eye(2, 3)
    if len(before) >= 2 and weight.sum() > 0:
        return fit_similarity(before, after, weight)
    if len(before):
        affine[:, 2] = (after - before).mean(0)
    return affine


def fit_similarity(before: Array, after: Array, weight: Array) -> Array:
    """2x3 least-squares turn, scale and shift (Umeyama 1991 in the plane)."""
    share = weight / max(float(weight.sum()), 1e-9)
    mean_before, mean_after = share @ before, share @ after
    x, y = before - mean_before, after - mean_after
    spread = float(share @ (x**2).sum(1))
    if spread < 1e-9:
        return np.column_stack([np.eye(2), mean_after - mean_before])
    cosine = float(share @ (x * y).sum(1)) / spread
    sine = float(share @ (x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0])) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, mean_after - turn @ mean_before])


def robust_similarity(before: Array, after: Array, noise_px: float, rounds: int = 3) -> Array:
    """2x3 similarity that a minority of wrong rows does not move much."""
    shift = np.median(after - before, axis=0)
    error2 = ((after - before - shift) ** 2).sum(1)
    fitted = np.column_stack([np.eye(2), shift])
    for _ in range(rounds):
        scale2 = max(noise_px**2, 2 * middle(error2))
        fitted = fit_similarity(before, after, 1 / (1 + error2 / scale2))
        error2 = ((after - apply_affine(fitted, before)) ** 2).sum(1)
    return fitted


def unlike_neighbours(
    reference_xy: Array, remainder: Array, limit_px: float, neighbours: int = 9
) -> Array:
    """(N,) bool: rows whose remainder differs from the median of their neighbours' by the limit."""
    if len(reference_xy) < neighbours + 3:
        return np.zeros(len(reference_xy), bool)
    distance2 = ((reference_xy[:, None] - reference_xy) ** 2).sum(-1)
    np.fill_diagonal(distance2, np.inf)
    nearest = np.argpartition(distance2, neighbours, axis=1)[:, :neighbours]
    usual = np.median(remainder[nearest], axis=1)
    return np.linalg.norm(remainder - usual, axis=1) > limit_px
