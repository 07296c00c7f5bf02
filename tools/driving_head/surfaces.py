"""Mesh building blocks: grids of quads, tubes, soft unions of capsules, and noise to paint with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from skimage.measure import marching_cubes

from .raster import Array


@dataclass(frozen=True, slots=True)
class Mesh:
    """A surface in its own coordinates: x right in the picture, y up, z towards the viewer; cm."""

    xyz: Array  # (V, 3) float64
    uv: Array  # (V, 2) float64 in [0, 1] of the mesh's own texture patch
    triangles: Array  # (T, 3) int64, counter-clockwise seen from outside with y up


def grid_triangles(rows: int, columns: int) -> Array:
    """Two triangles a cell of a (rows, columns) vertex grid, rows going down, columns right."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    c, d = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])


def grid_normals(xyz: Array) -> Array:
    """Outward unit normals of a (rows, columns, 3) grid laid out like ``grid_triangles``."""
    normal = np.cross(np.gradient(xyz, axis=0), np.gradient(xyz, axis=1))
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)


def mesh_normals(xyz: Array, triangles: Array) -> Array:
    """(V, 3) unit vertex normals, area-weighted."""
    a, b, c = (xyz[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    total = np.zeros_like(xyz)
    for k in range(3):
        np.add.at(total, triangles[:, k], face)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)


def tube(rings: Array, columns: int = 64) -> Mesh:
    """Stacked ellipses, top first; rings: (R, 5) of y, centre x, centre z, half width, depth."""
    angle = np.linspace(-np.pi, np.pi, columns)
    y, cx, cz, w, d = (rings[:, k, None] for k in range(5))
    ones = np.ones((1, columns))
    xyz = np.stack([cx + w * np.sin(angle), y * ones, cz + d * np.cos(angle)], axis=-1)
    u = (angle / np.pi + 1) / 2 * np.ones((len(rings), 1))
    v = (y - y.max()) / (y.min() - y.max()) * ones
    uv = np.stack([u, v], axis=-1)
    return Mesh(xyz.reshape(-1, 3), uv.reshape(-1, 2), grid_triangles(len(rings), columns))


def soft_union(capsules: Array, softness_cm: float, step_cm: float, thickness: float) -> Mesh:
    """Capsules melted into one surface, flattened in z.

    capsules: (N, 8) of end a, end b (x, y, z), radius at a, radius at b; thickness: z scale. The
    distance is a smooth minimum over tapered capsules, meshed by marching cubes.
    """
    low = np.minimum(capsules[:, :3], capsules[:, 3:6]).min(axis=0) - 2.5
    high = np.maximum(capsules[:, :3], capsules[:, 3:6]).max(axis=0) + 2.5
    axes = [np.arange(a, b, step_cm) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    total = np.zeros(points.shape[:3])
    for capsule in capsules:
        a, b, (ra, rb) = capsule[:3], capsule[3:6], capsule[6:]
        t = np.clip((points - a) @ (b - a) / max(((b - a) ** 2).sum(), 1e-9), 0, 1)
        distance = np.linalg.norm(points - a - t[..., None] * (b - a), axis=-1) - ra - (rb - ra) * t
        total += np.exp(-distance / softness_cm)
    field = -softness_cm * np.log(np.maximum(total, 1e-30))
    xyz, triangles, _, _ = marching_cubes(field, 0.0, spacing=(step_cm,) * 3)
    xyz = xyz + low
    uv = (xyz[:, :2] - low[:2]) / (high[:2] - low[:2])
    uv[:, 1] = 1 - uv[:, 1]
    xyz[:, 2] *= thickness
    return Mesh(xyz.astype(np.float64), uv, outward(xyz, triangles.astype(np.int64)))


def outward(xyz: Array, triangles: Array) -> Array:
    """The triangles of a closed surface, turned so that their normals point out (volume > 0)."""
    a, b, c = (xyz[triangles[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum()
    return triangles if volume > 0 else triangles[:, ::-1].copy()


def smooth_step(low: float | Array, high: float | Array, value: float | Array) -> Array:
    """0 below ``low``, 1 above ``high``, an S between; ``low`` > ``high`` turns it round."""
    t = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bump(distance: float | Array, radius: float) -> Array:
    """exp(-(distance / radius)^2)."""
    return np.exp(-np.square(distance / radius))


def look_up(image: Array, xy_px: Array, flags: int = cv2.INTER_LINEAR, border: float = 0) -> Array:
    """Sample (H, W[, C]) at absolute positions (h, w, 2) float32; ``border`` outside."""
    x, y = np.ascontiguousarray(xy_px[..., 0]), np.ascontiguousarray(xy_px[..., 1])
    return cv2.remap(image, x, y, flags, borderValue=(border, border, border, border))


def noise(
    rng: np.random.Generator, shape: tuple[int, int], cell_px: float, octaves: int = 3
) -> Array:
    """(H, W) float32 value noise, mean 0, about -1 to 1; the largest cells are ``cell_px`` wide."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = [max(2, round(n * 2**octave / cell_px)) for n in shape]
        coarse = rng.uniform(-1, 1, size).astype(np.float32)
        fine = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
        total += fine * 0.55**octave
    return total / max(float(np.abs(total).max()), 1e-6)
