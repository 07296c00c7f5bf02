"""Drawings of the fitted face: its mesh and contours, the axes of the head, bars of the expression.

Everything here draws into the given canvas, (H, W, 3) uint8 RGB, contiguous; drawing.py copies it
first. ``points`` are a face's 478 vertices in pixels of the canvas, (478, 3), z away from the
camera; the packaged face model says which ones form triangles. A fit of another model than the
packaged one has no points and is not drawn.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from hybridanim.face import face_model, mesh
from hybridanim.face.face_model import AXES, FaceModel
from hybridanim.types import Array, FaceFit, HeadPose, HeadTarget, Source

from . import primitives
from .primitives import Colour

MESH: Colour = (94, 224, 178)
CONTOUR: Colour = (176, 255, 222)
IRIS: Colour = primitives.YELLOW
BAR: Colour = primitives.SKY
_OPACITY = 0.3  # of the mesh's edges; contours are opaque
_CLOSED = (*mesh.EYES, mesh.OUTER_LIPS, mesh.INNER_LIPS, mesh.OUTLINE)
_ANGLES = np.linspace(0, 2 * np.pi, 17)[:-1, None]
_SPANS = {  # change of a quantity that fills half of its bar
    "jaw_open": 0.25, "mouth_wide": 0.15, "left_corner_up": 0.1, "right_corner_up": 0.1,
    "lips_thick": 0.06, "left_lid_open": 0.3, "right_lid_open": 0.3, "left_brow_up": 0.1,
    "right_brow_up": 0.1, "gaze_x": 0.6, "gaze_y": 0.4,
}  # fmt: skip
_MOST_HEIGHT, _MOST_WIDTH = 0.62, 0.34  # largest panel of bars, shares of the canvas


def points_of(fit: FaceFit, scale: float = 1.0) -> Array | None:
    """(478, 3) vertices of a fitted face in pixels of a canvas; None where they are not finite.

    scale: canvas pixels per pixel of the fit's picture.
    """
    return _projected(fit, fit.pose, fit.expression, 0.5, scale)


def points_of_target(source: Source, target: HeadTarget, side_px: int) -> Array | None:
    """(478, 3) vertices that the source's face takes in a frame, in pixels of a square canvas.

    side_px: side of the canvas, which shows the source's crop. None without a fitted source.
    """
    if source.face is None:
        return None
    return _projected(source.face, target.pose, target.expression, 1.0, side_px / 2)


def points_of_source(source: Source, side_px: int) -> Array | None:
    """(478, 3) vertices of the source's face, in pixels of a square canvas of its crop, or None."""
    if source.face is None:
        return None
    found, crop = points_of(source.face), source.crop
    if found is None:
        return None
    found[:, :2] += 0.5 - np.array([crop.x_px, crop.y_px])
    found *= side_px / crop.side_px
    found[:, :2] -= 0.5
    return found


def _projected(
    fit: FaceFit, pose: HeadPose, expression: Array, edge: float, scale: float
) -> Array | None:
    """Vertices of the packaged model, with (xy + edge) * scale - 0.5; None if they do not fit.

    fit: whose face it is. edge: from the fit's coordinates to those whose 0 is the left edge of its
    picture.
    """
    model = _model()
    if len(fit.identity) != len(model.identity) or len(expression) != len(model.expression):
        return None
    with np.errstate(all="ignore"):
        vertices = model.shaped(fit.offset).vertices(fit.identity, expression)
        found = pose.project(vertices.astype(np.float64))
    if not np.isfinite(found).all():
        return None
    found[:, :2] += edge
    found *= scale
    found[:, :2] -= 0.5
    return found


def _model() -> FaceModel:
    return face_model.load()


