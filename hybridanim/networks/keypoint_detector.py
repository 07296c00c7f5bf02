"""Picture -> K keypoints with local affines, learned with a teacher or without labels.

A U-Net gives K heatmaps; softmax at temperature 0.1 makes each a distribution over the cells, its
expectation is the keypoint, and the Jacobian is the mean, under the same distribution, of a map of
2x2 matrices (Siarohin et al. 2019, section 3.1). The width of the distribution tells how sure the
place is. Positions are those of the cell centres, in the normalised coordinates of
``hybridanim.geometry``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import blocks
from .blocks import Points, Same, UNet

TEMPERATURE = 0.1


class Detection(NamedTuple):
    """Keypoints of a batch, and how wide their heatmaps are."""

    points: Points
    spread: Tensor  # (B, K) float32, standard deviation an axis, in normalised coordinates


def shares(logits: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """(B, K, H, W): each heatmap as a distribution over its cells."""
    flat = (logits.flatten(2) / temperature).softmax(2)
    return flat.reshape(logits.shape)


def moments(heat: Tensor) -> tuple[Tensor, Tensor]:
    """Mean place (B, K, 2) and standard deviation an axis (B, K) of heatmaps that sum to one.

    By their sums along columns and rows: products and sums stay in float32 where autocast, or an
    inference engine, would do a matrix product in half precision, an eighth of a cell too coarse.
    """
    grid = blocks.grid_norm(heat.shape[2], heat.shape[3], heat)
    axes = ((heat.sum(2), grid[0, :, 0]), (heat.sum(3), grid[:, 0, 1]))
    mean = torch.stack([(line * at).sum(2) for line, at in axes], 2)
    # about the mean: the difference of two large numbers would lose the narrow ones
    square = sum(
        (line * (at - mean[..., i, None]).square()).sum(2) for i, (line, at) in enumerate(axes)
    )
    assert isinstance(square, Tensor)
    return mean, (square / 2).clamp(min=1e-8).sqrt()


def _combined(matrix: Tensor, rows: Tensor) -> Tensor:
    """(B, K, D): matrix (K, M) times rows (B, M, D), in float32 always."""
    return (matrix[None, :, :, None] * rows[:, None]).sum(2)


def mean_jacobian(heat: Tensor, maps: Tensor) -> Tensor:
    """(B, K, 2, 2): heat-weighted mean of maps (B, 4 K or 4, H, W); heat sums to one."""
    batch, count = heat.shape[:2]
    maps = maps.reshape(batch, -1, 4, *maps.shape[2:])
    mean = (heat[:, :, None] * maps).flatten(3).sum(3)
    return mean.reshape(batch, count, 2, 2)


class KeypointDetector(nn.Module):
    """Works on a picture shrunk to ``size``; heatmaps at half of that."""

    def __init__(
        self, count: int, widths: tuple[int, ...], size: int, *, pool: int = 1, seen: int = 0
    ) -> None:
        """count: K; widths: of the U-Net; size: pixels that the picture is shrunk to.

        pool: how much coarser than the heatmaps the maps of Jacobians are. seen: places that have a
        heatmap; all keypoints and Jacobians follow from them by a linear shape model (``places``,
        ``affines``), which turns, grows and moves with the face exactly. 0: every keypoint has a
        heatmap and a map of Jacobians of its own.
        """
        super().__init__()
        self.size, self.seen, self._pool = size, seen, pool
        self.stem = Same(12, widths[0])
        self.body = UNet(widths)
        self.heat = nn.Conv2d(widths[0], seen or count, 3, 1, 1)
        if seen:
            self.places = nn.Parameter(torch.eye(count, seen))
            self.affines = nn.Parameter(torch.zeros(count, 2, seen))
            return
        self.turn = Same(widths[0], widths[1])
        self.affine = nn.Conv2d(widths[1], 4 * count, 1)
        nn.init.zeros_(self.affine.weight)  # every Jacobian starts as the identity
        self.affine.bias = nn.Parameter(torch.eye(2).reshape(4).repeat(count))

    def forward(self, picture: Tensor) -> Points:
        """picture: (B, 3, H, W) in [0, 1], H = W a multiple of the detector's size."""
        return self.detect(picture).points

    def detect(self, picture: Tensor) -> Detection:
        """The same, with the heatmaps' widths."""
        step = picture.shape[-1] // self.size
        small = functional.avg_pool2d(picture, step) if step > 1 else picture
        body = self.body(self.stem(functional.pixel_unshuffle(small, 2)))
        heat = shares(self.heat(body).float())
        seen, spread = moments(heat)
        if self.seen:
            return self._shaped(seen, spread)
        coarse = functional.avg_pool2d(body, self._pool) if self._pool > 1 else body
        jacobian = mean_jacobian(self._pooled(heat), self.affine(self.turn(coarse)).float())
        return Detection(Points(seen, jacobian), spread)

    def _shaped(self, seen: Tensor, spread: Tensor) -> Detection:
        """All keypoints of the seen places (B, M, 2); a width is that of the places it rests on."""
        middle = seen.mean(1, keepdim=True)
        offsets = seen - middle
        columns = _combined(self.affines.flatten(0, 1), offsets)  # (B, 2 K, 2): of the Jacobians
        jacobian = columns.unflatten(1, (-1, 2)).transpose(2, 3)
        weight = self.places.detach().abs()
        weight = weight / weight.sum(1, keepdim=True)
        points = Points(middle + _combined(self.places, offsets), jacobian)
        return Detection(points, _combined(weight, spread[..., None])[..., 0])

    def _pooled(self, heat: Tensor) -> Tensor:
        """The heat of each coarse cell; still sums to one."""
        if self._pool == 1:
            return heat
        return functional.avg_pool2d(heat, self._pool) * self._pool**2
