"""Meshes of clips -> the face model: mean, identity and expression directions, semantic axes.

The rigid motion of every mesh is removed (Umeyama 1991). The mean of a clip's frames with shut lips
and open eyes is the person's neutral face; principal components of the neutral faces are the
identity directions, those of the differences from them the expression directions (Blanz and Vetter
1999). Every mesh counts together with its mirror image, so the model is symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from hybridanim.errors import InputError
from hybridanim.face import mesh
from hybridanim.face.aligner import MEAN_SHAPE, MEAN_SHAPE_3D
from hybridanim.face.face_model import FaceModel, measure
from hybridanim.face.landmarks import MESH
from hybridanim.fitting import fit_similarity, fit_similarity_3d
from hybridanim.geometry import apply_affine
from hybridanim.types import Array

from .face_topology import triangulate

_ROUNDS = 8  # of the Procrustes mean
_LEAST_FRAMES = 8  # of a clip
_EYE_WEIGHT, _LIP_WEIGHT = 6.0, 3.0  # in the principal components of expressions
_AXES_RIDGE = 0.02
_STILL = 1e-6  # share of the most changed quantity's variance under which one stands still


@dataclass(frozen=True)
class Clip:
    """Meshes of one clip, and the person that it shows."""

    who: str
    points: Array  # (N, 478, 3) float, pixels; rows of NaN where there is no face


def learn(
    clips: Sequence[Clip], identities: int = 30, expressions: int = 32, every: int = 3
) -> FaceModel:
    """Learn the model from every ``every``-th frame of the clips.

    Raises InputError when there are fewer people than identity directions.
    """
    shapes = [c.points[::every].astype(np.float64) for c in clips]
    shapes = [s[np.isfinite(s).all((1, 2))] for s in shapes]
    kept = [(c.who, s) for c, s in zip(clips, shapes, strict=True) if len(s) >= _LEAST_FRAMES]
    people = {who for who, _ in kept}
    if len(people) < identities:
        raise InputError(
            f"clips: expected at least {identities} people for as many identity directions, got"
            f" {len(people)}; give more labelled clips, or fewer directions"
        )
    mean, mirror = _mean([s[len(s) // 2] for _, s in kept])
    frontal = [_without_motion(s, mean) for _, s in kept]
    neutral = [_neutral(s) for s in frontal]
    mean = _symmetric(np.mean(_by_person(kept, neutral), 0), mirror)
    placed = _in_box_units(mean)
    scale, turn, shift = fit_similarity_3d(mean, placed)
    frontal, neutral = (
        [scale * one @ turn.T + shift for one in shapes] for shapes in (frontal, neutral)
    )
    mean = placed
    faces = np.array(_by_person(kept, neutral)) - mean
    moved = np.concatenate([s - n for s, n in zip(frontal, neutral, strict=True)])
    identity, identity_sigma = _components(faces, mirror, identities, np.ones(mesh.COUNT))
    weight = np.ones(mesh.COUNT)
    weight[[i for rows in (*mesh.EYES, *mesh.IRISES) for i in rows]] = _EYE_WEIGHT
    weight[[*mesh.OUTER_LIPS, *mesh.INNER_LIPS]] = _LIP_WEIGHT
    expression, expression_sigma = _components(moved, mirror, expressions, weight)
    return FaceModel(
        mean=mean.astype(np.float32),
        identity=identity.astype(np.float32),
        expression=expression.astype(np.float32),
        identity_sigma=identity_sigma.astype(np.float32),
        expression_sigma=expression_sigma.astype(np.float32),
        axes=_axes(mean, expression).astype(np.float32),
        mirror=mirror.astype(np.int32),
        triangles=triangulate(mean),
    )


def _mean(meshes: Sequence[Array]) -> tuple[Array, Array]:
    """Procrustes mean (478, 3), symmetric and level, of unit size; and the mirrored points."""
    bone = list(mesh.BONE)
    mean = meshes[0] - meshes[0].mean(0)
    mean /= np.sqrt((mean**2).sum(1).mean())
    for _ in range(_ROUNDS):
        mean = np.mean([_aligned(one, mean, slice(None)) for one in meshes], 0)
        mean = _level(mean - mean.mean(0))
        mean /= np.sqrt((mean**2).sum(1).mean())
    flipped = mean * [-1, 1, 1]
    distance = ((mean[:, None] - flipped[None]) ** 2).sum(-1)
    mirror = linear_sum_assignment(distance)[1]
    mean = _level(_symmetric(mean, mirror))
    for _ in range(2):
        mean = _level(_symmetric(np.mean([_aligned(m, mean, bone) for m in meshes], 0), mirror))
    return mean, mirror


def _aligned(one: Array, mean: Array, rows: list[int] | slice) -> Array:
    """A mesh moved onto the mean by the similarity of these points."""
    scale, rotation, shift = fit_similarity_3d(one[rows], mean[rows])
    return scale * one @ rotation.T + shift


def _without_motion(meshes: Array, mean: Array) -> Array:
    bone = list(mesh.BONE)
    return np.array([_aligned(one, mean, bone) for one in meshes])


def _level(mean: Array) -> Array:
    """Turned so that x points from eye to eye, and y from the forehead to the chin."""
    across = mean[263] - mean[33]
    across /= np.linalg.norm(across)
    down = mean[152] - mean[10]
    down -= down @ across * across
    down /= np.linalg.norm(down)
    return mean @ np.stack([across, down, np.cross(across, down)]).T


def _symmetric(shape: Array, mirror: Array) -> Array:
    flipped = shape[..., mirror, :] * [-1, 1, 1]
    both = (shape + flipped) / 2
    return both - [both[..., 0].mean(), 0, 0] if both.ndim == 2 else both


def _neutral(frontal: Array) -> Array:
    """Mean of the frames of a clip with the lips nearly shut and the eyes open."""
    found = mesh.openings(frontal)
    shut = found[:, 0] <= np.percentile(found[:, 0], 35)
    awake = found[:, 4] >= np.percentile(found[:, 4], 40)
    narrow = np.abs(found[:, 1] - np.median(found[:, 1])) <= found[:, 1].std() + 1e-9
    rows = shut & awake & narrow
    rows = rows if rows.sum() >= 3 else shut
    return frontal[rows].mean(0)


def _by_person(kept: Sequence[tuple[str, Array]], neutral: Sequence[Array]) -> list[Array]:
    """One neutral face a person: the mean over that person's clips."""
    people: dict[str, list[Array]] = {}
    for (who, _), face in zip(kept, neutral, strict=True):
        people.setdefault(who, []).append(face)
    return [np.mean(faces, 0) for faces in people.values()]


