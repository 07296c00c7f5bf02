"""Which output cells of the head's mesh the source shows, and for which reason it does not.

What a z-buffer shows of the moved mesh -> occlusion map in [0, 1] and a map of ``Reason``. Each
cell has the place in the source, three coordinates, of the surface that it shows. The source shows
that place if (shadow mapping, Williams 1978) nothing of the mesh lies before it in the source's own
z-buffer, and if the surface faces the camera there: by the area in the source for an area of the
output, which is negative where it faces away and small where it is seen at a grazing angle.
Background, which is a layer of its own, is shown where the source shows no person at that cell.

Coordinates are those of ``head_mesh``: the source crop's, normalised, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.resampling import smoothstep
from hybridanim.types import Array, Reason

from . import z_buffer

_CELLS = 256  # of the source's z-buffer, and the most that the maps are computed with
_NOTHING_Z = 100.0  # depth of the source's z-buffer where it shows nothing
_BEFORE_Z = 0.05  # norm; surfaces nearer to each other than this do not hide each other
_BEFORE_SOFT = 0.03  # norm; the place is hidden fully at so much more
_LEAST_AREA, _FULL_AREA = 0.15, 0.45  # source area for an area of the output: hidden, visible
_SHARE_OF_HEAD = 0.5  # of the head's motion, from which on a place belongs to the head
_NOISE = 0.02  # differences of the person's mask that do not count
_SOFT_CELLS = 0.7  # sigma of the blur of the occlusion map, as of the flow


@dataclass(frozen=True)
class SourceView:
    """What the source's picture shows of its own mesh, by place in the picture."""

    maps: Array  # (n, n, 3) float32: depth, share of the head's motion, mask of the person


@dataclass(frozen=True)
class Shown:
    """What each output cell shows of a mesh."""

    place: Array  # (h, h, 3) float32, where it is in the source; anything without a surface
    depth: Array  # (h, h) float32, z in the output; NaN = no surface

    @property
    def xy(self) -> Array:
        """(h, h, 2) backward flow."""
        return self.place[..., :2]

    @property
    def is_surface(self) -> Array:
        """(h, h) bool: the cell shows a surface."""
        return ~np.isnan(self.depth)


@dataclass(frozen=True)
class Outlines:
    """Places of the output between which holes mean something, normalised."""

    openings: Sequence[Array]  # (M, 2) polygons of lips and lids
    rim: Array  # (M, 2) polygon of the mesh's end, beyond which nothing is known
    interior: Array | None  # (n, n) float32, coverage of the mouth's gap


