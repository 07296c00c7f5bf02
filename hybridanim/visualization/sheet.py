"""Pictures beside each other: labelled contact sheets, strips, side by side, the overview's rows.

Pictures of any size in, one (H, W, 3) uint8 RGB out, on a dark neutral ground. Pictures keep their
shape; labels stand above them and are cut, never overlapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from hybridanim.types import Array

from . import primitives


class Cell(NamedTuple):
    """Where a picture goes, and the row of its label above it; whole pixels."""

    x: int
    y: int
    width: int
    height: int


def resized(image: Array, width: int, height: int) -> Array:
    """The picture at that size, without aliasing; the same array where nothing is to be done."""
    if image.shape[:2] == (height, width):
        return image
    scale = np.sqrt(width * height / (image.shape[0] * image.shape[1]))
    # down to about half, bilinear shows no aliasing yet and costs an eighth of averaging
    method = cv2.INTER_AREA if scale < 0.55 else cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (max(1, width), max(1, height)), interpolation=method)


def fit(image: Array, width: int, height: int) -> Array:
    """The whole picture, as large as the box allows, in the middle of a dark one."""
    if image.shape[:2] == (height, width):
        return image.copy()
    out = primitives.solid(height, width)
    if not image.size:
        return out
    scale = min(width / image.shape[1], height / image.shape[0])
    w = min(width, max(1, round(image.shape[1] * scale)))
    h = min(height, max(1, round(image.shape[0] * scale)))
    x, y = (width - w) // 2, (height - h) // 2
    out[y : y + h, x : x + w] = resized(image, w, h)
    return out


def sheet(
    cells: Sequence[Array | None],
    labels: Sequence[str] = (),
    cell_px: int = 256,
    *,
    columns: int | None = None,
    title: str = "",
) -> Array:
    """A contact sheet: cells from left to right, row by row; None leaves a place empty.

    cell_px: width of a cell; its height follows the pictures' median shape. columns: as many as
    make the sheet about as wide as high, unless told.
    """
    shapes = [cell.shape for cell in cells if cell is not None and cell.size]
    ratio = float(np.median([h / w for h, w, *_ in shapes])) if shapes else 1.0
    height = max(1, round(cell_px * min(ratio, 2.0)))
    columns = columns or max(1, round(np.sqrt(len(cells) * height / cell_px)))
    rows = max(1, -(-len(cells) // columns))
    gap, size = max(4, cell_px // 32), max(11, cell_px // 18)
    head = primitives.line_height(size) if any(labels) else 0
    top = gap + (round(2.2 * size) if title else 0)
    step_x, step_y = cell_px + gap, height + head + gap
    out = primitives.solid(top + rows * step_y, gap + columns * step_x)
    primitives.put_text(out, title, (gap, gap), size_px=round(1.3 * size))
    for index, cell in enumerate(cells):
        x, y = gap + index % columns * step_x, top + index // columns * step_y
        if index < len(labels):
            words = primitives.shorten(labels[index], size, cell_px)
            primitives.put_text(out, words, (x, y), primitives.DIM, size_px=size)
        place = out[y + head : y + head + height, x : x + cell_px]
        place[:] = primitives.PANEL if cell is None else fit(cell, cell_px, height)
    return out


def strip(cells: Sequence[Array], labels: Sequence[str] = (), height_px: int = 192) -> Array:
    """Pictures in one row, all equally high, each as wide as its shape asks."""
    gap, size = max(4, height_px // 32), max(11, height_px // 14)
    head = primitives.line_height(size) if any(labels) else 0
    wide = [max(1, round(c.shape[1] * height_px / c.shape[0])) if c.size else 1 for c in cells]
    out = primitives.solid(height_px + head + 2 * gap, gap + sum(w + gap for w in wide))
    x = gap
    for index, (cell, width) in enumerate(zip(cells, wide, strict=True)):
        if index < len(labels):
            words = primitives.shorten(labels[index], size, width)
            primitives.put_text(out, words, (x, gap), primitives.DIM, size_px=size)
        out[gap + head : gap + head + height_px, x : x + width] = fit(cell, width, height_px)
        x += width + gap
    return out


def side_by_side(left: Array, right: Array, *, height_px: int | None = None, gap_px: int = 0):
    """Two pictures at one height (the right one's, unless told), the width made even."""
    height = height_px or right.shape[0]
    wide = [max(1, round(p.shape[1] * height / p.shape[0])) for p in (left, right)]
    out = primitives.solid(height, (sum(wide) + gap_px + 1) // 2 * 2)
    out[:, : wide[0]] = resized(left, wide[0], height)
    start = wide[0] + gap_px
    out[:, start : start + wide[1]] = resized(right, wide[1], height)
    return out


def overview_layout(
    shapes: Sequence[tuple[int, int]], width_px: int, *, gap_px: int, head_px: int, most_px: int
) -> tuple[list[Cell], int]:
    """Two rows of equal width from pictures (height, width), in their order; and their height.

    The break is where the rows come out most alike in height, so that phone and landscape video
    both fill the sheet. head_px: room for labels above each row; most_px: highest row.
    """
    ratios = np.array([w / h for h, w in shapes])
    breaks = range(1, len(ratios)) if len(ratios) > 1 else [len(ratios)]
    at = min(breaks, key=lambda i: abs(np.log(ratios[:i].sum() / max(ratios[i:].sum(), 1e-6))))
    cells, y = [], gap_px
    for row in (ratios[:at], ratios[at:]):
        if not len(row):
            continue
        room = width_px - gap_px * (len(row) + 1)
        height = min(int(room / row.sum()), most_px)
        widths = [int(height * ratio) for ratio in row]
        x = (width_px - sum(widths) - gap_px * (len(row) - 1)) // 2
        for width in widths:
            cells.append(Cell(x, y + head_px, max(1, width), max(1, height)))
            x += width + gap_px
        y += height + head_px + gap_px
    return cells, y
