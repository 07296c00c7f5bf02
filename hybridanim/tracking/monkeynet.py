"""Monkey-Net's tracker (stage 2): Frame -> Tracks with its keypoints, each frame on its own.

The detector runs in the middle square of every frame. A keypoint is the mean of a heatmap; its
local affine is the symmetric root of the heatmap's covariance (Siarohin et al., CVPR 2019,
equations 1 and 2), so that stage 3 transfers covariances as it does Jacobians: their change since
the reference frame, applied to the source's. Needs the weights of ``train --model monkeynet``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hybridanim.networks.models import MONKEYNET
from hybridanim.types import Frame, SkinMask, Tracks

from . import detection, learned
from .learned import LearnedState, LearnedTracker


def step(
    state: LearnedState, frame: Frame, detector: detection.Detector
) -> tuple[LearnedState, Tracks]:
    """The keypoints of the next frame of a video; an object is never lost."""
    window = detection.middle_square(frame.image)
    seen = detection.detect(frame.image, window, detector)
    state, is_new = learned.update(state, frame, seen, seen.points, None, solve_pose=False)
    return state, learned.build_tracks(state, seen.points, window, seen.confidence, is_new=is_new)


@dataclass(frozen=True)
class MonkeyNetTracker(LearnedTracker):
    """``base.Tracker`` by the keypoints of a Monkey-Net."""

    model: ClassVar[str] = MONKEYNET

    def step(self, state: Any, frame: Frame, mask: SkinMask) -> tuple[Any, Tracks]:
        """See ``base.Tracker``."""
        return step(state, frame, self.detector)
