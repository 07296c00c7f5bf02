"""Which side of a camera's pictures is up: looked for while no upright face is seen.

A camera that lies on its side, or hangs upside down, says nothing about it.
"""

from __future__ import annotations

from hybridanim.face.aligner import Aligner
from hybridanim.prepare import driver_scan
from hybridanim.prepare.view import whole_view
from hybridanim.types import Array

from .reference import Hint

_PATIENCE_S, _EVERY_S = 1.5, 0.7  # without a face before the first look; between looks
_LOOKS = 2  # in a row that have to agree
_SHOWN_S = 6.0  # how long the hint is shown


class UprightCheck:
    """Turns pictures clockwise by ``turn_deg``, once a face is seen in them turned."""

    def __init__(self, aligner: Aligner) -> None:
        self.turn_deg = 0
        self._aligner = aligner
        self._due_s: float | None = None  # None while a face is seen
        self._found: list[int] = []  # of looks in a row
        self._turned_s: float | None = None

    def update(self, image: Array, time_s: float, *, is_seen: bool) -> bool:
        """Take in a picture, turned by ``turn_deg``, (H, W, 3) uint8 RGB; True: it has changed.

        is_seen: whether a face is followed in it. Costs nothing then, and about 50 ms for each look
        otherwise.
        """
        if is_seen:
            self._due_s, self._found = None, []
            return False
        self._due_s = time_s + _PATIENCE_S if self._due_s is None else self._due_s
        if time_s < self._due_s:
            return False
        self._due_s = time_s + _EVERY_S
        small = whole_view(*image.shape[:2])(image)
        turn_deg, _ = driver_scan.turn_of([small], self._aligner)
        self._found = [*self._found, turn_deg][-_LOOKS:]
        if turn_deg == 0 or self._found != [turn_deg] * _LOOKS:
            return False
        self.turn_deg = (self.turn_deg + turn_deg) % 360
        self._due_s, self._found, self._turned_s = None, [], time_s
        return True

    def hint(self, time_s: float) -> Hint | None:
        """What to say in the first seconds after a turn."""
        if self._turned_s is None or time_s - self._turned_s > _SHOWN_S:
            return None
        lies = "hangs upside down" if self.turn_deg == 180 else "lies on its side"
        return Hint(f"the camera {lies}: its pictures are turned by {self.turn_deg} degrees", True)
