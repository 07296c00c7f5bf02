"""Who is in a driving video besides the driver: pictures of faces, other people, other shots.

Confirmed faces of single pictures at intervals -> faces that never move while another one does (a
poster, a picture on a wall), whose place can be covered; and sentences about what may surprise. A
face is taken as a picture when the same pixels are seen there each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from hybridanim.types import Array, FaceBox

_PATCH_PX, _WHOLE_PX = 32, 24  # sides of the small pictures that are compared
_SAME_LEVELS = 2.0  # mean difference of a place up to which nothing moves there: noise of coding
_LEAST_LOOKS = 3
_OFTEN = 0.3  # share of the looks from which a further person is told of
_LARGE = 0.8  # sizes relative to the driver's from which a picture may be taken for the driver
_COVER = 1.5  # side of what is covered, in sides of the face
_CUT_LEVELS = 20.0  # mean difference of two looks from which it is another shot
_CUT_SIZE = 1.12  # and ratio of the sizes of its face that is told


@dataclass
class _Place:
    """A place at which faces were seen."""

    box: FaceBox
    patch: Array  # (32, 32) float32 grey, of the first look
    looks: int = 1
    most_change: float = 0.0  # in levels, of all looks

    @property
    def is_still(self) -> bool:
        return self.looks >= _LEAST_LOOKS and self.most_change < _SAME_LEVELS


@dataclass
class People:
    """The faces of the looks so far."""

    _places: list[_Place] = field(default_factory=list)
    _looks: int = 0
    _together: int = 0  # looks with several faces that move
    _last: tuple[float, Array, float] | None = None  # time, small picture, size of the face
    _cuts: list[tuple[float, float]] = field(default_factory=list)  # time, ratio of the sizes

    def add(self, image: Array, time_s: float, faces: Sequence[FaceBox]) -> None:
        """Take in a picture, (H, W, 3) uint8 RGB, and its confirmed faces, the driver's first."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        self._looks += 1
        for place in self._places:
            change = float(np.abs(_patch(grey, place.box) - place.patch).mean())
            place.most_change = max(place.most_change, change)
        seen = set()
        for face in faces:
            place = next((one for one in self._places if _is_at(one.box, face)), None)
            if place is None:
                place = _Place(face, _patch(grey, face), looks=0)
                self._places.append(place)
            place.looks += 1
            seen.add(id(place))
        self._together += len(seen) > 1
        if faces:
            self._note_cut(grey, time_s, faces[0].width_px)

    def _note_cut(self, grey: Array, time_s: float, size_px: float) -> None:
        small = cv2.resize(grey, (_WHOLE_PX, _WHOLE_PX), interpolation=cv2.INTER_AREA).astype(float)
        if self._last is not None and np.abs(small - self._last[1]).mean() > _CUT_LEVELS:
            ratio = size_px / self._last[2]
            if max(ratio, 1 / ratio) > _CUT_SIZE:
                self._cuts.append((time_s, ratio))
        self._last = time_s, small, size_px

    @property
    def is_other_shot(self) -> bool:
        """Whether there was a cut to a shot in which the face has another size."""
        return bool(self._cuts)

    def pictures(self) -> list[FaceBox]:
        """Large faces that never move, where another one does."""
        moving = [one.box.width_px for one in self._places if one.most_change >= _SAME_LEVELS]
        if not moving:
            return []
        still = [one.box for one in self._places if one.is_still]
        return [box for box in still if box.width_px > _LARGE * max(moving)]

    def sentences(self) -> list[str]:
        """What may surprise: several people, and shots in which the face has another size."""
        told = []
        if self._together > _OFTEN * self._looks and not self.pictures():
            told.append(
                "The driving video shows several faces; one of the largest is followed. If it is"
                " the wrong one, crop the video to the person who drives."
            )
        if self._cuts:
            time_s, ratio = self._cuts[0]
            told.append(
                f"The driving video changes to another shot by {time_s:.1f} s, where the face has"
                f" {ratio:.0%} of its size; the result keeps its own size, unless --motion absolute"
                " follows it. --start and --end animate one shot at a time."
            )
        return told


def covered(image: Array, places: Sequence[FaceBox]) -> Array:
    """A picture, (H, W, 3) uint8 RGB, in which these faces are one colour each; itself for none."""
    if not places:
        return image
    out = image.copy()
    for box in places:
        (x, y), half = box.center_xy_px, _COVER * max(box.width_px, box.height_px) / 2
        part = out[
            max(0, round(y - half)) : round(y + half), max(0, round(x - half)) : round(x + half)
        ]
        if part.size:
            part[:] = np.median(part.reshape(-1, 3), axis=0)
    return out


def _is_at(place: FaceBox, face: FaceBox) -> bool:
    apart = np.hypot(*np.subtract(place.center_xy_px, face.center_xy_px))
    ratio = face.width_px / place.width_px
    return bool(apart < 0.6 * place.width_px and 0.6 < ratio < 1.7)


def _patch(grey: Array, box: FaceBox) -> Array:
    """(32, 32) float32 of the place in this picture."""
    x, y = max(0, round(box.x_px)), max(0, round(box.y_px))
    part = grey[y : y + max(1, round(box.height_px)), x : x + max(1, round(box.width_px))]
    return cv2.resize(part, (_PATCH_PX,) * 2, interpolation=cv2.INTER_AREA).astype(np.float32)
