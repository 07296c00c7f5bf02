"""Tracks -> Keypoints: each anchor's position and local affine, in a source and a driving picture.

``rest`` places the anchors in one picture from its landmarks or head box (canonical face ->
picture); ``moved`` carries them from the reference frame by the tracks. A keypoint's Jacobian is
the linear part of canonical face -> picture near it, so that J_a J_b^-1 maps picture b to picture
a locally (Siarohin et al., NeurIPS 2019, equation 4; the canonical face is the abstract reference).
"""

from __future__ import annotations

import numpy as np

from . import geometry
from .anchors import ANCHORS, EXACT, FIT_BOX, FOLLOW, HAS_LANDMARKS, anchors_box, landmark_average
from .landmarks.points import GROUPS
from .local_affine import fit_global_affine, fit_local_affines
from .types import Array, Crop, HeadBox, Keypoints, Surroundings, Tracks

CROP_HEADS = 2.5  # side of a crop, in head boxes
CROP_RISE = -0.03  # how far below the head's middle a crop's middle lies, in crops: hair is high
_RESIDUAL_HEADS = 0.02  # a residual of this share of the head counts a row half
_LANDMARK_WEIGHT = 2.0  # one landmark against one feature of full confidence
_BELIEF_ROWS = 4.0  # corners of the body whose word weighs as much as the head's motion
_STIFF_ROWS = 2.0  # rows' worth of belief in no turn and no scale
_HAIR_HEADS = 1.0  # hair may reach this far from the head's middle
_LEAST_BEHIND = 6  # corners that tell how the background moves
_STILL_HEADS = 0.006  # a background that moves less stands
_LEAST_SCALE = 0.2  # of a local affine against the head's; a closed lid is not thinner

_AVERAGE = landmark_average()
_SHARP = np.isin(np.arange(_AVERAGE.shape[1]), [*GROUPS["left_eye"], *GROUPS["right_eye"]])


def crop_around(head: HeadBox) -> Crop:
    """The square that the head is animated in: head, neck and the top of the shoulders."""
    side = CROP_HEADS * head.size_px
    x, y = head.center_xy_px
    y += CROP_RISE * side
    return Crop(x + 0.5 - side / 2, y + 0.5 - side / 2, side)


