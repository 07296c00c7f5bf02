"""Which output cells of the head's mesh the source shows, and for which reason it does not.

The moved mesh and what a z-buffer shows of it -> occlusion map in [0, 1] and a map of ``Reason``.
The source shows a vertex if nothing of the mesh lies before it in the source's own z-buffer (shadow
mapping, Williams 1978), and if the surface round it faces the camera there: by the area in the
source for an area of the output, which is negative where the surface faces away and small where it
is seen at a grazing angle. Cells interpolate between vertices. Background, which is a layer of its
own, is shown where the source shows no person at that cell.

Coordinates are those of ``head_mesh``: the source crop's, normalised, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import csr_matrix

from hybridanim import geometry
from hybridanim.resampling import smoothstep
from hybridanim.types import Array, Reason

from . import z_buffer

_CELLS = 256  # of the source's z-buffer
_MOST_CELLS = 128  # of the maps; finer ones are interpolated
_NOTHING_Z = 100.0  # depth of the source's z-buffer where it shows nothing
_BEFORE_Z = 0.05  # norm; surfaces nearer to each other than this do not hide each other
_BEFORE_SOFT = 0.03  # norm; a vertex is hidden fully at so much more
_LEAST_AREA, _FULL_AREA = 0.15, 0.45  # source area for an area of the output: hidden, visible
_SHARE_OF_HEAD = 0.5  # of the head's motion, from which on a place belongs to the head
_NOISE = 0.02  # differences of the person's mask that do not count
_SOFT_CELLS = 0.7  # sigma of the blur of the occlusion map, as of the flow


@dataclass(frozen=True)
class SourceView:
    """What the source's picture shows of its own mesh of N vertices and T triangles."""

    triangles: Array  # (T, 3)
    area: Array  # (T,) twice the signed area in the source
    around: csr_matrix  # (N, T) sums of the triangles round each vertex
    share: Array  # (T,) of the head's motion
    first: Array  # (T,) in [0, 1]: no other surface lies before it in the source
    maps: Array  # (n, n, 2) float32 by place: share of the head's motion, mask of the person


@dataclass(frozen=True)
class Shown:
    """What each output cell shows of a mesh."""

    xy: Array  # (h, h, 2) float32, where it is in the source; anything without a surface
    seen: Array  # (h, h) float32 in [0, 1], ``seen_vertices`` of it; 0 without a surface
    depth: Array  # (h, h) float32, z in the output; NaN = no surface

    @property
    def is_surface(self) -> Array:
        """(h, h) bool: the cell shows a surface."""
        return ~np.isnan(self.depth)


@dataclass(frozen=True)
class Seen:
    """What the source shows of that, by output cell."""

    occlusion: Array  # (h, h) float32 in [0, 1], 1 = visible in the source
    reasons: Array  # (h, h) uint8, values of ``Reason``


@dataclass(frozen=True)
class Outlines:
    """Polygons (M, 2) of the output that say what a hole in the mesh is, normalised."""

    lips: Array  # inner contour
    lids: Sequence[Array]  # of both eyes
    sockets: Sequence[Array]  # how far the lids are open in the source
    rim: Array  # end of the mesh, beyond which nothing is known
    gap: Array | None  # (n, n) float32, coverage of the gap in the mouth


def source_view(rest: Array, triangles: Array, share: Array, subject: Array) -> SourceView:
    """What the source shows of its mesh; once per source.

    rest: (N, 3) vertices in the source. share: (N,) of the head's motion. subject: (S, S) float32
    mask of the person.
    """
    values = np.repeat(share[:, None], 3, 1)
    shares, depth = z_buffer.rasterise(rest, triangles, values, _CELLS)
    shares[np.isnan(depth)] = 1  # beside its outline: of the head, as on the mesh next to it
    depth = np.where(np.isnan(depth), np.float32(_NOTHING_Z), depth)
    depth = cv2.dilate(depth, np.ones((3, 3), np.uint8))  # slopes do not hide themselves
    before = rest[:, 2] - geometry.warp(depth, rest[None, :, :2], cv2.INTER_LINEAR)[0]
    first = 1 - np.clip((before - _BEFORE_Z) / _BEFORE_SOFT, 0, 1)
    count = len(triangles)
    rows, columns = triangles.ravel(), np.repeat(np.arange(count), 3)
    return SourceView(
        triangles,
        _area(rest, triangles),
        csr_matrix((np.ones(3 * count), (rows, columns)), (len(rest), count)),
        share[triangles].mean(1),
        first[triangles].max(1),  # the edge of what is hidden counts as visible
        np.dstack(
            [shares[..., 0], cv2.resize(subject, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)]
        ),
    )


def _area(vertices: Array, triangles: Array) -> Array:
    """(T,) twice the signed area of each triangle in the plane of the picture."""
    x, y = vertices[:, 0][triangles], vertices[:, 1][triangles]
    x, y = x[:, 1:] - x[:, :1], y[:, 1:] - y[:, :1]
    return x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0]


