"""The working picture of a live run: the whole camera picture, scaled to the size of the face.

Heads are tracked at about FACE_PX pixels. A video is scanned for that before it is rendered; in
front of a camera people move, so the scale follows the head's size, in rare steps.
"""

from __future__ import annotations

from hybridanim.face.cascade import detect_faces
from hybridanim.prepare.view import FACE_PX, View, whole_view
from hybridanim.types import Array, Tracks

_MOST_RATIO = 1.4  # a fitting scale that differs by more than this factor ...
_PATIENCE_FRAMES = 20  # ... in so many frames in a row becomes the scale


class WorkingView:
    """Chooses the scale of the working picture, and changes it when the face's size changes."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()  # of the camera's pictures
        self._scale, self._most = 1.0, 1.0
        self._frames_off = 0

    def begin(self, image: Array) -> None:
        """Choose the scale by the first picture of its size, (H, W, 3) uint8 RGB."""
        self.shape, self._most = image.shape, whole_view(*image.shape[:2]).scale
        self._scale = self._fitting(max((f.width_px for f in detect_faces(image)), default=0.0))
        self._frames_off = 0

    def view(self) -> View:
        """The current view."""
        height, width = self.shape[:2]
        return View(0, 0, width, height, self._scale)

    def update(self, tracks: Tracks) -> float:
        """Take in a frame's tracks; returns new scale / old scale, which is nearly always 1."""
        if not tracks or tracks.head is None:
            return 1.0
        wanted = self._fitting(tracks.head.size_px / self._scale)
        off = max(wanted / self._scale, self._scale / wanted)
        self._frames_off = self._frames_off + 1 if off > _MOST_RATIO else 0
        if self._frames_off < _PATIENCE_FRAMES:
            return 1.0
        ratio, self._scale, self._frames_off = wanted / self._scale, wanted, 0
        return ratio

    def _fitting(self, face_px: float) -> float:
        """The scale for a face of that size in the camera's picture; 0 = no face."""
        return min(self._most, FACE_PX / face_px) if face_px > 0 else self._most
