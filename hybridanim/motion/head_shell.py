"""The closed head behind the mesh of its front: back of the hair, nape and neck, with an atlas.

From the outline of the person in the source the shell goes on round the head: over crown and ears
to the middle behind, as an ellipsoid; below the ears row by row round the axis of head and neck.
It is cut into strips, each from the outline to the middle behind; strip and length of the arc are
the place in an atlas that is painted once per source (``prepare.avatar``). Per frame the strips are
moved, and what faces the camera is a layer behind the person's and before the background.
Coordinates are those of ``head_mesh``; the atlas is normalised to [-1, 1], strips across.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from hybridanim import geometry
from hybridanim.resampling import smoothstep
from hybridanim.types import Array, HeadPose, HeadTarget, Uncovered

from . import z_buffer
from .head_back import Skull, area, directions, quads, support

_STEP_DEG = 4.0  # between strips above the ears; 0 = the head's right, 90 = up
_ROWS = np.arange(1, 20) * 0.08  # below the ears, in heights from the ears to the chin
_CHIN = 0.878  # from the middle of the skull to the chin, radii of the skull
_BACKWARDS = np.deg2rad(np.array([0, 8, 18, 30, 43, 57, 73, 90]))  # 90 = the middle behind
_REACH = np.linspace(0.35, 1.4, 64)  # where an outline is looked for, radii of the skull
_SURE = 0.95  # mask inside of which there is the person alone
_WIDER = 1.08  # below the mouth the shell widens at most by this: shoulders are no neck
_MOUTH = 0.55  # height of the mouth below the ears
_NAPE = (0.1, 0.95, 0.5)  # heights from and to which the back recedes, and to which depth
_UNDER, _BEHIND = 0.05, 0.01  # of the shell under the front: width and depth, heads
_SOFT_CELLS, _EDGE = 1.0, 1.6  # blur of the coverage, and how much steeper its edges are
_BACK, _EDGE_CELLS = 0.9, 7  # share that is no margin under the front; its width there
_RAMP_DEG = (1.0, 5.0)  # turn from the source's pose over which the layer comes in
_MATTE_CELLS, _COVERED = 128, 0.5


@dataclass(frozen=True)
class Strips:
    """The A strips, from the neck's right in the picture over the crown to its left."""

    u: Array  # (A,) place across the atlas, [-1, 1]
    start: Array  # (A, 2) on the outline of the person in the source
    inward: Array  # (A, 2) unit vectors of the picture, away from the outline
    sure: Array  # (A,) distance from the outline at which there is the person alone
    band: Array  # (A,) distance from the outline to the face, at least a little
    height: Array  # (A,) of the start: 0 = ears, 1 = chin, negative above the ears
    length: float  # of the longest arc, the height of the atlas, norm
    outline: float  # length of the outline, the width of the atlas, norm


@dataclass(frozen=True)
class HeadShell:
    """The shell of M vertices."""

    own: Array  # (M, 3) in the face model's frame
    rest: Array  # (M, 3) in the source
    weight: Array  # (M, 1) share of the head's motion
    atlas: Array  # (M, 2) places in the atlas
    is_back: Array  # (M,) 0 = under the front, 1 = behind it
    triangles: Array  # (T, 3) int32
    rotation: Array  # (3, 3) of the head in the source
    strips: Strips


def build(
    subject: Array,
    pose: HeadPose,
    skull: Skull,
    hull: Array,
    front: Array,
    weight: Callable[[Array], Array],
) -> HeadShell:
    """The shell of one source.

    subject: (S, S) float32 mask of the person. pose: of the head in the source. hull: (H, 2) convex
    outline of the face there. front: (n, n) depth of the mesh of the front there, NaN beside it.
    weight: places (N, 2) of the source -> share of the head's motion (N,).
    """
    size = (_MATTE_CELLS, _MATTE_CELLS)
    matte = cv2.resize(subject, size, interpolation=cv2.INTER_AREA)
    degrees = np.arange(0, 180.1, _STEP_DEG)
    above, below = len(degrees), len(_ROWS)
    height = np.concatenate([_ROWS[::-1], -np.sin(np.deg2rad(degrees)), _ROWS])
    axis = np.zeros((len(height), 3))
    axis[:, 1] = _CHIN * skull.radius[1] * np.maximum(height, 0)
    base = pose.project(skull.middle + axis)
    degrees = np.concatenate([np.zeros(below), degrees, np.full(below, 180.0)])
    way = directions(pose, degrees)
    radius = np.hypot(*(way * pose.scale_px * skull.radius[:2]).T)
    reach = _outline(matte, base[:, :2], way, radius, _COVERED)
    sure = np.minimum(_outline(matte, base[:, :2], way, radius, _SURE), reach)
    for rows in (np.arange(below)[::-1], np.arange(below + above, len(height))):
        reach[rows] = _neck(reach[rows])
    reach = gaussian_filter1d(reach, 1.5, mode="nearest")
    sure = np.minimum(gaussian_filter1d(sure, 1.5, mode="nearest"), reach)
    face = np.array([support(hull - b[:2], w) for b, w in zip(base, way, strict=True)])
    face = np.minimum(face, 0.9 * reach)
    face[height > 1] = 0.2 * reach[height > 1]  # below the chin is the neck
    cos, sin = np.cos(_BACKWARDS), np.sin(_BACKWARDS)
    flat = base[:, None, :2] + way[:, None] * (reach[:, None] * cos)[..., None]
    front = np.where(np.isnan(front), np.nanmax(front), front).astype(np.float32)
    inner = flat[:, 0] - way * (_UNDER * pose.scale_px)
    start, under = (
        geometry.warp(front, xy[None].astype(np.float32), cv2.INTER_LINEAR)[0]
        for xy in (flat[:, 0], inner)
    )
    start = gaussian_filter1d(start, 1.0, mode="nearest")
    first, last, least = _NAPE
    recede = 1 - (1 - least) * smoothstep(np.clip((height - first) / (last - first), 0, 1))
    depth = np.maximum(base[:, 2] + pose.scale_px * skull.radius[2] * recede - start, 0)
    shown = np.concatenate([flat, (start[:, None] + depth[:, None] * sin)[..., None]], -1)
    atlas, length, outline = _atlas(shown)
    # a margin under the front, so that no gap opens between them
    under = np.column_stack([inner, np.minimum(under, start) + _BEHIND * pose.scale_px])
    shown = np.concatenate([under[:, None], shown], 1)
    atlas = np.concatenate([atlas[:, :1], atlas], 1)
    rest = shown.reshape(-1, 3)
    strips = Strips(
        atlas[:, 0, 0], flat[:, 0], -way, reach - sure, reach - face, height, length, outline
    )
    return HeadShell(
        (rest - np.append(pose.shift_px, 0)) @ pose.rotation / pose.scale_px,
        rest,
        weight(rest[:, :2])[:, None],
        atlas.reshape(-1, 2),
        np.tile(np.arange(atlas.shape[1]) > 0, len(height)).astype(np.float64),
        quads(len(height), 1 + len(_BACKWARDS)),
        pose.rotation,
        strips,
    )


