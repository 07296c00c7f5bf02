"""Driving keypoints -> target keypoints of the source, by relative or absolute motion.

Relative (Siarohin et al. 2019, section 3.3): p = p_S + s (p_D,t - p_D,ref),
J = J_D,t J_D,ref^-1 J_S, with s the ratio of head sizes, so that the driver's face shape is not
transferred. Rigid parts (jaw, cheeks, temples) follow the head; eyelids, brows and lips are free.
"""

from __future__ import annotations

import numpy as np

from hybridanim import geometry
from hybridanim.fitting import fit_global_affine
from hybridanim.types import Array, Keypoints

from .head_transfer import limited_shift

_RESIDUAL_NORM = 0.04  # a residual of this size halves a keypoint's weight in the fit of the head


def absolute(driving: Keypoints, strength: float, source: Keypoints) -> Keypoints:
    """Take the driver's positions and Jacobians; strength 0 = source, 1 = driver."""
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
    """Move the source as the driver has moved since the reference frame.

    head_ratio: size of the source's head over the driver's, both in their crops (norm units).
    strength: 0 keeps the source still, 1 moves it as the driver.
    free: (K,) share in [0, 1] of its motion beyond the head's affine that a keypoint keeps;
        None = all.
    """
    shift = head_ratio * (driving.xy_norm - reference.xy_norm)
    change = driving.jacobian @ geometry.inverse_2x2(reference.jacobian)
    xy = source.xy_norm + shift
    if free is not None:
        xy, change = _stiffened(source.xy_norm, xy, change, free)
    return _blend(source, xy, change @ source.jacobian, driving.confidence, strength)


def follow_head(source: Keypoints, target: Keypoints, follow: Array) -> Keypoints:
    """Move neck and shoulders by the head's motion alone.

    follow: (K,) share in [0, 1] of the head's affine that a keypoint takes; keypoints with share 1
    belong to the head and stay unchanged.
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
    """Limit the head's translation softly to the crop, by one shift of all its keypoints.

    center_norm, size_norm: the source's head box, normalised. head: (K,) bool, its keypoints.
    with_body: shift the other keypoints as well, so that head and tracked body stay together.
    """
    whole = head_affine(source, target, head)
    shift = whole[:, :2] @ center_norm + whole[:, 2] - center_norm
    back = (limited_shift(shift, center_norm, size_norm) - shift) * (head | with_body)[:, None]
    return Keypoints((target.xy_norm + back).astype(np.float32), target.jacobian, target.confidence)


def head_affine(source: Keypoints, target: Keypoints, head: Array) -> Array:
    """Fit the (2, 3) affine target <- source of the head's keypoints; head: (K,) bool."""
    ones = np.ones(int(head.sum()))
    return fit_global_affine(source.xy_norm[head], target.xy_norm[head], ones, _RESIDUAL_NORM)


def _stiffened(before: Array, after: Array, change: Array, free: Array) -> tuple[Array, Array]:
    """Positions (K, 2) and changes of the Jacobians (K, 2, 2), pulled towards the head's affine."""
    whole = fit_global_affine(before, after, np.ones(len(before)), _RESIDUAL_NORM)
    rigid = before @ whole[:, :2].T + whole[:, 2]
    share = free[:, None]
    linear = whole[:, :2] + share[..., None] * (change - whole[:, :2])
    return rigid + share * (after - rigid), linear


def _blend(
    source: Keypoints, xy_norm: Array, jacobian: Array, confidence: Array, strength: float
) -> Keypoints:
    """Interpolate from the source's keypoints (strength 0) to the given ones (1) and beyond."""
    return Keypoints(
        (source.xy_norm + strength * (xy_norm - source.xy_norm)).astype(np.float32),
        (source.jacobian + strength * (jacobian - source.jacobian)).astype(np.float32),
        np.minimum(source.confidence, confidence).astype(np.float32),
    )
