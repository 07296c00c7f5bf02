"""The reference frame of relative motion, and a plausibility check of head poses.

Tracks of one frame -> Reference; Reference and the first frame -> ReferencePose, complete in the
fixed driving crop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.face.anchors import FREE, PINNED
from hybridanim.face.landmarks import eye_opening, mouth_opening
from hybridanim.types import (
    Array,
    Crop,
    FaceFit,
    HeadBox,
    Keypoints,
    SceneTracks,
    Source,
    Tracks,
)

from . import body, keypoints, transfer
from .head_transfer import DriverFace

_STRETCH, _STRETCH_SURE = (
    1.2,
    0.5,
)  # largest anisotropy of a head; added at confidence 1


SEARCH_S = 60.0  # length of the part in which the automatic reference frame is searched
NEAR_DEGREES = 10.0  # rotation that is a distance of 1 from the source's
NEAR_OPENING = 0.12  # change of an eye's or the mouth's opening that is a distance of 1
PICTURE_PX = 256  # side of a reference's picture, which the optical flow starts from


@dataclass(frozen=True)
class Reference:
    """A driving frame that means "no motion", in its own crop."""

    keypoints: Keypoints  # in the crop
    head: HeadBox | None  # driving pixels; None = keypoints of an object without a head
    crop: Crop
    scene: SceneTracks | None = None  # of the same run; gives the body's position
    picture: Array | None = None  # (S, S) uint8 grey of the crop, for the optical flow
    face: FaceFit | None = None  # in driving pixels


@dataclass(frozen=True)
class ReferencePose:
    """A reference in the fixed driving crop, with all that relative motion is measured from."""

    reference: Reference
    keypoints: Keypoints  # in the fixed crop, with the body's if that is tracked
    is_face: bool
    scene: SceneTracks | None  # corners of body and background in the reference's picture
    background: Array | None  # (2, 3) norm, reference <- first frame; None = unknown
    face: DriverFace | None = None  # in the fixed crop


def reference_of(
    tracks: Tracks, mean_shape: Array | None, crop: Crop | None = None
) -> Reference | None:
    """Make this frame a reference, or return None when nothing is tracked.

    mean_shape: (L, 2) of the aligner or None. crop: in driving pixels; None = the tracks' own, or
    one around the head.
    """
    if not is_tracked(tracks):
        return None
    if tracks.keypoints is not None and tracks.keypoints_crop is not None:
        own = tracks.keypoints_crop
        points = keypoints.in_crop(tracks.keypoints, own, crop or own)
        return Reference(points, tracks.head, crop or own, tracks.scene, face=tracks.face)
    if tracks.head is None:
        return None
    crop = crop or keypoints.crop_around(tracks.head)
    points = keypoints.place_anchors(tracks.head, tracks.landmarks_xy_px, mean_shape, crop)
    return Reference(points, tracks.head, crop, tracks.scene, face=tracks.face)


def with_picture(reference: Reference | None, image: Array) -> Reference | None:
    """Add the picture of its crop to a reference; image: its driving frame, (H, W, 3) uint8 RGB.

    A reference without a head, or None, is returned unchanged.
    """
    if reference is None or reference.head is None:
        return reference
    return replace(reference, picture=grey_of(image, reference.crop))


def grey_of(image: Array, crop: Crop) -> Array:
    """Return the crop of an RGB picture (H, W, 3) uint8 as (S, S) uint8 grey, S = 256."""
    return geometry.crop_image(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), crop, PICTURE_PX)


def is_tracked(tracks: Tracks) -> bool:
    """Whether a head, or the keypoints of another object, are tracked."""
    return bool(tracks) and (tracks.head is not None or tracks.keypoints is not None)


def pose_distance(
    rotation_deg: tuple[float, float, float],
    landmarks_xy_px: Array | None,
    source: Source,
    *,
    scale_deg: float | Array,
    scale_opening: float,
) -> float:
    """Distance of a driving head's pose, eyes and mouth from the source's; 0 = the same.

    rotation_deg: yaw, pitch, roll; landmarks_xy_px: (L, 2) or None, which leaves eyes and mouth
    out. A rotation by scale_deg (one angle, or one per axis) adds 1, as does a change of the eyes'
    opening by scale_opening; the mouth's opening has weight 2.
    """
    openings = None if landmarks_xy_px is None else openings_of(landmarks_xy_px)
    return distance_of_openings(
        rotation_deg, openings, source, scale_deg=scale_deg, scale_opening=scale_opening
    )


def openings_of(landmarks_xy_px: Array) -> Array:
    """(3,) opening of left eye, right eye and mouth of landmarks (L, 2)."""
    return np.append(eye_opening(landmarks_xy_px), mouth_opening(landmarks_xy_px))


def distance_of_openings(
    rotation_deg: tuple[float, float, float],
    openings: Array | None,
    source: Source,
    *,
    scale_deg: float | Array,
    scale_opening: float,
) -> float:
    """As ``pose_distance``, from the openings (3,) of a driving face."""
    turn_deg = np.array(rotation_deg) - source.rotation_deg
    total = float(np.linalg.norm(turn_deg / scale_deg))
    if openings is not None and source.landmarks_xy_px is not None:
        *eyes, mouth = openings - openings_of(source.landmarks_xy_px)
        total += float(np.abs(eyes).mean() + 2 * abs(mouth)) / scale_opening
    return total


def trust_of(tracks: Tracks) -> float:
    """Confidence of the trackers in [0, 1]: of the landmarks where there are some."""
    has_landmarks = tracks.landmarks_xy_px is not None
    return tracks.landmarks_confidence if has_landmarks else tracks.confidence_overall


def is_plausible(driving: Keypoints, pose: Keypoints, trust: float) -> bool:
    """Whether the head's affine since the reference pose is possible: limits its anisotropy.

    A rotated head is narrower, but only up to a limit; beyond it the tracks are wrong, for example
    because a hand covers the face. The limit is wider where the trackers are confident (trust).
    """
    whole = transfer.head_affine(pose, driving, PINNED)
    longest, shortest = np.linalg.svd(whole[:, :2], compute_uv=False)
    return bool(longest < (_STRETCH + _STRETCH_SURE * trust) * shortest)


def context_of(
    first: Reference, scene: SceneTracks
) -> tuple[Keypoints, HeadBox, SceneTracks, Crop]:
    """Arguments of ``body.with_body`` and ``body.background`` after the driving keypoints.

    first: the first frame, with a head. scene: corners of body and background of the frame that is
    compared with it.
    """
    assert first.head is not None
    return first.keypoints, first.head, scene, first.crop


def completed(
    known: ReferencePose | None, reference: Reference, first: Reference, tracks: Tracks
) -> ReferencePose:
    """Return the reference pose; ``known`` if reference and its scene corners are unchanged.

    first: the first frame, whose crop is the fixed driving crop.
    """
    is_first = reference is first
    scene = None if is_first else reference.scene or tracks.reference_scene
    if known is not None and known.reference is reference and known.scene is scene:
        return known
    points = keypoints.in_crop(reference.keypoints, reference.crop, first.crop)
    is_face = reference.head is not None and len(points.xy_norm) == len(FREE)
    background = None
    if scene is not None and first.head is not None:
        background = body.background(points, *context_of(first, scene))
    if is_face and tracks.scene is not None and not is_first and first.head is not None:
        if scene is not None:
            points = body.with_body(points, *context_of(first, scene))
        else:
            points = with_first_body(points, first)
    face = None if reference.face is None else DriverFace.of(reference.face, first.crop)
    return ReferencePose(reference, points, is_face, scene, background, face)


def with_first_body(points: Keypoints, first: Reference) -> Keypoints:
    """Keep the head's keypoints; take neck and shoulders from the first frame."""
    return Keypoints(
        np.where(PINNED[:, None], points.xy_norm, first.keypoints.xy_norm),
        np.where(PINNED[:, None, None], points.jacobian, first.keypoints.jacobian),
        points.confidence,
    )
