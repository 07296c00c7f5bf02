"""Monkey-Net (Siarohin et al., CVPR 2019): source picture, keypoints -> flow -> picture.

A keypoint is the mean of a heatmap, with the heatmap's covariance (equations 1 and 2). Its matrix
in ``Points`` is the symmetric square root of that covariance: the affine from the unit Gaussian to
the heatmap's, in normalised coordinates; trackers and transfer treat it like any local affine.
The flow is that of the masks, each moving with its keypoint, plus a residual (section 3.3). The
generator is a U-Net whose skip connections are warped by the flow (section 3.4). It sees keypoints
as the difference of the two pictures' heatmaps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import blocks
from .blocks import ConvBlock, Points, Residual, UNet
from .constants import (
    FIXED_VARIANCE,
    HEAT_MEAN,
    LEAST_VARIANCE,
    RESIDUAL,
    STILL_BIAS,
)
from .dense_motion import Motion
from .generator import Painted
from .keypoint_detector import Detection, moments, shares
from .sizes import MonkeyNetSizes


def covariance(heat: Tensor, mean: Tensor) -> Tensor:
    """Covariances (B, K, 2, 2) of heatmaps (B, K, H, W) that sum to one about their mean.

    mean: (B, K, 2) normalised. Equation 2.
    """
    grid = blocks.grid_norm(heat.shape[2], heat.shape[3], heat)
    across = grid[0, :, 0] - mean[..., :1]  # (B, K, W)
    down = grid[:, 0, 1] - mean[..., 1:]  # (B, K, H)
    xx = (heat.sum(2) * across.square()).sum(2)
    yy = (heat.sum(3) * down.square()).sum(2)
    xy = ((heat * down[..., None]).sum(2) * across).sum(2)
    return torch.stack([torch.stack([xx, xy], -1), torch.stack([xy, yy], -1)], -2)


def bounded(matrix: Tensor, least: float = LEAST_VARIANCE) -> Tensor:
    """Symmetric matrices (..., 2, 2) whose smaller eigenvalue is raised to ``least``.

    As much of the identity is added, so that the result is continuous and keeps its axes.
    """
    a, b, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    apart = ((0.5 * (a - d)).square() + b.square() + 1e-12).sqrt()
    lacking = functional.relu(least - (0.5 * (a + d) - apart))
    return matrix + lacking[..., None, None] * torch.eye(2, device=matrix.device)


def square_root(matrix: Tensor) -> Tensor:
    """Symmetric square roots of positive definite matrices (..., 2, 2), in closed form."""
    area = blocks.determinant(matrix).clamp(min=1e-12).sqrt()
    trace = matrix[..., 0, 0] + matrix[..., 1, 1]
    still = area[..., None, None] * torch.eye(2, device=matrix.device)
    return (matrix + still) / (trace + 2 * area).sqrt()[..., None, None]


def heatmaps(points: Points, height: int, width: int) -> Tensor:
    """Gaussians (B, K, H, W) of mean 0.01 over the picture, of each keypoint's covariance.

    Normalised by their integral, not by the sum over the cells: what leaves the picture is missing
    from the sum, and the value at a place does not depend on the resolution.
    """
    grid = blocks.grid_norm(height, width, points.xy)
    offset = grid - points.xy[:, :, None, None]  # (B, K, H, W, 2)
    inverse = blocks.inverse_2x2(points.jacobian)[:, :, None, None]
    x = inverse[..., 0, 0] * offset[..., 0] + inverse[..., 0, 1] * offset[..., 1]
    y = inverse[..., 1, 0] * offset[..., 0] + inverse[..., 1, 1] * offset[..., 1]
    area = blocks.determinant(points.jacobian).abs().clamp(min=1e-4)
    peak = HEAT_MEAN * 4 / (2 * torch.pi * area)  # the picture's area is 4
    return peak[..., None, None] * (-0.5 * (x.square() + y.square())).exp()


def displaced(shifts: Tensor, masks: Tensor, grid: Tensor) -> Tensor:
    """Coarse flow (B, H, W, 2): each cell moved by the mean of the shifts under the masks.

    shifts: (B, K+1, 2) source - target, the background's first; masks: (B, K+1, H, W), summing to
    one over K+1.
    """
    moved = masks.flatten(2).transpose(1, 2) @ shifts
    return grid + moved.unflatten(1, masks.shape[2:])


class CovarianceDetector(nn.Module):
    """Picture -> keypoints with covariances; its heatmaps have half of its input's side."""

    def __init__(self, sizes: MonkeyNetSizes) -> None:
        super().__init__()
        widths = sizes.detector_widths
        self.size, self._has_covariances = sizes.detector_px, sizes.covariances
        self.stem = ConvBlock(12, widths[0])
        self.body = UNet(widths)
        self.heat = nn.Conv2d(widths[0], sizes.count, 3, 1, 1)

    def forward(self, picture: Tensor) -> Points:
        """picture: (B, 3, S, S) in [0, 1], S a multiple of the detector's size, or smaller."""
        return self.detect(picture).points

    def detect(self, picture: Tensor) -> Detection:
        """Keypoints and widths of the heatmaps; picture as ``forward``."""
        small = shrunk(picture, min(self.size, picture.shape[-1]))
        body = self.body(self.stem(functional.pixel_unshuffle(small, 2)))
        with torch.autocast(picture.device.type, enabled=False):
            heat = shares(self.heat(body.float()))
            mean, spread = moments(heat)
            if self._has_covariances:
                return Detection(Points(mean, square_root(bounded(covariance(heat, mean)))), spread)
            still = FIXED_VARIANCE**0.5 * torch.eye(2, device=mean.device)
            return Detection(Points(mean, still.expand(*mean.shape[:2], 2, 2)), spread)


