"""The working picture of a live run: all of the camera's picture, at a scale that suits the face.

Heads are followed at about views.FACE_PX pixels. A film is looked through for that before it runs;
before a camera a person comes and goes, so the scale follows the head's size, in rare steps.
"""

from __future__ import annotations

from hybridanim.face.cascade import detect_faces
from hybridanim.prepare.view import FACE_PX, View, whole_view
from hybridanim.types import Array, Tracks

_TOO_FAR = 1.4  # a wanted scale this many times off is worth a new view ...
_PATIENCE_FRAMES = 20  # ... when it stays so for so long


class Viewing:
    """Chooses the view of each picture size, and says when another would be better."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()  # of the camera's pictures
        self._scale, self._most = 1.0, 1.0
        self._frames_off = 0

    def begin(self, image: Array) -> None:
        """The first picture of its size, (H, W, 3) uint8 RGB."""
        self.shape, self._most = image.shape, whole_view(*image.shape[:2]).scale
        self._scale = self._fitting(max((f.width_px for f in detect_faces(image)), default=0.0))
        self._frames_off = 0

    def view(self) -> View:
        """What to work on now."""
        height, width = self.shape[:2]
        return View(0, 0, width, height, self._scale)

    def look(self, tracks: Tracks) -> float:
        """After each frame: by what the scale has changed; 1 almost always."""
        if not tracks or tracks.head is None:
            return 1.0
        wanted = self._fitting(tracks.head.size_px / self._scale)
        off = max(wanted / self._scale, self._scale / wanted)
        self._frames_off = self._frames_off + 1 if off > _TOO_FAR else 0
        if self._frames_off < _PATIENCE_FRAMES:
            return 1.0
        ratio, self._scale, self._frames_off = wanted / self._scale, wanted, 0
        return ratio

    def _fitting(self, face_px: float) -> float:
        """The scale for a face of that size in the camera's picture; 0 = none was seen."""
        return min(self._most, FACE_PX / face_px) if face_px > 0 else self._most
