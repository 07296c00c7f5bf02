"""The back of the source's head, which no picture shows: a shell behind the mesh of the front.

From the outline of the hair in the source, the shell goes on round the head to its middle behind,
as an ellipsoid; its texture is the band of hair between face and outline, stretched backwards, that
of the temples also behind the ears. It comes into view when the head turns. Without it the head
would become as narrow as its front is seen from the side. Coordinates are those of ``head_mesh``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import KDTree

from hybridanim import geometry
from hybridanim.resampling import smoothstep
from hybridanim.types import Array, HeadPose

from . import z_buffer

_FROM_DEG, _STEP_DEG = -40.0, 4.0  # directions from the middle of the head: 0 = right, 90 = up
_HAIR_DEG = 55.0  # lower directions have the texture of this one: there are ears and cheeks
_BACKWARDS = np.deg2rad(np.array([0, 12, 25, 40, 56, 73, 90]))  # 90 = the middle behind
_LARGEST = 1.4  # largest outline, of that of the skull
_SURE = 0.95  # mask inside of which there is hair alone
_INSET = 0.045  # of the shell's texture from the outline, head sizes: no background in it
_BAND = 0.4  # share of the hair between outline and face that the texture takes
_LEAST_BAND = 0.04  # head sizes
_MATTE_CELLS, _COVERED = 128, 0.5  # of the person's mask; below: the front is transparent


@dataclass(frozen=True)
class HeadBack:
    """The shell of M vertices."""

    own: Array  # (M, 3) in the face model's frame
    texture: Array  # (M, 2) places in the source
    triangles: Array  # (T, 3) int32
    matte: Array  # (n, n) float32 mask of the person in the source


@dataclass(frozen=True)
class Skull:
    """An ellipsoid round the head, in the face model's frame."""

    middle: Array  # (3,)
    radius: Array  # (3,)


def build(subject: Array, pose: HeadPose, skull: Skull, hull: Array, front: Array) -> HeadBack:
    """The shell of one source.

    subject: (S, S) float32 mask of the person. pose: of the head in the source. hull: (H, 2) convex
    outline of the face there. front: (N, 3) vertices round the face there, where the shell begins.
    """
    size = (_MATTE_CELLS, _MATTE_CELLS)
    matte = cv2.resize(subject, size, interpolation=cv2.INTER_AREA)
    middle = pose.project(skull.middle)
    degrees = np.arange(_FROM_DEG, 180 - _FROM_DEG + 0.1, _STEP_DEG)
    way = directions(pose, degrees)
    outline = _outline(matte, middle[:2], way, pose.scale_px * skull.radius, 0.5)
    # where the ears are, and below, the texture is that of the hair above
    hair = np.clip(degrees, _HAIR_DEG, 180 - _HAIR_DEG)
    hair_way = directions(pose, hair)
    sure = _outline(matte, middle[:2], way, pose.scale_px * skull.radius, _SURE)
    rim = np.interp(hair, degrees, np.minimum(sure, outline)) - _INSET * pose.scale_px
    face = np.array([support(hull - middle[:2], one) for one in hair_way])
    band = np.maximum(_BAND * (rim - face), _LEAST_BAND * pose.scale_px)
    along = np.sin(_BACKWARDS)[None, :, None]
    texture = (
        middle[:2] + hair_way[:, None] * (rim[:, None] - band[:, None] * along[..., 0])[..., None]
    )
    nape = smoothstep(np.clip((degrees - _FROM_DEG) / -_FROM_DEG, 0, 1))
    nape = np.minimum(nape, nape[::-1])
    flat = middle[:2] + way[:, None] * (outline[:, None] * np.cos(_BACKWARDS))[..., None]
    start = depth_at(flat[:, 0], front)
    depth = nape * np.maximum(middle[2] + pose.scale_px * skull.radius[2] - start, 0)
    z = start[:, None] + depth[:, None] * np.sin(_BACKWARDS)
    shown = np.concatenate([flat, z[..., None]], -1).reshape(-1, 3)
    own = (shown - np.append(pose.shift_px, 0)) @ pose.rotation / pose.scale_px
    return HeadBack(own, texture.reshape(-1, 2), quads(len(degrees), len(_BACKWARDS)), matte)


def directions(pose: HeadPose, degrees: Array) -> Array:
    """(A, 2) unit vectors of the picture; 0 degrees = the head's right in the picture, 90 = up."""
    right = pose.rotation[:2, 0] / (np.linalg.norm(pose.rotation[:2, 0]) + 1e-9)
    up = np.array([right[1], -right[0]])
    angle = np.deg2rad(degrees)[:, None]
    return np.cos(angle) * right + np.sin(angle) * up


def _outline(matte: Array, middle: Array, way: Array, radius: Array, least: float) -> Array:
    """(A,) distance from the middle to the end of the person's mask, within bounds of the skull."""
    skull = np.hypot(*(way * radius[:2]).T)
    steps = np.linspace(0.6, _LARGEST, 50)
    places = middle + way[:, None] * (skull[:, None] * steps)[..., None]
    inside = geometry.warp(matte, places.astype(np.float32), cv2.INTER_LINEAR) > least
    inside &= (np.abs(places) < 1).all(-1)
    last = np.where(inside.all(1), len(steps), inside.argmin(1)) - 1
    found = np.where(last < 0, 1.0, steps[np.maximum(last, 0)]) * skull
    return gaussian_filter1d(found, 2.0, mode="nearest")


def depth_at(places: Array, vertices: Array) -> Array:
    """(A,) smooth depth at places (A, 2) of the vertices (N, 3) near them."""
    distance, rows = KDTree(vertices[:, :2]).query(places, k=4)
    near = 1 / (distance + 1e-6)
    z = (near * vertices[rows, 2]).sum(1) / near.sum(1)
    return gaussian_filter1d(z, 2.0, mode="nearest")


def support(points: Array, way: Array) -> float:
    """How far a convex set of points (H, 2) reaches in a direction (2,)."""
    return float((points @ way).max())


def quads(rows: int, columns: int) -> Array:
    """(T, 3) int32 triangles of a grid of vertices."""
    first = np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None]
    parts = [first, first + 1, first + columns, first + 1, first + columns + 1, first + columns]
    return np.stack(parts, -1).reshape(-1, 3).astype(np.int32)


def behind(back: HeadBack, pose: HeadPose, front: Array, shows: Array) -> tuple[Array, Array]:
    """The shell behind the front of the head in one frame.

    pose: of the head in the output. front: (h, h, 2) source position that each cell shows of the
    front. shows: (h, h) bool, whether it shows any. Returns source positions (h, h, 2) float32 and
    depths (h, h), NaN where the shell is not seen: where it faces away, or the front shows a
    person.
    """
    vertices = pose.project(back.own)
    facing = back.triangles[area(vertices, back.triangles) < 0]
    if not len(facing):
        return front, np.full(shows.shape, np.nan, np.float32)
    values = np.column_stack([back.texture, np.zeros(len(back.texture))])
    found, depth = z_buffer.rasterise(vertices, facing, values, len(front))
    person = geometry.warp(back.matte, front, cv2.INTER_LINEAR)
    depth[shows & (person >= _COVERED)] = np.nan
    return np.ascontiguousarray(found[..., :2]), depth


def area(vertices: Array, triangles: Array) -> Array:
    """(T,) twice the signed area of triangles in the picture; negative: they face the camera."""
    x, y = vertices[:, 0][triangles], vertices[:, 1][triangles]
    x, y = x[:, 1:] - x[:, :1], y[:, 1:] - y[:, :1]
    return x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0]
