"""Detections of a learned detector: keypoints, head box, rotation, face confidence.

picture, window -> Detection. The window is a square around the head. It moves only when the head
leaves a tolerance around its middle, because a detector's output depends slightly on its window.
The head box is defined as that of the landmarks; the rotation comes from rigid keypoints (on bone).
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
from hybridanim.face.head_box import from_anchors, from_face, share_inside
from hybridanim.face.head_pose import Intrinsics, Pose
from hybridanim.face.mean_shape import MEAN_SHAPE_3D
from hybridanim.fitting import fit_robust_affine
from hybridanim.motion import keypoints
from hybridanim.types import Array, Crop, HeadBox, Keypoints

from .confirmation import Limits, evidence_of

LEAST_CONFIDENCE = 0.25  # a tracked head is lost below this; walls and hands reach 0.22
LEAST_TO_START = 0.35  # least confidence of a new head
LIMITS = Limits(LEAST_TO_START, LEAST_CONFIDENCE, patience_s=0.0)
_PASSES = 2  # detector runs on a new head; each one centres the window of the next
_CANDIDATES = 3  # cascade hits that the detector is run on
_SEARCHED_PX = 480
_FREE_SHIFT = 0.04  # tolerated offset of the head from the window's middle, in window sides
_FREE_GROWTH = 0.08  # tolerated relative deviation of its size
_MISFIT_HEADS = 0.16  # mean residual of an affine face at which the confidence is 0
_SIZES = 0.45, 2.2  # least and largest head size relative to that of a centred head
_NON_RIGID = ("lid", "lip", "mouth", "brow", "chin")  # parts of the face


class Detector(Protocol):
    """Detects K keypoints in a square of a picture; see runtime/detector.py.

    count: K. window: "head" = trained around heads, "frame" = on whole frames of other objects.
    """

    @property
    def count(self) -> int: ...  # noqa: D102

    @property
    def window(self) -> str: ...  # noqa: D102

    def __call__(self, image: Array, window: Crop, /) -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB, normalised to the window."""
        ...


