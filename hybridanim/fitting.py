"""Least-squares fits of similarities and affines to 2-D point correspondences.

All maps are 2x3 ``after = A before + t`` from (N, 2) ``before`` to (N, 2) ``after`` points, in the
unit of the points (mostly pixels). Robust fits reweight the rows iteratively with Cauchy weights
1 / (1 + r^2 / s^2) of the residual r. They differ in the scale s and in the prior:

    fit_similarity, fit_weighted_similarity     closed form, not robust (Umeyama 1991 in the plane)
    fit_robust_similarity, fit_robust_affine    s from the median residual, no prior
    fit_regularised_similarity                  s given, prior: no rotation, no scale
    fit_global_affine                           s given, prior: a translation
    fit_local_affines                           s given, prior: a global affine; one fit a place

For place k the map of fit_local_affines is x_after = t_k + M_k (x_before - place_k), the minimum of

    sum_i w_ik |t_k + M_k (b_i - place_k) - a_i|^2  +  prior terms

with w_ik a Gaussian of the distance to the place, times the row's own weight, times its Cauchy
weight. The prior pulls towards the global affine where rows are few; its weight is counted in rows.
"""

from __future__ import annotations

import numpy as np

from .types import Array

Complex = complex | np.complexfloating
_LINEAR_PRIOR = 2.0  # weight of the global linear part, in rows
_SHIFT_PRIOR = 0.15  # and of the global position: little, so a well-tracked lid can leave the head
_STIFFNESS = np.diag([_LINEAR_PRIOR, _LINEAR_PRIOR, _SHIFT_PRIOR])
_IDENTITY_PRIOR = 2.0  # weight of "no rotation, no scale" in a regularised similarity, in rows
_IDENTITY = np.eye(3, 2)
_DIAGONAL = np.diag_indices(3)
_ITERATIONS = 2  # reweighting passes; a third moves the result by under 0.05 px


def fit_similarity(before: Array, after: Array) -> Array:
    """(2, 3) float64 least-squares similarity; all rows count alike (Umeyama 1991)."""
    start, end = _as_complex(before), _as_complex(after)
    start_mean, end_mean = complex(start.sum() / len(start)), complex(end.sum() / len(end))
    offset = start - start_mean
    turn = complex(np.vdot(offset, end)) / max(np.vdot(offset, offset).real, 1e-12)
    return _similarity_matrix(turn, end_mean - turn * start_mean)


def fit_similarity_3d(before: Array, after: Array) -> tuple[float, Array, Array]:
    """Scale s, rotation R (3, 3) and shift t (3,) with after ~ s R before + t, least squares.

    before, after: (N, 3). Umeyama 1991.
    """
    start, end = before - before.mean(0), after - after.mean(0)
    u, stretch, vt = np.linalg.svd(end.T @ start)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((stretch * sign).sum() / (start**2).sum())
    return scale, rotation, after.mean(0) - scale * rotation @ before.mean(0)


def fit_weighted_similarity(before: Array, after: Array, weight: Array) -> Array:
    """(2, 3) float64 least-squares similarity, weight: (N,).

    A translation where the points coincide.
    """
    return _similarity_matrix(*_weighted_turn(_as_complex(before), _as_complex(after), weight))


def fit_robust_similarity(before: Array, after: Array, noise_px: float, rounds: int = 3) -> Array:
    """(2, 3) float64 similarity that a minority of outliers hardly moves.

    noise_px: lower bound of the scale, which is the root of twice the median squared residual.
    """
    start, end = _as_complex(before), _as_complex(after)
    turn, shift = 1 + 0j, complex(*(upper_median(moved) for moved in (after - before).T))
    for _ in range(rounds):
        error = end - turn * start - shift
        error2 = error.real**2 + error.imag**2
        scale2 = max(noise_px**2, 2 * upper_median(error2))
        turn, shift = _weighted_turn(start, end, 1 / (1 + error2 / scale2))
    return _similarity_matrix(turn, shift)


