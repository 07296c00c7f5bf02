"""Rendered picture and moved face -> picture with mouth and eyes painted by small networks.

Levelled windows of mouth and eyes are cut from the warped picture, painted, and put back with an
alpha that is confined to lips and lids: everything else keeps the warp's pixels. Where lips, lids
and gaze are as in the source nothing is painted; the share of paint rises smoothly with the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim.face import paint_windows
from hybridanim.face.face_model import FaceModel
from hybridanim.face.face_windows import WindowKind
from hybridanim.face.paint_windows import EYE, MOUTH, Palette
from hybridanim.resampling import smoothstep
from hybridanim.runtime.painters import Painter
from hybridanim.types import Array, HeadPose, MovedFace, Source

_VISIBLE = (0.62, 0.8)  # sine of the turn at which the far eye goes out of sight
_REPLACED = 24.0  # grey levels of difference from which on nothing of the warp's detail is kept
_DARK, _DEEP_PX = 0.9, (0.5, 4.0)  # share of a gap's darkness kept so far from the lips, window px
_LEAST_FACE_PX = 24.0  # size of a head that is worth painting


@dataclass(frozen=True)
class OwnWindow:
    """One window of the source."""

    kind: WindowKind
    side: int  # of an eye
    points: Array  # (P, 2) float32, pixels of the window
    palette: Palette
    colours: Array  # (1, 3, h, w) float32, as the network sees them


@dataclass(frozen=True)
class OwnWindows:
    """What the painters know of a source; made once by ``prepare``."""

    mouth: OwnWindow
    eyes: tuple[OwnWindow, OwnWindow]


@dataclass(frozen=True)
class _Place:
    """One window of a frame."""

    own: OwnWindow
    matrix: Array  # (2, 3) window from picture
    points: Array  # (P, 2) float32
    turn: Array  # (2,)
    need: float  # share of paint


def prepare(source: Source, model: FaceModel) -> OwnWindows | None:
    """Cut the source's own windows; None without a fitted face."""
    if source.face is None:
        return None
    fit = source.face
    size = len(source.image)
    zoom = size / source.crop.side_px
    found = fit.pose.project(model.vertices_of(fit))[:, :2]
    corner = np.array([source.crop.x_px, source.crop.y_px])
    places = (found + 0.5 - corner) * zoom - 0.5
    shift = (np.asarray(fit.pose.shift_px) + 0.5 - corner) * zoom - 0.5
    pose = HeadPose(fit.pose.rotation, fit.pose.scale_px * zoom, shift)

    def own(kind: WindowKind, side: int) -> OwnWindow:
        matrix = paint_windows.place(kind, places, pose, side)
        picture = paint_windows.cut(source.image, matrix, kind)
        points = paint_windows.inside(kind, places, matrix, side)
        palette = Palette.of(picture[None])
        colours = paint_windows.network_colours(picture[None], palette)
        return OwnWindow(kind, side, points, palette, colours)

    return OwnWindows(own(MOUTH, 0), (own(EYE, 0), own(EYE, 1)))


def paint(
    picture: Array, face: MovedFace, own: OwnWindows, painters: Mapping[str, Painter]
) -> Array:
    """Paint mouth and eyes where they changed: (S, S, 3) uint8 RGB.

    picture: as the warp renderer gives it; returned itself where nothing is to be painted.
    """
    size = len(picture)
    points = (face.xy_norm + 1) * (size / 2) - 0.5
    shift = (np.asarray(face.pose.shift_px) + 1) * (size / 2) - 0.5
    pose = HeadPose(face.pose.rotation, face.pose.scale_px * size / 2, shift)
    if pose.scale_px < _LEAST_FACE_PX or not np.isfinite(points).all():
        return picture
    out = picture
    for windows in ((own.mouth,), own.eyes):
        places = [_place(one, points, pose) for one in windows]
        if not any(place.need > 0 for place in places):
            continue
        if out is picture:
            out = picture.copy()
        _paint(out, picture, places, painters[places[0].own.kind.name])
    return out


