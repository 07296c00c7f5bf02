"""Preview scan of the driver: face, pose and keypoints of single pictures, before the run.

It gives the view that stages 1 to 3 work on, and the automatic reference: the frame whose pose and
openings of eyes and mouth are nearest to the source's (as the "best frame" of Siarohin et al. 2019,
with the head's rotation in place of a landmark network's shape distance). The keypoints of that
frame come from the learned tracker's detector if there is one, so that all are of one detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim.face import cascade, head_pose
from hybridanim.face.aligner import MEAN_SHAPE, Aligner
from hybridanim.face.head_box import share_inside
from hybridanim.geometry import turned
from hybridanim.motion.keypoints import crop_around, place_anchors
from hybridanim.motion.reference import NEAR_DEGREES, NEAR_OPENING, Reference, pose_distance
from hybridanim.tracking import detection, face_tracking
from hybridanim.tracking.detection import Detector
from hybridanim.tracking.face_tracking import PointFinder
from hybridanim.types import (
    Array,
    Crop,
    FaceBox,
    FaceFit,
    HeadBox,
    HeadPose,
    Keypoints,
    Source,
)

from . import plausible
from .source import rotation_deg
from .source_head import SURE, landmark_head
from .view import View

_LEAST_OTHER = 0.4  # size of a further face, of the largest one's
_LEAST_INSIDE = 0.8  # share of a head box in the picture


@dataclass(frozen=True, slots=True)
class FaceObservation:
    """Face, head and pose in one picture of the driver, in its own pixels."""

    index: int
    time_s: float
    face: FaceBox
    head: HeadBox
    landmarks_xy_px: Array | None  # (L, 2)
    rotation_deg: tuple[float, float, float]
    share_inside: float = 1.0  # of the head box that lies in the picture
    keypoints: Keypoints | None = None  # of a learned tracker, normalised to keypoints_crop
    keypoints_crop: Crop | None = None
    fit: FaceFit | None = None  # the fitted face model
    is_face: bool = False  # landmarks say that it is one, and no cabinet
    others: tuple[FaceBox, ...] = ()  # further faces that landmarks confirm

    @property
    def is_clear(self) -> bool:
        """Whether it can be a reference."""
        return self.landmarks_xy_px is not None or self.keypoints is not None

    @property
    def is_whole(self) -> bool:
        """Whether it shows all of a face, and not one that the picture's edge cuts off."""
        return self.is_clear and self.share_inside >= _LEAST_INSIDE


@dataclass(frozen=True, slots=True)
class ObjectObservation:
    """Keypoints of an object in one picture of the driver, by a whole-frame detector."""

    index: int
    time_s: float
    keypoints: Keypoints
    keypoints_crop: Crop
    is_clear: bool = True
    is_face: bool = True  # nothing that would have to be turned upright
    others: tuple[FaceBox, ...] = ()


Observation = FaceObservation | ObjectObservation


def detect(
    image: Array,
    index: int,
    time_s: float,
    aligner: Aligner | None,
    detector: Detector | None = None,
    finder: PointFinder | None = None,
) -> FaceObservation | None:
    """Detect the largest face of a picture, (H, W, 3) uint8 RGB; None when there is none.

    detector: of a learned tracker for heads; its keypoints are then part of the observation.
    finder: of mesh points; None = no face is fitted.
    """
    one = _detect_face(image, index, time_s, aligner)
    if one is not None and finder is not None:
        one = _with_fit(image, one, finder, aligner)
    if one is None or detector is None:
        return one
    seen = detection.detect_near(image, one.head, detector)
    if seen.head is None or seen.confidence < detection.LEAST_TO_START:
        return one
    points = seen.points.in_crop(seen.window)
    if one.fit is not None and one.landmarks_xy_px is not None:
        points = face_tracking.with_landmarks(points, seen.window, one.landmarks_xy_px) or points
    share = share_inside(seen.head, *image.shape[:2])
    return replace(
        one, head=seen.head, keypoints=points, keypoints_crop=seen.window, share_inside=share
    )


