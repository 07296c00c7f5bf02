"""Tracks -> Keypoints: each anchor's position and local affine, in a source and a driving picture.

``place_anchors`` places the anchors in one picture from its landmarks or head box (canonical face
-> picture); ``carry_anchors`` moves them from the reference frame by the tracks. A keypoint's
Jacobian is the linear part of canonical face -> picture near it, so that J_a J_b^-1 maps picture b
to picture a locally (Siarohin et al., NeurIPS 2019, equation 4; the canonical face is the abstract
reference).
"""

from __future__ import annotations

import numpy as np

from hybridanim import geometry
from hybridanim.face.anchors import (
    ANCHORS,
    EXACT,
    FIT_BOX,
    FOLLOW,
    HAS_LANDMARKS,
    anchors_box,
    landmark_average,
)
from hybridanim.face.landmarks import GROUPS
from hybridanim.fitting import fit_global_affine, fit_local_affines
from hybridanim.types import Array, Crop, HeadBox, Keypoints, Tracks

CROP_HEADS = 2.5  # side of a crop, in head boxes
CROP_RISE = -0.03  # vertical offset of the crop's centre from the head's, in crops; < 0 is up: hair
RESIDUAL_HEADS = 0.02  # a residual of this share of the head size halves a row's weight
_LANDMARK_WEIGHT = 2.0  # weight of a landmark; a feature of full confidence has 1
_LEAST_SCALE = 0.2  # least scale of a local affine relative to the head's; suits a closed lid

_AVERAGE = landmark_average()
_SHARP = np.isin(np.arange(_AVERAGE.shape[1]), [*GROUPS["left_eye"], *GROUPS["right_eye"]])


def crop_around(head: HeadBox) -> Crop:
    """Return the crop that is animated: head, neck and the top of the shoulders."""
    side = CROP_HEADS * head.size_px
    x, y = head.center_xy_px
    y += CROP_RISE * side
    return Crop(x + 0.5 - side / 2, y + 0.5 - side / 2, side)


def place_anchors(
    head: HeadBox, landmarks_xy_px: Array | None, mean_shape: Array | None, crop: Crop
) -> Keypoints:
    """Place the anchors in one picture; keypoints are in the crop's normalised coordinates.

    head: in pixels of the picture. landmarks_xy_px: (L, 2) pixels; mean_shape: (L, 2) face-box
    units. If either is None, the anchors lie at fixed positions of the head box, each Jacobian is
    the box's similarity, and every confidence is 0.5.
    """
    boxed = np.column_stack(
        [geometry.similarity(head.size_px, head.roll_deg), head.center_xy_px]
    ).astype(np.float32)
    places = anchors_box()
    if landmarks_xy_px is None or mean_shape is None:
        xy = places @ boxed[:, :2].T + boxed[:, 2]
        jacobian = np.repeat(boxed[None, :, :2], len(ANCHORS), 0)
        return _keypoints(xy, jacobian, np.full(len(ANCHORS), 0.5), crop)
    places = np.where(HAS_LANDMARKS[:, None], _AVERAGE @ mean_shape, places)
    ones = np.ones(len(mean_shape))
    residual_px = 0.1 * head.size_px  # tolerant, since face shapes differ between people
    whole = fit_global_affine(mean_shape, landmarks_xy_px, ones, residual_px)
    xy, jacobian, support = fit_local_affines(
        mean_shape,
        landmarks_xy_px,
        ones,
        places=places,
        reach_px=np.maximum(FIT_BOX, 0.12),
        prior=whole,
        residual_px=residual_px,
    )
    xy = np.where(HAS_LANDMARKS[:, None], _AVERAGE @ landmarks_xy_px, xy)
    return _keypoints(xy, _bounded(jacobian, whole[:, :2]), support / (support + 1), crop)


