"""Drawing of a texture fit: the mesh on the picture, its named points, and what was put right."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from hybridanim.face.named_points import NAMES, vertex_of
from hybridanim.face.texture_fit import Constraint, TextureFit
from hybridanim.geometry import crop_image
from hybridanim.types import Array, Crop

from . import fitted_face, primitives

_SIDE_PX, _COLUMN_PX = 960, 300  # of the picture's part, and of the names on both sides
_MARGIN = 1.3  # side of the part, sizes of the mesh
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_MOST_TICKS, _OPACITY = 9, 0.55  # of a scale; of the lines to the names


def draw(picture: Array, found: TextureFit, constraints: Sequence[Constraint]) -> Array:
    """(H, W, 3) uint8 RGB: the face enlarged, with scales in pixels of the picture.

    picture: (H, W, 3) uint8 RGB. Names stand at both sides; of a constrained point the name has the
    distance that is left, and an orange line leads from the automatic place to the given one.
    """
    crop = _part(found)
    face = crop_image(picture, crop, _SIDE_PX)
    out = primitives.solid(_SIDE_PX, _SIDE_PX + 2 * _COLUMN_PX)
    out[:, _COLUMN_PX : _COLUMN_PX + _SIDE_PX] = face
    scale, corner = _SIDE_PX / crop.side_px, np.array([crop.x_px, crop.y_px])

    def placed(xy_px: Array) -> Array:
        return (np.asarray(xy_px) + 0.5 - corner) * scale - 0.5 + (_COLUMN_PX, 0)

    shown = placed(found.vertices_px)
    fitted_face.put_face(out, np.column_stack([shown, np.zeros(len(shown))]))
    _put_scales(out, crop)
    left = dict(zip(found.numbers.tolist(), found.residuals_px(constraints).tolist(), strict=True))
    _put_names(out, shown, [one.name for one in constraints], left)
    thick = 1.6 * primitives.unit(out)
    for one in constraints:
        start = placed(found.automatic_px[vertex_of(one.name)])
        end = placed(np.array(one.xy_px))
        primitives.put_arrow(out, start, end, primitives.ORANGE, thick)
        primitives.put_dots(out, start, 2 * thick, [primitives.RED], ring=True)
        primitives.put_dots(out, end, 2.2 * thick, [primitives.ORANGE])
    return out


def _part(found: TextureFit) -> Crop:
    """The square of the picture that is shown."""
    points = np.vstack([found.vertices_px, found.automatic_px])
    low, high = points.min(0), points.max(0)
    side = max(8.0, _MARGIN * float((high - low).max()))
    x, y = (low + high) / 2 + 0.5 - side / 2
    return Crop(float(x), float(y), side)


def _put_scales(out: Array, crop: Crop) -> None:
    """Ticks of round picture coordinates along the upper and the left edge."""
    step = next((one for one in _STEPS if one * _MOST_TICKS >= crop.side_px), _STEPS[-1])
    size, scale = primitives.text_px(out, 0.6), _SIDE_PX / crop.side_px
    for axis, start in enumerate((crop.x_px, crop.y_px)):
        first = int(np.ceil(start / step)) * step
        for value in range(first, int(start + crop.side_px), step):
            at = (value + 0.5 - start) * scale - 0.5
            ends = np.array([[at + _COLUMN_PX, 0], [at + _COLUMN_PX, 10]])
            place, align = (at + _COLUMN_PX, 11.0), (0.5, 0.0)
            if axis:
                ends = np.array([[_COLUMN_PX, at], [_COLUMN_PX + 10, at]])
                place, align = (_COLUMN_PX + 13.0, at), (0.0, 0.5)
            primitives.put_paths(out, [ends], primitives.TEXT, 1)
            primitives.put_text(out, str(value), place, size_px=size, align=align)


def _put_names(out: Array, shown: Array, more: list[str], left: dict[int, float]) -> None:
    """Names of the points in two columns, with lines to them; left: residuals of some vertices."""
    names = sorted({*NAMES, *more}, key=lambda name: shown[vertex_of(name), 0])
    size, half = primitives.text_px(out, 0.62), (len(names) + 1) // 2
    labels: list[tuple[str, float, float, bool]] = []  # name, x, y, at the right
    for is_right, column in enumerate((names[:half], names[half:])):
        column.sort(key=lambda name: shown[vertex_of(name), 1])
        wanted = [float(shown[vertex_of(name), 1]) for name in column]
        places = _apart(wanted, 1.25 * primitives.line_height(size), len(out))
        edge = len(out[0]) - _COLUMN_PX + 8 if is_right else _COLUMN_PX - 8
        labels += [(n, edge, y, bool(is_right)) for n, y in zip(column, places, strict=True)]
    lines = {primitives.ORANGE: [], primitives.SKY: []}
    for name, x, y, _ in labels:
        colour = primitives.ORANGE if vertex_of(name) in left else primitives.SKY
        lines[colour].append(np.array([[x, y], shown[vertex_of(name)]]))
    layer = out.copy()
    for colour, paths in lines.items():
        primitives.put_paths(layer, paths, colour)
    cv2.addWeighted(layer, _OPACITY, out, 1 - _OPACITY, 0, dst=out)
    for name, x, y, is_right in labels:
        number = vertex_of(name)
        colour = primitives.ORANGE if number in left else primitives.SKY
        text = f"{name}  {left[number]:.2f} px" if number in left else name
        primitives.put_dots(out, shown[number], 2.6, [colour])
        place, align = (x + (5 if is_right else -5), y), (1.0 - is_right, 0.5)
        primitives.put_text(out, text, place, colour, size_px=size, align=align)


def _apart(wanted: list[float], step: float, height: int) -> Array:
    """Sorted places moved so that they are a step apart, inside the height where they fit."""
    count = len(wanted)
    step = min(step, height / max(count, 1))
    rows = step * np.arange(count)
    free = np.asarray(wanted) - rows
    down = np.maximum.accumulate(free)
    up = np.minimum.accumulate(free[::-1])[::-1]
    return np.clip((down + up) / 2, step / 2, height - step * (count - 0.5)) + rows
