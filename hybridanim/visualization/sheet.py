"""Several pictures in one: a labelled contact sheet, a row, a picture fitted into a box.

Pictures of any size in, one (H, W, 3) uint8 RGB out, on a dark neutral ground. Pictures keep their
aspect ratio. Labels stand above them and are cut where they would be wider than the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridanim.resampling import resized
from hybridanim.types import Array

from . import primitives


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


def contact_sheet(
    cells: Sequence[Array | None],
    labels: Sequence[str] = (),
    cell_px: int = 256,
    *,
    columns: int | None = None,
    title: str = "",
) -> Array:
    """A grid of pictures with labels, from left to right, row by row; None leaves a place empty.

    cell_px: width of a cell; its height follows the pictures' median shape. columns: None chooses
    the number that makes the sheet about as wide as high.
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
            text = primitives.shorten(labels[index], size, cell_px)
            primitives.put_text(out, text, (x, y), primitives.DIM, size_px=size)
        place = out[y + head : y + head + height, x : x + cell_px]
        place[:] = primitives.PANEL if cell is None else fit(cell, cell_px, height)
    return out


def row(cells: Sequence[Array], labels: Sequence[str] = (), height_px: int = 192) -> Array:
    """Pictures in one row, all ``height_px`` high, each as wide as its aspect ratio asks."""
    gap, size = max(4, height_px // 32), max(11, height_px // 14)
    head = primitives.line_height(size) if any(labels) else 0
    wide = [max(1, round(c.shape[1] * height_px / c.shape[0])) if c.size else 1 for c in cells]
    out = primitives.solid(height_px + head + 2 * gap, gap + sum(w + gap for w in wide))
    x = gap
    for index, (cell, width) in enumerate(zip(cells, wide, strict=True)):
        if index < len(labels):
            text = primitives.shorten(labels[index], size, width)
            primitives.put_text(out, text, (x, gap), primitives.DIM, size_px=size)
        out[gap + head : gap + head + height_px, x : x + width] = fit(cell, width, height_px)
        x += width + gap
    return out
