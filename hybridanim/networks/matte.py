"""Network that finds the person's mask in a window around a head: a U-Net of residual blocks.

Ronneberger et al. 2015; every level halves the resolution, and the way back joins each level's
features with the upsampled ones below.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import ReluResidual


@dataclass(frozen=True)
class MatteSizes:
    """Sizes of the network."""

    window_px: int = 160
    """Side of the window at run time; a multiple of 2 to the number of levels."""
    inputs: int = 4
    channels: tuple[int, ...] = (16, 32, 64, 96, 128)
    """After each halving of the resolution."""
    last: int = 8
    """Channels at full resolution."""


def _convolved(before: int, after: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]


class MatteNetwork(nn.Module):
    """Windows (B, 4, n, n) -> logits (B, 1, n, n) of the person; n: a multiple of 2^levels."""

    def __init__(self, sizes: MatteSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or MatteSizes()
        counts = sizes.channels
        befores = (sizes.inputs, *counts[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(*_convolved(before, after, 5 if i == 0 else 3, 2), ReluResidual(after))
            for i, (before, after) in enumerate(zip(befores, counts, strict=True))
        )
        self.up = nn.ModuleList(
            nn.Sequential(*_convolved(below + count, count)) for count, below in pairwise(counts)
        )
        self.last = nn.Sequential(
            *_convolved(counts[0] + sizes.inputs, sizes.last), nn.Conv2d(sizes.last, 1, 1)
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Find the person; see the class."""
        found = [windows]
        for level in self.down:
            found.append(level(found[-1]))
        x = found.pop()
        for level in reversed(self.up):
            x = level(torch.cat([_doubled(x), found.pop()], 1))
        return self.last(torch.cat([_doubled(x), found.pop()], 1))


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
