"""Inside of a mouth that the source shuts: a dark cavity, tongue and teeth (motion.teeth).

Colours are those of the source: the cavity and the tongue are shades of the lips; teeth are as
bright as the whites of the eyes and the skin, with little of the skin's tint. Thus a grey
photograph stays grey and a painting keeps its palette. The lips cast a soft shadow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.face.landmarks import GROUPS
from hybridanim.motion import teeth as strips
from hybridanim.motion import z_buffer
from hybridanim.resampling import smoothstep
from hybridanim.types import Array, MovedTeeth, Source

_CAVITY, _DEPTH = 0.24, 0.45  # share of the lips' colour; how much darker the middle is
_TONGUE, _GUMS = 0.7, 0.75  # share of the lips' colour
_ENAMEL, _TINT = 1.05, 0.7  # brightness of teeth, of what is white; share of the skin's tint
_BRIGHTEST = 232.0
_SHADOW = 0.92  # brightness next to a lip
_DIM, _BRIGHT_MM = 0.3, 7.0  # light between lips that touch; opening with all of it
_OWN_TEETH = (0.012, 0.03)  # heights of faces, opening at which the source shows its own teeth
_ATLAS_PX = 6  # pixels in a millimetre
_CROWNS_UPPER = (8.5, 6.6, 7.6, 7.0, 6.8)  # widths of the teeth from the middle, mm
_CROWNS_LOWER = (5.4, 6.0, 6.9, 7.0, 7.0)
_LENGTHS_UPPER = (10.5, 9.3, 10.2, 8.8, 8.0)
_LENGTHS_LOWER = (8.8, 9.0, 9.8, 8.6, 8.2)
_SHORTER_UPPER = (0.0, 0.9, 0.3, 1.2, 1.8)  # of the edge, above the line of the front teeth
_SHORTER_LOWER = (0.0, 0.0, 0.2, 0.8, 1.2)
Lengths = tuple[float, ...]
_LEAST_PX = 5  # smallest side of an opening in which teeth are drawn


@dataclass(frozen=True)
class MouthPaint:
    """Colours of one source."""

    cavity: Array  # (3,) float32 RGB
    atlas: tuple[Array, ...]  # (h, w, 4) uint8 premultiplied RGB and coverage, each half the last


def prepare(source: Source) -> MouthPaint | None:
    """Choose the colours of a source; None without landmarks."""
    if source.landmarks_xy_px is None:
        return None
    places = geometry.norm_from_px(source.landmarks_xy_px, source.crop)
    size = len(source.image)
    points = (places + 1) * (size / 2) - 0.5
    lips = np.zeros((size, size), np.uint8)
    for group, colour in (("outer_lips", 255), ("inner_lips", 0)):
        cv2.fillPoly(lips, [np.round(points[list(GROUPS[group])]).astype(np.int32)], colour)
    if not lips.any():
        return None
    lip = np.asarray(cv2.mean(source.image, lips)[:3], np.float32)
    upper = 1.0
    if source.face is not None:
        first, last = _OWN_TEETH
        own = (float(source.face.quantities[0]) - first) / (last - first)
        upper = 1 - float(smoothstep(np.clip(own, 0, 1)))
    atlas = _coloured(lip, _enamel(source.image, points), upper)
    return MouthPaint(lip * np.float32(_CAVITY), _halved(atlas))


def _enamel(image: Array, points: Array) -> Array:
    """(3,) colour of teeth in the light of the picture (S, S, 3); points: landmarks, pixels."""
    size = len(image)
    eyes, face = np.zeros((2, size, size), np.uint8)
    for group in ("left_eye", "right_eye"):
        cv2.fillPoly(eyes, [np.round(points[list(GROUPS[group])]).astype(np.int32)], 255)
    hull = cv2.convexHull(np.round(points).astype(np.int32))
    cv2.fillConvexPoly(face, hull, 255)
    skin = np.median(image[face > 0], axis=0) if face.any() else np.full(3, 128.0)
    level = float(skin.mean())
    if eyes.any():  # their whites
        level = max(level, float(np.percentile(image[eyes > 0].mean(-1), 80)))
    white = level + _TINT * (skin - skin.mean())
    bright = min(_ENAMEL, _BRIGHTEST / max(float(white.max()), 1.0))
    return (bright * np.maximum(white, 0)).astype(np.float32)


@cache
def _drawn() -> Array:
    """(h, w, 4) float32 in [0, 1]: enamel, gums, tongue, shade; in ``strips.ATLAS_MM``."""
    width, height = (round(n * _ATLAS_PX) for n in strips.ATLAS_MM)
    x = ((np.arange(width) + 0.5) / _ATLAS_PX - strips.ATLAS_MM[0] / 2)[None]
    y = ((np.arange(height) + 0.5) / _ATLAS_PX)[:, None]
    out = np.zeros((height, width, 4), np.float32)
    out[..., 3] = 1
    upper = strips.UPPER_MM - y  # from the edge towards the gums
    _draw_arch(out, x, upper, _CROWNS_UPPER, _LENGTHS_UPPER, _SHORTER_UPPER, strips.UPPER_MM)
    lower = y - strips.UPPER_MM
    _draw_arch(out, x, lower, _CROWNS_LOWER, _LENGTHS_LOWER, _SHORTER_LOWER, strips.LOWER_MM)
    along = y - strips.UPPER_MM - strips.LOWER_MM
    inside = (along >= 0) & (np.abs(x) < 21)
    across = np.clip((20 - np.abs(x)) / 6, 0, 1)
    back = 1 - np.clip(along / (0.7 * strips.TONGUE_MM), 0, 1)
    furrow = 1 - 0.15 * np.exp(-((x / 2.0) ** 2))
    out[..., 2] = np.where(inside, across * smoothstep(back), 0)
    out[..., 3] = np.where(inside, 0.4 + 0.6 * back * furrow, out[..., 3])
    return out


def _draw_arch(
    out: Array,
    x: Array,
    height: Array,
    crowns: Lengths,
    lengths: Lengths,
    shorter: Lengths,
    most: float,
) -> None:
    """Draw one row of teeth in place; height: (h, 1) mm from the cutting edge to the gums."""
    rows = np.flatnonzero((height[:, 0] >= 0) & (height[:, 0] < most))
    band, height = out[rows], height[rows]
    start = 0.0
    side = np.abs(x)
    for width, length, less in zip(crowns, lengths, shorter, strict=True):
        middle, half = start + width / 2, width / 2
        off = np.abs(side - middle) / half  # 0 in the middle of the tooth, 1 at its sides
        edge = less + 0.9 * np.clip(off - 0.55, 0, 1) ** 2 / 0.2  # rounded corners
        neck = less + length - 1.2 * off**2
        is_tooth = off <= 1
        cover = np.clip((height - edge) * 2.5, 0, 1) * np.clip((neck - height) * 2.5, 0, 1)
        gum = np.clip((height - neck) * 2.5 + 1, 0, 1)
        seam = np.clip((1 - off) * half / 0.35, 0, 1)
        bright = (0.84 + 0.16 * seam) * (1 - 0.1 * off**2)
        bright = bright * (1 - 0.1 * smoothstep(np.clip((height - edge) / length, 0, 1)))
        bright = bright * (1 - 0.11 * start / 8.0) ** 1.5  # farther back, darker
        band[..., 0] = np.where(is_tooth, cover, band[..., 0])
        band[..., 1] = np.where(is_tooth, gum * (1 - cover), band[..., 1])
        band[..., 3] = np.where(is_tooth, bright, band[..., 3])
        start += width
    out[rows] = band


def _coloured(lip: Array, enamel: Array, upper: float) -> Array:
    """(h, w, 4) uint8 premultiplied texture; upper: coverage of the upper teeth."""
    drawn = _drawn()
    parts = ((enamel, drawn[..., 0]), (lip * _GUMS, drawn[..., 1]), (lip * _TONGUE, drawn[..., 2]))
    shade = drawn[..., 3:]
    colour = sum(one * cover[..., None] for one, cover in parts) * shade
    cover = np.clip(drawn[..., :3].sum(-1), 0, 1)
    layer = np.dstack([colour, 255 * cover]).astype(np.float32)
    layer[: round(strips.UPPER_MM * _ATLAS_PX)] *= upper
    return np.rint(np.clip(layer, 0, 255)).astype(np.uint8)


def _halved(atlas: Array) -> tuple[Array, ...]:
    out = [atlas]
    while min(out[-1].shape[:2]) > 64:
        out.append(cv2.pyrDown(out[-1]))
    return tuple(out)


def fill(out: Array, interior: Array, teeth: MovedTeeth | None, paint: MouthPaint) -> None:
    """Paint the opening between the lips into a picture (S, S, 3) uint8, in place.

    interior: (n, n) float32 in [0, 1], coverage of the opening. teeth: None leaves the cavity.
    """
    rows, columns = (np.flatnonzero(interior.max(axis)) for axis in (1, 0))
    if not len(rows):
        return
    scale = len(out) / len(interior)
    (top, bottom), (left, right) = (
        (int(max(0, n[0] * scale - 2)), int(min(len(out), (n[-1] + 1) * scale + 2)))
        for n in (rows, columns)
    )
    x, y = (
        ((np.arange(first, last) + 0.5) / scale - 0.5).astype(np.float32)
        for first, last in ((left, right), (top, bottom))
    )
    across, down = np.meshgrid(x, y)
    alpha = cv2.remap(interior, across, down, cv2.INTER_LINEAR)
    deep = cv2.GaussianBlur(alpha, (0, 0), max(1.0, 0.012 * len(out)))[..., None]
    deep = np.clip(2 * deep - 1, 0, 1)
    part = out[top:bottom, left:right]
    inside = paint.cavity * (1 - _DEPTH * deep)
    if teeth is not None and min(part.shape[:2]) >= _LEAST_PX:
        box = (left, top, right, bottom)
        layer = _layer(teeth, paint, box, len(out))
        shadow = _SHADOW + (1 - _SHADOW) * smoothstep(deep)
        shadow = shadow * np.float32(_light(interior, teeth))
        inside = inside * (1 - layer[..., 3:] / 255) + layer[..., :3] * shadow
    part[...] = np.rint(part + alpha[..., None] * (inside - part)).astype(np.uint8)


def _light(interior: Array, teeth: MovedTeeth) -> float:
    """Share of the light that an opening lets in: little between lips that hardly part."""
    open_norm = float((interior > 0.5).sum(0).max()) * 2 / len(interior)
    open_mm = open_norm / (_width_norm(teeth) / strips.WIDTH_MM)
    return _DIM + (1 - _DIM) * float(smoothstep(np.clip(open_mm / _BRIGHT_MM, 0, 1)))


def _width_norm(teeth: MovedTeeth) -> float:
    """Width of the strips, normalised."""
    first = teeth.vertices[: len(teeth.vertices) // 3]
    return float(np.hypot(*np.ptp(first[:, :2], axis=0))) + 1e-9


def _layer(
    teeth: MovedTeeth, paint: MouthPaint, box: tuple[int, int, int, int], size: int
) -> Array:
    """(h, w, 4) float32 premultiplied teeth and tongue in a box of the picture (size, size)."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    middle = (np.array([left, top], np.float64) + side / 2) * (2 / size) - 1
    zoom = size / side
    near = np.array(teeth.vertices, np.float64)
    near[:, :2] = zoom * (near[:, :2] - middle)
    values = np.column_stack([teeth.places_mm, np.ones(len(near))])
    shown, _ = z_buffer.rasterise(near, teeth.triangles, values, side)
    shown = shown[: bottom - top, : right - left]
    width = _width_norm(teeth) * size / 2
    level = int(np.clip(np.log2(_ATLAS_PX * strips.ATLAS_MM[0] / max(width, 1.0)), 0, None))
    atlas = paint.atlas[min(level, len(paint.atlas) - 1)]
    step = len(atlas[0]) / strips.ATLAS_MM[0]
    places = shown[..., :2] * np.float32(step) - np.float32(0.5)
    seen = cv2.remap(atlas, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return seen.astype(np.float32) * (shown[..., 2:] > 0.5)
