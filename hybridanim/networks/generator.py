"""Encoded source and motion -> picture: the warped source, blended with generated pixels.

The source is encoded once. Per frame its features are warped, masked by the occlusion map, refined
by a few residual blocks and decoded into colour and alpha; the result is alpha * paint +
(1 - alpha) * the source warped at full resolution. The last doubling is a pixel shuffle (Shi et al.
2016), so that no convolution runs at full resolution. Siarohin et al. 2019, equation 8.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import blocks
from .blocks import ConvBlock, Residual, Up
from .dense_motion import Motion

_ALPHA_BIAS = -3.0  # initial alpha: sigmoid(-3) = 0.05


class Encoded(NamedTuple):
    """An encoded source."""

    picture: Tensor  # (B, 3, H, W) in [0, 1]
    small: Tensor  # (B, 3, H/4, W/4)
    deep: Tensor  # (B, C, H/4, W/4)
    fine: Tensor  # (B, D, H/2, W/2)


class Painted(NamedTuple):
    """One generated picture and its parts."""

    picture: Tensor  # (B, 3, H, W) in [0, 1]
    warped: Tensor  # (B, 3, H, W), the warped source
    paint: Tensor  # (B, 3, H, W)
    alpha: Tensor  # (B, 1, H, W) in [0, 1], weight of the paint


class Generator(nn.Module):
    """Source encoder and per-frame decoder."""

    def __init__(
        self,
        deep: int,
        fine: int,
        half: int,
        *,
        residuals: int,
        motion: int,
        encoder_residuals: int,
        hints: int = 0,
        blend: bool = True,
    ) -> None:
        """deep, fine, half: channels of the source's features at 1/4 and 1/2, and of the decoder.

        residuals, encoder_residuals: residual blocks per frame and per source. motion: channels of
        the motion features. hints: number of maps at twice the motion's resolution, stored by pixel
        unshuffle in the last 4 hints channels of these. blend: whether the result is blended with
        the warped source or is the paint alone.
        """
        super().__init__()
        self._has_blend, self._hints = blend, hints
        self.outer = ConvBlock(12, fine, 5)
        self.inner = ConvBlock(fine, deep, 3, stride=2)
        self.encoder = nn.Sequential(*(Residual(deep) for _ in range(encoder_residuals)))
        self.enter = ConvBlock(deep + motion + 1, deep)
        self.bottleneck = nn.Sequential(*(Residual(deep) for _ in range(residuals)))
        self.up = Up(deep, half)
        self.join = ConvBlock(half + fine + 12 + hints, half)
        self.refine = ConvBlock(half, half)
        self.last = nn.Conv2d(half, 16, 3, 1, 1)
        nn.init.normal_(self.last.weight, std=0.01)
        bias = torch.zeros(16)
        bias[12:] = _ALPHA_BIAS
        self.last.bias = nn.Parameter(bias)

    def encode(self, picture: Tensor) -> Encoded:
        """picture: (B, 3, H, W) in [0, 1], H and W multiples of 4."""
        fine = self.outer(functional.pixel_unshuffle(picture, 2))
        deep = self.encoder(self.inner(fine))
        return Encoded(picture, functional.avg_pool2d(picture, 4), deep, fine)

    def forward(self, source: Encoded, motion: Motion) -> Painted:
        """Render the source under the motion."""
        height, width = source.picture.shape[2:]
        half = blocks.resize_flow(motion.flow, height // 2, width // 2)
        full = blocks.resize_flow(motion.flow, height, width)
        warped = blocks.warp(source.picture, full)
        shown = motion.occlusion
        deep = blocks.warp(source.deep, motion.flow) * shown.to(source.deep.dtype)
        x = self.enter(torch.cat([deep, motion.features.to(deep.dtype), shown.to(deep.dtype)], 1))
        x = self.up(self.bottleneck(x))
        fine = blocks.warp(source.fine, half)
        fine = fine * functional.interpolate(shown, scale_factor=2.0).to(fine.dtype)
        moved = functional.pixel_unshuffle(warped, 2)
        parts = [x, fine, moved.to(x.dtype)]
        if self._hints:
            hints = motion.features[:, -4 * self._hints :]
            parts.append(functional.pixel_shuffle(hints, 2).to(x.dtype))
        x = self.refine(self.join(torch.cat(parts, 1)))
        out = self.last(x).float()
        paint = functional.pixel_shuffle(out[:, :12], 2).sigmoid()
        alpha = functional.pixel_shuffle(out[:, 12:], 2).sigmoid()
        if not self._has_blend:
            alpha = torch.ones_like(alpha)
        return Painted(alpha * paint + (1 - alpha) * warped, warped, paint, alpha)
