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
_STIFFNESS = np.diag([_LINEAR_PRIOR, _LINEAR_PRIOR, _SHIFT_PRIOR])
_DIAGONAL = np.diag_indices(3)
_ITERATIONS = 2  # reweighting passes; a third moves the result by under 0.05 px


def fit_global_affine(before: Array, after: Array, weight: Array, residual_px: float) -> Array:
    """Robust (2, 3) affine from (N, 2) to (N, 2) rows; a shift alone when N < 3.

    residual_px: the residual at which a row counts half.
    """
    if len(before) < 3 or weight.sum() <= 0:
        shift = (after - before).mean(0) if len(before) else np.zeros(2)
        return np.column_stack([np.eye(2), shift]).astype(np.float32)
    total = float(weight.sum())
    middle = weight @ before / total
    offset = before - middle
    spread = max(1e-6, float(np.sqrt(np.vdot(offset, offset) / offset.size)))
    design = np.ones((len(before), 3))
    np.divide(offset, spread, out=design[:, :2])
    anchor = spread * np.eye(3, 2)  # ridge towards no rotation or scale
    believed = weight
    solution = np.zeros((3, 2))
    for _ in range(_ITERATIONS + 2):
        rows = design.T * believed
        mass = float(believed.sum())
        anchor[2] = believed @ after / mass
        ridge = 1e-3 * mass
        normal = rows @ design
        normal[_DIAGONAL] += ridge
        solution = np.linalg.solve(normal, rows @ after + ridge * anchor)
        believed = weight / (1 + squared_length(design @ solution - after) / residual_px**2)
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
    middle, middle_after = before.mean(0, dtype=float), after.mean(0, dtype=float)
    rows, moments = _moments(before - middle, after - middle_after)
    to_local = _to_local(places - middle, reach_px)
    scaled_x, scaled_y = to_local[:, :, 0] @ rows, to_local[:, :, 1] @ rows
    near = np.exp(-0.5 * (scaled_x**2 + scaled_y**2)) * weight  # (K, N)
    # unknown (K, 3, 2): two rows of (reach * M)^T, then t
    anchor = np.concatenate(
        [
            linear_prior.transpose(0, 2, 1) * reach_px[:, None, None],
            (shift_prior - middle_after)[:, None],
        ],
        1,
    )
    to_local_t = to_local.transpose(0, 2, 1)
    believed, solution = near, anchor
    for _ in range(1 + _ITERATIONS):
        summed = (believed @ moments).reshape(-1, 3, 5)
        normal = to_local_t @ summed[..., :3] @ to_local + _STIFFNESS
        right = to_local_t @ summed[..., 3:] + _STIFFNESS @ anchor
        solution = np.linalg.solve(normal, right)
        whole = to_local @ solution  # (K, 3, 2), in the centred pictures
        error_x = whole[..., 0] @ rows - (after[:, 0] - middle_after[0])
        error_y = whole[..., 1] @ rows - (after[:, 1] - middle_after[1])
        believed = near / (1 + (error_x**2 + error_y**2) / residual_px**2)
    linear = solution[:, :2].transpose(0, 2, 1) / reach_px[:, None, None]
    return _result(solution[:, 2] + middle_after, linear, believed.sum(1))


def _moments(before: Array, after: Array) -> tuple[Array, Array]:
    """Rows (3, N) of x, y, 1, and (N, 15) their products with x, y, 1 and with ``after``.

    Weighted sums of these products are the normal equations of every place at once.
    """
    rows = np.ones((3, len(before)))
    rows[:2] = before.T
    columns = np.concatenate([rows, after.T])  # (5, N)
    return rows, (rows[:, None] * columns).reshape(15, -1).T


def _to_local(places: Array, reach_px: Array) -> Array:
    """(K, 3, 3): x, y, 1 times this are the offset from place k in units of its reach, and 1."""
    found = np.zeros((len(places), 3, 3))
    found[:, 0, 0] = found[:, 1, 1] = 1 / reach_px
    found[:, 2, :2] = -places / reach_px[:, None]
    found[:, 2, 2] = 1
    return found


def squared_length(vectors: Array) -> Array:
    """Sum of squares along the last axis; numpy's own sum is slow over axes this short."""
    return np.einsum("...i,...i->...", vectors, vectors)


def _result(xy: Array, linear: Array, support: Array) -> tuple[Array, Array, Array]:
    return xy.astype(np.float32), linear.astype(np.float32), support.astype(np.float32)
