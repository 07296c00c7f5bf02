"""Sizes of the networks, and their construction.

``fast`` is meant for a CPU: about 10 GFLOP per frame at 256x256, not counting the encoding of the
source. ``OBJECT`` and ``OBJECT_DETECTOR`` are smaller, for object categories trained from scratch
in a quarter of an hour. Each Boolean switch disables one part, for ablations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hybridanim.face.anchors import REACH_BOX

from . import mouth_eye_masks, size_limits
from .blocks import Points
from .dense_motion import DenseMotion, Motion
from .generator import Encoded, Generator, Painted
from .keypoint_detector import KeypointDetector


@dataclass(frozen=True)
class FastSizes:
    """Channels of the fast preset."""

    motion_widths: tuple[int, ...] = (48, 80, 112, 144)
    """Channels of the motion network at 1/4, 1/8, 1/16 and 1/32 of the picture."""
    motion_features: int = 32
    """Channels that the motion network passes to the generator."""
    deep: int = 80
    """Channels of the source's features at 1/4, and of the residual blocks."""
    fine: int = 20
    """Channels of the source's features at 1/2."""
    half: int = 48
    """Channels of the decoder at 1/2."""
    blocks: int = 4
    """Residual blocks per frame."""
    encoder_blocks: int = 3
    """Residual blocks once per source."""
    openings: bool = False
    """Give the networks masks of open eyes and mouth; needs the keypoints of a face."""
    picture_px: int = 256
    """Side of the networks' input and output pictures, in pixels."""
    jacobians: bool = True
    """Use the keypoints' local affines; False: local maps are translations, as in Monkey-Net."""
    occlusion: bool = True
    """Multiply the source's features by the occlusion map; False: no masking."""
    blend: bool = True
    """Blend paint with the warped source by alpha; False: all is paint (alpha = 1)."""
    optical: bool = False
    """Take the driver's optical flow as an input in addition to the keypoints."""


@dataclass(frozen=True)
class DetectorSizes:
    """Sizes of the keypoint detector."""

    count: int = 10
    """Number of keypoints."""
    widths: tuple[int, ...] = (16, 32, 48, 64)
    """Channels of its U-Net at 1/2, 1/4, 1/8 and 1/16 of its input."""
    size: int = 64
    """Side that its window is resized to, in pixels; heatmaps have half of it."""
    pool: int = 2
    """Downsampling factor of the Jacobian maps relative to the heatmaps."""
    seen: int = 0
    """Number of positions with a heatmap; a linear shape model gives keypoints and Jacobians.
    0: each keypoint has its own heatmap and Jacobian map."""


OBJECT = FastSizes(
    (32, 48, 64, 96), 16, deep=48, fine=12, half=32, blocks=2, encoder_blocks=1, picture_px=128
)
OBJECT_DETECTOR = DetectorSizes()
FACE_DETECTOR = DetectorSizes(38, (32, 64, 96, 128), 128, seen=30)  # 0.9 GFLOP


def read_sizes(table: dict[str, Any]) -> FastSizes:
    """Sizes from the table of a checkpoint or weights file; ValueError for impossible ones."""
    size_limits.check_animator(table)
    return FastSizes(**_tuples(table))


def read_detector_sizes(table: dict[str, Any]) -> DetectorSizes:
    """Sizes of a detector, as ``read_sizes``."""
    size_limits.check_detector(table)
    return DetectorSizes(**_tuples(table))


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in table.items()}


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
        hints = 2 * mouth_eye_masks.COUNT if sizes.openings else 0
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
