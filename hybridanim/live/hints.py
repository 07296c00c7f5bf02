"""Driver and source -> is this a good moment for the reference?

Relative motion starts from the reference: when the driver is posed like the source then, nothing is
bent at rest (the "best frame" of Siarohin et al. 2019, for a camera).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridanim.face.landmarks import eye_opening, mouth_opening
from hybridanim.types import Source, Tracks

NEAR, NEAR_STILL = 1.2, 1.5  # distance at which the hint comes, and goes
_DEGREES = np.array([10.0, 15.0, 10.0])  # pitch is measured worst: people's faces differ in it
_OPENING = 0.24  # of an eye or the mouth, counts like ten degrees
_LEAST_CONFIDENCE = 0.3


@dataclass(frozen=True, slots=True)
class Hint:
    """A sentence for the screen; good ones are green, others amber."""

    words: str
    is_good: bool


def is_seen(tracks: Tracks) -> bool:
    """Whether a head is followed, or the keypoints of something without one."""
    return bool(tracks) and (tracks.head is not None or tracks.keypoints is not None)


def distance(tracks: Tracks, source: Source) -> float | None:
    """How unlike the source the driver is posed; 1 is about ten degrees. None without a head."""
    if not tracks or tracks.head is None or tracks.rotation_confidence < _LEAST_CONFIDENCE:
        return None
    turn = (np.array(tracks.rotation_deg) - source.rotation_deg) / _DEGREES
    total = float(np.linalg.norm(turn))
    if tracks.landmarks_xy_px is not None and source.landmarks_xy_px is not None:
        eyes = eye_opening(tracks.landmarks_xy_px) - eye_opening(source.landmarks_xy_px)
        mouth = mouth_opening(tracks.landmarks_xy_px) - mouth_opening(source.landmarks_xy_px)
        total += float(np.abs(eyes).mean() + 2 * abs(mouth)) / _OPENING
    return total


def hint(tracks: Tracks | None, source: Source, before: Hint | None) -> Hint | None:
    """What to tell the driver; ``before`` is the hint until now, so that it does not flicker."""
    if tracks is None or not is_seen(tracks):
        return Hint("no face is seen: look into the camera, with light on it", False)
    away = distance(tracks, source)
    was_good = before is not None and before.is_good
    if away is not None and away < (NEAR_STILL if was_good else NEAR):
        return Hint("posed like the source: good for r", True)
    return None