def carry_anchors(
    tracks: Tracks, reference: Keypoints, reference_head: HeadBox, crop: Crop
) -> Keypoints:
    """Move the reference frame's anchors to this frame by local affine fits to the tracks.

    reference: keypoints of the frame that ``tracks.reference_xy_px`` refers to, in the same crop.
    reference_head: head box of that frame, in pixels.
    """
    before, after, weight = _rows(tracks)
    size_px = reference_head.size_px
    residual_px = max(0.75, RESIDUAL_HEADS * size_px)
    whole = fit_global_affine(before, after, weight, 2 * residual_px)
    places = geometry.px_from_norm(reference.xy_norm, crop)
    xy, linear, support = fit_local_affines(
        before,
        after,
        weight,
        places=places,
        reach_px=FIT_BOX * size_px,
        prior=whole,
        residual_px=residual_px,
    )
    linear = _bounded(linear, whole[:, :2])
    if tracks.landmarks_xy_px is not None and tracks.reference_landmarks_xy_px is not None:
        # a fit over both eyelids, or both lips, would average out their opening
        own = places + _AVERAGE @ (tracks.landmarks_xy_px - tracks.reference_landmarks_xy_px)
        share = (EXACT * tracks.landmarks_confidence)[:, None]
        xy = xy + share * (own - xy)
    share = FOLLOW[:, None]
    xy = places + share * (xy - places)
    linear = np.eye(2) + share[..., None] * (linear - np.eye(2))
    confidence = tracks.confidence_overall * support / (support + 1)
    return _keypoints(xy, linear @ reference.jacobian * (crop.side_px / 2), confidence, crop)


def in_crop(points: Keypoints, crop: Crop, wanted: Crop) -> Keypoints:
    """Keypoints of one crop in the normalised coordinates of another crop of the same picture."""
    if crop == wanted:
        return points
    ratio = crop.side_px / wanted.side_px
    corner = np.array([crop.x_px - wanted.x_px, crop.y_px - wanted.y_px])
    xy = (points.xy_norm + 1) * ratio + corner * (2 / wanted.side_px) - 1
    jacobian = points.jacobian * ratio
    return Keypoints(xy.astype(np.float32), jacobian.astype(np.float32), points.confidence)


def _rows(tracks: Tracks) -> tuple[Array, Array, Array]:
    """Features and landmarks together: before and after (N, 2) in pixels, weight (N,)."""
    before, after = tracks.reference_xy_px, tracks.xy_px
    weight = tracks.confidence.astype(np.float64)
    landmarks, reference = tracks.landmarks_xy_px, tracks.reference_landmarks_xy_px
    if landmarks is None or reference is None:
        return before, after, weight
    own = np.full(len(landmarks), _LANDMARK_WEIGHT * tracks.landmarks_confidence)
    own[_SHARP[: len(own)]] *= 2  # features on a lid are lost when it closes, landmarks are not
    return (
        np.concatenate([before, reference]),
        np.concatenate([after, landmarks]),
        np.concatenate([weight, own]),
    )


def _bounded(linear: Array, whole: Array) -> Array:
    """Clamp local linear parts (K, 2, 2) to a factor 0.2 to 5 of the head's own (2, 2).

    A part that mirrors is replaced by the head's.
    """
    relative = linear @ np.linalg.inv(whole)
    if _is_sensible(relative):
        return linear
    left, stretch, right = np.linalg.svd(relative)
    stretch = np.clip(stretch, _LEAST_SCALE, 1 / _LEAST_SCALE)
    flips = np.linalg.det(left @ right) < 0
    stretch[flips] = 1.0
    kept = (left * stretch[:, None, :]) @ right
    kept[flips] = np.eye(2)
    return (kept @ whole).astype(np.float32)


def _is_sensible(relative: Array) -> bool:
    """Whether no (2, 2) mirrors or scales beyond the bounds, by invariants instead of an SVD."""
    a, b, c, d = relative.reshape(-1, 4).T
    area = a * d - b * c
    squares = a * a + b * b + c * c + d * d  # sum of both squared singular values
    longest2 = (squares + np.sqrt(np.maximum(squares**2 - 4 * area**2, 0))) / 2
    shortest2 = area**2 / np.maximum(longest2, 1e-12)
    is_within = (longest2 < _LEAST_SCALE**-2) & (shortest2 > _LEAST_SCALE**2)
    return bool((is_within & (area > 0)).all())


def _keypoints(xy_px: Array, jacobian_px: Array, confidence: Array, crop: Crop) -> Keypoints:
    return Keypoints(
        geometry.norm_from_px(xy_px, crop),
        (jacobian_px * (2 / crop.side_px)).astype(np.float32),
        np.clip(confidence, 0, 1).astype(np.float32),
    )
