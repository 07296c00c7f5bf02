"""What a learned detector sees of a head: keypoints, the head's box, whether it is a face at all.

picture, window -> Sight. The window is a square round the head that gives way only when the head
leaves its middle, because a detector's answer moves a little with its window. The head's box means
what the landmarks' does; its rotation comes from the keypoints that sit on bone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np

from hybridanim import geometry
from hybridanim.face import cascade, head_pose
from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.face.anchors import ANCHORS, HAS_LANDMARKS, anchors_box, landmark_average
from hybridanim.face.head_box import from_anchors, from_face
from hybridanim.face.head_pose import Lens, Pose
from hybridanim.face.mean_shape import MEAN_SHAPE_3D
from hybridanim.fitting import fit_robust_affine
from hybridanim.motion import keypoints
from hybridanim.types import Array, Crop, HeadBox, Keypoints

LEAST_CONFIDENCE = 0.25  # a followed head is lost below this; walls and hands reach 0.22
LEAST_TO_START = 0.35  # and is not found below this
_LOOKS = 2  # a first window is only roughly placed: look, place it better, look again
_CANDIDATES = 3  # hits of the cascade that are looked at
_SEARCHED_PX = 480
_FREE_SHIFT = 0.04  # of the window's side: the head may be so far off its middle
_FREE_GROWTH = 0.08  # and so much larger or smaller than the window expects
_MISFIT_HEADS = 0.16  # keypoints this far off an affine face, on average, are no face
_SIZES = 0.45, 2.2  # least and largest head in a window, against what the window expects
_SOFT = ("lid", "lip", "mouth", "brow", "chin")  # parts of the face that move on their own


class Detector(Protocol):
    """Finds K keypoints in a square of a picture; see models/detector.py."""

    @property
    def count(self) -> int: ...  # noqa: D102

    @property
    def window(self) -> str: ...  # noqa: D102

    def __call__(self, image: Array, window: Crop, /) -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB, normalised to the window."""
        ...