def seen_vertices(view: SourceView, vertices: Array, zoom: float) -> Array:
    """(N,) in [0, 1]: how well the source shows each vertex that faces the camera in the output.

    vertices: (N, 3) moved. zoom: size of the head in the output over that in the source.
    """
    # turned such that all triangles are positive in the source: negative = it showed their back
    now = np.sign(view.area) * _area(vertices, view.triangles)
    then = np.abs(view.area) * (1 + view.share * (zoom**2 - 1))
    size = np.maximum(np.abs(now), 1e-12)
    ratio = np.where(now > 0, then / size, 0)
    seen = view.first * smoothstep(
        np.clip((ratio - _LEAST_AREA) / (_FULL_AREA - _LEAST_AREA), 0, 1)
    )
    return (view.around @ (size * seen)) / (view.around @ size)


def explained(view: SourceView, shown: Shown, outlines: Outlines, background: Array | None) -> Seen:
    """Decide for each output cell whether the source shows it, and why not.

    background: (2, 3) affine source <- output of the background, or None.
    """
    cells = len(shown.depth)
    step = max(1, cells // _MOST_CELLS)
    behind = _background_person(view, cells, background)[::step, ::step]
    coarse = Shown(*(part[::step, ::step] for part in (shown.xy, shown.seen, shown.depth)))
    occlusion, reasons = _explained(view, coarse, behind, outlines)
    if step > 1:
        size = (cells, cells)
        occlusion = cv2.resize(occlusion, size, interpolation=cv2.INTER_LINEAR)
        reasons = cv2.resize(reasons, size, interpolation=cv2.INTER_NEAREST)
    return Seen(occlusion, reasons)


def person(view: SourceView, grid: Array) -> Array:
    """(h, h) float32 the source's mask of the person at source positions (h, h, 2)."""
    return geometry.warp(cv2.extractChannel(view.maps, 1), grid, cv2.INTER_LINEAR)


def _explained(
    view: SourceView, shown: Shown, behind: Array, outlines: Outlines
) -> tuple[Array, Array]:
    """Occlusion and reasons. behind: of ``_background_person``."""
    cells = len(shown.depth)
    share, mask = cv2.split(geometry.warp(view.maps, shown.xy, cv2.INTER_LINEAR))
    away = np.clip((mask * (1 - shown.seen) - _NOISE) / (1 - _NOISE), 0, 1)
    uncovered = np.clip((behind - mask - _NOISE) / (1 - _NOISE), 0, 1)
    inside = _polygons([outlines.lips, *outlines.lids], cells)
    opened = _opened(outlines, cells)
    holes = ~shown.is_surface
    if holes.any():
        away[holes], uncovered[holes] = 0, 0
        uncovered[holes & ~inside & _polygons([outlines.rim], cells)] = 1
    far = np.maximum(np.abs(shown.xy[..., 0]), np.abs(shown.xy[..., 1])) > 1 + 1 / cells
    outside = far & ~holes & (mask > 0.5)
    reasons = np.zeros((cells, cells), np.uint8)
    hidden = away > 0.5
    reasons[hidden & (share >= _SHARE_OF_HEAD)] = Reason.SELF_OCCLUDED
    reasons[hidden & (share < _SHARE_OF_HEAD) | (uncovered > 0.5)] = Reason.UNCOVERED
    reasons[outside] = Reason.OUTSIDE
    reasons[(opened > 0.5) | (hidden & inside)] = Reason.OPENED
    occlusion = (1 - away) * (1 - uncovered) * (1 - opened) * ~outside
    if occlusion.min() < 1:
        occlusion = cv2.GaussianBlur(occlusion, (0, 0), _SOFT_CELLS)
        occlusion = np.clip(occlusion, 0, 1)
    return occlusion, reasons


def _background_person(view: SourceView, cells: int, background: Array | None) -> Array:
    """(cells, cells) the person's mask of the source where its background is in the output."""
    mask = cv2.extractChannel(view.maps, 1)
    if background is None:
        return cv2.resize(mask, (cells, cells), interpolation=cv2.INTER_LINEAR)
    grid = geometry.grid_norm(cells) @ background[:, :2].T + background[:, 2]
    return geometry.warp(mask, grid, cv2.INTER_LINEAR)


def _opened(outlines: Outlines, cells: int) -> Array:
    """(cells, cells) float32 in [0, 1]: the mouth's gap, and eyes beyond their opening before."""
    eyes = _polygons(outlines.lids, cells) & ~_polygons(outlines.sockets, cells)
    if outlines.gap is None:
        return eyes.astype(np.float32)
    gap = cv2.resize(outlines.gap, (cells, cells), interpolation=cv2.INTER_AREA)
    return np.maximum(gap, eyes)


def _polygons(polygons: Sequence[Array], cells: int) -> Array:
    """(cells, cells) bool: cells in one of these polygons, their borders included."""
    out = np.zeros((cells, cells), np.uint8)
    for points in polygons:
        places = np.clip((points + 1) * (cells / 2) - 0.5, -2000, 2000)
        cv2.fillPoly(out, [np.round(places * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return out > 0
