"""Drawing primitives: anti-aliased text with a halo, lines, dashes, dots, panels; and colours.

Every function here draws into the given canvas, (H, W, 3) uint8 RGB, contiguous; those of
drawing.py and flow.py copy it first. Sizes come from ``unit``, so pictures of any size look alike.
Colours: Okabe and Ito 2008, which people with any colour vision can tell apart, on a dark neutral.
Text: Pillow's built-in typeface, so that nothing has to be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hybridanim.resampling import FILL
from hybridanim.types import Array

Colour = tuple[int, int, int]
DARK: Colour = FILL
PANEL: Colour = (34, 37, 43)
TEXT: Colour = (236, 238, 241)
DIM: Colour = (160, 166, 175)
BLUE: Colour = (0, 114, 178)
SKY: Colour = (86, 180, 233)
GREEN: Colour = (0, 158, 115)
YELLOW: Colour = (240, 228, 66)
ORANGE: Colour = (230, 159, 0)
RED: Colour = (213, 94, 0)
PINK: Colour = (204, 121, 167)
SHIFT = 4  # OpenCV's fixed-point bits: sixteenths of a pixel
FAR_PX = 20000.0  # beyond this OpenCV's fixed-point coordinates may overflow


class Line(NamedTuple):
    """One line of a note: its text and, optionally, a colour chip before it."""

    text: str
    chip: Colour | None = None


def unit(canvas: Array) -> float:
    """Scale of all sizes: 1 for a 640x480 canvas, between 0.5 and 4."""
    return float(np.clip(np.sqrt(canvas.shape[0] * canvas.shape[1]) / 554, 0.5, 4))


def text_px(canvas: Array, share: float = 1.0) -> int:
    """Type size for the canvas; ``share`` makes it smaller or larger than running text."""
    return max(9, round(17 * share * unit(canvas)))


def solid(height: int, width: int, colour: Colour = DARK) -> Array:
    """A picture of one colour. Copying a row is ten times faster than filling pixel by pixel."""
    out = np.empty((height, width, 3), np.uint8)
    out[:] = np.tile(np.array(colour, np.uint8), (width, 1))
    return out


def copied(canvas: Array) -> Array:
    """A contiguous uint8 copy to draw into."""
    return np.array(canvas, dtype=np.uint8, order="C")


@lru_cache(maxsize=32)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


@lru_cache(maxsize=256)  # numbers change from frame to frame, so bounded
def _glyphs(text: str, size_px: int, halo_px: int) -> tuple[Array, Array]:
    """Coverage, uint8, of the letters, and of the letters with their halo."""
    font = _font(size_px)
    width = max(1, text_width(text, size_px)) + 2 * halo_px
    height = line_height(size_px) + 2 * halo_px
    plane = Image.new("L", (width, height))
    ImageDraw.Draw(plane).text((halo_px, halo_px), text, fill=255, font=font)
    fill = np.array(plane)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * halo_px + 1, 2 * halo_px + 1))
    cover = cv2.dilate(fill, disc)  # cheaper than stroking the outlines, and as round
    return fill, cover


def line_height(size_px: int) -> int:
    """Height of one line of text, in pixels."""
    return round(1.3 * size_px)


@lru_cache(maxsize=1024)
def text_width(text: str, size_px: int) -> int:
    """Width of the text, in pixels."""
    return round(_font(size_px).getlength(text))


def shorten(text: str, size_px: int, width_px: float) -> str:
    """The text, cut with an ellipsis where it would be wider than ``width_px``."""
    if text_width(text, size_px) <= width_px:
        return text
    while text and text_width(text + "…", size_px) > width_px:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""


def put_text(
    canvas: Array,
    text: str,
    xy_px: tuple[float, float],
    colour: Colour = TEXT,
    *,
    size_px: int,
    align: tuple[float, float] = (0.0, 0.0),
    opacity: float = 1.0,
) -> None:
    """Write one line. ``align``: (0, 0) puts its top left corner at xy, (0.5, 0.5) its middle."""
    if not text or not np.all(np.isfinite(xy_px)):
        return
    halo = max(1, round(size_px / 9))
    fill, cover = _glyphs(text, size_px, halo)
    height, width = fill.shape
    x = round(float(np.clip(xy_px[0], -FAR_PX, FAR_PX)) - align[0] * (width - 2 * halo)) - halo
    y = round(float(np.clip(xy_px[1], -FAR_PX, FAR_PX)) - align[1] * (height - 2 * halo)) - halo
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, canvas.shape[1]), min(y + height, canvas.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
    letter = fill[part][..., None] * np.float32(opacity / 255)
    halo_only = (cover[part] - fill[part])[..., None] * np.float32(0.75 * opacity / 255)
    under = canvas[y0:y1, x0:x1].astype(np.float32)
    mixed = under * (1 - letter - halo_only) + letter * np.array(colour, np.float32)
    canvas[y0:y1, x0:x1] = (mixed + halo_only * np.array(DARK, np.float32) + 0.5).astype(np.uint8)


def fixed_point(xy_px: Array) -> Array:
    """Points (..., 2) as OpenCV's fixed-point int32, far ones pulled in so nothing overflows."""
    return np.round(np.clip(xy_px, -FAR_PX, FAR_PX) * 2**SHIFT).astype(np.int32)


