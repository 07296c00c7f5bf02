"""Animated square and its source picture -> the whole picture, at the picture's resolution.

The square is resampled to the crop's pixels with sub-pixel accuracy and fades out towards the
crop's border; outside the crop the picture is unchanged bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim.errors import InputError
from hybridanim.resampling import smoothstep
from hybridanim.types import Array, Crop


@dataclass(frozen=True, slots=True)
class Edge:
    """A border strip of the pasted part, in which the square fades in."""

    rows: slice
    columns: slice
    part: Array  # (h, w, 3) uint8 RGB, the source picture in the strip
    weight: Array  # (h, w, 3) float32 in [0, 1], weight of the animated square


@dataclass(frozen=True, slots=True)
class Place:
    """Position and fading of a crop in a picture; made once by ``place``."""

    rows: slice
    columns: slice
    edges: tuple[Edge, ...]
    part_from_square: Array  # (2, 3) float64, pixels of the square -> pixels of the part
    side_px: int  # side of the crop if it lies on whole pixels, else 0
    shrink_px: int  # the square is area-averaged to this side before resampling
    picture: Array  # (H, W, 3) uint8 RGB


def place(picture: Array, crop: Crop, square_px: int, feather: float = 0.05) -> Place:
    """Prepare pasting squares of ``square_px`` pixels back into the crop of the picture.

    picture: (H, W, 3) uint8 RGB. crop: may reach beyond the picture; that part is not pasted.
    feather: share of the crop's side over which the square fades in, 0 to 0.5; sides of the crop
    outside the picture do not fade. Raises InputError if crop and picture do not intersect.
    """
    height, width = picture.shape[:2]
    rows = _inside(crop.y_px, crop.side_px, height)
    columns = _inside(crop.x_px, crop.side_px, width)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise InputError(
            f"paste back: expected a crop that meets the {width}x{height} picture, got one at "
            f"({crop.x_px:.0f}, {crop.y_px:.0f}) of side {crop.side_px:.0f}; choose another crop"
        )
    vertical = _fade(rows, crop.y_px, crop.side_px, height, feather)
    horizontal = _fade(columns, crop.x_px, crop.side_px, width, feather)
    shrink_px = min(square_px, max(1, round(crop.side_px)))
    scale = crop.side_px / shrink_px
    # edge coordinates scale about the crop's corner; pixel centres are half a pixel from edges
    move = np.array(
        [
            [scale, 0, 0.5 * scale - 0.5 + crop.x_px - columns.start],
            [0, scale, 0.5 * scale - 0.5 + crop.y_px - rows.start],
        ]
    )
    is_whole = all(float(v).is_integer() for v in (crop.x_px, crop.y_px, crop.side_px))
    side_px = int(crop.side_px) if is_whole else 0
    edges = _edges(picture[rows, columns], vertical, horizontal)
    return Place(rows, columns, edges, move, side_px, shrink_px, picture)


def paste(where: Place, square: Array) -> Array:
    """Return the picture (H, W, 3) uint8 RGB with ``square``, (S, S, 3) uint8 RGB, pasted."""
    if square.shape[0] > where.shrink_px:
        side = (where.shrink_px, where.shrink_px)
        square = cv2.resize(square, side, interpolation=cv2.INTER_AREA)
    moved = _resampled(where, square)
    for edge in where.edges:
        inner = moved[edge.rows, edge.columns]
        change = cv2.multiply(cv2.subtract(inner, edge.part, dtype=cv2.CV_32F), edge.weight)
        moved[edge.rows, edge.columns] = cv2.add(edge.part, change, dtype=cv2.CV_8U)
    out = where.picture.copy()
    out[where.rows, where.columns] = moved
    return out


def _resampled(where: Place, square: Array) -> Array:
    """Resample the square to the picture's pixels: a new array (h, w, 3) uint8."""
    height, width = where.rows.stop - where.rows.start, where.columns.stop - where.columns.start
    if where.side_px:  # on whole pixels: four times faster, and exact
        side = where.side_px
        if len(square) != side:
            square = cv2.resize(square, (side, side), interpolation=cv2.INTER_CUBIC)
        x, y = np.rint(where.part_from_square[:, 2] + 0.5 - 0.5 * side / where.shrink_px)
        first_row, first_column = -int(y), -int(x)
        columns = slice(first_column, first_column + width)
        return square[first_row : first_row + height, columns].copy()
    return cv2.warpAffine(
        square,
        where.part_from_square,
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _edges(part: Array, vertical: Array, horizontal: Array) -> tuple[Edge, ...]:
    """Strips whose weight is below 1: top, bottom, and left and right between them."""
    (top, bottom), (left, right) = _ends(vertical), _ends(horizontal)
    rows, columns = slice(top, bottom), slice(0, part.shape[1])
    strips = [
        (slice(0, top), columns),
        (slice(bottom, part.shape[0]), columns),
        (rows, slice(0, left)),
        (rows, slice(right, part.shape[1])),
    ]
    edges = []
    for at_rows, at_columns in strips:
        weight = np.repeat((vertical[at_rows, None] * horizontal[at_columns])[..., None], 3, 2)
        if weight.size:
            kept = np.ascontiguousarray(part[at_rows, at_columns])
            edges.append(Edge(at_rows, at_columns, kept, weight.astype(np.float32)))
    return tuple(edges)


def _ends(weight: Array) -> tuple[int, int]:
    """First index and one past the last index of weight 1; both the length if there is none."""
    full = np.flatnonzero(weight == 1)
    return (int(full[0]), int(full[-1]) + 1) if len(full) else (len(weight), len(weight))


def paste_back(picture: Array, crop: Crop, animated: Array, feather: float = 0.05) -> Array:
    """Paste one square into a picture; for several squares call ``place`` once, then ``paste``."""
    return paste(place(picture, crop, animated.shape[0], feather), animated)


def _inside(start_px: float, side_px: float, length: int) -> slice:
    """Slice of the pixels, in a row of ``length``, whose centres lie in the crop."""
    first = int(np.ceil(start_px - 0.5))
    last = int(np.ceil(start_px + side_px - 0.5))
    return slice(min(max(first, 0), length), max(min(last, length), 0))


def _fade(span: slice, start_px: float, side_px: float, length: int, feather: float) -> Array:
    """Weight (n,) float32 of each pixel of the span: 0 at the crop's border, 1 inside."""
    at = np.arange(span.start, span.stop) + 0.5  # edge coordinates of the pixel centres
    from_start = np.full(len(at), np.inf) if start_px < 0 else at - start_px
    to_end = start_px + side_px - at
    if start_px + side_px > length:
        to_end = np.full(len(at), np.inf)
    t = np.clip(np.minimum(from_start, to_end) / max(feather * side_px, 1e-6), 0, 1)
    return smoothstep(t).astype(np.float32)