def rest(
    head: HeadBox, landmarks_xy_px: Array | None, mean_shape: Array | None, crop: Crop
) -> Keypoints:
    """Anchors of one picture, without any motion.

    landmarks_xy_px: (L, 2) pixels and mean_shape: (L, 2) face-box units, or both None: then the
    anchors sit at their fixed places in the head box and every Jacobian is its similarity.
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
    residual_px = 0.1 * head.size_px  # shapes differ between people: be lenient
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


def moved(tracks: Tracks, reference: Keypoints, reference_head: HeadBox, crop: Crop) -> Keypoints:
    """The reference frame's anchors where the tracks have carried them.

    reference: the keypoints of the frame that ``tracks.reference_xy_px`` lies in, in the same crop.
    """
    before, after, weight = _rows(tracks)
    size_px = reference_head.size_px
    residual_px = max(0.75, _RESIDUAL_HEADS * size_px)
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
        # a fit over both lids, or both lips, would average their opening away
        own = places + _AVERAGE @ (tracks.landmarks_xy_px - tracks.reference_landmarks_xy_px)
        share = (EXACT * tracks.landmarks_confidence)[:, None]
        xy = xy + share * (own - xy)
    share = FOLLOW[:, None]
    xy = places + share * (xy - places)
    linear = np.eye(2) + share[..., None] * (linear - np.eye(2))
    confidence = tracks.confidence_overall * support / (support + 1)
    return _keypoints(xy, linear @ reference.jacobian * (crop.side_px / 2), confidence, crop)


def with_body(
    driving: Keypoints, first: Keypoints, head: HeadBox, around: Surroundings, crop: Crop
) -> Keypoints:
    """Neck and shoulders where the body's own corners have carried them since the first frame.

    first: keypoints of the first frame, both in this crop; head: of the first frame. Where corners
    are few, shoulders take a tenth of the head's motion; the neck hangs between head and chest.
    """
    body = FOLLOW < 1
    places = geometry.px_from_norm(first.xy_norm, crop)
    residual_px = max(0.75, _RESIDUAL_HEADS * head.size_px)
    whole = _head_motion(first, driving, head, crop)
    still = np.eye(2, 3, dtype=np.float32)
    led = still + FOLLOW.min() * (whole - still)
    mine = around.is_body
    found, agreeing = _similarity(
        around.reference_xy_px[mine],
        around.xy_px[mine],
        around.confidence[mine],
        residual_px,
        0.25 * head.size_px,
    )
    chest = led + agreeing / (agreeing + _BELIEF_ROWS) * (found - led)
    xy = places[body] @ chest[:, :2].T + chest[:, 2]
    linear = np.repeat(chest[None, :, :2], int(body.sum()), 0)
    # between chest and head, as much as it takes of the head's motion more than a shoulder does
    share = ((FOLLOW[body] - FOLLOW.min()) / (1 - FOLLOW.min()))[:, None]
    xy = xy + share * (places[body] @ whole[:, :2].T + whole[:, 2] - xy)
    linear = linear + share[..., None] * (whole[:, :2] - linear)
    out_xy, jacobian = driving.xy_norm.copy(), driving.jacobian.copy()
    out_xy[body] = geometry.norm_from_px(xy, crop)
    jacobian[body] = linear @ first.jacobian[body]
    return Keypoints(out_xy, jacobian, driving.confidence)


def _similarity(
    before: Array, after: Array, weight: Array, residual_px: float, stiff_px: float
) -> tuple[Array, float]:
    """Robust (2, 3) similarity of (M, 2) rows, and how many rows agree with it.

    stiff_px: rows that are spread by less than this say little of turn and scale.
    """
    if not len(before):
        return np.eye(2, 3, dtype=np.float32), 0.0
    start, end = (np.asarray(x, np.float64) @ np.array([1, 1j]) for x in (before, after))
    shift, turn = end - start, 1 + 0j
    shift = complex(np.median(shift.real), np.median(shift.imag))
    trust = np.asarray(weight, np.float64)
    for _ in range(4):
        error = np.abs(end - turn * start - shift)
        trust = weight / (1 + (error / residual_px) ** 2)
        share = trust / trust.sum()
        x = start - share @ start
        ridge = _STIFF_ROWS * stiff_px**2 / trust.sum()
        turn = ((share * x.conj()) @ end + ridge) / (float(share @ np.abs(x) ** 2) + ridge)
        shift = complex(share @ (end - turn * start))
    agreeing = float((trust * (np.abs(end - turn * start - shift) < 2 * residual_px)).sum())
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.array(rows, np.float32), agreeing


def background(
    driving: Keypoints, first: Keypoints, head: HeadBox, around: Surroundings, crop: Crop
) -> Array | None:
    """(2, 3) float32 norm: where what is behind has moved since the first frame, now <- first.

    Arguments as ``with_body``. None when there is too little to tell by. A background that hardly
    moves is exactly still.
    """
    rows = ~around.is_body & ~_hair(around, first, driving, head, crop)
    before, after = around.reference_xy_px[rows], around.xy_px[rows]
    if len(before) < _LEAST_BEHIND:
        return None
    residual_px = max(0.75, _RESIDUAL_HEADS * head.size_px)
    weight = around.confidence[rows]
    found, agreeing = _similarity(before, after, weight, residual_px, 0.25 * head.size_px)
    if agreeing < 0.4 * weight.sum():
        return None
    half = crop.side_px / 2
    corners = geometry.px_from_norm(np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32), crop)
    moved = corners @ found[:, :2].T + found[:, 2] - corners
    most = float(np.hypot(*moved.T).max())
    least = _STILL_HEADS * head.size_px
    share = np.clip((most - least) / least, 0, 1)
    middle = geometry.px_from_norm(np.zeros((1, 2), np.float32), crop)[0]
    linear = np.eye(2) + share * (found[:, :2] - np.eye(2))
    shift = share * (middle @ found[:, :2].T + found[:, 2] - middle) / half
    return np.column_stack([linear, shift]).astype(np.float32)


def _hair(
    around: Surroundings, first: Keypoints, driving: Keypoints, head: HeadBox, crop: Crop
) -> Array:
    """(M,) bool: corners near the head that move with it rather than stand still."""
    whole = _head_motion(first, driving, head, crop)
    before, after = around.reference_xy_px, around.xy_px
    near = np.hypot(*(before - np.array(head.center_xy_px)).T) < _HAIR_HEADS * head.size_px
    with_head = np.hypot(*(before @ whole[:, :2].T + whole[:, 2] - after).T)
    return near & (with_head < np.hypot(*(after - before).T))


def _head_motion(first: Keypoints, driving: Keypoints, head: HeadBox, crop: Crop) -> Array:
    """(2, 3) affine in pixels of the head's keypoints since the first frame."""
    pinned = FOLLOW == 1
    places, now = (geometry.px_from_norm(p.xy_norm[pinned], crop) for p in (first, driving))
    residual_px = max(0.75, _RESIDUAL_HEADS * head.size_px)
    return fit_global_affine(places, now, np.ones(len(places)), 2 * residual_px)


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
    """Features and landmarks together: before, after (N, 2) and weight (N,)."""
    before, after = tracks.reference_xy_px, tracks.xy_px
    weight = tracks.confidence.astype(np.float64)
    landmarks, reference = tracks.landmarks_xy_px, tracks.reference_landmarks_xy_px
    if landmarks is None or reference is None:
        return before, after, weight
    own = np.full(len(landmarks), _LANDMARK_WEIGHT * tracks.landmarks_confidence)
    own[_SHARP[: len(own)]] *= 2  # features lose a lid when it closes, landmarks do not
    return (
        np.concatenate([before, reference]),
        np.concatenate([after, landmarks]),
        np.concatenate([weight, own]),
    )


def _bounded(linear: Array, whole: Array) -> Array:
    """Local linear parts (K, 2, 2) kept within sensible stretches of the head's own (2, 2)."""
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
    """Whether no (2, 2) flips or stretches beyond the bounds; by the invariants, without an SVD."""
    a, b, c, d = relative.reshape(-1, 4).T
    area = a * d - b * c
    squares = a * a + b * b + c * c + d * d  # of both stretches, summed
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
