"""Seed -> the room behind the head: a plastered wall, a shelf of books, a framed picture.

Or, for portraits, a plain wall of one colour.

Slightly out of focus, textured everywhere, and free of skin hues.
"""

from __future__ import annotations

import cv2
import numpy as np

from .raster import Array
from .surfaces import noise, smooth_step


def _books(image: Array, rng: np.random.Generator, top: int, bottom: int, x0: int, x1: int) -> None:
    palette = np.array(
        [(36, 74, 96), (58, 96, 78), (92, 104, 118), (30, 44, 70), (104, 112, 84), (70, 66, 98),
         (150, 160, 158), (44, 84, 108)], np.float32
    )  # fmt: skip
    x = x0
    while x < x1 - 4:
        width = int(rng.integers(9, 22))
        height = int((bottom - top) * rng.uniform(0.62, 0.95))
        end = min(x + width, x1)
        colour = palette[rng.integers(len(palette))] * rng.uniform(0.75, 1.15)
        round_off = 0.7 + 0.3 * np.sin(np.linspace(0.35, 2.6, end - x))
        image[bottom - height : bottom, x:end] = colour * round_off[None, :, None]
        for share in rng.uniform(0.1, 0.9, 2):
            y = bottom - int(height * share)
            image[y : y + 3, x + 1 : end - 1] = colour * 0.5 + 90
        x = end + int(rng.integers(0, 3))


def paint_room(width: int, height: int, seed: int) -> Array:
    """(height, width, 3) uint8 sRGB."""
    rng = np.random.default_rng(seed + 1)
    h, w = 720, round(720 * width / height)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    light = 0.72 + 0.42 * np.exp(-(((x - 0.28 * w) / (0.55 * w)) ** 2 + ((y - 180) / 520) ** 2))
    image = np.ones((h, w, 3), np.float32) * np.array((104, 126, 128), np.float32)
    image *= (1 + 0.1 * noise(rng, (h, w), 120, 5))[..., None]
    shelf_x = int(0.66 * w)
    image[60:420, shelf_x:] *= 0.42
    _books(image, rng, 74, 222, shelf_x + 10, w)
    _books(image, rng, 250, 404, shelf_x + 10, w)
    for shelf_y in (222, 404):
        image[shelf_y : shelf_y + 14, shelf_x:] = (70, 74, 70)
    image[60:420, shelf_x : shelf_x + 9] = (82, 86, 82)
    _picture(image, rng, int(0.07 * w), 90, int(0.21 * w), 210)
    wainscot = smooth_step(500, 506, y)[..., None]
    panel = np.array((62, 76, 82), np.float32) * (1 + 0.08 * np.sign(np.sin(x / 31)))[..., None]
    image = image * (1 - wainscot) + panel * wainscot
    image *= (light * (1 + 0.05 * noise(rng, (h, w), 14, 3)))[..., None]
    image = cv2.GaussianBlur(image, (0, 0), 1.9)
    image += 3.0 * noise(rng, (h, w), 3, 1)[..., None]
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(np.round(small), 0, 255).astype(np.uint8)


def paint_wall(width: int, height: int, seed: int, rgb: tuple[int, int, int]) -> Array:
    """A plain wall, lighter at the upper left, (height, width, 3) uint8 sRGB."""
    rng = np.random.default_rng(seed + 1)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = 1.08 - 0.16 * x / width - 0.18 * y / height
    light = light * (1 + 0.04 * noise(rng, (height, width), height / 3, 3))
    image = light[..., None] * np.array(rgb, np.float32)
    image += 2.0 * noise(rng, (height, width), 3, 1)[..., None]
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _picture(
    image: Array, rng: np.random.Generator, x: int, y: int, width: int, height: int
) -> None:
    """A framed landscape: sky, hills, water."""
    image[y - 10 : y + height + 10, x - 10 : x + width + 10] = (46, 50, 54)
    image[y - 6 : y + height + 6, x - 6 : x + width + 6] = (196, 202, 200)
    v, u = np.mgrid[:height, :width].astype(np.float32) / height
    canvas = np.ones((height, width, 3), np.float32) * np.array((132, 168, 190), np.float32)
    canvas *= (1 - 0.35 * v)[..., None]
    for level, colour in ((0.5, (84, 122, 128)), (0.62, (58, 98, 84)), (0.76, (34, 66, 62))):
        line = level + 0.1 * np.interp(u[0], np.linspace(0, u.max(), 9), rng.uniform(-1, 1, 9))
        canvas[v > line[None, :]] = colour
    canvas *= (1 + 0.1 * noise(rng, (height, width), 9, 2))[..., None]
    image[y : y + height, x : x + width] = canvas
