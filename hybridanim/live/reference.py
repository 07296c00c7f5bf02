"""Which pose of the driver means "no motion": found in the first seconds, or taken by a key.

Tracks of each frame in; a Reference out when a better one is found, and a hint for the driver. In
the first seconds the pose most similar to the source's is kept (as a render does over the whole
clip; the "best frame" of Siarohin et al. 2019), later only a key changes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.motion.reference import (
    Reference,
    is_tracked,
    pose_distance,
    reference_of,
    with_picture,
)
from hybridanim.types import Array, Crop, Source, Tracks

_SEARCH_S = 3.0
_BETTER = 0.2  # a change is a jump, so it has to be worth it
_UNKNOWN = 10.0  # distance of a head whose pose is not known
NEAR, NEAR_STILL = 1.2, 1.5  # distance below which the hint appears, above which it disappears
_DEGREES = np.array([10.0, 15.0, 10.0])  # pitch is measured worst: people's faces differ in it
_OPENING = 0.24  # of an eye or the mouth, counts like ten degrees
_LEAST_CONFIDENCE = 0.3


class ReferenceKeeper:
    """Keeps the reference, in pixels of the working picture."""

    def __init__(self, is_auto: bool) -> None:
        self.reference: Reference | None = None
        self._is_auto = is_auto
        self._best = float("inf")
        self._since_s: float | None = None  # when a head was first seen
        self._is_chosen = False  # by the user

    def update(self, tracks: Tracks, source: Source, time_s: float) -> Reference | None:
        """The new reference when this frame is a better one; None = unchanged."""
        if not is_tracked(tracks):
            return None
        if tracks.is_new_reference and not self._is_chosen:
            self.reset()  # the head of the earlier frames was no whole face
        self._since_s = time_s if self._since_s is None else self._since_s
        is_searching = self._is_auto and time_s - self._since_s <= _SEARCH_S
        if self.reference is not None and not is_searching:
            return None
        away = _distance_to_source(tracks, source)
        away = _UNKNOWN if away is None else away
        if self.reference is not None and away > self._best - _BETTER:
            return None
        self._best = away
        return self.take(tracks)

    def take(self, tracks: Tracks) -> Reference | None:
        """Take this frame as the reference; None when nothing is tracked."""
        found = reference_of(tracks, MEAN_SHAPE)
        self.reference = found or self.reference
        return found

    def stop_search(self) -> None:
        """Keep the reference from now on: the user has chosen it."""
        self._is_auto, self._is_chosen = False, True

    def reset(self) -> None:
        """Drop the reference and search again: the camera or its picture's size has changed."""
        self.reference, self._best, self._since_s = None, float("inf"), None

    def with_picture(self, image: Array) -> Reference | None:
        """The reference, once it is taken, with its picture: the frame (H, W, 3) that it is of."""
        self.reference = with_picture(self.reference, image)
        return self.reference

    def rescale(self, ratio: float) -> Reference | None:
        """The same reference in a working picture that is ``ratio`` times as large."""
        if self.reference is not None:
            self.reference = rescaled(self.reference, ratio)
        return self.reference


def rescaled(reference: Reference, ratio: float) -> Reference:
    """A reference in pixels of a picture ``ratio`` times as large; keypoints are normalised."""
    head, crop = reference.head, reference.crop
    if head is not None:
        x, y = ((value + 0.5) * ratio - 0.5 for value in head.center_xy_px)
        head = replace(head, center_xy_px=(x, y), size_px=head.size_px * ratio)
    crop = Crop(crop.x_px * ratio, crop.y_px * ratio, crop.side_px * ratio)
    return replace(reference, head=head, crop=crop, scene=None)  # corners are found anew


@dataclass(frozen=True, slots=True)
class Hint:
    """A sentence for the screen; good ones are green, others amber."""

    text: str
    is_good: bool


def _distance_to_source(tracks: Tracks, source: Source) -> float | None:
    """How much the driver's pose differs from the source's; 1 is about ten degrees.

    None without a head whose rotation is known.
    """
    if not tracks or tracks.head is None or tracks.rotation_confidence < _LEAST_CONFIDENCE:
        return None
    return pose_distance(
        tracks.rotation_deg,
        tracks.landmarks_xy_px,
        source,
        scale_deg=_DEGREES,
        scale_opening=_OPENING,
    )


def hint_for(tracks: Tracks | None, source: Source, before: Hint | None) -> Hint | None:
    """The hint for the driver, or None; before: the previous one, for hysteresis."""
    if tracks is None or not is_tracked(tracks):
        return Hint("no face is seen: look into the camera, with light on it", False)
    away = _distance_to_source(tracks, source)
    was_good = before is not None and before.is_good
    if away is not None and away < (NEAR_STILL if was_good else NEAR):
        return Hint("posed like the source: good for r", True)
    return None
