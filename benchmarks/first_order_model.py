"""The published first-order motion model (Siarohin et al. 2019) at its published size.

For side-by-side comparison: module names and shapes are those of its 256-pixel checkpoints, and so
are its habits, among them places over a 58-cell map and, at sampling, a grid whose ends are cell
centres (align_corners=True, as torch did when it was trained). 60 million parameters; about 110
GFLOP a frame at 256x256. Not used by the program itself.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridanim.networks.blocks import Points, affines, apply_affines
from hybridanim.networks.discriminator import PatchDiscriminator
from hybridanim.networks.keypoint_detector import mean_jacobian, shares

_VARIANCE = 0.01  # of the heatmaps
_HABIT = True  # align_corners of the checkpoints


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
        half = round(4 * sigma)
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


class KeypointDetector(nn.Module):
    """256x256 -> ten keypoints, from 64x64 pixels, over a 58x58 map."""

    def __init__(self, count: int = 10) -> None:
        super().__init__()
        self.predictor = Hourglass(32, 3)
        self.kp = nn.Conv2d(35, count, 7)
        self.jacobian = nn.Conv2d(35, 4 * count, 7)
        nn.init.zeros_(self.jacobian.weight)
        self.jacobian.bias = nn.Parameter(torch.eye(2).reshape(4).repeat(count))
        self.down = AntiAlias()

    def forward(self, picture: Tensor) -> Points:
        """picture: (B, 3, 256, 256) in [0, 1]."""
        features = self.predictor(self.down(picture))
        logits, maps = self.kp(features).float(), self.jacobian(features).float()
        with torch.autocast(picture.device.type, enabled=False):  # places in half precision are
            heat = shares(logits)  # an eighth of a cell too coarse
            grid = corner_grid(heat.shape[2], heat.shape[3], heat)
            places = heat.flatten(2) @ grid.reshape(-1, 2)
            return Points(places, mean_jacobian(heat, maps))


class _DenseMotion(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.hourglass = Hourglass(64, 4 * (count + 1))
        self.mask = nn.Conv2d(64 + 4 * (count + 1), count + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(64 + 4 * (count + 1), 1, 7, padding=3)
        self.down = AntiAlias()

    def forward(self, picture: Tensor, source: Points, target: Points) -> tuple[Tensor, Tensor]:
        with torch.autocast(picture.device.type, enabled=False):
            small = self.down(picture)
            batch, _, height, width = small.shape
            grid = corner_grid(height, width, small)
            maps = apply_affines(affines(source, target), grid)
            count = maps.shape[1]
            moved = _sample(small.repeat_interleave(count, 0), maps.flatten(0, 1))
            bells = _bells(target.xy, grid) - _bells(source.xy, grid)
            bells = torch.cat([torch.zeros_like(bells[:, :1]), bells], 1)[:, :, None]
            x = torch.cat([bells, moved.unflatten(0, (batch, count))], 2).flatten(1, 2)
        x = self.hourglass(x)
        masks = self.mask(x).float().softmax(1)
        flow = (masks[..., None] * maps).sum(1)
        return flow, self.occlusion(x).float().sigmoid()


def _bells(xy: Tensor, grid: Tensor) -> Tensor:
    offset = grid - xy[:, :, None, None]
    return (-0.5 * offset.square().sum(-1) / _VARIANCE).exp()


def _sample(picture: Tensor, flow: Tensor) -> Tensor:
    return functional.grid_sample(picture, flow, align_corners=_HABIT)


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

    def __init__(self, count: int = 10) -> None:
        super().__init__()
        self.dense_motion_network = _DenseMotion(count)
        self.first = _Block(3, 64, size=7)
        self.down_blocks = nn.ModuleList([_Block(64, 128, down=True), _Block(128, 256, down=True)])
        self.up_blocks = nn.ModuleList([_Block(256, 128, up=True), _Block(128, 64, up=True)])
        self.bottleneck = _Bottleneck(256, 6)
        self.final = nn.Conv2d(64, 3, 7, padding=3)

    def forward(self, picture: Tensor, source: Points, target: Points) -> Generated:
        """picture: (B, 3, 256, 256) in [0, 1]."""
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        flow, occlusion = self.dense_motion_network(picture, source, target)
        x = self.bottleneck(_sample(x, flow) * occlusion)
        for block in self.up_blocks:
            x = block(x)
        return Generated(self.final(x).sigmoid(), flow, occlusion)


class Discriminator(nn.Module):
    """One patch discriminator at full size, under the checkpoint's name for it."""

    def __init__(self) -> None:
        super().__init__()
        self.discs = nn.ModuleDict({"1": PatchDiscriminator(spectral=True)})

    def forward(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """Activations and patch scores of (B, 3, H, W)."""
        return self.discs["1"](picture)
