"""Triangles -> which triangle each sample sees, and where in it: a vectorised depth buffer.

All candidate samples of all triangles (their bounding boxes) are laid out in one flat array, tested
with barycentric coordinates, and resolved by a scatter-maximum of inverse depth. Barycentrics
are made perspective-correct, so that anything attached to the vertices (texture, another frame's
position) is interpolated on the surface itself. Pineda 1988 for the edge functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Visible:
    """What each covered sample sees; one row per covered sample, N in all."""

    sample: Array  # (N,) int64, flat index into the (height, width) sample grid
    triangle: Array  # (N,) int64
    weights: Array  # (N, 3) float32, barycentric on the surface, sums to 1
    inverse_depth: Array  # (height, width) float32, 0 where nothing was drawn

    def interpolate(self, values: Array, triangles: Array) -> Array:
        """Per-vertex ``values`` (V, C) at each covered sample, (N, C) float32."""
        corners = triangles[self.triangle]
        total = values[corners[:, 0]] * self.weights[:, 0:1]
        total += values[corners[:, 1]] * self.weights[:, 1:2]
        total += values[corners[:, 2]] * self.weights[:, 2:3]
        return total


def _boxes(xy: Array, triangles: Array, shape: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Front-facing triangles with at least one sample in their box: index, corner, width/height."""
    a, b, c = (xy[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    low = np.ceil(np.minimum(np.minimum(a, b), c)).astype(np.int64)
    high = np.floor(np.maximum(np.maximum(a, b), c)).astype(np.int64)
    low = np.maximum(low, 0)
    high = np.minimum(high, np.array([shape[1] - 1, shape[0] - 1]))
    extent = high - low + 1
    index = np.flatnonzero((area < -1e-6) & (extent > 0).all(axis=1))
    return index, low[index], extent[index]


def _coefficients(xy: Array, corners: Array, low: Array) -> Array:
    """(T, 6) float32: b1 and b2 as linear functions of the offset from the box corner."""
    a, b, c = (xy[corners[:, k]] for k in range(3))
    u, v, w = b - a, c - a, low - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    columns = [
        v[:, 1], -v[:, 0], w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0],
        -u[:, 1], u[:, 0], w[:, 1] * u[:, 0] - w[:, 0] * u[:, 1],
    ]  # fmt: skip
    return (np.stack(columns, axis=1) / area[:, None]).astype(np.float32)


def rasterise(xy: Array, inverse_depth: Array, triangles: Array, shape: tuple[int, int]) -> Visible:
    """Draw triangles into a depth buffer.

    xy: (V, 2) float64 sample coordinates, x right and y down; inverse_depth: (V,) > 0, larger is
    nearer; triangles: (T, 3) vertex indices, counter-clockwise on the screen when they face the
    viewer (others are skipped);
    shape: (height, width) of the sample grid.
    """
    index, low, extent = _boxes(xy, triangles, shape)
    corners = triangles[index]
    coefficients = _coefficients(xy, corners, low)
    count = extent[:, 0] * extent[:, 1]
    start = np.cumsum(count) - count
    row = np.repeat(np.arange(len(index), dtype=np.int32), count)
    local = np.arange(count.sum(), dtype=np.int32) - np.repeat(start.astype(np.int32), count)
    dy, dx = np.divmod(local, extent[:, 0].astype(np.int32)[row])
    k = coefficients[row]
    across, down = dx.astype(np.float32), dy.astype(np.float32)
    b1 = k[:, 0] * across + k[:, 1] * down + k[:, 2]
    b2 = k[:, 3] * across + k[:, 4] * down + k[:, 5]
    inside = np.flatnonzero((b1 >= -1e-5) & (b2 >= -1e-5) & (b1 + b2 <= 1 + 2e-5))
    row, b1, b2 = row[inside], b1[inside], b2[inside]
    sample = (low[row, 1] + dy[inside]) * shape[1] + low[row, 0] + dx[inside]
    weights = np.stack([1 - b1 - b2, b1, b2], axis=1)
    weights *= inverse_depth.astype(np.float32)[corners[row]]
    depth = weights.sum(axis=1)
    buffer = np.zeros(shape[0] * shape[1], np.float32)
    np.maximum.at(buffer, sample, depth)
    first = np.full(shape[0] * shape[1], -1, np.int64)  # one winner where two share an edge
    won = np.flatnonzero(depth == buffer[sample])
    first[sample[won]] = won
    won = first[first >= 0]
    weights = weights[won] / depth[won, None]
    return Visible(sample[won], index[row[won]], weights, buffer.reshape(shape))
