"""The first-order motion model (Siarohin et al., NeurIPS 2019) in torch, at its published sizes.

Pictures -> keypoints with Jacobians; picture and both keypoints -> picture. Module names and shapes
are those of the published 256-pixel checkpoints, and so are its habits, among them places over a
58-cell map and, at sampling, a grid whose ends are cell centres (``FirstOrderSizes.align_corners``,
as torch did when it was trained). 60 million parameters; about 110 GFLOP a frame at 256x256.
Coordinates here are the model's own: ``corner_grid``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import Points, affines, apply_affines
from .discriminator import PatchDiscriminator
from .first_order_file import (
    KERNEL,
    PUBLISHED,
    VARIANCE,
    FirstOrderSizes,
    anti_alias_side,
    generator_widths,
)
from .keypoint_detector import mean_jacobian, shares

_HALF = KERNEL // 2


def corner_grid(height: int, width: int, like: Tensor) -> Tensor:
    """(H, W, 2) of x, y whose first and last cell centres are at -1 and 1."""
    x = torch.linspace(-1, 1, width, device=like.device)
    y = torch.linspace(-1, 1, height, device=like.device)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)


class _Block(nn.Module):
    """Convolution, norm, ReLU; doubled before or halved after."""

    def __init__(self, inputs: int, outputs: int, *, size: int = 3, up: bool = False, down=False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
        self.norm = nn.BatchNorm2d(outputs)
        self._up, self._down = up, down

    def forward(self, x: Tensor) -> Tensor:
        if self._up:
            x = functional.interpolate(x, scale_factor=2.0)
        x = functional.relu(self.norm(self.conv(x)))
        return functional.avg_pool2d(x, 2) if self._down else x


class _Residual(nn.Module):
    """Norms before the convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(functional.relu(self.norm1(x)))
        return x + self.conv2(functional.relu(self.norm2(out)))


class _Encoder(nn.Module):
    def __init__(self, base: int, inputs: int, depth: int, most: int) -> None:
        super().__init__()
        widths = [inputs, *(min(most, base * 2 ** (i + 1)) for i in range(depth))]
        pairs = pairwise(widths)
        self.down_blocks = nn.ModuleList(_Block(a, b, down=True) for a, b in pairs)

    def forward(self, x: Tensor) -> list[Tensor]:
        kept = [x]
        for block in self.down_blocks:
            kept.append(block(kept[-1]))
        return kept


class _Decoder(nn.Module):
    def __init__(self, base: int, depth: int, most: int) -> None:
        super().__init__()
        self.up_blocks = nn.ModuleList()
        for i in reversed(range(depth)):
            inputs = (1 if i == depth - 1 else 2) * min(most, base * 2 ** (i + 1))
            self.up_blocks.append(_Block(inputs, min(most, base * 2**i), up=True))

    def forward(self, kept: list[Tensor]) -> Tensor:
        x = kept.pop()
        for block in self.up_blocks:
            x = torch.cat([block(x), kept.pop()], 1)
        return x


class Hourglass(nn.Module):
    """U-Net that puts its own input beside its output: base + inputs channels."""

    def __init__(self, base: int, inputs: int, depth: int = 5, most: int = 1024) -> None:
        super().__init__()
        self.encoder = _Encoder(base, inputs, depth, most)
        self.decoder = _Decoder(base, depth, most)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, base + inputs, H, W); H and W multiples of 32."""
        return self.decoder(self.encoder(x))


class AntiAlias(nn.Module):
    """Blur, then every ``step``-th pixel from the first."""

    def __init__(self, channels: int = 3, step: int = 4) -> None:
        super().__init__()
        sigma = (step - 1) / 2
        half = anti_alias_side(step) // 2
        axis = torch.arange(-half, half + 1, dtype=torch.float32)
        bell = (-0.5 * (axis / sigma).square()).exp()
        kernel = bell[:, None] * bell
        kernel = (kernel / kernel.sum()).expand(channels, 1, -1, -1).clone()
        self.register_buffer("weight", kernel)
        self._step, self._half = step, half

    def forward(self, picture: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / step, W / step)."""
        weight = self.get_buffer("weight")
        blurred = functional.conv2d(picture, weight, padding=self._half, groups=len(weight))
        return blurred[..., :: self._step, :: self._step]


class Moved(NamedTuple):
    """Output of the motion network."""

    flow: Tensor  # (B, h, w, 2), corner_grid's coordinates
    occlusion: Tensor  # (B, 1, h, w) in [0, 1]
    masks: Tensor  # (B, K + 1, h, w), sum to one; the first is of the background


def _blur(step: int) -> nn.Module:
    return AntiAlias(step=step) if step > 1 else nn.Identity()


class KeypointDetector(nn.Module):
    """Picture -> keypoints, from a quarter of its pixels, over a map without its border."""

    def __init__(self, sizes: FirstOrderSizes = PUBLISHED) -> None:
        super().__init__()
        width = sizes.detector_base + 3
        self.predictor = Hourglass(
            sizes.detector_base, 3, sizes.detector_depth, sizes.detector_most
        )
        self.kp = nn.Conv2d(width, sizes.count, KERNEL)
        self.jacobian = None
        if sizes.jacobians:
            self.jacobian = nn.Conv2d(width, 4 * sizes.jacobians, KERNEL)
            nn.init.zeros_(self.jacobian.weight)
            self.jacobian.bias = nn.Parameter(torch.eye(2).reshape(4).repeat(sizes.jacobians))
        self.down = _blur(sizes.detector_step)

    def forward(self, picture: Tensor) -> Points:
        """picture: (B, 3, S, S) in [0, 1]."""
        return self.detect(picture)[0]

    def detect(self, picture: Tensor) -> tuple[Points, Tensor]:
        """Keypoints, and the heatmaps' standard deviations (B, K); picture as ``forward``."""
        features = self.predictor(self.down(picture))
        logits = self.kp(features).float()
        maps = None if self.jacobian is None else self.jacobian(features).float()
        with torch.autocast(picture.device.type, enabled=False):  # places in half precision are
            heat = shares(logits)  # an eighth of a cell too coarse
            grid = corner_grid(heat.shape[2], heat.shape[3], heat)
            places = heat.flatten(2) @ grid.reshape(-1, 2)
            squares = (grid - places[:, :, None, None]).square().mean(-1)
            spread = (heat * squares).flatten(2).sum(2).sqrt()
            if maps is None:
                still = torch.eye(2, device=heat.device).expand(*places.shape, 2)
                return Points(places, still), spread
            return Points(places, mean_jacobian(heat, maps)), spread