class DisplacedMotion(nn.Module):
    """Dense motion of section 3.3: masks times displacements, and a residual."""

    def __init__(self, sizes: MonkeyNetSizes) -> None:
        super().__init__()
        self.sizes = sizes
        widths, count = sizes.motion_widths, sizes.count
        self.stem = ConvBlock(count + (3 * (count + 1) if sizes.source else 0), widths[0])
        self.body = UNet(widths)
        self.head = nn.Conv2d(widths[0], count + 3, 3, 1, 1)
        nn.init.zeros_(self.head.weight)
        bias = torch.zeros(count + 3)
        bias[0] = STILL_BIAS
        self.head.bias = nn.Parameter(bias)

    def forward(
        self,
        small: Tensor,
        source: Points,
        target: Points,
        background: Tensor | None = None,
        optical: Tensor | None = None,
    ) -> Motion:
        """small: (B, 3, h, w) source picture in [0, 1] at ``motion_px``.

        background, optical: not used; the background's mask stands still. The motion's ``features``
        are the differences of the heatmaps, (B, K, h, w), target - source.
        """
        height, width = small.shape[2:]
        count = source.xy.shape[1] + 1
        with torch.autocast(small.device.type, enabled=False):
            grid = blocks.grid_norm(height, width, small)
            shifts = source.xy - target.xy
            shifts = torch.cat([torch.zeros_like(shifts[:, :1]), shifts], 1)
            near = heatmaps(target, height, width) - heatmaps(source, height, width)
            x = [near]
            if self.sizes.source:
                places = grid + shifts[:, :, None, None]
                # one tall grid instead of K+1 copies of the picture
                tall = places.reshape(len(small), count * height, width, 2)
                x.append(blocks.warp(small, tall).reshape(len(small), 3 * count, height, width))
            x = torch.cat(x, 1)
        out = self.head(self.body(self.stem(x))).float()
        masks = out[:, :count].softmax(1)
        flow = grid.expand(len(small), -1, -1, -1)
        if self.sizes.flow and self.sizes.coarse:
            flow = displaced(shifts, masks, grid)
        if self.sizes.flow and self.sizes.residual:
            flow = flow + RESIDUAL * out[:, count:].permute(0, 2, 3, 1)
        return Motion(flow, torch.ones_like(masks[:, :1]), masks, near)


