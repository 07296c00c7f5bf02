"""Cuts in the driver: Frames and head places -> the driving crop of the shot.

After a cut to a shot of another size the same head is larger or smaller, which is no motion. The
driving crop of the new shot is the square in which the head has the reference's place and size, so
relative motion goes on as if the camera had not changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.types import Array, Crop, Frame

_SMALL_PX = (32, 24)  # of the pictures that are compared
_LEAST_LEVELS = 6.0  # mean difference of two shots; two blank pictures are none
_SETTLES_S = 0.4  # after a cut, in which trackers find the head's size again
_OTHER_SIZE = 0.05  # change of the head's size over a cut that is one of the shot
_EXACT = 0.02  # error of the head's size that is corrected while it settles


@dataclass(frozen=True)
class Place:
    """Where a head is, and how large: driving pixels, or normalised in a crop."""

    centre_xy: Array  # (2,)
    size: float


@dataclass(frozen=True)
class Shot:
    """What is known of the current shot."""

    picture: Array | None = None  # (24, 32) uint8 grey of the last frame with a head
    place_px: Place | None = None  # in that frame
    before_px: Place | None = None  # before the last cut, while the head's size settles
    cut_s: float = 0.0
    is_moved: bool = False  # the last frame moved the crop
    crop: Crop | None = None  # None: the fixed driving crop


def step(shot: Shot, frame: Frame, now_px: Place, rest: Place) -> Shot:
    """The shot of the next frame with a head.

    now_px: the head in it, driving pixels. rest: of the reference, normalised in the fixed crop.
    """
    small = cv2.cvtColor(
        cv2.resize(frame.image, _SMALL_PX, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
    )
    before, cut_s = shot.before_px, shot.cut_s
    if shot.picture is not None and _is_cut(shot.picture, small):
        before, cut_s = shot.place_px, frame.time_s
    if before is not None and frame.time_s - cut_s > _SETTLES_S:
        before = None
    now = replace(
        shot, picture=small, place_px=now_px, before_px=before, cut_s=cut_s, is_moved=False
    )
    if before is None or _ratio(now_px.size, before.size) < 1 + _OTHER_SIZE:
        return now
    crop = crop_for(now_px, rest)
    if shot.crop is not None and _ratio(crop.side_px, shot.crop.side_px) < 1 + _EXACT:
        return now
    return replace(now, crop=crop, is_moved=True)


def crop_for(now_px: Place, rest: Place) -> Crop:
    """The square in which a head, in driving pixels, has this normalised place and size."""
    side_px = 2 * now_px.size / rest.size
    there = geometry.px_from_norm(rest.centre_xy[None], Crop(0.0, 0.0, side_px))[0]
    x, y = np.asarray(now_px.centre_xy, float) - there
    return Crop(float(x), float(y), float(side_px))


def is_cut(before: Array, after: Array) -> bool:
    """Whether two whole grey pictures are of different shots, by correlation and histogram."""
    small = [cv2.resize(p, _SMALL_PX, interpolation=cv2.INTER_AREA) for p in (before, after)]
    x, y = (p.astype(np.float32) - p.mean() for p in small)
    layout = float((x * y).sum() / (np.linalg.norm(x) * np.linalg.norm(y) + 1.0))
    tones = [cv2.calcHist([p], [0], None, [16], [0, 256]) for p in small]
    shared = float(np.minimum(tones[0], tones[1]).sum()) / small[0].size
    return not (layout > 0.7 or (layout > 0.4 and shared > 0.8))


def _is_cut(before: Array, after: Array) -> bool:
    levels = np.abs(before.astype(np.float32) - after).mean()
    return bool(levels > _LEAST_LEVELS and is_cut(before, after))


def _ratio(a: float, b: float) -> float:
    return max(a / b, b / a)
