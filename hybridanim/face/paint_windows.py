"""What the painters see: levelled colour windows of mouth and eyes, masks, quantities, colours.

A window is placed as those of ``face_windows``, by the fitted face, in the picture and in the
source alike. Masks are filled polygons of the mesh. Colours are luminance and chromaticity relative
to the mean and the deviation of the source's own window, so that what is painted keeps its palette:
a grey source has no deviation of chromaticity, and what is painted for it has none either; under a
tint, which multiplies colours, dark and bright places have the same chromaticity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from hybridanim.resampling import disc, smoothstep, window_of
from hybridanim.types import Array, HeadPose

from . import face_windows, mesh
from .face_windows import WindowKind

MOUTH = WindowKind("mouth", 96, 64, 0.54, (*mesh.OUTER_LIPS, *mesh.INNER_LIPS))
EYE = WindowKind("eye", 64, 48, 0.28, (*mesh.EYES[0], *mesh.IRISES[0]))
"""The left eye; the right one is mirrored."""
KINDS = {kind.name: kind for kind in (MOUTH, EYE)}
MASKS = 3
QUANTITIES = 6
CHANNELS = 6 + MASKS
"""Of a network's input: the warped window, the source's own window, masks."""

_UPPER_INNER, _LOWER_INNER = (24, 25, 26), (36, 35, 34)  # rows of MOUTH.points
_UPPER_LID, _LOWER_LID = (3, 4, 5), (13, 12, 11)  # rows of EYE.points
_REACH = {"mouth": 5, "eye": 6}  # pixels beyond the polygons up to which is painted
_SOFT = {"mouth": 2.0, "eye": 2.5}  # sigma of the edge
_BORDER = 6  # pixels at the window's border over which paint fades
_STARTS = {"mouth": (0.006, 0.02), "eye": (0.005, 0.016)}  # head sizes; see ``need``
FLOOR = np.array([8.0, 0.015, 0.015], np.float32)
"""Least deviation of the values of ``split`` that is divided by."""
DARK = np.float32(32)
"""Added to luminance, of 0 to 255, before chroma is divided by it: the dark has much noise."""

_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float64
)
FROM_RGB: Array = _YCC.astype(np.float32)
"""Luminance and two chromas of RGB, (3, 3); the rows of the chromas sum to zero."""
TO_RGB: Array = np.linalg.inv(_YCC).astype(np.float32)


def split(rgb: Array) -> Array:
    """(..., 3) float32 luminance and two chromaticities of RGB of 0 to 255."""
    values = rgb.astype(np.float32) @ FROM_RGB.T
    values[..., 1:] /= values[..., :1] + DARK
    return values


def rows(kind: WindowKind, side: int) -> list[int]:
    """Mesh points of a window; side 1: of the right eye, in the left one's order."""
    if kind is EYE and side == 1:
        return [*mesh.EYES[1], *mesh.IRISES[1]]
    return list(kind.points)


def place(kind: WindowKind, xy_px: Array, pose: HeadPose, side: int = 0) -> Array:
    """(2, 3) window from picture; xy_px: (478, 2), pose: in pixels of the same picture."""
    ends = [mesh.EYES[side][0], mesh.EYES[side][8]] if kind is EYE else list(mesh.OUTER_LIPS)
    centre = xy_px[ends].mean(0)
    is_mirrored = kind is EYE and side == 1
    return face_windows.window(kind, centre, pose.scale_px, pose.roll_rad, is_mirrored=is_mirrored)


def inside(kind: WindowKind, xy_px: Array, matrix: Array, side: int = 0) -> Array:
    """(P, 2) float32 the kind's points in pixels of the window."""
    points = xy_px[rows(kind, side)]
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def cut(picture: Array, matrix: Array, kind: WindowKind) -> Array:
    """(height, width, 3) uint8 window of an RGB picture, without aliasing."""
    return window_of(picture, matrix, (kind.width_px, kind.height_px))


def _filled(kind: WindowKind, *polygons: Array) -> Array:
    out = np.zeros((kind.height_px, kind.width_px), np.uint8)
    for polygon in polygons:
        places = np.round(np.clip(polygon, -500, 500) * 16).astype(np.int32)
        cv2.fillPoly(out, [places], 255, cv2.LINE_AA, 4)
    return out


def masks(kind: WindowKind, now: Array, own: Array) -> Array:
    """(3, height, width) uint8: outer lips, inner lips, the source's inner lips; or lids, iris,
    the source's lids.

    now, own: (P, 2) points in this frame's and in the source's window.
    """
    if kind is MOUTH:
        return np.stack([_filled(kind, now[:20]), _filled(kind, now[20:]), _filled(kind, own[20:])])
    lids = _filled(kind, now[:16])
    iris = np.zeros_like(lids)
    radius = float(np.linalg.norm(now[17:] - now[16], axis=1).mean())
    x, y = (int(v) for v in np.round(np.clip(now[16], -500, 500) * 16))
    cv2.circle(iris, (x, y), round(min(radius, 99) * 16), 255, -1, cv2.LINE_AA, 4)
    return np.stack([lids, np.minimum(iris, lids), _filled(kind, own[:16])])


