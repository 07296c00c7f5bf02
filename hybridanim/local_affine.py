"""Correspondences -> one affine near each of K places: weighted, robust, regularised.

For place k the map is x_after = t_k + M_k (x_before - place_k), the minimum of

    sum_i w_ik |t_k + M_k (b_i - place_k) - a_i|^2  +  prior terms

with w_ik a Gaussian of the distance to the place, times the row's own weight, times a Cauchy weight
of its residual (iteratively reweighted least squares). The prior pulls towards one global affine
where rows are few; its weight is counted in rows.
"""

from __future__ import annotations

import numpy as np

from .types import Array

_LINEAR_PRIOR = 2.0  # rows' worth of belief in the global linear part
_SHIFT_PRIOR = 0.15  # and in the global position: little, so a well-tracked lid can leave the head
_ITERATIONS = 2  # reweighting passes; a third moves the result by under 0.05 px


def fit_global_affine(before: Array, after: Array, weight: Array, residual_px: float) -> Array:
    """Robust (2, 3) affine from (N, 2) to (N, 2) rows; a shift alone when N < 3.

    residual_px: the residual at which a row counts half.
    """
    if len(before) < 3 or weight.sum() <= 0:
        shift = (after - before).mean(0) if len(before) else np.zeros(2)
        return np.column_stack([np.eye(2), shift]).astype(np.float32)
    middle = np.average(before, axis=0, weights=weight)
    spread = max(1e-6, float(np.sqrt(((before - middle) ** 2).mean())))
    design = np.column_stack([(before - middle) / spread, np.ones(len(before))])
    cauchy = np.ones(len(before))
    solution = np.zeros((3, 2))
    for _ in range(_ITERATIONS + 2):
        rows = design * (weight * cauchy)[:, None]
        ridge = 1e-3 * np.eye(3) * rows[:, 2].sum()
        anchor = np.vstack([spread * np.eye(2), np.zeros(2)])  # ridge towards no rotation or scale
        anchor[2] = np.average(after, axis=0, weights=weight * cauchy)
        solution = np.linalg.solve(rows.T @ design + ridge, rows.T @ after + ridge @ anchor)
        residual = np.linalg.norm(design @ solution - after, axis=1)
        cauchy = 1 / (1 + (residual / residual_px) ** 2)
    linear = solution[:2].T / spread
    return np.column_stack([linear, solution[2] - linear @ middle]).astype(np.float32)


def fit_local_affines(
    before: Array,
    after: Array,
    weight: Array,
    *,
    places: Array,
    reach_px: Array,
    prior: Array,
    residual_px: float,
) -> tuple[Array, Array, Array]:
    """Positions (K, 2), linear parts (K, 2, 2) and support (K,) of the maps near ``places``.

    before, after: (N, 2) pixels; weight: (N,); places: (K, 2) in the "before" picture.
    reach_px: (K,) one sigma of the Gaussian; prior: (2, 3) affine before -> after.
    support: rows that count, in [0, N].
    """
    linear_prior = np.broadcast_to(prior[:, :2], (len(places), 2, 2)).astype(np.float64)
    shift_prior = (places @ prior[:, :2].T + prior[:, 2]).astype(np.float64)
    if not len(before):
        return _result(shift_prior, linear_prior, np.zeros(len(places)))
    offset = before[None] - places[:, None]  # (K, N, 2)
    scaled = offset / reach_px[:, None, None]
    near = np.exp(-0.5 * (scaled**2).sum(-1)) * weight  # (K, N)
    design = np.concatenate([scaled, np.ones((*scaled.shape[:2], 1))], -1)  # (K, N, 3)
    stiffness = np.diag([_LINEAR_PRIOR, _LINEAR_PRIOR, _SHIFT_PRIOR])
    # unknown (K, 3, 2): two rows of (reach * M)^T, then t
    anchor = np.concatenate(
        [linear_prior.transpose(0, 2, 1) * reach_px[:, None, None], shift_prior[:, None]], 1
    )
    cauchy: Array = np.ones_like(near)
    solution, support = anchor, near.sum(1)
    for _ in range(1 + _ITERATIONS):
        rows = (design * (near * cauchy)[..., None]).transpose(0, 2, 1)  # (K, 3, N)
        solution = np.linalg.solve(rows @ design + stiffness, rows @ after + stiffness @ anchor)
        residual = np.linalg.norm(design @ solution - after, axis=-1)
        cauchy = 1 / (1 + (residual / residual_px) ** 2)
        support = (near * cauchy).sum(1)
    linear = solution[:, :2].transpose(0, 2, 1) / reach_px[:, None, None]
    return _result(solution[:, 2], linear, support)


def _result(xy: Array, linear: Array, support: Array) -> tuple[Array, Array, Array]:
    return xy.astype(np.float32), linear.astype(np.float32), support.astype(np.float32)
