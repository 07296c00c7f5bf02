"""The linear shape model of a face: all keypoints and their affines from those that can be seen.

Hair, ears, neck and shoulders follow the face, and a keypoint's local affine is a fit to the places
around it: except for the robustness of that fit, both are linear in the places of the anchors on
the face. Ridge regression over a teacher's frames finds the two matrices; the ridge is the noise
that a detector is expected to have (Tikhonov), so that it is not amplified.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hybridanim.types import Array

_NOISE = 0.01  # sigma of a detected place on each axis, in units of the canonical face


class Shape(NamedTuple):
    """Keypoints = mean + position basis @ coefficients; Jacobian columns = Jacobian basis @ them.

    The coefficients are the visible keypoints' offsets from their mean, (M, 2).
    """

    places: Array  # (K, M) float32, position basis
    affines: Array  # (K, 2, M) float32, Jacobian basis


def fit_shape(rows: Array, seen: int) -> Shape:
    """Fit to keypoints (N, K, 6 or more) of many frames, the first ``seen`` of them visible.

    Visible keypoints keep their own places. Offsets are relative to the mean of the visible places,
    so the model is equivariant to rotation, scale and translation of the face.
    """
    count = rows.shape[1]
    jacobian = rows[..., 2:6].reshape(len(rows), count, 2, 2)
    side = np.sqrt(np.abs(np.linalg.det(jacobian)).mean(1))[:, None, None]
    middle = rows[:, :seen, :2].mean(1, keepdims=True)
    offsets = (rows[:, :seen, :2] - middle) / side
    design = _flat(offsets)  # (2 N, M): x and y are rows of their own, so the model is affine
    normal = design.T @ design + len(design) * _NOISE**2 * np.eye(seen)
    followers = _flat((rows[:, seen:, :2] - middle) / side)
    columns = np.concatenate([_flat(jacobian[..., j] / side) for j in (0, 1)], 1)
    found = np.linalg.solve(normal, design.T @ np.concatenate([followers, columns], 1)).T
    places = np.concatenate([np.eye(seen), found[: count - seen]])
    affines = found[count - seen :].reshape(2, count, seen).transpose(1, 0, 2)
    return Shape(places.astype(np.float32), np.ascontiguousarray(affines, np.float32))


def _flat(vectors: Array) -> Array:
    """(N, K, 2) to (2 N, K) float64."""
    return vectors.transpose(0, 2, 1).reshape(-1, vectors.shape[1]).astype(np.float64)


def apply_shape(shape: Shape, xy: Array) -> Array:
    """(N, K, 6): keypoints and Jacobians of visible places (N, M, 2)."""
    middle = xy.mean(1, keepdims=True)
    offsets = xy - middle
    places = middle + shape.places @ offsets
    columns = np.einsum("kjm,nmi->nkij", shape.affines, offsets)
    return np.concatenate([places, columns.reshape(len(xy), -1, 4)], 2)
