"""Observed mesh points -> pose, expression and, over time, identity of the face model.

Regularised least squares by Gauss-Newton steps under weak perspective: the coefficients' prior is a
normal distribution of variance one, the expression is also near that of the last frame. What a
frame says about the identity, with pose and expression marginalised out (Schur complement), is
added to what earlier frames said and slowly forgotten (recursive Bayesian estimation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from hybridanim.fitting import fit_similarity_3d
from hybridanim.types import Array, FaceFit, HeadPose

from . import mesh
from .face_model import FaceModel, measure

_STEPS, _FIRST_STEPS = 2, 5  # Gauss-Newton steps; in a frame without a predecessor
_POSE = 7  # unknowns of the pose: rotation, log scale, shift, depth
_EXPRESSION_STEP = 0.6  # deviation of an expression coefficient from frame to frame
_FAST_IDENTITY = 30  # frames in which the identity is updated every time
_SLOW_IDENTITY = 5  # interval of updates afterwards
_MEMORY = 0.985  # of the identity's information, an update
_EVIDENCE = 0.08  # share of a frame's information: neighbouring frames are nearly the same
_OUTLIER = 3.0  # residuals above so many deviations count less (Huber 1964)

_COARSE = (
    *mesh.OUTLINE,
    *mesh.BONE,
    *(row for brow in mesh.BROWS for row in brow),
    *(46, 53, 52, 65, 55, 276, 283, 282, 295, 285),  # lower edges of the brows
    *(1, 2, 98, 327, 129, 358, 50, 280, 205, 425, 187, 411, 18, 200, 164),
)
_FINE = (*mesh.EYES[0], *mesh.EYES[1], *mesh.OUTER_LIPS, *mesh.INNER_LIPS)
_IRIS = (468, 473)
ROWS: Array = np.array(sorted({*_COARSE, *_FINE, *_IRIS}))
"""Mesh points that are fitted."""
IS_FINE: Array = np.isin(ROWS, [*_FINE, *_IRIS])
_NOISE_COARSE, _NOISE_FINE, _NOISE_DEPTH = 0.022, 0.005, 0.05  # head sizes
_NOISE_FLOW = 0.007
_UNSEEN = 4.0  # factor of the noise of points that were not looked at


@dataclass(frozen=True, slots=True)
class Observation:
    """Mesh points of one picture."""

    xyz_px: Array  # (478, 3), picture pixels; z away, of the same unit, from any origin
    confidence: float  # of a face, in [0, 1]
    is_coarse: bool = True  # False: only lids, irises and lips were observed


@dataclass(frozen=True, slots=True)
class Carried:
    """Points of the last fit, carried into this picture by optical flow."""

    rows: Array  # (K,) int, of ROWS
    xy_px: Array  # (K, 2), picture pixels


@dataclass(frozen=True, slots=True)
class FitState:
    """What the fit of the next frame starts from."""

    pose: HeadPose
    identity: Array  # (I,)
    expression: Array  # (E,)
    information: Array  # (I, I), of the identity, without its prior
    vector: Array  # (I,)
    neutral: Array  # (A,) quantities of the neutral face
    frames: int = 0


def fit(
    model: FaceModel,
    seen: Observation,
    last: FitState | None = None,
    carried: Carried | None = None,
) -> tuple[FitState, FaceFit]:
    """Fit the model to one picture.

    last: the state after the frame before, of one person. carried: points by optical flow; the
    networks say where a point is, with noise, and the flow how it moved, nearly without: together
    they make a complementary filter.
    """
    state = _start(model, seen) if last is None else last
    before = None if last is None else last.expression
    steps = _FIRST_STEPS if last is None else _STEPS
    observed, deviation = _observed(seen, carried, state.pose.scale_px)
    is_due = state.frames < _FAST_IDENTITY or state.frames % _SLOW_IDENTITY == 0
    for step in range(steps):
        with_identity = seen.is_coarse and is_due and (last is None or step == steps - 1)
        keep = step == steps - 1
        state = _descend(model, observed, deviation, state, before, learn=with_identity, keep=keep)
    neutral = state.neutral
    if last is None or state.identity is not last.identity:
        neutral = measure(model.vertices(state.identity)).astype(np.float32)
    state = replace(state, frames=state.frames + 1, neutral=neutral)
    face = model.vertices(state.identity, state.expression)
    quantities = measure(face).astype(np.float32)
    found = FaceFit(
        state.pose,
        state.identity.astype(np.float32),
        state.expression.astype(np.float32),
        float(seen.confidence),
        quantities,
        neutral,
    )
    return state, found


def _start(model: FaceModel, seen: Observation) -> FitState:
    """The mean face at the pose of the observed points' similarity."""
    pose = pose_of(model, seen.xyz_px)
    i, e = len(model.identity), len(model.expression)
    neutral = measure(model.mean).astype(np.float32)
    return FitState(pose, np.zeros(i), np.zeros(e), np.zeros((i, i)), np.zeros(i), neutral)


