"""Networks that find mesh points in a grey window: convolutions, then a linear shape model.

The output is a mean shape plus principal directions of the points, whose coefficients the network
gives; the directions come from the training windows, so few numbers hold hundreds of points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .blocks import ReluResidual


@dataclass(frozen=True)
class PointSizes:
    """Sizes of one network."""

    width_px: int
    height_px: int
    points: int
    dimensions: int  # 2, or 3 with depth
    components: int  # of the shape model
    channels: tuple[int, ...]  # after each halving of the resolution
    hidden: int


class PointNetwork(nn.Module):
    """Grey windows (B, 1, H, W) -> points (B, N, D) and face scores (B,).

    Points are in window widths from the window's centre, x right, y down, z away; the score is the
    logit of a face being in the window.
    """

    mean: Tensor  # (N * D,)
    basis: Tensor  # (K, N * D)

    def __init__(self, sizes: PointSizes) -> None:
        super().__init__()
        self.sizes = sizes
        layers: list[nn.Module] = []
        before = 1
        for i, channels in enumerate(sizes.channels):
            kernel = 5 if i == 0 else 3
            layers += [
                nn.Conv2d(before, channels, kernel, 2, kernel // 2, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            if i > 0:
                layers.append(ReluResidual(channels))
            before = channels
        self.features = nn.Sequential(*layers)
        cells = 1
        for side in (sizes.width_px, sizes.height_px):
            for _ in sizes.channels:
                side = (side + 1) // 2
            cells *= side
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(before * cells, sizes.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(sizes.hidden, sizes.components + 1),
        )
        length = sizes.points * sizes.dimensions
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("basis", torch.zeros(sizes.components, length))

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Find the points; see the class."""
        found = self.head(self.features(windows))
        coefficients, score = found[:, :-1], found[:, -1]
        points = self.mean + coefficients @ self.basis
        return points.view(len(windows), self.sizes.points, self.sizes.dimensions), score


FACE_SIZES = PointSizes(96, 96, 478, 3, 72, (16, 28, 48, 80, 112), 192)
EYE_SIZES = PointSizes(48, 32, 21, 2, 24, (16, 32, 56, 80), 128)
MOUTH_SIZES = PointSizes(64, 48, 40, 2, 32, (16, 32, 56, 80), 160)
SIZES = {"face": FACE_SIZES, "eye": EYE_SIZES, "mouth": MOUTH_SIZES}