@dataclass(frozen=True, slots=True)
class Points:
    """Keypoints in pixels of the picture."""

    xy_px: Array  # (K, 2) float64
    linear_px: Array  # (K, 2, 2) float64, canonical face -> picture
    confidence: Array  # (K,) float64 in [0, 1]

    def in_crop(self, crop: Crop) -> Keypoints:
        """The same, normalised to a square of the picture."""
        return Keypoints(
            geometry.norm_from_px(self.xy_px, crop),
            (self.linear_px * (2 / crop.side_px)).astype(np.float32),
            np.clip(self.confidence, 0, 1).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Sight:
    """One look of the detector."""

    points: Points
    window: Crop
    confidence: float  # in [0, 1]
    head: HeadBox | None  # None = not asked for, or these keypoints are no head


def look(image: Array, window: Crop, detector: Detector) -> Sight:
    """Run the detector on a window of (H, W, 3) uint8 RGB."""
    return judged(points_px(detector(image, window), window), window, detector)


def judged(points: Points, window: Crop, detector: Detector) -> Sight:
    """Keypoints in a window with what they say of the head, if the detector is one for heads."""
    if detector.window != "head":
        return Sight(points, window, float(points.confidence.mean()), None)
    head, likeness = head_of(points, window)
    sure = float(points.confidence[_stiff_rows()].mean())
    return Sight(points, window, likeness * sure, head)


def look_closely(image: Array, head: HeadBox, detector: Detector) -> Sight:
    """Look at a roughly known head, twice, the second time where the first look saw it."""
    seen = look(image, keypoints.crop_around(head), detector)
    for _ in range(_LOOKS - 1):
        if seen.head is None or seen.confidence < LEAST_CONFIDENCE:
            break
        seen = look(image, keypoints.crop_around(seen.head), detector)
    return seen


def search(image: Array, detector: Detector) -> Sight | None:
    """A head anywhere in the picture: the first hit of the cascade that shows a face."""
    for face in cascade.detect_faces(image, max_side_px=_SEARCHED_PX)[:_CANDIDATES]:
        seen = look_closely(image, from_face(face), detector)
        if seen.head is not None and seen.confidence > LEAST_TO_START:
            return seen  # the cascade's order is that of size and sureness
    return None


def middle_square(image: Array) -> Crop:
    """The largest square in the middle of a picture: what a "frame" detector looks at."""
    height, width = image.shape[:2]
    side = min(height, width)
    return Crop(float((width - side) // 2), float((height - side) // 2), float(side))


def points_px(seen: Keypoints, window: Crop) -> Points:
    """Keypoints of a window in pixels of the picture."""
    return Points(
        geometry.px_from_norm(seen.xy_norm, window).astype(np.float64),
        seen.jacobian.astype(np.float64) * (window.side_px / 2),
        seen.confidence.astype(np.float64),
    )


def next_window(window: Crop | None, head: HeadBox) -> Crop:
    """The window for the next look: the last one, moved only as far as the head pushes it."""
    wanted = keypoints.crop_around(head)
    if window is None:
        return wanted
    growth = float(np.log(wanted.side_px / window.side_px))
    free = np.log1p(_FREE_GROWTH)
    side = window.side_px * float(np.exp(growth - np.clip(growth, -free, free)))
    shift = _middle(wanted) - _middle(window)
    length = float(np.hypot(*shift))
    beyond = max(0.0, length - _FREE_SHIFT * side)
    x, y = _middle(window) + shift * (beyond / max(length, 1e-9)) - side / 2
    return Crop(float(x), float(y), side)


def head_of(points: Points, window: Crop) -> tuple[HeadBox | None, float]:
    """The head's box, and how much the keypoints look like those of a face, 0 to 1."""
    head = from_anchors(points.xy_px)
    size = head.size_px
    expected = window.side_px / keypoints.CROP_HEADS
    if not _SIZES[0] < size / expected < _SIZES[1]:
        return None, 0.0
    rows = _stiff_rows()
    places, xy = canonical_places()[rows], points.xy_px[rows]
    whole, _ = fit_robust_affine(places, xy, np.ones(len(rows)), 0.1 * size)
    if np.linalg.det(whole[:, :2]) < 0.1 * size**2:  # mirrored or flat
        return None, 0.0
    misfit = np.hypot(*(geometry.apply_affine(whole, places) - xy).T).mean() / size
    return head, float(np.clip(2 - 2 * misfit / _MISFIT_HEADS, 0, 1))


def turned(points: Points, head: HeadBox, lens: Lens, last: Pose, time_s: float) -> Pose:
    """How the head is turned, by the keypoints on bone; smoothed, or held when they do not fit."""
    guess = replace(last, centre_xy_px=head.center_xy_px, size_px=head.size_px)
    if last.confidence == 0:
        guess = head_pose.frontal(head)
    rows = _stiff_rows()
    now = head_pose.solve(_solid()[rows], points.xy_px[rows], lens, guess)
    if now is None or now.confidence < 0.25:
        return replace(guess, confidence=0.5 * last.confidence)
    return head_pose.smoothed(last, now, time_s)


@cache
def canonical_places() -> Array:
    """(K, 2) float64: the anchors on the mean face, in face-box units."""
    return np.where(HAS_LANDMARKS[:, None], landmark_average() @ MEAN_SHAPE, anchors_box()).astype(
        np.float64
    )


@cache
def _stiff_rows() -> Array:
    """Keypoints that sit on landmarks over bone."""
    stiff = [not any(word in anchor.name for word in _SOFT) for anchor in ANCHORS]
    return np.flatnonzero(np.array(stiff) & HAS_LANDMARKS)


@cache
def _solid() -> Array:
    """(K, 3) float32: the anchors on the mean face in depth; only those on landmarks mean it."""
    return (landmark_average() @ MEAN_SHAPE_3D).astype(np.float32)


def _middle(crop: Crop) -> Array:
    return np.array([crop.x_px, crop.y_px]) + crop.side_px / 2