def fit_regularised_similarity(
    before: Array, after: Array, weight: Array, residual_px: float, stiff_px: float
) -> tuple[Array, float]:
    """(2, 3) float32 similarity pulled towards a translation, and the weight of its inliers.

    residual_px: residual at which a row counts half; inliers are within twice that. stiff_px: rows
    that are spread by less than this hardly change rotation and scale.
    """
    if not len(before):
        return np.eye(2, 3, dtype=np.float32), 0.0
    start, end = _as_complex(before), _as_complex(after)
    shift, turn = end - start, 1 + 0j
    shift = complex(np.median(shift.real), np.median(shift.imag))
    trust = np.asarray(weight, np.float64)
    for _ in range(4):
        error = np.abs(end - turn * start - shift)
        trust = weight / (1 + (error / residual_px) ** 2)
        share = trust / trust.sum()
        x = start - share @ start
        ridge = _IDENTITY_PRIOR * stiff_px**2 / trust.sum()
        turn = ((share * x.conj()) @ end + ridge) / (float(share @ np.abs(x) ** 2) + ridge)
        shift = complex(share @ (end - turn * start))
    inliers = float((trust * (np.abs(end - turn * start - shift) < 2 * residual_px)).sum())
    return _similarity_matrix(turn, shift).astype(np.float32), inliers


def fit_robust_affine(
    before: Array, after: Array, weight: Array, noise_px: float, rounds: int = 3
) -> tuple[Array, Array]:
    """(2, 3) float64 affine that a minority of outliers hardly moves, and (N,) Cauchy weights.

    weight: (N,). noise_px: lower bound of the scale, see fit_robust_similarity. With fewer than six
    rows a weighted similarity is fitted, with fewer than two a translation.
    """
    if len(before) < 6:
        return _fit_few(before, after, weight), np.ones(len(before))
    origin = before.mean(0)
    design = np.ones((len(before), 3))
    design[:, :2] = before - origin
    robust = np.ones(len(before))
    columns = np.zeros((3, 2))
    for _ in range(rounds):
        weighted = design.T * (robust * weight)
        normal = weighted @ design
        ridge = 1e-6 * float(np.trace(normal)) + 1e-9
        normal[_DIAGONAL] += ridge
        columns = np.linalg.solve(normal, weighted @ after + ridge * _IDENTITY)
        error2 = squared_length(after - design @ columns)
        robust = 1 / (1 + error2 / max(noise_px**2, 2 * upper_median(error2)))
    affine = columns.T.copy()
    affine[:, 2] -= affine[:, :2] @ origin
    return affine, robust


def _fit_few(before: Array, after: Array, weight: Array) -> Array:
    """(2, 3) float64 map from too few rows for an affine."""
    affine = np.eye(2, 3)
    if len(before) >= 2 and weight.sum() > 0:
        return fit_weighted_similarity(before, after, weight)
    if len(before):
        affine[:, 2] = (after - before).mean(0)
    return affine


def fit_global_affine(before: Array, after: Array, weight: Array, residual_px: float) -> Array:
    """(2, 3) float32 robust affine with a slight ridge towards a translation.

    weight: (N,). residual_px: residual at which a row counts half. With fewer than three rows the
    map is a translation.
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
    residual_px: residual at which a row counts half. Returns float32; support is the sum of the
    rows' weights at each place, in [0, N].
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


def _result(xy: Array, linear: Array, support: Array) -> tuple[Array, Array, Array]:
    return xy.astype(np.float32), linear.astype(np.float32), support.astype(np.float32)


def upper_median(values: Array) -> float:
    """The median, the upper one of an even number; several times as fast as numpy's own."""
    half = len(values) // 2
    return float(np.partition(values, half)[half])


def squared_length(vectors: Array) -> Array:
    """Sum of squares along the last axis; numpy's own sum is slow over axes this short."""
    return np.einsum("...i,...i->...", vectors, vectors)


def _as_complex(xy: Array) -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
    """(N, 2) points as (N,) complex128 x + iy: a similarity is then z -> turn z + shift."""
    return np.ascontiguousarray(xy, np.float64).view(np.complex128)[:, 0]


def _similarity_matrix(turn: Complex, shift: Complex) -> Array:
    """(2, 3) float64 matrix of z -> turn z + shift."""
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _weighted_turn(before: Array, after: Array, weight: Array) -> tuple[complex, complex]:
    """Turn and shift of the weighted least-squares similarity of complex points."""
    share = weight / max(float(weight.sum()), 1e-9)
    mean_before, mean_after = complex(share @ before), complex(share @ after)
    x = before - mean_before
    weighted = share * x.conj()
    spread = complex(weighted @ x).real
    turn = complex(weighted @ (after - mean_after)) / spread if spread > 1e-9 else 1 + 0j
    return turn, mean_after - turn * mean_before
