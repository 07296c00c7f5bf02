"""Driving keypoints -> where the source's keypoints go: relative or absolute motion.

Relative (Siarohin et al. 2019, section 3.3): p = p_S + s (p_D,t - p_D,ref),
J = J_D,t J_D,ref^-1 J_S, with s the ratio of head sizes; so the driver's shape does not leak.
Bone is kept stiff: jaw, cheeks and temples follow the head, eyelids, brows and lips are free.
"""

from __future__ import annotations

import numpy as np

from hybridanim import geometry
from hybridanim.fitting import fit_global_affine
from hybridanim.types import Array, Keypoints

_BEYOND_HEADS = 0.25  # how far a head may reach beyond the square, in heads
_RESIDUAL_NORM = 0.04  # a keypoint that leaves the head's affine by this counts half in fitting it


def absolute(driving: Keypoints, strength: float, source: Keypoints) -> Keypoints:
    """The source takes the driver's own positions and Jacobians."""
    return _blend(source, driving.xy_norm, driving.jacobian, driving.confidence, strength)


def relative(
    driving: Keypoints,
    reference: Keypoints,
    source: Keypoints,
    *,
    head_ratio: float,
    strength: float = 1.0,
    free: Array | None = None,
) -> Keypoints:
    """The source moves as the driver has moved since the reference frame.

    head_ratio: size of the source's head over the driver's, both in their crops (norm units).
    strength: 0 keeps the source still, 1 moves it as the driver.
    free: (K,) share of its motion beyond the head's affine that each keypoint keeps; None = all.
    """
    shift = head_ratio * (driving.xy_norm - reference.xy_norm)
    change = driving.jacobian @ geometry.inverse_2x2(reference.jacobian)
    xy = source.xy_norm + shift
    if free is not None:
        xy, change = _stiffened(source.xy_norm, xy, change, free)
    return _blend(source, xy, change @ source.jacobian, driving.confidence, strength)


def follow_head(source: Keypoints, target: Keypoints, follow: Array) -> Keypoints:
    """Neck and shoulders by the head's motion alone, in the source's own size.

    follow: (K,) share of the head's affine that a keypoint takes; 1 leaves it as it is.
    """
    head = follow == 1
    whole = head_affine(source, target, head)
    share = follow[:, None]
    rigid = source.xy_norm @ whole[:, :2].T + whole[:, 2]
    xy = source.xy_norm + share * (rigid - source.xy_norm)
    linear = np.eye(2) + share[..., None] * (whole[:, :2] - np.eye(2))
    return Keypoints(
        np.where(head[:, None], target.xy_norm, xy).astype(np.float32),
        np.where(head[:, None, None], target.jacobian, linear @ source.jacobian).astype(np.float32),
        target.confidence,
    )


def clamp_to_crop(
    source: Keypoints,
    target: Keypoints,
    center_norm: Array,
    size_norm: float,
    head: Array,
    *,
    with_body: bool = False,
) -> Keypoints:
    """The head held back softly before it leaves the square, all of it by one translation.

    center_norm, size_norm: the source's head box. head: (K,) bool, its keypoints; with_body: the
    others are translated as well, so that a head never leaves a body that came along. Up to half of
    the room, and a quarter of a head beyond it, motion is the driver's own; then it tires.
    """
    whole = head_affine(source, target, head)
    shift = whole[:, :2] @ center_norm + whole[:, 2] - center_norm
    room = np.where(shift > 0, 1 - center_norm, 1 + center_norm) - 0.5 * size_norm
    most = np.maximum(room, 0) + _BEYOND_HEADS * size_norm
    free = 0.5 * most
    over = np.maximum(np.abs(shift) - free, 0)
    held = np.minimum(np.abs(shift), free) + (most - free) * np.tanh(over / (most - free))
    back = (np.sign(shift) * held - shift) * (head | with_body)[:, None]
    return Keypoints((target.xy_norm + back).astype(np.float32), target.jacobian, target.confidence)


def head_affine(source: Keypoints, target: Keypoints, head: Array) -> Array:
    """(2, 3) affine of the head's keypoints from the source to the target."""
    ones = np.ones(int(head.sum()))
    return fit_global_affine(source.xy_norm[head], target.xy_norm[head], ones, _RESIDUAL_NORM)


def _stiffened(before: Array, after: Array, change: Array, free: Array) -> tuple[Array, Array]:
    """Positions and changes of the Jacobians (K, 2, 2) with the head's affine as the rest state."""
    whole = fit_global_affine(before, after, np.ones(len(before)), _RESIDUAL_NORM)
    rigid = before @ whole[:, :2].T + whole[:, 2]
    share = free[:, None]
    linear = whole[:, :2] + share[..., None] * (change - whole[:, :2])
    return rigid + share * (after - rigid), linear


def _blend(
    source: Keypoints, xy_norm: Array, jacobian: Array, confidence: Array, strength: float
) -> Keypoints:
    """From the source's rest (strength 0) to the given motion (1) and beyond."""
    return Keypoints(
        (source.xy_norm + strength * (xy_norm - source.xy_norm)).astype(np.float32),
        (source.jacobian + strength * (jacobian - source.jacobian)).astype(np.float32),
        np.minimum(source.confidence, confidence).astype(np.float32),
    )
