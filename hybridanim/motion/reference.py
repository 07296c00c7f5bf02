"""The driver at rest: what relative motion is measured from, and what a head can look like.

Tracks of one frame -> Reference; Reference and the first frame -> keypoints at rest in the fixed
driving crop, body included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hybridanim.face.anchors import PINNED
from hybridanim.face.landmarks import eye_opening, mouth_opening
from hybridanim.types import Array, Crop, HeadBox, Keypoints, Source, Surroundings, Tracks

from . import body, flow_transfer, transfer
from . import keypoints as sparse_motion

_STRETCH, _STRETCH_SURE = 1.2, 0.5  # of a head since the first frame; unsure, and in addition sure


@dataclass(frozen=True)
class Reference:
    """A driver at "no motion": what relative motion is measured from."""

    keypoints: Keypoints  # in the driving crop
    head: HeadBox | None  # driving pixels; None = keypoints of something without a head
    crop: Crop
    around: Surroundings | None = None  # of the same run, to tell where the body was
    picture: Array | None = None  # (S, S) uint8 grey of the crop, for the optical flow since then


def reference_of(
    tracks: Tracks, mean_shape: Array | None, crop: Crop | None = None
) -> Reference | None:
    """The driver of this frame as a reference, or None when nothing is tracked."""
    if not shows_something(tracks):
        return None
    if tracks.keypoints is not None and tracks.keypoints_crop is not None:
        own = tracks.keypoints_crop
        points = sparse_motion.in_crop(tracks.keypoints, own, crop or own)
        return Reference(points, tracks.head, crop or own, tracks.around)
    if tracks.head is None:
        return None
    crop = crop or sparse_motion.crop_around(tracks.head)
    points = sparse_motion.rest(tracks.head, tracks.landmarks_xy_px, mean_shape, crop)
    return Reference(points, tracks.head, crop, tracks.around)


def pictured(reference: Reference | None, image: Array) -> Reference | None:
    """The reference with its picture, of the driving frame (H, W, 3) uint8 RGB that it is of."""
    if reference is None or reference.head is None:
        return reference
    return replace(reference, picture=flow_transfer.grey_of(image, reference.crop))


def shows_something(tracks: Tracks) -> bool:
    """Whether a head, or keypoints of another object, are followed."""
    return bool(tracks) and (tracks.head is not None or tracks.keypoints is not None)


def pose_distance(
    rotation_deg: tuple[float, float, float],
    landmarks_xy_px: Array | None,
    source: Source,
    *,
    scale_deg: float | Array,
    scale_opening: float,
) -> float:
    """How much a driving head's pose, eyes and mouth differ from the source's; 0 = the same.

    rotation_deg: yaw, pitch, roll; landmarks_xy_px: (L, 2) or None, which leaves eyes and mouth
    out. A turn by scale_deg (one angle, or one for each axis) counts 1, as does a change of an
    eye's or the mouth's opening by scale_opening; the mouth counts twice.
    """
    turn_deg = np.array(rotation_deg) - source.rotation_deg
    total = float(np.linalg.norm(turn_deg / scale_deg))
    if landmarks_xy_px is not None and source.landmarks_xy_px is not None:
        eyes = eye_opening(landmarks_xy_px) - eye_opening(source.landmarks_xy_px)
        mouth = mouth_opening(landmarks_xy_px) - mouth_opening(source.landmarks_xy_px)
        total += float(np.abs(eyes).mean() + 2 * abs(mouth)) / scale_opening
    return total


def is_plausible(driving: Keypoints, pose: Keypoints, tracks: Tracks) -> bool:
    """Whether a head of this pose can look like that: turned, it is narrower, but never by half.

    A hand before the face makes trackers crush or stretch it, with little confidence.
    """
    whole = transfer.head_affine(pose, driving, PINNED)
    longest, shortest = np.linalg.svd(whole[:, :2], compute_uv=False)
    has_landmarks = tracks.landmarks_xy_px is not None
    trust = tracks.landmarks_confidence if has_landmarks else tracks.confidence_overall
    return bool(longest < (_STRETCH + _STRETCH_SURE * trust) * shortest)


def within(reference: Reference, crop: Crop) -> Keypoints:
    """The reference's keypoints in another crop of the same picture."""
    return sparse_motion.in_crop(reference.keypoints, reference.crop, crop)


def beside_at_rest(reference: Reference, first: Reference, tracks: Tracks) -> Surroundings | None:
    """Body and background of the reference frame; None where nobody looked."""
    return None if reference is first else reference.around or tracks.resting


def at_rest(reference: Reference, first: Reference, tracks: Tracks) -> Keypoints:
    """The reference in the fixed crop; a followed body rests as it was then, or at first."""
    found = within(reference, first.crop)
    if tracks.around is None or reference is first or first.head is None:
        return found
    around = beside_at_rest(reference, first, tracks)
    if around is not None:
        return body.with_body(found, first.keypoints, first.head, around, first.crop)
    return Keypoints(
        np.where(PINNED[:, None], found.xy_norm, first.keypoints.xy_norm),
        np.where(PINNED[:, None, None], found.jacobian, first.keypoints.jacobian),
        found.confidence,
    )
