"""Single pictures of the driver, looked at before the run: where the face is and how it is turned.

From these come the view that stages 1 to 3 work on, and the automatic reference: the frame whose
pose and opening of eyes and mouth are nearest the source's (a measure of Siarohin et al. 2019's
"best frame", with the head's rotation in place of a landmark network's shape distance).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from . import faces, sparse_motion
from .alignment import MEAN_SHAPE, Aligner
from .following import Reference
from .landmarks.points import eye_opening, mouth_opening
from .source import SURE, landmark_head, rotation_deg
from .types import Array, FaceBox, HeadBox, Source
from .views import View

_DEGREES = 10.0  # a turn that counts as much as ...
_OPENING = 0.12  # ... this change of an eye's or the mouth's opening


@dataclass(frozen=True, slots=True)
class Glance:
    """What one picture of the driver shows, in its own pixels."""

    index: int
    time_s: float
    face: FaceBox
    head: HeadBox
    landmarks_xy_px: Array | None  # (L, 2)
    rotation_deg: tuple[float, float, float]


def glance(image: Array, index: int, time_s: float, aligner: Aligner | None) -> Glance | None:
    """Find the largest face of a picture, (H, W, 3) uint8 RGB; None when there is none."""
    found = faces.detect_faces(image)
    if not found:
        return None
    face = max(found, key=lambda one: one.width_px * max(one.score, 0.1))
    head = HeadBox(face.center_xy_px, face.width_px)
    if aligner is None:
        return Glance(index, time_s, face, head, None, (0.0, 0.0, 0.0))
    landmarks = aligner.fit(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), face)
    if landmarks.confidence < SURE:
        return Glance(index, time_s, face, head, None, (0.0, 0.0, 0.0))
    head = landmark_head(landmarks.xy_px)
    turned = rotation_deg(image, head, landmarks.xy_px)
    return Glance(index, time_s, face, head, landmarks.xy_px, turned)


def nearest(glances: list[Glance], source: Source) -> Glance | None:
    """The glance most like the source's pose; None when none shows landmarks."""
    shown = [one for one in glances if one.landmarks_xy_px is not None]
    return min(shown, key=lambda one: distance(one, source)) if shown else None


def distance(one: Glance, source: Source) -> float:
    """How unlike the source's pose, eyes and mouth; 1 is about ten degrees."""
    turn = (np.array(one.rotation_deg) - source.rotation_deg) / _DEGREES
    total = float(np.linalg.norm(turn))
    if one.landmarks_xy_px is not None and source.landmarks_xy_px is not None:
        eyes = eye_opening(one.landmarks_xy_px) - eye_opening(source.landmarks_xy_px)
        mouth = mouth_opening(one.landmarks_xy_px) - mouth_opening(source.landmarks_xy_px)
        total += float(np.abs(eyes).mean() + 2 * abs(mouth)) / _OPENING
    return total


def as_reference(one: Glance, view: View) -> Reference:
    """A glance as the frame that relative motion is measured from, in the view's pixels."""
    corner = np.array([view.x_px, view.y_px])

    def moved(xy: Array) -> Array:
        return ((np.asarray(xy) + 0.5 - corner) * view.scale - 0.5).astype(np.float32)

    x, y = moved(np.array(one.head.center_xy_px))
    head = HeadBox((float(x), float(y)), one.head.size_px * view.scale, one.head.roll_deg)
    landmarks = None if one.landmarks_xy_px is None else moved(one.landmarks_xy_px)
    crop = sparse_motion.crop_around(head)
    return Reference(sparse_motion.rest(head, landmarks, MEAN_SHAPE, crop), head, crop)