def _with_fit(
    image: Array, one: FaceObservation, finder: PointFinder, aligner: Aligner | None
) -> FaceObservation:
    """The observation with the fitted face, and landmarks and rotation of it."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = face_tracking.still_face(grey, one.head, finder)
    if found is None:
        return one
    face, landmarks = found
    head = landmark_head(landmarks)
    is_face = one.is_face or (
        aligner is not None and plausible.is_face(grey, face, landmarks, aligner)
    )
    return replace(
        one,
        head=head,
        landmarks_xy_px=landmarks,
        rotation_deg=head_pose.angles_deg(face.pose.rotation),
        share_inside=share_inside(head, *image.shape[:2]),
        fit=face,
        is_face=is_face,
    )


def detect_object(image: Array, index: int, time_s: float, detector: Detector) -> ObjectObservation:
    """Detect keypoints in the middle square of a picture, (H, W, 3) uint8 RGB."""
    square = detection.middle_square(image)
    return ObjectObservation(index, time_s, detector(image, square), square)


def _detect_face(
    image: Array, index: int, time_s: float, aligner: Aligner | None
) -> FaceObservation | None:
    found = cascade.detect_faces(image)
    if not found:
        return None
    face = max(found, key=lambda one: one.width_px * max(one.score, 0.1))
    head = HeadBox(face.center_xy_px, face.width_px)
    if aligner is None:
        return FaceObservation(index, time_s, face, head, None, (0.0, 0.0, 0.0))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    landmarks = aligner.fit(grey, face)
    if landmarks.confidence < SURE:
        return FaceObservation(index, time_s, face, head, None, (0.0, 0.0, 0.0))
    others = tuple(
        one
        for one in found
        if one is not face
        and one.width_px > _LEAST_OTHER * face.width_px
        and aligner.fit(grey, one).confidence > plausible.LIKE_A_FACE
    )
    head = landmark_head(landmarks.xy_px)
    angles = rotation_deg(image, head, landmarks.xy_px)
    share = share_inside(head, *image.shape[:2])
    is_face = landmarks.confidence > plausible.LIKE_A_FACE
    return FaceObservation(
        index,
        time_s,
        face,
        head,
        landmarks.xy_px,
        angles,
        share_inside=share,
        is_face=is_face,
        others=others,
    )


def turn_of(pictures: Sequence[Array], aligner: Aligner) -> tuple[int, float]:
    """The turn, 90, 180 or 270 degrees clockwise, after which most of these pictures show a face.

    pictures: (H, W, 3) uint8 RGB that show none as they are. Also returns the share that does then;
    (0, 0) when fewer than two do, of two or more.
    """
    best, most = 0, 0
    for turn_deg in plausible.TURNS_DEG[1:]:
        seen = [_detect_face(turned(one, turn_deg), 0, 0.0, aligner) for one in pictures]
        count = sum(one is not None and one.is_face for one in seen)
        if count > most:
            best, most = turn_deg, count
    is_enough = most >= min(2, len(pictures)) and most > 0
    return (best, most / len(pictures)) if is_enough else (0, 0.0)


def nearest(observations: Sequence[Observation], source: Source) -> FaceObservation | None:
    """The observation nearest to the source's pose; None without any face with landmarks."""
    faces_seen = [one for one in observations if isinstance(one, FaceObservation)]
    shown = [one for one in faces_seen if one.landmarks_xy_px is not None]
    shown = [one for one in shown if one.keypoints is not None] or shown
    shown = [one for one in shown if one.is_whole] or shown
    return min(shown, key=lambda one: distance(one, source)) if shown else None


def distance(one: FaceObservation, source: Source) -> float:
    """Distance from the source's rotation, eye and mouth openings; 1 is about ten degrees."""
    return pose_distance(
        one.rotation_deg,
        one.landmarks_xy_px,
        source,
        scale_deg=NEAR_DEGREES,
        scale_opening=NEAR_OPENING,
    )


def surest_faces(observations: Sequence[Observation]) -> list[FaceObservation]:
    """The faces that landmarks or detector confirm; all of them where none is confirmed.

    The cascade alone also finds cabinets and patterns of cloth.
    """
    faces_seen = [one for one in observations if isinstance(one, FaceObservation)]
    return [one for one in faces_seen if one.is_clear] or faces_seen


def faces_by_time(observations: Sequence[Observation], view: View) -> dict[float, FaceBox]:
    """The whole and confirmed faces: time in s -> box in the view's pixels, see ``HeadBox``."""
    found = {}
    for one in surest_faces(observations):
        if one.is_whole:
            head = _head_in_view(one, view)
            (x, y), side = head.center_xy_px, head.size_px
            found[one.time_s] = FaceBox(x - side / 2, y - side / 2, side, side)
    return found


def _head_in_view(one: FaceObservation, view: View) -> HeadBox:
    x, y = view.inside(np.array(one.head.center_xy_px))
    return HeadBox((float(x), float(y)), one.head.size_px * view.scale, one.head.roll_deg)


def as_reference(one: Observation, view: View) -> Reference:
    """An observation as the reference frame of relative motion, in the view's pixels."""
    head = _head_in_view(one, view) if isinstance(one, FaceObservation) else None
    if one.keypoints is not None and one.keypoints_crop is not None:
        crop = view.crop_inside(one.keypoints_crop)
        return Reference(one.keypoints, head, crop, face=_fit_in_view(one, view))
    assert isinstance(one, FaceObservation) and head is not None
    landmarks = None
    if one.landmarks_xy_px is not None:
        landmarks = view.inside(one.landmarks_xy_px).astype(np.float32)
    crop = crop_around(head)
    points = place_anchors(head, landmarks, MEAN_SHAPE, crop)
    return Reference(points, head, crop, face=_fit_in_view(one, view))


def _fit_in_view(one: Observation, view: View) -> FaceFit | None:
    fit = one.fit if isinstance(one, FaceObservation) else None
    if fit is None:
        return None
    shift = view.inside(fit.pose.shift_px)
    pose = HeadPose(fit.pose.rotation, fit.pose.scale_px * view.scale, shift)
    return replace(fit, pose=pose)
