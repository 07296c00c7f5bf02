"""Driving keypoints -> where the source's keypoints go: relative or absolute motion.

Relative (Siarohin et al. 2019, section 3.3): p = p_S + s (p_D,t - p_D,ref),
J = J_D,t J_D,ref^-1 J_S, with s the ratio of head sizes; so the driver's shape does not leak.
Eyelids and lips are carried in their own frame: what they do beyond the head's motion is scaled by
the source's local size, so that a wide-eyed driver closes narrow eyes exactly.
"""

from __future__ import annotations

import numpy as np

from . import geometry
from .types import Array, Keypoints


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
) -> Keypoints:
    """The source moves as the driver has moved since the reference frame.

    head_ratio: size of the source's head over the driver's, both in their crops (norm units).
    strength: 0 keeps the source still, 1 moves it as the driver.
    """
    shift = head_ratio * (driving.xy_norm - reference.xy_norm)
    change = driving.jacobian @ geometry.inverse_2x2(reference.jacobian)
    xy = source.xy_norm + shift
    return _blend(source, xy, change @ source.jacobian, driving.confidence, strength)


def _blend(
    source: Keypoints, xy_norm: Array, jacobian: Array, confidence: Array, strength: float
) -> Keypoints:
    """From the source's rest (strength 0) to the given motion (1) and beyond."""
    return Keypoints(
        (source.xy_norm + strength * (xy_norm - source.xy_norm)).astype(np.float32),
        (source.jacobian + strength * (jacobian - source.jacobian)).astype(np.float32),
        np.minimum(source.confidence, confidence).astype(np.float32),
    )
