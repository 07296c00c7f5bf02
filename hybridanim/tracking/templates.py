"""Features with templates (first patches), and their batched affine alignment to a picture.

Shi and Tomasi 1994: track from frame to frame by translation, but check a feature by how well an
affine warp of its *first* appearance matches the present one. Inverse-compositional Gauss-Newton
(Baker and Matthews 2004), solved jointly with gain and offset, for all features at once: each step
is one resampling and one product with a matrix precomputed per feature, cheap enough for every
frame.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim.types import Array

from .lucas_kanade import Window

SIDE = 13  # of a patch, in window pixels
_RADIUS = SIDE // 2
_AXIS = np.arange(-_RADIUS, _RADIUS + 1, dtype=np.float32)
_GRID = np.stack(np.meshgrid(_AXIS, _AXIS), -1).reshape(-1, 2)  # (P, 2) x, y
_GRID_1 = np.concatenate([_GRID.T, np.ones((1, len(_GRID)), np.float32)])  # (3, P) x, y, 1
_WEIGHT = np.exp(-(_GRID**2).sum(1) / (2 * 4.5**2)).astype(np.float32)
_WEIGHT /= _WEIGHT.sum()
# prior weights of the parameters: shear and stretch are ill-posed on a single edge
_RIDGE = np.diag([150.0] * 4 + [0.5] * 2 + [1e-3, 1e-6]).astype(np.float32)
_MAX_STRETCH2 = 4.8  # limit of (squared Frobenius norm / determinant) of a warp; 2 = rotation


@dataclass(frozen=True)
class Features:
    """N followed features, one row each in every array."""

    xy_px: Array  # (N, 2) float32, in the picture, now
    reference_xy_px: Array  # (N, 2) float32, in the reference frame
    model: Array  # (N, 3) float32, on the generic head of head_pose.py; NaN outside of it
    ids: Array  # (N,) int64
    age: Array  # (N,) int64, frames since it was detected
    score: Array  # (N,) float32, normalised cross-correlation with the template, -1 to 1
    doubt: Array  # (N,) int64, consecutive frames that failed a check
    patch: Array  # (N, P) float32 template: weighted zero mean, unit norm
    solver: Array  # (N, 8, P) float32: grey values -> shape change, shift, gain, offset
    warp: Array  # (N, 2, 2) float32: patch pixels -> picture pixels

    def __len__(self) -> int:
        return len(self.ids)

    def pick(self, rows: Array | slice) -> Features:
        """The rows of a boolean mask, an index array or a slice."""
        if isinstance(rows, np.ndarray) and rows.dtype == bool and rows.all():
            return self  # copying is expensive, and most frames drop none
        return Features(*(getattr(self, f.name)[rows] for f in dataclasses.fields(self)))

    def join(self, other: Features) -> Features:
        """The rows of both."""
        if not len(other) or not len(self):
            return self if len(self) else other
        names = [f.name for f in dataclasses.fields(self)]
        return Features(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))


def empty() -> Features:
    """No features."""
    count, cells = np.zeros(0, np.int64), len(_GRID)
    pair = np.zeros((0, 2), np.float32)
    solver = np.zeros((0, 8, cells), np.float32)
    return Features(
        *(pair, pair, np.zeros((0, 3), np.float32), count, count, np.zeros(0, np.float32), count),
        *(np.zeros((0, cells), np.float32), solver, np.zeros((0, 2, 2), np.float32)),
    )


def first_seen(
    grey: Array,
    window: Window,
    xy_window: Array,
    reference_xy_px: Array,
    model: Array,
    first_id: int,
) -> Features:
    """New features at (N, 2) positions of an (H, W) float32 window, with their templates.

    reference_xy_px: (N, 2) in the reference frame. model: (N, 3) on the generic head. first_id: id
    of the first one.
    """
    count = len(xy_window)
    if not count:
        return empty()
    axis = np.arange(-_RADIUS - 1, _RADIUS + 2, dtype=np.float32)
    across, down = (line.reshape(1, -1) for line in np.meshgrid(axis, axis))
    wide = _sample(grey, xy_window[:, :1] + across, xy_window[:, 1:] + down)
    wide = wide.reshape(count, SIDE + 2, SIDE + 2)
    along_x = ((wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2).reshape(count, -1)
    along_y = ((wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2).reshape(count, -1)
    patch = wide[:, 1:-1, 1:-1].reshape(count, -1)
    patch = patch - (patch @ _WEIGHT)[:, None]
    u, v = _GRID.T
    columns = [along_x * u, along_x * v, along_y * u, along_y * v, along_x, along_y, patch]
    basis = np.stack([*columns, np.ones_like(patch)], 1)  # (N, 8, P)
    weighted = basis * _WEIGHT
    normal = weighted @ basis.transpose(0, 2, 1) + _RIDGE
    solver = np.linalg.solve(normal, weighted).astype(np.float32)
    norm = np.sqrt((patch**2) @ _WEIGHT)
    return Features(
        window.outside(xy_window),
        np.asarray(reference_xy_px, np.float32),
        np.asarray(model, np.float32),
        np.arange(first_id, first_id + count, dtype=np.int64),
        np.zeros(count, np.int64),
        np.ones(count, np.float32),
        np.zeros(count, np.int64),
        (patch / np.maximum(norm, 1e-3)[:, None]).astype(np.float32),
        solver,
        np.tile(np.eye(2, dtype=np.float32) / window.scale, (count, 1, 1)),
    )


def align(grey: Array, window: Window, features: Features, steps: int = 2) -> Features:
    """Align each feature's affine warp to where its template matches best.

    grey: (H, W) float32 window. steps: Gauss-Newton iterations; 0 only computes the score.
    ``score`` is the correlation at the returned position: 1 = the template up to gain and offset; a
    flat or inverted patch gives 0 or less. A step that lowers the score is not taken.
    """
    if not len(features):
        return features
    xy, warp = features.xy_px, features.warp
    values = _sample_warped(grey, window, xy, warp)
    score = _ncc(values, features.patch)
    for _ in range(steps):
        new_xy, new_warp = _gauss_newton_step(features.solver, values, xy, warp)
        values_there = _sample_warped(grey, window, new_xy, new_warp)
        there = _ncc(values_there, features.patch)
        better = there >= score - 0.002
        xy = np.where(better[:, None], new_xy, xy)
        warp = np.where(better[:, None, None], new_warp, warp)
        values = np.where(better[:, None], values_there, values)
        score = np.where(better, there, score)
    return dataclasses.replace(
        features,
        xy_px=xy.astype(np.float32),
        warp=warp.astype(np.float32),
        score=score.astype(np.float32),
    )


def _gauss_newton_step(solver: Array, values: Array, xy: Array, warp: Array) -> tuple[Array, Array]:
    """One Gauss-Newton step: compose the warp with the inverse of the template's update."""
    solved = np.matmul(solver, values[:, :, None])[:, :, 0]
    gain = np.maximum(solved[:, 6:7], 0.2)  # a smaller gain is no match; keep the step short
    change = np.clip(solved[:, :4] / gain, -0.25, 0.25)
    shift_x, shift_y = np.clip(solved[:, 4:6] / gain, -1.5, 1.5).T
    a, b, c, d = _compose_inverse(warp, change)
    moved = xy - np.stack([a * shift_x + b * shift_y, c * shift_x + d * shift_y], 1)
    area = np.abs(a * d - b * c)
    stretch2 = (a * a + b * b + c * c + d * d) / np.maximum(area, 1e-9)  # 2 = no distortion
    undone = np.stack([a, b, c, d], 1).reshape(-1, 2, 2)
    return moved, np.where((stretch2 < _MAX_STRETCH2)[:, None, None], undone, warp)