def source_view(rest: Array, triangles: Array, share: Array, subject: Array) -> SourceView:
    """What the source shows of its mesh; once per source.

    rest: (N, 3) vertices in the source. share: (N,) of the head's motion. subject: (S, S) float32
    mask of the person.
    """
    values = np.repeat(share[:, None], 3, 1).astype(np.float32)
    shares, depth = z_buffer.rasterise(rest, triangles, values, _CELLS)
    depth = np.where(np.isnan(depth), np.float32(_NOTHING_Z), depth)
    depth = cv2.dilate(depth, np.ones((3, 3), np.uint8))  # slopes do not hide themselves
    person = cv2.resize(subject, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return SourceView(np.dstack([depth, shares[..., 0], person]).astype(np.float32))


def explained(
    view: SourceView, shown: Shown, outlines: Outlines, zoom: float, background: Array | None
) -> tuple[Array, Array]:
    """Occlusion (h, h) float32 in [0, 1], 1 = visible in the source, and reasons (h, h) uint8.

    zoom: size of the head in the output over that in the source. background: (2, 3) affine
    source <- output of the background, or None.
    """
    cells = len(shown.depth)
    step = max(1, cells // _CELLS)
    behind = _background_person(view, cells, background)[::step, ::step]
    coarse = Shown(shown.place[::step, ::step], shown.depth[::step, ::step])
    occlusion, reasons = _explained(view, coarse, behind, outlines, zoom)
    if step == 1:
        return occlusion, reasons
    return (
        cv2.resize(occlusion, (cells, cells), interpolation=cv2.INTER_LINEAR),
        cv2.resize(reasons, (cells, cells), interpolation=cv2.INTER_NEAREST),
    )


def _explained(
    view: SourceView, shown: Shown, behind: Array, outlines: Outlines, zoom: float
) -> tuple[Array, Array]:
    """As ``explained``. behind: of ``_background_person``, on the grid of ``shown``."""
    cells = len(shown.depth)
    there = geometry.warp(view.maps, shown.xy, cv2.INTER_LINEAR)
    first, share, person = cv2.split(there)
    seen = _facing(shown.xy, 1 + share * np.float32(zoom**2 - 1))
    seen *= 1 - np.clip((shown.place[..., 2] - first - _BEFORE_Z) / _BEFORE_SOFT, 0, 1)
    away = person * (1 - seen)
    uncovered = np.clip(behind - person - _NOISE, 0, 1) / (1 - _NOISE)
    inside, opened = _inside(outlines, cells)
    holes = np.isnan(shown.depth)
    if holes.any():
        away[holes], uncovered[holes] = 0, 0
        opened = np.maximum(opened, holes & inside)
        uncovered[holes & ~inside & _filled_polygons([outlines.rim], cells)] = 1
    reasons = np.zeros((cells, cells), np.uint8)
    hidden = away > 0.5
    reasons[hidden & (share >= _SHARE_OF_HEAD)] = Reason.SELF_OCCLUDED
    reasons[hidden & (share < _SHARE_OF_HEAD) | (uncovered > 0.5)] = Reason.UNCOVERED
    reasons[(opened > 0.5) | (hidden & inside)] = Reason.OPENED
    occlusion = (1 - away) * (1 - uncovered) * (1 - opened)
    if occlusion.min() == 1:
        return occlusion.astype(np.float32), reasons
    blurred = cv2.GaussianBlur(occlusion.astype(np.float32), (0, 0), _SOFT_CELLS)
    return np.clip(blurred, 0, 1), reasons


def _facing(xy: Array, zoom_area: Array) -> Array:
    """(h, h) float32 in [0, 1]: 0 where the source shows the surface from behind or at its edge.

    xy: (h, h, 2) source positions. zoom_area: (h, h) area of the output for an area of the source
    that an enlargement alone gives.
    """
    across, down = _differences(xy), _differences(xy.swapaxes(0, 1)).swapaxes(0, 1)
    area = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    area *= zoom_area * np.float32((len(xy) / 2) ** 2)
    return smoothstep(np.clip((area - _LEAST_AREA) / (_FULL_AREA - _LEAST_AREA), 0, 1))


def _differences(xy: Array) -> Array:
    """(h, w, 2) difference to the next cell of a row, on the side where it is smaller.

    The larger one leads across a cut between two surfaces.
    """
    step = xy[:, 1:] - xy[:, :-1]
    length = np.einsum("hwc,hwc->hw", step, step)
    before = np.concatenate([step[:, :1], step], 1)
    after = np.concatenate([step, step[:, -1:]], 1)
    is_before = np.concatenate([length[:, :1], length], 1) < np.concatenate(
        [length, length[:, -1:]], 1
    )
    return np.where(is_before[..., None], before, after)


def _background_person(view: SourceView, cells: int, background: Array | None) -> Array:
    """(cells, cells) the person's mask of the source where its background is in the output."""
    mask = np.ascontiguousarray(view.maps[..., 2])
    grid = geometry.grid_norm(cells)
    if background is not None:
        grid = grid @ background[:, :2].T + background[:, 2]
    return geometry.warp(mask, grid, cv2.INTER_LINEAR)


def _inside(outlines: Outlines, cells: int) -> tuple[Array, Array]:
    """(cells, cells) bool inside lips and lids, and float32 coverage of the mouth's gap."""
    inside = _filled_polygons(outlines.openings, cells)
    if outlines.interior is None:
        return inside, np.zeros((cells, cells), np.float32)
    size = (cells, cells)
    return inside, cv2.resize(outlines.interior, size, interpolation=cv2.INTER_AREA)


def _filled_polygons(polygons: Sequence[Array], cells: int) -> Array:
    """(cells, cells) bool: cells in one of these polygons, their borders included."""
    out = np.zeros((cells, cells), np.uint8)
    for points in polygons:
        places = np.clip((points + 1) * (cells / 2) - 0.5, -2000, 2000)
        cv2.fillPoly(out, [np.round(places * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return out > 0