class _DenseMotion(nn.Module):
    def __init__(self, sizes: FirstOrderSizes) -> None:
        super().__init__()
        inputs = 4 * (sizes.count + 1)
        width = sizes.motion_base + inputs
        self.hourglass = Hourglass(sizes.motion_base, inputs, sizes.motion_depth, sizes.motion_most)
        self.mask = nn.Conv2d(width, sizes.count + 1, KERNEL, padding=_HALF)
        self.occlusion = nn.Conv2d(width, 1, KERNEL, padding=_HALF) if sizes.occlusion else None
        self.down = _blur(sizes.motion_step)
        self._align_corners = sizes.align_corners

    def forward(self, picture: Tensor, source: Points, target: Points) -> Moved:
        """picture: (B, 3, S, S)."""
        with torch.autocast(picture.device.type, enabled=False):
            small = self.down(picture)
        return self.move(small, source, target)

    def move(self, small: Tensor, source: Points, target: Points) -> Moved:
        """small: the picture at the size of the flow."""
        with torch.autocast(small.device.type, enabled=False):
            batch, _, height, width = small.shape
            grid = corner_grid(height, width, small)
            maps = apply_affines(affines(source, target), grid)
            count = maps.shape[1]
            copies = small.repeat_interleave(count, 0)
            moved = sample(copies, maps.flatten(0, 1), align_corners=self._align_corners)
            bells = _bells(target.xy, grid) - _bells(source.xy, grid)
            bells = torch.cat([torch.zeros_like(bells[:, :1]), bells], 1)[:, :, None]
            x = torch.cat([bells, moved.unflatten(0, (batch, count))], 2).flatten(1, 2)
        x = self.hourglass(x)
        masks = self.mask(x).float().softmax(1)
        flow = (masks[..., None] * maps).sum(1)
        if self.occlusion is None:
            return Moved(flow, torch.ones_like(masks[:, :1]), masks)
        return Moved(flow, self.occlusion(x).float().sigmoid(), masks)


def _bells(xy: Tensor, grid: Tensor) -> Tensor:
    offset = grid - xy[:, :, None, None]
    return (-0.5 * offset.square().sum(-1) / VARIANCE).exp()


def sample(picture: Tensor, flow: Tensor, *, align_corners: bool = True) -> Tensor:
    """Sample (B, C, h, w) at (B, H, W, 2); zeros outside."""
    return functional.grid_sample(picture, flow, align_corners=align_corners)


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        for i in range(count):
            self.add_module(f"r{i}", _Residual(channels))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.children():
            x = block(x)
        return x


class Generated(NamedTuple):
    """A picture and the motion behind it."""

    picture: Tensor  # (B, 3, 256, 256) in [0, 1]
    flow: Tensor  # (B, 64, 64, 2), corner_grid's coordinates
    occlusion: Tensor  # (B, 1, 64, 64) in [0, 1]


class Generator(nn.Module):
    """Source picture and both keypoints -> picture."""

    def __init__(self, sizes: FirstOrderSizes = PUBLISHED) -> None:
        super().__init__()
        self._align_corners, widths = sizes.align_corners, generator_widths(sizes)
        pairs = list(pairwise(widths))
        self.dense_motion_network = _DenseMotion(sizes)
        self.first = _Block(3, widths[0], size=KERNEL)
        self.down_blocks = nn.ModuleList(_Block(a, b, down=True) for a, b in pairs)
        self.up_blocks = nn.ModuleList(_Block(b, a, up=True) for a, b in reversed(pairs))
        self.bottleneck = _Bottleneck(widths[-1], sizes.blocks)
        self.final = nn.Conv2d(widths[0], 3, KERNEL, padding=_HALF)

    def forward(self, picture: Tensor, source: Points, target: Points) -> Generated:
        """picture: (B, 3, S, S) in [0, 1]."""
        x = self.encode(picture)
        flow, occlusion, _ = self.dense_motion_network(picture, source, target)
        return Generated(self.paint(x, flow, occlusion), flow, occlusion)

    def encode(self, picture: Tensor) -> Tensor:
        """Features (B, C, h, w) of the source."""
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        return x

    def paint(self, features: Tensor, flow: Tensor, occlusion: Tensor) -> Tensor:
        """The picture (B, 3, S, S) in [0, 1] of a source's features."""
        x = sample(features, flow.to(features.dtype), align_corners=self._align_corners)
        x = self.bottleneck(x * occlusion)
        for block in self.up_blocks:
            x = block(x)
        return self.final(x).sigmoid()


class Discriminator(nn.Module):
    """One patch discriminator at full size, under the checkpoint's name for it."""

    def __init__(self) -> None:
        super().__init__()
        self.discs = nn.ModuleDict({"1": PatchDiscriminator(spectral=True)})

    def forward(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Activations and patch scores of (B, 3, H, W)."""
        return self.discs["1"](picture)
