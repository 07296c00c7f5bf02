"""All sizes of the networks, and how they are put together.

``fast`` is made for a CPU: about 10 GFLOP a frame at 256x256 once the source is encoded. ``OBJECT``
and ``OBJECT_DETECTOR`` are smaller still: for a category of one's own, learned from scratch in a
quarter of an hour. The switches leave out one idea each, for ablations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hybridanim.face.anchors import REACH_BOX

from . import mouth_eye_masks as openings
from . import size_limits
from .blocks import Points
from .dense_motion import DenseMotion, Motion
from .generator import Encoded, Generator, Painted
from .keypoint_detector import KeypointDetector


@dataclass(frozen=True)
class FastSizes:
    """Channels of the fast preset."""

    motion_widths: tuple[int, ...] = (48, 80, 112, 144)
    """Of the motion network at 1/4, 1/8, 1/16 and 1/32 of the picture."""
    motion_features: int = 32
    """Of what the motion network hands to the generator."""
    deep: int = 80
    """Of the source's features at 1/4, and of the residual blocks."""
    fine: int = 20
    """Of the source's features at 1/2."""
    half: int = 48
    """Of the decoder at 1/2."""
    blocks: int = 4
    """Residual blocks per frame."""
    encoder_blocks: int = 3
    """Residual blocks once per source."""
    openings: bool = False
    """Tell the networks where eyes and mouth open; needs the keypoints of a face."""
    picture_px: int = 256
    """Side of the picture that the network sees and paints."""
    jacobians: bool = True
    """Keypoints bring local affines; without, every local map is a shift (Monkey-Net's motion)."""
    occlusion: bool = True
    """What the source does not show is masked out of its features; without, nothing is."""
    blend: bool = True
    """Alpha blends paint with the source's own pixels; without, all is paint (alpha = 1)."""
    optical: bool = False
    """Look at the driver's optical flow beside its keypoints."""


@dataclass(frozen=True)
class DetectorSizes:
    """Of the keypoint detector."""

    count: int = 10
    """Keypoints."""
    widths: tuple[int, ...] = (16, 32, 48, 64)
    """Of its U-Net at 1/2, 1/4, 1/8 and 1/16 of what it sees."""
    size: int = 64
    """Pixels that its window is shrunk to; heatmaps have half of it."""
    pool: int = 2
    """How much coarser than the heatmaps the maps of Jacobians are."""
    seen: int = 0
    """Places that have a heatmap; keypoints and Jacobians follow from them by a linear shape model.
    0: every keypoint has a heatmap and a map of Jacobians of its own."""


OBJECT = FastSizes(
    (32, 48, 64, 96), 16, deep=48, fine=12, half=32, blocks=2, encoder_blocks=1, picture_px=128
)
OBJECT_DETECTOR = DetectorSizes()
FACE_DETECTOR = DetectorSizes(38, (32, 64, 96, 128), 128, seen=30)  # 0.9 GFLOP


def read_sizes(table: dict[str, Any]) -> FastSizes:
    """Sizes as a checkpoint or a weights file keeps them; ValueError for impossible ones."""
    size_limits.check_animator(table)
    return FastSizes(**_tuples(table))


def read_detector_sizes(table: dict[str, Any]) -> DetectorSizes:
    """The same for a detector."""
    size_limits.check_detector(table)
    return DetectorSizes(**_tuples(table))


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in table.items()}


class Animated(NamedTuple):
    """One animated picture and the motion behind it."""

    painted: Painted
    motion: Motion


class Animator(nn.Module):
    """Source picture, its keypoints and the target's -> the source, moved."""

    def __init__(self, sizes: FastSizes, reach: Tensor) -> None:
        """reach: (K,) one sigma of each keypoint in units of the canonical face."""
        super().__init__()
        self.sizes = sizes
        rows = openings.rows() if sizes.openings else None
        hints = 2 * openings.COUNT if sizes.openings else 0
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
        """Once per source; picture (B, 3, H, W) in [0, 1], H and W multiples of 32."""
        return self.generator.encode(picture)

    def animate(
        self,
        encoded: Encoded,
        source: Points,
        target: Points,
        background: Tensor | None = None,
        optical: Tensor | None = None,
    ) -> Animated:
        """Once per frame; background and optical as ``DenseMotion`` says."""
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
        """Both at once, for training."""
        return self.animate(self.encode(picture), source, target, background, optical)


def fast(sizes: FastSizes | None = None, reach: Tensor | None = None) -> Animator:
    """The fast preset for the classical anchors, or for keypoints of another reach (K,)."""
    reach = torch.from_numpy(REACH_BOX) if reach is None else reach
    return Animator(sizes or FastSizes(), reach)


def with_optical(net: Animator) -> Animator:
    """The same networks, which also look at the driver's optical flow: at first half and half."""
    wide = fast(replace(net.sizes, optical=True), net.motion.log_reach.detach().exp())
    state, own = dict(net.state_dict()), wide.state_dict()
    for name in ("motion.stem.conv.weight", "motion.head.weight", "motion.head.bias"):
        grown = torch.zeros_like(own[name])
        grown[tuple(slice(n) for n in state[name].shape)] = state[name]
        state[name] = grown
    wide.load_state_dict(state)
    return wide


def detector(sizes: DetectorSizes = OBJECT_DETECTOR) -> KeypointDetector:
    """A keypoint detector of these sizes, untrained."""
    return KeypointDetector(sizes.count, sizes.widths, sizes.size, pool=sizes.pool, seen=sizes.seen)