class SkippedGenerator(nn.Module):
    """U-Net whose skip connections are warped (deformation modules, section 3.4)."""

    def __init__(self, sizes: MonkeyNetSizes) -> None:
        super().__init__()
        self.sizes = sizes
        widths, count = sizes.widths, sizes.count
        pairs = list(pairwise(widths))
        self.first = ConvBlock(3, widths[0])
        self.down = nn.ModuleList(ConvBlock(a, b, stride=2) for a, b in pairs)
        self.enter = ConvBlock(widths[-1] + count, widths[-1])
        self.middle = Residual(widths[-1])
        self.up = nn.ModuleList(blocks.Up(b, a) for a, b in reversed(pairs))
        sides = [sizes.picture_px >> i for i in range(len(pairs))]
        more = [count if side <= sizes.motion_px else 0 for side in sides]
        self.join = nn.ModuleList(
            ConvBlock(2 * a + n, a)
            for (a, _), n in zip(reversed(pairs), reversed(more), strict=True)
        )
        self.refine = nn.Sequential(*(Residual(widths[0]) for _ in range(sizes.blocks)))
        self.last = nn.Conv2d(widths[0], 3, 1)

    def encode(self, picture: Tensor) -> list[Tensor]:
        """Features of the source at full, half, ... resolution: the skip connections."""
        skips = [self.first(picture)]
        for down in self.down:
            skips.append(down(skips[-1]))
        return skips

    def forward(self, skips: list[Tensor], flow: Tensor, near: Tensor) -> Tensor:
        """Picture (B, 3, S, S) in [0, 1].

        skips: of ``encode``; flow: (B, h, w, 2) absolute; near: (B, K, h, w) differences of the
        heatmaps. Heatmaps join the skips of at most ``motion_px``, averaged to their size.
        """
        moved = self.aligned(skips, flow) if self.sizes.flow else skips
        deep = moved[-1]
        x = self.middle(self.enter(torch.cat([deep, _at(near, deep).to(deep.dtype)], 1)))
        for up, join, skip in zip(self.up, self.join, reversed(moved[:-1]), strict=True):
            parts = [up(x), skip]
            if skip.shape[-1] <= near.shape[-1]:
                parts.append(_at(near, skip).to(skip.dtype))
            x = join(torch.cat(parts, 1))
        return self.last(self.refine(x)).float().sigmoid()

    def aligned(self, skips: list[Tensor], flow: Tensor) -> list[Tensor]:
        """The skip connections, each warped by the flow at its own resolution."""
        return [blocks.warp(x, blocks.resize_flow(flow, *x.shape[2:])) for x in skips]


def _at(near: Tensor, like: Tensor) -> Tensor:
    """Heatmaps averaged to the resolution of other features."""
    step = near.shape[-1] // like.shape[-1]
    return functional.avg_pool2d(near, step) if step > 1 else near


def shrunk(picture: Tensor, side: int) -> Tensor:
    """The picture (B, C, S, S) averaged to side x side; S is a multiple of that."""
    step = picture.shape[-1] // side
    return functional.avg_pool2d(picture, step) if step > 1 else picture


class EncodedSkips(NamedTuple):
    """An encoded source."""

    picture: Tensor  # (B, 3, S, S) in [0, 1]
    small: Tensor  # (B, 3, h, w), at ``motion_px``
    skips: list[Tensor]  # (B, C, S, S), (B, D, S/2, S/2), ...


class MonkeyNet(nn.Module):
    """Motion network, generator, and the detector of their keypoints."""

    def __init__(self, sizes: MonkeyNetSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.motion = DisplacedMotion(sizes)
        self.generator = SkippedGenerator(sizes)
        self.detector = CovarianceDetector(sizes)

    def encode(self, picture: Tensor) -> EncodedSkips:
        """Encode a source, once; picture (B, 3, S, S) in [0, 1].

        S: ``picture_px``, or half of it in the first part of a training; the flow's side follows.
        """
        small = shrunk(picture, picture.shape[-1] * self.sizes.motion_px // self.sizes.picture_px)
        return EncodedSkips(picture, small, self.generator.encode(picture))

    def paint(self, encoded: EncodedSkips, motion: Motion) -> Painted:
        """Paint one frame; the result is paint alone, alpha is one."""
        full = blocks.resize_flow(motion.flow, *encoded.picture.shape[2:])
        warped = blocks.warp(encoded.picture, full)
        paint = self.generator(encoded.skips, motion.flow, motion.features)
        return Painted(paint, warped, paint, torch.ones_like(paint[:, :1]))

    def forward(self, picture: Tensor, source: Points, target: Points) -> tuple[Painted, Motion]:
        """Encode and animate, for training."""
        encoded = self.encode(picture)
        motion = self.motion(encoded.small, source, target)
        return self.paint(encoded, motion), motion
