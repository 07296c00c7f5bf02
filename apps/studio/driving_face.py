"""One of several faces in a driving video: the part of the video around that face, as a file.

The tracker follows the largest face of a video, so the others are cut away. The part has a fixed
place: all positions of the face in the first minute, with room around them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.types import Array, FaceBox

from .work import Looked, Looker

_EVERY_S, _MOST_S = 0.5, 60.0
_ROOM = 0.7  # sides of the face around it, each way
_NEAR = 1.5  # sides of the face that it moves between two looks, at most


def cut_out(looker: Looker, looked: Looked, index: int, output: Path) -> Path:
    """Write the part of a driving video around face number ``index`` of what was looked at.

    Sound and times stay. Raises InputError where there is no such face.
    """
    if index >= len(looked.faces):
        raise InputError(
            f"driving video: expected face 1 to {len(looked.faces)}, got {index + 1}; choose one"
            " that is shown"
        )
    x, y, right, bottom = _window(looker, looked, looked.faces[index])
    with io.open_source(looked.path) as reader:
        audio = looked.path if reader.has_audio else None
        size = (right - x, bottom - y)
        with io.open_sink(
            output, reader.fps, size, audio_from=audio, time_base=reader.time_base, overwrite=True
        ) as sink:
            for frame in reader:
                part = np.ascontiguousarray(frame.image[y:bottom, x:right])
                sink.write(part, frame.time_s)
    return output


def _window(looker: Looker, looked: Looked, face: FaceBox) -> tuple[int, int, int, int]:
    """Left, top, right and bottom around all positions of the face, in even pixels."""
    boxes, last, due_s = [], face, 0.0
    with io.open_source(looked.path) as reader:
        width, height = reader.width, reader.height
        scale = width / looked.picture.shape[1]
        last = _scaled(face, scale)
        boxes.append(last)
        for frame in reader:
            if frame.time_s > _MOST_S:
                break
            if frame.time_s < max(due_s, looked.time_s):
                continue
            due_s = frame.time_s + _EVERY_S
            found = _nearest(looker.faces(frame.image), last)
            if found is not None:
                last = found
                boxes.append(found)
    room = _ROOM * max(box.width_px for box in boxes)
    low = np.array([[box.x_px, box.y_px] for box in boxes]).min(0) - room
    high = np.array([[b.x_px + b.width_px, b.y_px + b.height_px] for b in boxes]).max(0) + room
    return _even(low, high, width, height)


def _even(low: Array, high: Array, width: int, height: int) -> tuple[int, int, int, int]:
    x, y = (2 * int(max(0, value) // 2) for value in low)
    right = x + 2 * int((min(width, high[0]) - x) // 2)
    bottom = y + 2 * int((min(height, high[1]) - y) // 2)
    return x, y, right, bottom


def _scaled(face: FaceBox, scale: float) -> FaceBox:
    x, y, width, height = face.x_px, face.y_px, face.width_px, face.height_px
    return FaceBox(x * scale, y * scale, width * scale, height * scale)


def _nearest(found: tuple[FaceBox, ...], last: FaceBox) -> FaceBox | None:
    """The face nearest to where it was; None where none is near."""

    def distance(one: FaceBox) -> float:
        apart = np.subtract(one.center_xy_px, last.center_xy_px)
        return float(np.hypot(*apart)) / last.width_px

    best = min(found, key=distance, default=None)
    return best if best is not None and distance(best) < _NEAR else None