def _in_box_units(mean: Array) -> Array:
    """The mean in units of the head box with the box's centre at (0, 0).

    It looks up or down as the mean landmarks do, so that both mean the same by a pitch of 0.
    """
    rows = MESH >= 0
    _, turn, _ = fit_similarity_3d(mean[MESH[rows]], MEAN_SHAPE_3D[rows])
    pitch = np.arctan2(turn[2, 1], turn[1, 1])
    c, s = np.cos(pitch), np.sin(pitch)
    mean = mean @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T
    matrix = fit_similarity(mean[MESH[rows], :2], MEAN_SHAPE[rows])
    unit = float(np.hypot(*matrix[:, 0]))
    placed = np.column_stack([apply_affine(matrix, mean[:, :2]), unit * mean[:, 2]])
    placed[:, 0] -= placed[:, 0].mean()
    placed[:, 2] -= placed[:, 2].mean()
    return placed


def _components(rows: Array, mirror: Array, count: int, weight: Array) -> tuple[Array, Array]:
    """Principal directions (count, 478, 3) of unit standard deviation, and their shares.

    rows: (N, 478, 3), used together with their mirror images, about zero. The directions are scaled
    by their standard deviations, so coefficients are of the order of one.
    """
    both = np.concatenate([rows, rows[:, mirror] * [-1, 1, 1]]) * weight[:, None]
    flat = both.reshape(len(both), -1)
    gram = flat.T @ flat / len(flat)
    values, vectors = np.linalg.eigh(gram)
    sigma = np.sqrt(np.maximum(values[::-1][:count], 0))
    directions = vectors[:, ::-1][:, :count].T.reshape(count, mesh.COUNT, 3)
    return directions * sigma[:, None, None] / weight[None, :, None], sigma / sigma[0]


def _axes(mean: Array, expression: Array) -> Array:
    """(A, E) coefficients that change one measured quantity by one and leave the others.

    The shortest such coefficients: the regularised pseudo-inverse of the quantities' derivatives.
    """
    step = 0.25  # standard deviations
    derivative = np.array(
        [(measure(mean + step * d) - measure(mean - step * d)) / (2 * step) for d in expression]
    ).T
    gram = derivative @ derivative.T
    own = np.diag(gram)
    own = np.maximum(own, _STILL * own.max())  # a quantity that never changes gets no axis
    return np.linalg.solve(gram + _AXES_RIDGE * np.diag(own), derivative)