def _place(own: OwnWindow, points: Array, pose: HeadPose) -> _Place:
    kind, side = own.kind, own.side
    matrix = paint_windows.place(kind, points, pose, side)
    inside = paint_windows.inside(kind, points, matrix, side)
    turn = paint_windows.turn_of(pose, is_mirrored=side == 1)
    need = paint_windows.need(kind, inside, own.points)
    if kind is EYE:
        first, last = _VISIBLE
        hidden = (float(turn[0]) - first) / (last - first)  # positive: away from the camera
        need *= 1 - float(smoothstep(np.clip(hidden, 0, 1)))
    return _Place(own, matrix, inside, turn, need)


def _paint(out: Array, picture: Array, places: list[_Place], painter: Painter) -> None:
    """Paint windows of one kind into ``out``, in place; they are cut from ``picture``."""
    kind = places[0].own.kind
    warped = np.stack([paint_windows.cut(picture, place.matrix, kind) for place in places])
    own = np.concatenate([place.own.colours for place in places])
    filled = np.stack([paint_windows.masks(kind, p.points, p.own.points) for p in places])
    palette = Palette.joined([place.own.palette for place in places])
    now, was = np.stack([p.points for p in places]), np.stack([p.own.points for p in places])
    quantities = paint_windows.quantities(kind, now, was, np.stack([p.turn for p in places]))
    shown = paint_windows.network_colours(warped, palette)
    colour, alpha = painter(paint_windows.network_input(shown, own, filled), quantities)
    colours = np.clip(palette.colours(np.moveaxis(colour, 1, -1)), 0, 255)
    for i, place in enumerate(places):
        region = paint_windows.region(kind, place.points, place.own.points)
        share = alpha[i, 0] * region * np.float32(place.need)
        if kind is MOUTH:
            share *= 1 - _DARK * _depth_of_gap(filled[i, 1])
        if share.max() > 0:
            difference = (colours[i] - warped[i]) * share[..., None]
            put_back(out, place.matrix, warped[i], difference)


def _depth_of_gap(inside: Array) -> Array:
    """(h, w) float32 in [0, 1]: how deep inside of lips that are far apart a pixel lies.

    inside: (h, w) mask between the lips. Few people open their mouths so far that the painter has
    seen much of it: in the middle, the renderer's darkness is the better guess.
    """
    distance = cv2.distanceTransform((inside > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    first, last = _DEEP_PX
    return smoothstep(np.clip((distance - first) / (last - first), 0, 1))


def put_back(out: Array, matrix: Array, warped: Array, difference: Array) -> None:
    """Add a window's difference of colour to a picture (S, S, 3) uint8, in place.

    matrix: (2, 3) window from picture; warped: (h, w, 3) uint8 as it was cut from the picture;
    difference: (h, w, 3) grey levels. Where it is 0 the picture's pixels stay. Where it is small,
    the picture keeps its detail that is finer than the window's; where it is large, what was there
    is replaced.
    """
    height, width = difference.shape[:2]
    back = cv2.invertAffineTransform(np.asarray(matrix, np.float64))
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) - 0.5
    places = corners @ back[:, :2].T + back[:, 2]
    left, top = np.maximum(np.floor(places.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(places.max(0)).astype(int) + 1, out.shape[1::-1])
    if left >= right or top >= bottom:
        return
    back[:, 2] -= [left, top]
    size = cv2.transform(np.abs(difference), np.full((1, 3), 1 / 3 / _REPLACED))
    replaced = smoothstep(np.minimum(size, 1))
    layer = np.empty((height, width, 4), np.float32)
    layer[..., :3] = difference + replaced[..., None] * warped
    layer[..., 3] = replaced
    moved = cv2.warpAffine(
        layer, back, (int(right - left), int(bottom - top)),
        flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
    )  # fmt: skip
    part = out[top:bottom, left:right]
    kept = cv2.merge([1 - moved[..., 3]] * 3)
    colours = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
    part[...] = cv2.add(cv2.multiply(part, kept, dtype=cv2.CV_32F), colours, dtype=cv2.CV_8U)
