"""SceneTracks -> where neck and shoulders are, and how what is behind has moved.

Corners of the chest make one similarity, corners of the background another, both robust
(iteratively reweighted least squares) and relative to the first frame. Of the body's keypoints the
shoulders follow the chest, and the neck hangs between it and the head.
"""

from __future__ import annotations

import numpy as np

from hybridanim import geometry
from hybridanim.face.anchors import FOLLOW, PINNED
from hybridanim.fitting import fit_global_affine, fit_regularised_similarity
from hybridanim.types import Array, Crop, HeadBox, Keypoints, SceneTracks

from .keypoints import RESIDUAL_HEADS

_BELIEF_ROWS = 1.5  # corners of the body whose word weighs as much as the head's motion
_CHANCE_ROWS = 2.0  # so many agree by chance, after a cut for example
_HAIR_HEADS = 1.0  # hair may reach this far from the head's middle
_LEAST_BEHIND = 6  # corners that tell how the background moves
_STILL_HEADS = 0.006  # a background that moves less stands
_STANDS = 0.3  # share of corners that do not move, which shows that the camera does not
_BEHIND_HEADS = 0.008  # a corner off by this share of the head counts half
_AGREE = 0.6  # share of the corners that must agree on a moving background,
_BOTH = 0.15  # and of those on either side of the head


def with_body(
    driving: Keypoints, first: Keypoints, head: HeadBox, scene: SceneTracks, crop: Crop
) -> Keypoints:
    """Neck and shoulders where the body's own corners have carried them since the first frame.

    first: keypoints of the first frame, both in this crop; head: of the first frame. Where corners
    are few, shoulders take a tenth of the head's motion; the neck hangs between head and chest.
    """
    body = FOLLOW < 1
    places = geometry.px_from_norm(first.xy_norm, crop)
    residual_px = max(0.75, RESIDUAL_HEADS * head.size_px)
    whole = head_motion(driving, first, head, crop)
    still = np.eye(2, 3, dtype=np.float32)
    led = still + FOLLOW.min() * (whole - still)
    mine = scene.is_body
    found, agreeing = fit_regularised_similarity(
        scene.reference_xy_px[mine],
        scene.xy_px[mine],
        scene.confidence[mine],
        residual_px,
        0.25 * head.size_px,
    )
    evidence = max(0.0, agreeing - _CHANCE_ROWS)
    chest = led + evidence / (evidence + _BELIEF_ROWS) * (found - led)
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


def background(
    driving: Keypoints, first: Keypoints, head: HeadBox, scene: SceneTracks, crop: Crop
) -> Array | None:
    """(2, 3) float32 norm: where what is behind has moved since the first frame, now <- first.

    Arguments as ``with_body``. None when there is too little to tell by. A background that hardly
    moves is exactly still.
    """
    behind = ~scene.is_body
    if behind.sum() < _LEAST_BEHIND:
        return None
    rows = behind & ~_hair(scene, driving, first, head, crop)
    before, after = scene.reference_xy_px[rows], scene.xy_px[rows]
    if len(before) < _LEAST_BEHIND:
        return None
    stands = np.hypot(*(after - before).T) < _STILL_HEADS * head.size_px
    if stands.mean() > _STANDS:
        return np.eye(2, 3, dtype=np.float32)
    residual_px = max(0.5, _BEHIND_HEADS * head.size_px)
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
    """(M,) bool: corners near the head that move with it rather than stand still."""
    whole = head_motion(driving, first, head, crop)
    before, after = scene.reference_xy_px, scene.xy_px
    near = np.hypot(*(before - np.array(head.center_xy_px)).T) < _HAIR_HEADS * head.size_px
    with_head = np.hypot(*(before @ whole[:, :2].T + whole[:, 2] - after).T)
    return near & (with_head < np.hypot(*(after - before).T))


def head_motion(driving: Keypoints, first: Keypoints, head: HeadBox, crop: Crop) -> Array:
    """(2, 3) affine in pixels of the head's keypoints since the first frame."""
    places, now = (geometry.px_from_norm(p.xy_norm[PINNED], crop) for p in (first, driving))
    residual_px = max(0.75, RESIDUAL_HEADS * head.size_px)
    return fit_global_affine(places, now, np.ones(len(places)), 2 * residual_px)
