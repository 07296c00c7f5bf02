"""Working view of the driver: the part and scale of its frames that stages 1 to 3 use.

Heads are tracked at 100 to 160 pixels of face: more costs time, less loses the eyelids. The view is
fixed for a whole video, so that positions mean the same in every frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim.types import Array, Crop, FaceBox

LONGEST_PX = 640  # of a working frame
FACE_PX = 150  # larger faces are downscaled to this
_ROOM_HEADS = 1.6  # margin around all face boxes, for head and hands


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of the driving picture and the scale of its working copy."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    scale: float  # working pixels per driving pixel, at most 1

    def inside(self, xy_px: Array) -> Array:
        """Places (..., 2) in pixels of the driving picture, in pixels of the working picture."""
        return (np.asarray(xy_px) + 0.5 - [self.x_px, self.y_px]) * self.scale - 0.5

    def crop_inside(self, crop: Crop) -> Crop:
        """A square in pixels of the driving picture, in pixels of the working picture."""
        x, y = self.scale * (crop.x_px - self.x_px), self.scale * (crop.y_px - self.y_px)
        return Crop(x, y, self.scale * crop.side_px)

    def __call__(self, image: Array) -> Array:
        """The working picture, (h, w, 3) uint8 RGB; never a view of the given one."""
        part = image[self.y_px : self.y_px + self.height_px, self.x_px : self.x_px + self.width_px]
        if self.scale >= 1:
            return np.array(part, order="C")  # the caller may use its array again
        size = (
            max(16, round(part.shape[1] * self.scale)),
            max(16, round(part.shape[0] * self.scale)),
        )
        return cv2.resize(part, size, interpolation=cv2.INTER_AREA)


def whole_view(height: int, width: int) -> View:
    """All of the picture, its longer side at most LONGEST_PX."""
    return View(0, 0, width, height, min(1.0, LONGEST_PX / max(height, width)))


def view_around_faces(faces: list[FaceBox], height: int, width: int) -> View:
    """The view that contains the faces (of one person at several times) and the hands.

    faces: boxes in driving pixels. Without any, the whole picture.
    """
    if not faces:
        return whole_view(height, width)
    face_px = float(np.median([face.width_px for face in faces]))
    room = _ROOM_HEADS * face_px
    x0 = max(0, int(min(face.x_px for face in faces) - room))
    y0 = max(0, int(min(face.y_px for face in faces) - room))
    x1 = min(width, int(max(face.x_px + face.width_px for face in faces) + room) + 1)
    y1 = min(height, int(max(face.y_px + face.height_px for face in faces) + 1.5 * room) + 1)
    longest = max(x1 - x0, y1 - y0)
    return View(x0, y0, x1 - x0, y1 - y0, min(1.0, LONGEST_PX / longest, FACE_PX / face_px))