def put_paths(
    canvas: Array, paths: Sequence[Array], colour: Colour, width_px: float = 1.0, *, closed=False
) -> None:
    """Draw polylines (each (M, 2) pixels), anti-aliased; ones with a NaN are left out."""
    paths = [path for path in paths if len(path)]
    if not paths:
        return
    joined = np.concatenate(
        paths
    )  # converted at once: one call a path would cost more than drawing
    ends = np.cumsum([len(path) for path in paths]).tolist()
    is_good, points = np.isfinite(joined).min(axis=1), fixed_point(np.nan_to_num(joined))
    spans = zip([0, *ends[:-1]], ends, strict=True)
    good = [points[start:end] for start, end in spans if is_good[start:end].min()]
    cv2.polylines(canvas, good, closed, colour, max(1, round(width_px)), cv2.LINE_AA, SHIFT)


def put_dashes(
    canvas: Array, path: Array, colour: Colour, width_px: float = 1.0, *, dash_px: float = 7.0
) -> None:
    """Draw a closed path (M, 2) with dashes; at most a few hundred of them."""
    ends = np.vstack([path, path[:1]]).astype(np.float64)
    if not np.isfinite(ends).all():
        return
    steps = np.hypot(*np.diff(ends, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    dash_px = max(dash_px, along[-1] / 400)
    starts = np.arange(0, along[-1], 2 * dash_px)
    stops = np.minimum(starts + dash_px, along[-1])
    dashes = [
        np.stack([np.interp(pair, along, ends[:, axis]) for axis in (0, 1)], -1)
        for pair in np.stack([starts, stops], -1)
    ]
    put_paths(canvas, dashes, colour, width_px)


def box_path(x: float, y: float, width: float, height: float) -> Array:
    """The four corners of a box, (4, 2)."""
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def put_dots(
    canvas: Array,
    xy_px: Array,
    radius_px: float,
    colours: Sequence[Colour],
    *,
    ring: bool = False,
) -> None:
    """Filled discs with a dark rim at (N, 2), or only rings; colours are repeated in order."""
    xy = np.reshape(xy_px, (-1, 2))
    is_good = np.isfinite(xy).min(axis=1, keepdims=True)
    places = fixed_point(np.where(is_good, xy, 0)).tolist()
    radius = round(radius_px * 2**SHIFT)
    for row in np.flatnonzero(is_good).tolist():
        colour = colours[row % len(colours)]
        if ring:
            cv2.circle(canvas, places[row], radius, colour, 1, cv2.LINE_AA, SHIFT)
            continue
        cv2.circle(canvas, places[row], radius + 2**SHIFT, DARK, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(canvas, places[row], radius, colour, -1, cv2.LINE_AA, SHIFT)


def put_arrow(canvas: Array, start_px: Array, end_px: Array, colour: Colour, width_px: float):
    """A line with a head of fixed share, over a dark line that sets it off."""
    start, end = np.asarray(start_px, float), np.asarray(end_px, float)
    if not np.isfinite([start, end]).all():
        return
    along = end - start
    length = float(np.hypot(*along))
    paths = [np.stack([start, end])]
    if length > 1e-3:
        size = min(0.35 * length, 4.5 * width_px)
        ahead = along / length * size
        side = np.array([-ahead[1], ahead[0]]) * 0.6
        paths.append(np.stack([end - ahead + side, end, end - ahead - side]))
    put_paths(canvas, paths, DARK, width_px + 2)
    put_paths(canvas, paths, colour, width_px)


def blended(canvas: Array, opacity: float, paint: Callable[[Array], None]) -> None:
    """Let ``paint`` draw on a layer that is then laid over the canvas with that opacity."""
    if opacity >= 1:
        paint(canvas)
        return
    layer = canvas.copy()
    paint(layer)
    cv2.addWeighted(layer, opacity, canvas, 1 - opacity, 0, dst=canvas)


def shade(canvas: Array, box: tuple[int, int, int, int], colour: Colour, opacity: float) -> None:
    """Lay a translucent rectangle (x, y, width, height) over the canvas, cut at its edges."""
    x, y, width, height = box
    x0, y0 = max(x, 0), max(y, 0)
    part = canvas[y0 : max(y + height, 0), x0 : max(x + width, 0)]
    if part.size:
        ink = np.empty_like(part)
        ink[:] = colour
        canvas[y0 : y + height, x0 : x + width] = cv2.addWeighted(
            part, 1 - opacity, ink, opacity, 0
        )


def put_note(canvas: Array, lines: Sequence[Line], *, right: bool = False, top: bool = False):
    """A small panel of lines in a corner (bottom left by default)."""
    if not lines:
        return
    size = text_px(canvas, 0.85)
    pad, step = round(0.5 * size), line_height(size)
    chip = round(0.8 * size)
    indents = [chip + pad if line.chip is not None else 0 for line in lines]
    room = canvas.shape[1] - 4 * pad
    shown = [shorten(li.text, size, room - ind) for li, ind in zip(lines, indents, strict=True)]
    width = max(text_width(t, size) + ind for t, ind in zip(shown, indents, strict=True)) + 2 * pad
    height = step * len(lines) + pad
    x = canvas.shape[1] - width - pad if right else pad
    y = pad if top else canvas.shape[0] - height - pad
    shade(canvas, (x, y, width, height), DARK, 0.62)
    for row, (line, text, indent) in enumerate(zip(lines, shown, indents, strict=True)):
        middle = y + pad / 2 + (row + 0.5) * step
        if line.chip is not None:
            corner = (x + pad, round(middle - chip / 2))
            shade(canvas, (*corner, chip, chip), TEXT, 1.0)
            shade(canvas, (corner[0] + 1, corner[1] + 1, chip - 2, chip - 2), line.chip, 1.0)
        put_text(canvas, text, (x + pad + indent, middle), size_px=size, align=(0, 0.5))


def put_banner(canvas: Array, text: str, colour: Colour = RED) -> None:
    """A coloured bar with text across the top."""
    size = text_px(canvas)
    height = round(2.0 * size)
    shade(canvas, (0, 0, canvas.shape[1], height), colour, 0.82)
    text = shorten(text, size, canvas.shape[1] - size)
    middle = (canvas.shape[1] / 2, height / 2)
    put_text(canvas, text, middle, (255, 255, 255), size_px=size, align=(0.5, 0.5))
