"""Joints of a person in a picture, and how far a result's are from the true picture's.

MediaPipe's pose network (BlazePose, Bazarevsky et al. 2020; 33 points) runs by the process of
``attention_mesh`` in a virtual environment of its own. The figures are those of pose-evaluation
(Siarohin et al. 2019) for bodies, which has 18 joints of another network: AKD over joints that are
present in both pictures, MKR the share of the true picture's joints that the result lacks.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from hybridanim.types import Array

from .attention_mesh import AttentionMesh
from .attention_mesh_worker import POSE, POSE_GREETING, POSE_POINTS

LEAST_VISIBLE = 0.5
"""A joint of a lower visibility is not present."""


class BodyPose(AttentionMesh):
    """Finds 33 points of one person per picture: (33, 3) float32 x, y in pixels and visibility."""

    kind: ClassVar[str] = POSE
    greeting: ClassVar[bytes] = POSE_GREETING
    count: ClassVar[int] = POSE_POINTS


class BodyEvaluator:
    """Joints of pictures, each looked at by itself."""

    def __init__(self, environment: Path) -> None:
        """environment: with mediapipe; MeshError where it cannot be used."""
        self._pose = BodyPose(environment)
        self._pose.wait()

    def detect(self, image: Array) -> Array:
        """(33, 2) float32 of (H, W, 3) uint8 RGB, pixels; NaN where a joint is not present."""
        found = self._pose(image)
        if found is None:
            return np.full((POSE_POINTS, 2), np.nan, np.float32)
        return present(found, image.shape[0], image.shape[1])


def present(found: Array, height: int, width: int) -> Array:
    """Joints (K, 2), NaN where they are hardly visible or outside of the picture."""
    xy = found[:, :2].copy()
    inside = ((xy >= 0) & (xy < (width, height))).all(1)
    xy[~(inside & (found[:, 2] >= LEAST_VISIBLE))] = np.nan
    return xy


def compare(truth: Array, result: Array) -> dict[str, float]:
    """body_akd_px and body_mkr of joints (K, 2); what is not defined is left out.

    body_akd_px: mean absolute difference per coordinate over joints of both. body_mkr: share of the
    truth's joints that the result lacks; a truth without any has none.
    """
    has, kept = (np.isfinite(joints).all(1) for joints in (truth, result))
    if not has.any():
        return {}
    out = {"body_mkr": float((has & ~kept).sum() / has.sum())}
    both = has & kept
    if both.any():
        out["body_akd_px"] = float(np.abs(truth[both] - result[both]).mean())
    return out
