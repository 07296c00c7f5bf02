"""Picture -> K keypoints with local affines, learned without labels.

A U-Net gives K heatmaps; softmax at temperature 0.1 makes each a distribution over the cells, its
expectation is the keypoint, and the Jacobian is the mean, under the same distribution, of a map of
2x2 matrices (Siarohin et al. 2019, section 3.1). Positions are those of the cell centres, in the
normalised coordinates of ``hybridanim.geometry``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import blocks
from .blocks import Points, Same, UNet

TEMPERATURE = 0.1


def expectation(logits: Tensor, grid: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """(B, K, 2): mean place of each heatmap (B, K, H, W) on a grid (H, W, 2)."""
    return shares(logits, temperature).flatten(2) @ grid.reshape(-1, 2)


def shares(logits: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """(B, K, H, W): each heatmap as a distribution over its cells."""
    flat = (logits.flatten(2) / temperature).softmax(2)
    return flat.reshape(logits.shape)


def mean_jacobian(heat: Tensor, maps: Tensor) -> Tensor:
    """(B, K, 2, 2): heat-weighted mean of maps (B, 4 K or 4, H, W); heat sums to one."""
    batch, count = heat.shape[:2]
    maps = maps.reshape(batch, -1, 4, *maps.shape[2:])
    mean = (heat[:, :, None] * maps).flatten(3).sum(3)
    return mean.reshape(batch, count, 2, 2)


class KeypointDetector(nn.Module):
    """Works on a picture shrunk to ``size``; heatmaps at half of that."""

    def __init__(self, count: int, widths: tuple[int, ...], size: int) -> None:
        """count: K; widths: of the U-Net; size: pixels that the picture is shrunk to."""
        super().__init__()
        self.size = size
        self.stem = Same(12, widths[0])
        self.body = UNet(widths)
        self.heat = nn.Conv2d(widths[0], count, 5, 1, 2)
        self.affine = nn.Conv2d(widths[0], 4 * count, 5, 1, 2)
        nn.init.zeros_(self.affine.weight)  # every Jacobian starts as the identity
        self.affine.bias = nn.Parameter(torch.eye(2).reshape(4).repeat(count))

    def forward(self, picture: Tensor) -> Points:
        """picture: (B, 3, H, W) in [0, 1], H = W a multiple of the detector's size."""
        small = functional.avg_pool2d(picture, picture.shape[-1] // self.size)
        body = self.body(self.stem(functional.pixel_unshuffle(small, 2)))
        logits, maps = self.heat(body).float(), self.affine(body).float()
        heat = shares(logits)
        grid = blocks.grid_norm(heat.shape[2], heat.shape[3], heat)
        return Points(heat.flatten(2) @ grid.reshape(-1, 2), mean_jacobian(heat, maps))
