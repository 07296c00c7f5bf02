"""Driving keypoints -> where the source's keypoints go: relative or absolute motion.

Relative (Siarohin et al. 2019, section 3.3): p = p_S + s (p_D,t - p_D,ref),
J = J_D,t J_D,ref^-1 J_S, with s the ratio of head sizes; so the driver's shape does not leak.
Bone is kept stiff: jaw, cheeks and temples follow the head, eyelids, brows and lips are free.
"""

from __future__ import annotations

import numpy as np

from . import geometry
from .local_affine import fit_global_affine
from .types import Array, Keypoints

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