def pose_of(model: FaceModel, xyz_px: Array) -> HeadPose:
    """The pose of observed points (478, 3), by those that move with the skull."""
    bone = list(mesh.BONE)
    scale, rotation, shift = fit_similarity_3d(model.mean[bone], xyz_px[bone])
    return HeadPose(rotation, scale, shift[:2])


def _descend(
    model: FaceModel,
    observed: Array,
    deviation: Array,
    state: FitState,
    before: Array | None,
    *,
    learn: bool,
    keep: bool,
) -> FitState:
    """One Gauss-Newton step; learn: also of the identity; keep: store what the frame says of it."""
    basis, e = _rows(model)
    pose = state.pose
    coefficients = np.concatenate([state.expression, state.identity])
    face = model.mean[ROWS] + np.tensordot(coefficients, basis, 1)
    turned = pose.scale_px * face @ pose.rotation.T  # (P, 3)
    depth = float((observed[:, 2] - turned[:, 2]).mean())
    residual = observed - turned - np.append(pose.shift_px, depth)
    columns = basis if learn else basis[:e]
    design = np.zeros((len(ROWS), 3, _POSE + len(columns)))
    design[:, :, :3] = -_cross(turned)
    design[:, :, 3] = turned
    design[:, [0, 1, 2], [4, 5, 6]] = 1
    design[:, :, _POSE:] = (pose.scale_px * columns @ pose.rotation.T).transpose(1, 2, 0)
    size = np.abs(residual) / deviation
    weight = np.minimum(1.0, _OUTLIER / np.maximum(size, 1e-9)) / deviation**2
    flat = design.reshape(-1, design.shape[2])
    weighted = flat * weight.reshape(-1, 1)
    hessian, gradient = flat.T @ weighted, weighted.T @ residual.ravel()
    inner = _POSE + e  # pose and expression
    own = slice(_POSE, inner)
    prior = np.full(e, 1.0)
    gradient[own] -= state.expression
    if before is not None:
        prior += _EXPRESSION_STEP**-2
        gradient[own] += _EXPRESSION_STEP**-2 * (before - state.expression)
    hessian[own, own] += np.diag(prior)
    hessian[range(_POSE), range(_POSE)] += 1e-9
    core, cross, rest = hessian[:inner, :inner], hessian[:inner, inner:], hessian[inner:, inner:]
    step = np.zeros(len(gradient))
    identity, information, vector = state.identity, state.information, state.vector
    if learn:
        solved = np.linalg.solve(core, np.column_stack([cross, gradient[:inner]]))
        schur = rest - cross.T @ solved[:, :-1]
        pull = gradient[inner:] - cross.T @ solved[:, -1]
        share = 1.0 if before is None else _EVIDENCE
        total = _MEMORY * information + share * schur
        told = _MEMORY * vector + share * (schur @ identity + pull)
        identity = np.linalg.solve(total + np.eye(len(identity)), told)
        if keep:
            information, vector = total, told
        step[inner:] = identity - state.identity
        step[:inner] = solved[:, -1] - solved[:, :-1] @ step[inner:]
    else:
        step[:inner] = np.linalg.solve(core, gradient[:inner])
    rotation = cv2.Rodrigues(step[:3])[0] @ pose.rotation
    moved = HeadPose(rotation, pose.scale_px * float(np.exp(step[3])), pose.shift_px + step[4:6])
    expression = state.expression + step[own]
    return replace(
        state,
        pose=moved,
        identity=identity,
        expression=expression,
        information=information,
        vector=vector,
    )


@cache
def _rows(model: FaceModel) -> tuple[Array, int]:
    """(E + I, P, 3) float64 directions at the fitted points, and E; computed once a model."""
    both = np.concatenate([model.expression, model.identity])[:, ROWS]
    return np.ascontiguousarray(both, np.float64), len(model.expression)


def _cross(points: Array) -> Array:
    """(P, 3, 3) matrices M with M w = points x w."""
    out = np.zeros((len(points), 3, 3))
    x, y, z = points.T
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -z, y, -x
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = z, -y, x
    return out


def _observed(seen: Observation, carried: Carried | None, scale_px: float) -> tuple[Array, Array]:
    """(P, 3) points to fit, and the standard deviations of their coordinates, in pixels."""
    xyz = seen.xyz_px[ROWS].astype(np.float64)
    coarse = 1.0 if seen.is_coarse else _UNSEEN
    noise = np.where(IS_FINE, _NOISE_FINE, coarse * _NOISE_COARSE)
    deviation = np.column_stack([noise, noise, np.full(len(ROWS), coarse * _NOISE_DEPTH)])
    deviation *= scale_px
    if carried is not None:  # the product of two normal distributions
        rows, flow = carried.rows, (_NOISE_FLOW * scale_px) ** -2
        own = deviation[rows, :2] ** -2
        xyz[rows, :2] = (own * xyz[rows, :2] + flow * carried.xy_px) / (own + flow)
        deviation[rows, :2] = (own + flow) ** -0.5
    return xyz, deviation