@dataclass(frozen=True, slots=True)
class KeypointsPx:
    """Keypoints in pixels of the picture."""

    xy_px: Array  # (K, 2) float64
    linear_px: Array  # (K, 2, 2) float64, canonical face -> picture
    confidence: Array  # (K,) float64 in [0, 1]

    def in_crop(self, crop: Crop) -> Keypoints:
        """Keypoints normalised to a square of the picture, float32."""
        return Keypoints(
            geometry.norm_from_px(self.xy_px, crop),
            (self.linear_px * (2 / crop.side_px)).astype(np.float32),
            np.clip(self.confidence, 0, 1).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Detection:
    """Result of one detector run."""

    points: KeypointsPx
    window: Crop
    confidence: float  # in [0, 1]
    head: HeadBox | None  # None = the detector is not for heads, or the keypoints are no head
    is_object: bool = False  # the detector is not for heads


def detect(image: Array, window: Crop, detector: Detector) -> Detection:
    """Run the detector on a window of (H, W, 3) uint8 RGB."""
    return to_detection(to_pixels(detector(image, window), window), window, detector)


def to_detection(points: KeypointsPx, window: Crop, detector: Detector) -> Detection:
    """Keypoints with their confidence and, if the detector is for heads, their head box."""
    if detector.window != "head":
        return Detection(points, window, float(points.confidence.mean()), None, is_object=True)
    head, score = estimate_head(points, window)
    sure = float(points.confidence[_rigid_rows()].mean())
    return Detection(points, window, score * sure, head)


def detect_near(image: Array, head: HeadBox, detector: Detector) -> Detection:
    """Detect a roughly known head, twice: the second window is centred on the first result."""
    seen = detect(image, keypoints.crop_around(head), detector)
    for _ in range(_PASSES - 1):
        if seen.head is None or seen.confidence < LEAST_CONFIDENCE:
            break
        seen = detect(image, keypoints.crop_around(seen.head), detector)
    return seen


def search(image: Array, detector: Detector) -> Detection | None:
    """The first cascade hit in the picture that the detector confirms, or None."""
    for face in cascade.detect_faces(image, max_side_px=_SEARCHED_PX)[:_CANDIDATES]:
        seen = detect_near(image, from_face(face), detector)
        if evidence(seen, image) > LEAST_TO_START:
            return seen  # the cascade orders by size and score
    return None


def evidence(seen: Detection, image: Array, *, is_known: bool = False) -> float:
    """See ``confirmation.evidence_of``; 0 for keypoints that are no head.

    The confidence itself for a detector of other objects.
    """
    if seen.is_object:
        return seen.confidence
    if seen.head is None:
        return 0.0
    inside = share_inside(seen.head, *image.shape[:2])
    return evidence_of(seen.confidence, inside, is_known=is_known)


def middle_square(image: Array) -> Crop:
    """The largest square in the middle of a picture: the window of a "frame" detector."""
    height, width = image.shape[:2]
    side = min(height, width)
    return Crop(float((width - side) // 2), float((height - side) // 2), float(side))


def to_pixels(seen: Keypoints, window: Crop) -> KeypointsPx:
    """Normalised keypoints of a window in pixels of the picture."""
    return KeypointsPx(
        geometry.px_from_norm(seen.xy_norm, window).astype(np.float64),
        seen.jacobian.astype(np.float64) * (window.side_px / 2),
        seen.confidence.astype(np.float64),
    )


def next_window(window: Crop | None, head: HeadBox) -> Crop:
    """The next window: the last one, changed by as much as the head exceeds the tolerances."""
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


def estimate_head(points: KeypointsPx, window: Crop) -> tuple[HeadBox | None, float]:
    """The head box, or None, and a confidence in [0, 1] that the keypoints are those of a face.

    The confidence falls with the residual of a robust affine from the mean face.
    """
    head = from_anchors(points.xy_px)
    size = head.size_px
    expected = window.side_px / keypoints.CROP_HEADS
    if not _SIZES[0] < size / expected < _SIZES[1]:
        return None, 0.0
    rows = _rigid_rows()
    places, xy = canonical_places()[rows], points.xy_px[rows]
    whole, _ = fit_robust_affine(places, xy, np.ones(len(rows)), 0.1 * size)
    if np.linalg.det(whole[:, :2]) < 0.1 * size**2:  # mirrored or flat
        return None, 0.0
    misfit = np.hypot(*(geometry.apply_affine(whole, places) - xy).T).mean() / size
    return head, float(np.clip(2 - 2 * misfit / _MISFIT_HEADS, 0, 1))


def estimate_pose(
    points: KeypointsPx, head: HeadBox, intrinsics: Intrinsics, last: Pose, time_s: float
) -> Pose:
    """The pose from the rigid keypoints, low-passed; the last one when they do not fit."""
    guess = replace(last, centre_xy_px=head.center_xy_px, size_px=head.size_px)
    if last.confidence == 0:
        guess = head_pose.frontal(head)
    rows = _rigid_rows()
    now = head_pose.solve(_canonical_places_3d()[rows], points.xy_px[rows], intrinsics, guess)
    if now is None or now.confidence < 0.25:
        return replace(guess, confidence=0.5 * last.confidence)
    return head_pose.smooth(last, now, time_s)


@cache
def canonical_places() -> Array:
    """(K, 2) float64: the anchors on the mean face, in face-box units."""
    return np.where(HAS_LANDMARKS[:, None], landmark_average() @ MEAN_SHAPE, anchors_box()).astype(
        np.float64
    )


@cache
def _rigid_rows() -> Array:
    """Indices of the keypoints on landmarks over bone."""
    stiff = [not any(word in anchor.name for word in _NON_RIGID) for anchor in ANCHORS]
    return np.flatnonzero(np.array(stiff) & HAS_LANDMARKS)


@cache
def _canonical_places_3d() -> Array:
    """(K, 3) float32: the anchors on the 3-D mean face; valid only for those on landmarks."""
    return (landmark_average() @ MEAN_SHAPE_3D).astype(np.float32)


def _middle(crop: Crop) -> Array:
    return np.array([crop.x_px, crop.y_px]) + crop.side_px / 2
