"""Picture -> K keypoints with local affines; trained with a teacher or without labels.

A U-Net gives K heatmaps; softmax at temperature 0.1 makes each a distribution over the cells, its
expectation is the keypoint, and the Jacobian is the mean, under the same distribution, of a map of
2x2 matrices (Siarohin et al. 2019, section 3.1). The width of the distribution measures the
uncertainty of the position. Cells stand for their centres, in the normalised coordinates of
``hybridanim.geometry``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import blocks
from .blocks import ConvBlock, Points, UNet
from .constants import TEMPERATURE


class Detection(NamedTuple):
    """Keypoints of a batch, and the widths of their heatmaps."""

    points: Points
    spread: Tensor  # (B, K) float32, standard deviation per axis, normalised units


def shares(logits: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Softmax of each heatmap over its cells, (B, K, H, W)."""
    flat = (logits.flatten(2) / temperature).softmax(2)
    return flat.reshape(logits.shape)


def moments(heat: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B, K, 2) and standard deviation per axis (B, K) of heatmaps that sum to one.

    Computed from column and row sums: these stay in float32, whereas autocast or an inference
    engine would run a matrix product in half precision, with an error of an eighth of a cell.
    """
    grid = blocks.grid_norm(heat.shape[2], heat.shape[3], heat)
    axes = ((heat.sum(2), grid[0, :, 0]), (heat.sum(3), grid[:, 0, 1]))
    mean = torch.stack([(line * at).sum(2) for line, at in axes], 2)
    # about the mean: E[x^2] - E[x]^2 would cancel for narrow heatmaps
    square = sum(
        (line * (at - mean[..., i, None]).square()).sum(2) for i, (line, at) in enumerate(axes)
    )
    assert isinstance(square, Tensor)
    return mean, (square / 2).clamp(min=1e-8).sqrt()


def _combined(matrix: Tensor, rows: Tensor) -> Tensor:
    """Product (B, K, D) of matrix (K, M) and rows (B, M, D), always in float32."""
    return (matrix[None, :, :, None] * rows[:, None]).sum(2)


def mean_jacobian(heat: Tensor, maps: Tensor) -> Tensor:
    """Mean (B, K, 2, 2) of maps (B, 4 K or 4, H, W), weighted by heat; heat sums to one."""
    batch, count = heat.shape[:2]
    maps = maps.reshape(batch, -1, 4, *maps.shape[2:])
    mean = (heat[:, :, None] * maps).flatten(3).sum(3)
    return mean.reshape(batch, count, 2, 2)


class KeypointDetector(nn.Module):
    """Keypoint detector; works at a side of ``size`` pixels, heatmaps have half of it."""

    def __init__(
        self, count: int, widths: tuple[int, ...], size: int, *, pool: int = 1, seen: int = 0
    ) -> None:
        """count: K; widths: of the U-Net; size: side in pixels that the picture is resized to.

        pool: downsampling factor of the Jacobian maps relative to the heatmaps. seen: number of
        positions with a heatmap; all keypoints and Jacobians follow from these by a linear shape
        model (``places``, ``affines``), which is equivariant to similarities of the face. 0: each
        keypoint has its own heatmap and Jacobian map.
        """
        super().__init__()
        self.size, self.seen, self._pool = size, seen, pool
        self.stem = ConvBlock(12, widths[0])
        self.body = UNet(widths)
        self.heat = nn.Conv2d(widths[0], seen or count, 3, 1, 1)
        if seen:
            self.places = nn.Parameter(torch.eye(count, seen))
            self.affines = nn.Parameter(torch.zeros(count, 2, seen))
            return
        self.turn = ConvBlock(widths[0], widths[1])
        self.affine = nn.Conv2d(widths[1], 4 * count, 1)
        nn.init.zeros_(self.affine.weight)  # every Jacobian starts as the identity
        self.affine.bias = nn.Parameter(torch.eye(2).reshape(4).repeat(count))

    def forward(self, picture: Tensor) -> Points:
        """picture: (B, 3, H, W) in [0, 1], H = W a multiple of the detector's size."""
        return self.detect(picture).points

    def detect(self, picture: Tensor) -> Detection:
        """Keypoints and widths of the heatmaps; picture as ``forward``."""
        step = picture.shape[-1] // self.size
        small = functional.avg_pool2d(picture, step) if step > 1 else picture
        body = self.body(self.stem(functional.pixel_unshuffle(small, 2)))
        heat = shares(self.heat(body).float())
        mean, spread = moments(heat)
        if self.seen:
            return self._shaped(mean, spread)
        coarse = functional.avg_pool2d(body, self._pool) if self._pool > 1 else body
        jacobian = mean_jacobian(self._pooled(heat), self.affine(self.turn(coarse)).float())
        return Detection(Points(mean, jacobian), spread)

    def _shaped(self, mean: Tensor, spread: Tensor) -> Detection:
        """All keypoints from the M positions with heatmaps, (B, M, 2), by the linear shape model.

        spread: (B, M); a keypoint's width is the weighted mean of those it depends on.
        """
        middle = mean.mean(1, keepdim=True)
        offsets = mean - middle
        columns = _combined(self.affines.flatten(0, 1), offsets)  # (B, 2 K, 2): of the Jacobians
        jacobian = columns.unflatten(1, (-1, 2)).transpose(2, 3)
        weight = self.places.detach().abs()
        weight = weight / weight.sum(1, keepdim=True)
        points = Points(middle + _combined(self.places, offsets), jacobian)
        return Detection(points, _combined(weight, spread[..., None])[..., 0])

    def _pooled(self, heat: Tensor) -> Tensor:
        """Sum the heat over each coarse cell; the total remains one."""
        if self._pool == 1:
            return heat
        return functional.avg_pool2d(heat, self._pool) * self._pool**2