def _compose_inverse(warp: Array, change: Array) -> tuple[Array, Array, Array, Array]:
    """Elements of warp (I + change)^-1 in closed form; change: (N, 4), too small to be singular."""
    p, q, r, s = change[:, 0] + 1, change[:, 1], change[:, 2], change[:, 3] + 1
    whole = 1 / (p * s - q * r)
    a, b, c, d = warp.reshape(-1, 4).T * whole
    return a * s - b * r, b * p - a * q, c * s - d * r, d * p - c * q


def _sample_warped(grey: Array, window: Window, xy: Array, warp: Array) -> Array:
    """(N, P) grey values of each patch; xy: (N, 2), pixels of the picture; warp: (N, 2, 2)."""
    line = np.empty((2, len(xy), 3), np.float32)  # each row maps (u, v, 1) to a position
    np.multiply(warp.transpose(1, 0, 2), np.float32(window.scale), out=line[..., :2])
    line[..., 2] = window.inside(xy).T
    x, y = np.matmul(line, _GRID_1)
    return _sample(grey, x, y)


def _sample(grey: Array, x: Array, y: Array) -> Array:
    """Bilinear values at (N, P) window positions, edge pixels repeated."""
    x, y = np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.float32)
    return cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _ncc(values: Array, patch: Array) -> Array:
    """(N,) weighted correlation; assumes two grey levels of noise, so flat patches score low."""
    centred = values - (values @ _WEIGHT)[:, None]
    weighted = centred * _WEIGHT
    power = np.einsum("np,np->n", weighted, centred)
    return np.einsum("np,np->n", weighted, patch) / np.sqrt(power + 4.0)