def region(kind: WindowKind, now: Array, own: Array) -> Array:
    """(height, width) float32 in [0, 1]: where paint may be; 0 at the window's border.

    Lips, or lids as far as they are open in this frame or in the source, and a soft margin.
    """
    polygons = (now[:20],) if kind is MOUTH else (now[:16], own[:16])
    wide = cv2.dilate(_filled(kind, *polygons), disc(_REACH[kind.name]))
    soft = cv2.GaussianBlur(wide, (0, 0), _SOFT[kind.name])
    return soft.astype(np.float32) * (_fade(kind.width_px, kind.height_px) / np.float32(255))


@cache
def _fade(width: int, height: int) -> Array:
    """(height, width) float32: 0 in the outermost pixels, 1 further in."""
    across, down = (
        smoothstep(np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / _BORDER, 0, 1))
        for n in (width, height)
    )
    return np.outer(down, across).astype(np.float32)


def openings(kind: WindowKind, points: Array) -> tuple[Array, Array]:
    """Opening and width (...,) of lips or lids, in window widths; points: (..., P, 2)."""
    upper, lower = (_UPPER_INNER, _LOWER_INNER) if kind is MOUTH else (_UPPER_LID, _LOWER_LID)
    ends = (0, 10) if kind is MOUTH else (0, 8)
    # signed: a mesh whose lips cross has no opening
    gap = (points[..., lower, 1] - points[..., upper, 1]).mean(-1)
    wide = np.linalg.norm(points[..., ends[0], :] - points[..., ends[1], :], axis=-1)
    return np.maximum(gap, 0) / kind.width_px, wide / kind.width_px


def quantities(kind: WindowKind, now: Array, own: Array, turn: Array) -> Array:
    """(..., 6) float32 of about unit size: openings, widths or gaze, turn of the head.

    now, own: (..., P, 2); turn: (..., 2) as ``turn_of``.
    """
    (gap, wide), (own_gap, own_wide) = openings(kind, now), openings(kind, own)
    if kind is EYE:
        middle = (now[..., 0, :] + now[..., 8, :]) / 2
        gaze = (now[..., 16, :] - middle) / kind.width_px
        wide, own_wide = 4 * gaze[..., 0], 4 * gaze[..., 1]
    found = [8 * gap, 8 * own_gap, 2 * wide, 2 * own_wide, 2 * turn[..., 0], 2 * turn[..., 1]]
    return np.stack(found, -1).astype(np.float32)


def turn_of(pose: HeadPose, *, is_mirrored: bool = False) -> Array:
    """(2,) sines of yaw and pitch."""
    yaw, pitch = pose.rotation[0, 2], pose.rotation[1, 2]
    return np.array([-yaw if is_mirrored else yaw, pitch], np.float32)


def need(kind: WindowKind, now: Array, own: Array) -> float:
    """Share of paint in [0, 1]: 0 while lips, lids and gaze are as in the source."""
    apart = abs(float(openings(kind, now)[0] - openings(kind, own)[0]))
    if kind is EYE:
        gaze = [points[16] - (points[0] + points[8]) / 2 for points in (now, own)]
        apart = max(apart, float(np.linalg.norm(gaze[0] - gaze[1])) / kind.width_px)
    first, full = _STARTS[kind.name]
    return float(smoothstep(np.clip((apart * kind.width_heads - first) / (full - first), 0, 1)))


@dataclass(frozen=True)
class Palette:
    """Mean and deviation of the source's own windows, in the values of ``split``; N windows."""

    mean: Array  # (N, 1, 1, 3) float32
    scale: Array  # (N, 1, 1, 3) float32, what a deviation of 1 is for the network
    back: Array  # (N, 1, 1, 3) float32, what the network's 1 is in the picture

    @classmethod
    def of(cls, own: Array) -> Palette:
        """own: (N, H, W, 3) RGB of 0 to 255, any type."""
        values = split(own)
        mean = values.mean((1, 2), keepdims=True)
        deviation = values.std((1, 2), keepdims=True)
        scale = np.maximum(deviation, FLOOR)
        back = scale * np.minimum(1, deviation / FLOOR)
        back[..., 0] = scale[..., 0]
        return cls(mean, scale, back)

    @classmethod
    def joined(cls, parts: Sequence[Palette]) -> Palette:
        """The palettes of several windows in one."""
        names = ("mean", "scale", "back")
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def normalised(self, windows: Array) -> Array:
        """(N, H, W, 3) float32 colours for the network of (N, H, W, 3) RGB windows."""
        return (split(windows) - self.mean) / self.scale

    def colours(self, values: Array) -> Array:
        """(N, H, W, 3) float32 RGB of the network's colours; not clipped."""
        found = self.mean + self.back * values
        found[..., 1:] *= np.maximum(found[..., :1], 0) + DARK
        return found @ TO_RGB.T


def network_colours(windows: Array, palette: Palette) -> Array:
    """(N, 3, H, W) float32 of (N, H, W, 3) RGB windows, warped or the source's own."""
    return np.moveaxis(palette.normalised(windows), -1, 1)


def network_input(warped: Array, own: Array, filled: Array) -> Array:
    """(N, 9, H, W) float32; warped, own: ``network_colours``; filled: (N, 3, H, W) of ``masks``."""
    shapes = filled.astype(np.float32) * np.float32(2 / 255) - 1
    return np.concatenate([warped, own, shapes], 1, dtype=np.float32)
