"""Construction of the networks from their sizes (``sizes``), in torch."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hybridanim.face.anchors import REACH_BOX

from . import mouth_eye_masks
from .blocks import Points
from .constants import OPENINGS
from .dense_motion import DenseMotion, Motion
from .generator import Encoded, Generator, Painted
from .keypoint_detector import KeypointDetector
from .sizes import OBJECT_DETECTOR, DetectorSizes, FastSizes


class Animated(NamedTuple):
    """An animated picture and its motion."""

    painted: Painted
    motion: Motion


class Animator(nn.Module):
    """Dense motion network and generator: source picture and keypoints -> animated picture."""

    def __init__(self, sizes: FastSizes, reach: Tensor) -> None:
        """reach: (K,) sigma of each keypoint in units of the canonical face."""
        super().__init__()
        self.sizes = sizes
        rows = mouth_eye_masks.rows() if sizes.openings else None
        hints = 2 * OPENINGS if sizes.openings else 0
        self.motion = DenseMotion(
            reach,
            sizes.motion_widths,
            sizes.motion_features,
            jacobians=sizes.jacobians,
            occlusion=sizes.occlusion,
            rows=rows,
            optical=sizes.optical,
        )
        self.generator = Generator(
            sizes.deep,
            sizes.fine,
            sizes.half,
            residuals=sizes.blocks,
            motion=sizes.motion_features + len(reach) + 4 * hints,
            encoder_residuals=sizes.encoder_blocks,
            hints=hints,
            blend=sizes.blend,
        )

    def encode(self, picture: Tensor) -> Encoded:
        """Encode a source, once; picture (B, 3, H, W) in [0, 1], H and W multiples of 32."""
        return self.generator.encode(picture)

    def animate(
        self,
        encoded: Encoded,
        source: Points,
        target: Points,
        background: Tensor | None = None,
        optical: Tensor | None = None,
    ) -> Animated:
        """Animate one frame; background and optical: see ``DenseMotion.forward``."""
        motion = self.motion(encoded.small, source, target, background, optical)
        return Animated(self.generator(encoded, motion), motion)

    def forward(
        self,
        picture: Tensor,
        source: Points,
        target: Points,
        background: Tensor | None = None,
        optical: Tensor | None = None,
    ) -> Animated:
        """Encode and animate, for training."""
        return self.animate(self.encode(picture), source, target, background, optical)


def fast(sizes: FastSizes | None = None, reach: Tensor | None = None) -> Animator:
    """Build the fast preset, for the face's anchors or for keypoints of the given reach (K,)."""
    reach = torch.from_numpy(REACH_BOX) if reach is None else reach
    return Animator(sizes or FastSizes(), reach)


def with_optical(net: Animator) -> Animator:
    """Extend the networks by the input of optical flow; its initial share of the flow is 0.5."""
    wide = fast(replace(net.sizes, optical=True), net.motion.log_reach.detach().exp())
    state, own = dict(net.state_dict()), wide.state_dict()
    for name in ("motion.stem.conv.weight", "motion.head.weight", "motion.head.bias"):
        grown = torch.zeros_like(own[name])
        grown[tuple(slice(n) for n in state[name].shape)] = state[name]
        state[name] = grown
    wide.load_state_dict(state)
    return wide


def detector(sizes: DetectorSizes = OBJECT_DETECTOR) -> KeypointDetector:
    """Build an untrained keypoint detector of these sizes."""
    return KeypointDetector(sizes.count, sizes.widths, sizes.size, pool=sizes.pool, seen=sizes.seen)
