"""What a good GIF needs: one palette, steady dithering, and a comment.

A palette is made once, by weighted k-means in which rare colours (lips, eyes) count. Pictures are
mapped to it through a lookup table with ordered dithering (Bayer 1973), whose pattern stands still
from frame to frame, so that still places stay still and compress well.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hybridanim import files
from hybridanim.types import Array

COLORS = 255  # one of 256 is left to the encoder, for "as before"
ROUNDS = 12
MOST_PIXELS = 60_000  # looked at for the palette
LEVELS = 32  # of each channel in the lookup table
DITHER_LEVELS = 11.0  # peak to peak, in 0..255


class Palette:
    """Maps pictures to the colours of one of them."""

    def __init__(self, image: Array) -> None:
        colors = _choose(image)
        self._argb = np.zeros((256, 4), np.uint8)
        self._argb[: len(colors), 0] = 255
        self._argb[: len(colors), 1:] = colors
        self._table = _nearest(colors)
        height, width = image.shape[:2]
        tiles = -(-height // 8), -(-width // 8)
        offset = np.tile(_bayer8() * DITHER_LEVELS, tiles)[:height, :width, None]
        self._offset = np.round(offset).astype(np.int16)

    def __call__(self, image: Array) -> tuple[Array, Array]:
        """(H, W, 3) uint8 RGB -> (H, W) uint8 palette numbers, (256, 4) uint8 ARGB palette."""
        dithered = np.clip(image.astype(np.int16) + self._offset, 0, 255) >> 3
        place = (dithered[..., 0] * LEVELS + dithered[..., 1]) * LEVELS + dithered[..., 2]
        return self._table[place], self._argb


def _choose(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Up to COLORS colours that serve the picture well, (N, 3)."""
    pixels = image.reshape(-1, 3)
    pixels = pixels[:: max(1, len(pixels) // MOST_PIXELS)].astype(np.int64)
    cell = ((pixels[:, 0] >> 2) << 12) | ((pixels[:, 1] >> 2) << 6) | (pixels[:, 2] >> 2)
    _, member, count = np.unique(cell, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(member, pixels[:, i]) / count for i in range(3)], 1)
    if len(means) <= COLORS:
        return np.round(means).astype(np.uint8)
    weight = count**0.5
    quantized = Image.fromarray(image).quantize(COLORS, Image.Quantize.FASTOCTREE)
    colors = np.array(quantized.getpalette(), np.float64).reshape(-1, 3)[:COLORS]
    for _ in range(ROUNDS):
        nearest = _distances(means, colors).argmin(1)
        total = np.bincount(nearest, weight, minlength=len(colors))
        used = total > 0
        for i in range(3):
            sums = np.bincount(nearest, weight * means[:, i], minlength=len(colors))
            colors[used, i] = sums[used] / total[used]
        # a colour that serves nobody goes to the cell that is served worst
        worst = np.argsort(-weight * _distances(means, colors).min(1))
        colors[~used] = means[worst[: int((~used).sum())]]
    return np.round(colors).astype(np.uint8)


def _distances(points: NDArray[Any], colors: NDArray[Any]) -> NDArray[np.float64]:
    """(N, K) squared distances."""
    cross = points @ colors.T
    return np.maximum((points**2).sum(1)[:, None] + (colors**2).sum(1) - 2 * cross, 0)


def _nearest(colors: Array) -> Array:
    """(LEVELS^3,) uint8: the nearest of ``colors`` for each cell of the lookup table."""
    levels = (np.arange(LEVELS, dtype=np.float32) + 0.5) * (256 / LEVELS)
    cells = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    palette = colors.astype(np.float32)
    # |cell|^2 is the same for all colours of a cell and left out
    distance = (palette**2).sum(1) - 2 * cells @ palette.T
    return distance.argmin(1).astype(np.uint8)


def _bayer8() -> NDArray[np.float64]:
    """The 8 x 8 ordered-dither matrix, centred on 0, in units of one step."""
    matrix = np.zeros((1, 1))
    for _ in range(3):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return (matrix + 0.5) / 64 - 0.5


def insert_comment(path: Path, text: str) -> None:
    """Put a comment block before the first picture of a GIF file."""
    if not text:
        return
    data = text.encode("utf-8")
    pieces = [data[i : i + 255] for i in range(0, len(data), 255)]
    block = b"\x21\xfe" + b"".join(bytes([len(p)]) + p for p in pieces) + b"\x00"
    with files.atomic_write(path) as target, open(path, "rb") as source:
        header = source.read(13)
        flags = header[10]
        colors_bytes = 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
        target.write(header + source.read(colors_bytes) + block)
        shutil.copyfileobj(source, target)
