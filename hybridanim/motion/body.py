"""SceneTracks -> keypoints of neck and shoulders, and motion of the background.

One similarity is fitted to the corners of the chest and another to those of the background, both
robustly (iteratively reweighted least squares) and relative to the first frame. Shoulder keypoints
follow the chest; neck keypoints are interpolated between chest and head.
"""

from __future__ import annotations

import numpy as np

from hybridanim import geometry
from hybridanim.face.anchors import FOLLOW, PINNED
from hybridanim.fitting import fit_global_affine, fit_regularised_similarity
from hybridanim.types import Array, Crop, HeadBox, Keypoints, SceneTracks

from .keypoints import RESIDUAL_HEADS

_BELIEF_ROWS = 1.5  # agreeing corners at which chest fit and head motion weigh the same
_CHANCE_ROWS = 2.0  # number of corners that agree by chance, for example after a cut
_HAIR_HEADS = 1.0  # largest distance of hair from the head's centre
_LEAST_BACKGROUND = 6  # least number of corners for a fit of the background
_STILL_HEADS = 0.006  # background motion below this is treated as none
_STILL_SHARE = 0.3  # share of still corners above which the camera is taken as still
_BACKGROUND_HEADS = 0.008  # a residual of this share of the head size halves the weight
_AGREE = 0.6  # least share of the confidence that must agree on a moving background
_BOTH = 0.15  # least share of the agreeing corners on either side of the head


def with_body(
    driving: Keypoints, first: Keypoints, head: HeadBox, scene: SceneTracks, crop: Crop
) -> Keypoints:
    """Place neck and shoulders by the motion of the body's corners since the first frame.

    driving, first: keypoints of this and of the first frame, both in ``crop``. head: head box of
    the first frame, in pixels. With few corners, shoulders take a tenth of the head's motion; neck
    keypoints are interpolated between head and chest.
    """
    body = FOLLOW < 1
    places = geometry.px_from_norm(first.xy_norm, crop)
    residual_px = max(0.75, RESIDUAL_HEADS * head.size_px)
    whole = head_motion(driving, first, head, crop)
    still = np.eye(2, 3, dtype=np.float32)
    fallback = still + FOLLOW.min() * (whole - still)
    on_body = scene.is_body
    found, agreeing = fit_regularised_similarity(
        scene.reference_xy_px[on_body],
        scene.xy_px[on_body],
        scene.confidence[on_body],
        residual_px,
        0.25 * head.size_px,
    )
    evidence = max(0.0, agreeing - _CHANCE_ROWS)
    chest = fallback + evidence / (evidence + _BELIEF_ROWS) * (found - fallback)
    xy = places[body] @ chest[:, :2].T + chest[:, 2]
    linear = np.repeat(chest[None, :, :2], int(body.sum()), 0)
    # interpolate between chest (share 0, a shoulder) and head (1) by FOLLOW
    share = ((FOLLOW[body] - FOLLOW.min()) / (1 - FOLLOW.min()))[:, None]
    xy = xy + share * (places[body] @ whole[:, :2].T + whole[:, 2] - xy)
    linear = linear + share[..., None] * (whole[:, :2] - linear)
    out_xy, jacobian = driving.xy_norm.copy(), driving.jacobian.copy()
    out_xy[body] = geometry.norm_from_px(xy, crop)
    jacobian[body] = linear @ first.jacobian[body]
    return Keypoints(out_xy, jacobian, driving.confidence)


def background(
    driving: Keypoints, first: Keypoints, head: HeadBox, scene: SceneTracks, crop: Crop
) -> Array | None:
    """Motion of the background since the first frame: (2, 3) float32 affine now <- first, norm.

    Arguments as ``with_body``. None when there is too little evidence. Motion below a threshold
    gives exactly the identity.
    """
    on_background = ~scene.is_body
    if on_background.sum() < _LEAST_BACKGROUND:
        return None
    rows = on_background & ~_hair(scene, driving, first, head, crop)
    before, after = scene.reference_xy_px[rows], scene.xy_px[rows]
    if len(before) < _LEAST_BACKGROUND:
        return None
    is_still = np.hypot(*(after - before).T) < _STILL_HEADS * head.size_px
    if is_still.mean() > _STILL_SHARE:
        return np.eye(2, 3, dtype=np.float32)
    residual_px = max(0.5, _BACKGROUND_HEADS * head.size_px)
    weight = scene.confidence[rows]
    found, agreeing = fit_regularised_similarity(
        before, after, weight, residual_px, 0.25 * head.size_px
    )
    off = np.hypot(*(before @ found[:, :2].T + found[:, 2] - after).T)
    side = before[off < 2 * residual_px, 0] - head.center_xy_px[0]
    if agreeing < _AGREE * weight.sum() or not (_BOTH <= (side > 0).mean() <= 1 - _BOTH):
        return None
    half = crop.side_px / 2
    corners = geometry.px_from_norm(
        np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32), crop
    )
    moved = corners @ found[:, :2].T + found[:, 2] - corners
    most = float(np.hypot(*moved.T).max())
    least = _STILL_HEADS * head.size_px
    share = np.clip((most - least) / least, 0, 1)
    middle = geometry.px_from_norm(np.zeros((1, 2), np.float32), crop)[0]
    linear = np.eye(2) + share * (found[:, :2] - np.eye(2))
    shift = share * (middle @ found[:, :2].T + found[:, 2] - middle) / half
    return np.column_stack([linear, shift]).astype(np.float32)


def _hair(
    scene: SceneTracks, driving: Keypoints, first: Keypoints, head: HeadBox, crop: Crop
) -> Array:
    """(M,) bool: corners near the head whose motion is closer to the head's than to none."""
    whole = head_motion(driving, first, head, crop)
    before, after = scene.reference_xy_px, scene.xy_px
    near = np.hypot(*(before - np.array(head.center_xy_px)).T) < _HAIR_HEADS * head.size_px
    with_head = np.hypot(*(before @ whole[:, :2].T + whole[:, 2] - after).T)
    return near & (with_head < np.hypot(*(after - before).T))


def head_motion(driving: Keypoints, first: Keypoints, head: HeadBox, crop: Crop) -> Array:
    """Affine (2, 3) now <- first of the head's keypoints, in driving pixels."""
    places, now = (geometry.px_from_norm(p.xy_norm[PINNED], crop) for p in (first, driving))
    residual_px = max(0.75, RESIDUAL_HEADS * head.size_px)
    return fit_global_affine(places, now, np.ones(len(places)), 2 * residual_px)
