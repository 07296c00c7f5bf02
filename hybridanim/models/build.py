"""All sizes of the networks, and how they are put together.

``fast`` is made for a CPU: about 10 GFLOP a frame at 256x256 once the source is encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..anchors import REACH_BOX
from .blocks import Points
from .dense_motion import DenseMotion, Motion
from .generator import Encoded, Generator, Painted


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


def read_sizes(table: dict[str, Any]) -> FastSizes:
    """Sizes as a checkpoint or a weights file keeps them."""
    known: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in table.items()
    }
    return FastSizes(**known)


class Animated(NamedTuple):
    """One animated picture and the motion behind it."""

    painted: Painted
    motion: Motion


class Animator(nn.Module):
    """Source picture, its keypoints and the target's -> the source, moved."""

    def __init__(self, sizes: FastSizes, reach: Tensor) -> None:
        """reach: (K,) one sigma of each keypoint in units of the canonical face."""
        super().__init__()
        self.motion = DenseMotion(reach, sizes.motion_widths, sizes.motion_features)
        self.generator = Generator(
            sizes.deep,
            sizes.fine,
            sizes.half,
            residuals=sizes.blocks,
            motion=sizes.motion_features + len(reach),
            encoder_residuals=sizes.encoder_blocks,
        )

    def encode(self, picture: Tensor) -> Encoded:
        """Once per source; picture (B, 3, H, W) in [0, 1], H and W multiples of 32."""
        return self.generator.encode(picture)

    def animate(self, encoded: Encoded, source: Points, target: Points) -> Animated:
        """Once per frame."""
        motion = self.motion(encoded.small, source, target)
        return Animated(self.generator(encoded, motion), motion)

    def forward(self, picture: Tensor, source: Points, target: Points) -> Animated:
        """Both at once, for training."""
        return self.animate(self.encode(picture), source, target)


def fast(sizes: FastSizes | None = None, reach: Tensor | None = None) -> Animator:
    """The fast preset for the classical anchors, or for keypoints of another reach (K,)."""
    reach = torch.from_numpy(REACH_BOX) if reach is None else reach
    return Animator(sizes or FastSizes(), reach)
