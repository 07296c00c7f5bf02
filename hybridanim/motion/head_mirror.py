"""The hidden half of a head that looks aside: where the source shows its mirror image.

A face is nearly symmetric. Each vertex of ``head_mesh`` has a place in the source where its mirror
image lies: that of its counterpart in the face model, or of its position mirrored in the head's own
frame. Per frame, where the source shows a surface badly (it turned away there) and its counterpart
clearly better, the output takes the counterpart's colours. Coordinates are those of ``head_mesh``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import csr_matrix, diags

from hybridanim import geometry
from hybridanim.resampling import smoothstep
from hybridanim.types import Array, HeadPose

from .head_back import area
from .head_occlusion import SourceView

_NEAR_Z, _SOFT_Z = 0.2, 0.2  # heads; a counterpart so far behind the front is hidden
_BAD, _GOOD = 0.35, 0.65  # source area per output area: fully taken from the other side, not at all
_BETTER, _MUCH = 1.2, 1.7  # factor by which the counterpart has more area: not taken, fully
_DECIDED = 0.3  # shares below it, or as much below 1, are none, or all
_FIRST, _LEAST = 0.5, 12  # visible in the source; vertices for which it is worth the while
_SPREAD = 2  # rounds of averaging of the share over neighbouring vertices


@dataclass(frozen=True)
class HeadMirror:
    """Counterparts of the N vertices of a mesh, and the K triangles that may take their colours."""

    xy: Array  # (N, 2) places in the source
    trust: Array  # (N,) in [0, 1]: the source shows the counterpart
    own_area: Array  # (T,) area of all triangles in the source; 0: facing away, or hidden
    other_area: Array  # (T,) area of all triangles' counterparts in the source; 0: facing away
    triangles: Array  # (K, 3) of those that the source shows worse than their counterparts
    seen: Array  # (K,) area in the source, 0 where it faces away or is hidden
    facing: Array  # (K,) sign of its area where it faces the camera
    gain: Array  # (K,) in [0, 1]: how much better the counterpart is
    spread: csr_matrix  # (N, K) triangles -> vertices, smooth, as shares


def build(
    rest: Array, own: Array, known: Array, pose: HeadPose, depth: Array, view: SourceView
) -> HeadMirror:
    """Counterparts of a mesh; once per source.

    rest: (N, 3) vertices in the source. own: (N, 3) in the face model's frame. known: (N,) int, the
    vertex that is the counterpart; -1 = by position; -2 = none. depth: (n, n) of the mesh in the
    source, NaN beside it. view: what the source shows of the mesh.
    """
    mirrored = pose.project(own * [-1, 1, 1])
    mirrored = np.where((known >= 0)[:, None], rest[known], mirrored)
    front = np.where(np.isnan(depth), np.float32(1e3), depth).astype(np.float32)
    front = cv2.dilate(front, np.ones((3, 3), np.uint8))
    places = np.ascontiguousarray(mirrored[None, :, :2], np.float32)
    behind = (mirrored[:, 2] - geometry.warp(front, places, cv2.INTER_LINEAR)[0]) / pose.scale_px
    trust = 1 - smoothstep(np.clip((behind - _NEAR_Z) / _SOFT_Z, 0, 1))
    trust *= (np.abs(mirrored[:, :2]) < 1).all(1) & (known != -2)
    facing = np.sign(area(own, view.triangles))  # of a head that looks into the camera
    other = np.maximum(-facing * area(mirrored, view.triangles), 0)  # mirrored: the other way round
    seen = np.maximum(facing * view.area, 0) * (view.first > _FIRST)
    gain = other / np.maximum(seen, 0.02 * np.maximum(other, 1e-12))
    gain = smoothstep(np.clip((gain - _BETTER) / (_MUCH - _BETTER), 0, 1))
    chosen = np.flatnonzero((gain > 0) & (trust[view.triangles].min(1) > 0))
    return HeadMirror(
        mirrored[:, :2], trust, seen, other, view.triangles[chosen], seen[chosen], facing[chosen],
        gain[chosen], _spread(view, rest)[:, chosen],
    )  # fmt: skip


def _spread(view: SourceView, rest: Array) -> csr_matrix:
    """(N, T) means of the triangles round each vertex, by size, over some of its neighbours."""
    x, y, z = (rest[view.triangles[:, n]] for n in range(3))
    size = np.linalg.norm(np.cross(y - x, z - x), axis=1) + 1e-12
    weighted = view.around @ diags(size)
    mean = diags(1 / np.asarray(weighted.sum(1)).ravel()) @ weighted
    back = view.around.T.tocsr() / 3  # (T, N) vertices -> triangles
    out = mean
    for _ in range(_SPREAD):
        out = mean @ back @ out
    return csr_matrix(out)


def share(mirror: HeadMirror, vertices: Array, zoom: float) -> Array | None:
    """(N,) in [0, 1]: how much of each vertex's colour is that of its counterpart, in one frame.

    vertices: (N, 3) moved. zoom: size of the head in the output over that in the source. None where
    it is 0 everywhere.
    """
    if not len(mirror.seen):
        return None
    now = mirror.facing * area(vertices, mirror.triangles)
    ratio = mirror.seen * zoom**2 / np.maximum(now, 1e-12)
    need = smoothstep(np.clip((_GOOD - ratio) / (_GOOD - _BAD), 0, 1)) * mirror.gain * (now > 0)
    out = mirror.spread @ need
    # two pictures of an ear are worse than either
    out = smoothstep(np.clip((out - _DECIDED) / (1 - 2 * _DECIDED), 0, 1)) * mirror.trust
    return out if (out > 0.5).sum() >= _LEAST else None