def put_face(out: Array, points: Array) -> None:
    """Draw edges of the triangles that face the camera, faintly, and the contours over them.

    Contours: outline, brows, lids, lips, and the rims of the irises.
    """
    height, width = out.shape[:2]
    xy = points[:, :2]
    margin = 2 * primitives.unit(out) + 2
    low = np.clip(np.floor(xy.min(0) - margin), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(xy.max(0) + margin), 0, (width, height)).astype(int)
    if (high <= low).any():
        return
    part = np.ascontiguousarray(out[low[1] : high[1], low[0] : high[0]])
    xy = xy - low
    layer = part.copy()
    _put_edges(layer, xy)
    cv2.addWeighted(layer, _OPACITY, part, 1 - _OPACITY, 0, dst=part)
    line_px = 1.1 * primitives.unit(out)
    primitives.put_paths(part, [xy[list(rows)] for rows in _CLOSED], CONTOUR, line_px, closed=True)
    primitives.put_paths(part, [xy[list(rows)] for rows in mesh.BROWS], CONTOUR, line_px)
    primitives.put_paths(part, [_rim(xy, iris) for iris in mesh.IRISES], IRIS, line_px, closed=True)
    out[low[1] : high[1], low[0] : high[0]] = part


def _rim(xy: Array, iris: tuple[int, ...]) -> Array:
    """(16, 2) ellipse through the four points of an iris's rim."""
    middle, (a, b, c, d) = xy[iris[0]], xy[list(iris[1:])]
    return middle + np.cos(_ANGLES) * (a - c) / 2 + np.sin(_ANGLES) * (b - d) / 2


def _put_edges(layer: Array, xy: Array) -> None:
    """Draw the triangles that are clockwise on the screen."""
    corners = primitives.fixed_point(xy)[_model().triangles]
    first = (corners[:, 1] - corners[:, 0]).astype(np.int64)
    second = (corners[:, 2] - corners[:, 0]).astype(np.int64)
    faces_camera = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0
    seen = list(corners[faces_camera])
    cv2.polylines(layer, seen, True, MESH, 1, cv2.LINE_AA, primitives.SHIFT)


def put_bars(out: Array, fit: FaceFit) -> None:
    """Draw a panel of bars in the upper right corner: each quantity against the neutral face's.

    A bar starts in the middle, where the quantity is that of the person's neutral face, and leads
    to the right where it is larger. Nothing is drawn where the panel would hide too much.
    """
    if len(fit.quantities) != len(AXES):
        return
    size = primitives.text_px(out, 0.62)
    labels = _labels(size)
    height, width = labels.shape[:2]
    long, pad = round(5.5 * size), size // 2
    room = (_MOST_HEIGHT * out.shape[0], _MOST_WIDTH * out.shape[1])
    if height + pad > room[0] or width + long + 2 * pad > room[1]:
        return
    x, y = out.shape[1] - width - long - 2 * pad, pad
    primitives.shade(out, (x, y, width + long + pad, height), primitives.DARK, 0.62)
    place = out[y : y + height, x : x + width]
    cv2.max(place, labels, dst=place)
    step, half = height // len(AXES), long // 2
    middle = x + width + half
    changes = np.nan_to_num((fit.quantities - fit.neutral) / _spans())
    for row, end in enumerate(np.round(np.clip(changes, -1, 1) * half).astype(int).tolist()):
        top, thick = y + row * step + step // 4, max(2, step // 2)
        out[top : top + thick, middle + min(end, 0) : middle + max(end, 0) + 1] = BAR
    out[y : y + height, middle] = primitives.TEXT


@lru_cache(maxsize=1)
def _spans() -> Array:
    return np.array([_SPANS[name] for name in AXES])


@lru_cache(maxsize=8)
def _labels(size_px: int) -> Array:
    """Names of the quantities, one a row, light on black; the same for every frame."""
    names = [name.replace("_", " ") for name in AXES]
    step = primitives.line_height(size_px)
    width = max(primitives.text_width(name, size_px) for name in names) + size_px
    out = np.zeros((step * len(names), width, 3), np.uint8)
    for row, name in enumerate(names):
        place = (size_px // 2, (row + 0.5) * step)
        primitives.put_text(out, name, place, size_px=size_px, align=(0, 0.5))
    return out