def _outline(matte: Array, base: Array, way: Array, radius: Array, least: float) -> Array:
    """(A,) distance from the axis to the end of the person's mask, within bounds of the skull."""
    places = base[:, None] + way[:, None] * (radius[:, None] * _REACH)[..., None]
    inside = geometry.warp(matte, places.astype(np.float32), cv2.INTER_LINEAR) > least
    inside &= (np.abs(places) < 1).all(-1)
    last = np.where(inside.all(1), len(_REACH), inside.argmin(1)) - 1
    found = _REACH[np.maximum(last, 0)] * radius
    return gaussian_filter1d(found, 1.5, mode="nearest")


def _neck(reach: Array) -> Array:
    """Rows (R,) from the ears down, below the mouth never much wider than above."""
    out = reach.copy()
    for row in range(1, len(out)):
        if _ROWS[row] > _MOUTH:
            out[row] = min(out[row], _WIDER * out[: row + 1].min())
    return out


def _atlas(shown: Array) -> tuple[Array, float, float]:
    """Places (A, B, 2) in the atlas of vertices (A, B, 3), and the atlas's height and width."""
    along = np.linalg.norm(np.diff(shown, axis=1), axis=2).cumsum(1)
    along = np.concatenate([np.zeros((len(along), 1)), along], 1)
    across = np.linalg.norm(np.diff(shown[:, 0, :2], axis=0), axis=1).cumsum()
    across = np.concatenate([[0], across])
    length, width = float(along.max()), float(across[-1])
    u = np.broadcast_to((2 * across / width - 1)[:, None], along.shape)
    return np.stack([u, 2 * along / length - 1], -1), length, width


def layer(shell: HeadShell, target: HeadTarget, person: Array, cells: int) -> Uncovered | None:
    """What each cell shows of the shell behind the person in one frame; None for nothing.

    person: (cells, cells) bool, where the front shows the person.
    """
    turn = target.pose.rotation @ shell.rotation.T
    angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    share = float(smoothstep(np.clip((angle - _RAMP_DEG[0]) / np.ptp(_RAMP_DEG), 0, 1)))
    if share == 0:
        return None
    vertices = shell.rest.copy()
    vertices[:, :2] = vertices[:, :2] @ target.body[:, :2].T + target.body[:, 2]
    vertices += shell.weight * (target.pose.project(shell.own) - vertices)
    is_facing: Array = area(vertices, shell.triangles) < 0
    by_strip = is_facing.reshape(-1, len(_BACKWARDS), 2)
    uncovered = np.asarray(by_strip[:, 1:].any((1, 2)))
    if not uncovered.any():
        return None
    by_strip[:, 0] &= uncovered[:, None]  # the margin under the front is not needed elsewhere
    facing = shell.triangles[is_facing]
    values = np.column_stack([shell.atlas, shell.is_back])
    found, depth = z_buffer.rasterise(vertices, facing, values, cells)
    back = found[..., 2] > _BACK
    if not back.any():
        return None
    # under the person's soft edge it goes on, and its own outline is no staircase
    near = cv2.dilate(back.astype(np.uint8), np.ones((_EDGE_CELLS, _EDGE_CELLS), np.uint8)) > 0
    known = ~np.isnan(depth)
    found[..., 2] = known
    blurred = cv2.GaussianBlur(found, (0, 0), _SOFT_CELLS)
    rows = np.nonzero(near & ~known)
    found[rows] = blurred[rows] / np.maximum(blurred[rows][:, 2:], 1e-6)
    cover = cv2.GaussianBlur((known | person).astype(np.float32), (0, 0), _SOFT_CELLS)
    cover = smoothstep(np.clip(_EDGE * (cover - 0.5) + 0.5, 0, 1)) * np.float32(share)
    cover[~near] = 0
    return Uncovered(np.ascontiguousarray(found[..., :2]), cover)
