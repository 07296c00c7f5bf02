"""Building blocks of the networks, and the algebra of the first-order motion model in torch.

Pictures and features are (B, C, H, W); grids are (B, H, W, 2) in the normalised coordinates of
``hybridanim.geometry`` (align_corners=False). Siarohin et al., NeurIPS 2019, section 3.
Only 2-D standard operations, so that the networks export to ONNX and OpenVINO.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .constants import LEAST_DETERMINANT

Net = TypeVar("Net", bound=nn.Module)


class Points(NamedTuple):
    """A batch of keypoints with local affines: canonical face -> picture."""

    xy: Tensor  # (B, K, 2) float32 normalised
    jacobian: Tensor  # (B, K, 2, 2) float32


def grid_norm(height: int, width: int, like: Tensor) -> Tensor:
    """(H, W, 2) of x, y in [-1, 1] at cell centres: the identity sampling grid."""
    x = (2 * torch.arange(width, device=like.device, dtype=torch.float32) + 1) / width - 1
    y = (2 * torch.arange(height, device=like.device, dtype=torch.float32) + 1) / height - 1
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)


def determinant(matrix: Tensor) -> Tensor:
    """Return the determinants (...) of matrices (..., 2, 2)."""
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


def face_scale(points: Points) -> Tensor:
    """Return (B,), the side of the face box in normalised units: mean root of |det J|."""
    return determinant(points.jacobian).abs().sqrt().mean(1)


def inverse_2x2(matrix: Tensor, least: float = LEAST_DETERMINANT) -> Tensor:
    """Closed-form inverse of (..., 2, 2); a determinant nearer zero than ``least`` is clamped."""
    a, b, c, d = (matrix[..., i, j] for i in (0, 1) for j in (0, 1))
    area = a * d - b * c
    area = torch.where(area.abs() < least, torch.where(area < 0, -least, least), area)
    rows = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    return rows / area[..., None, None]


def affines(source: Points, target: Points, background: Tensor | None = None) -> Tensor:
    """Return (B, K+1, 2, 3) affines source <- target near each keypoint; row 0 is the background.

    background: (B, 2, 3) source <- target, or None for the identity.
    """
    linear = source.jacobian @ inverse_2x2(target.jacobian)
    shift = source.xy[..., None] - linear @ target.xy[..., None]
    rows = torch.cat([linear, shift], -1)
    if background is None:
        background = torch.eye(2, 3, device=rows.device).expand(len(rows), 2, 3)
    return torch.cat([background[:, None], rows], 1)


def apply_affines(rows: Tensor, grid: Tensor) -> Tensor:
    """Apply each affine (B, K, 2, 3) to each cell of the grid (H, W, 2): (B, K, H, W, 2)."""
    cells = grid.reshape(-1, 2)
    moved = cells @ rows[..., :2].transpose(-1, -2) + rows[..., 2][..., None, :]
    return moved.reshape(*rows.shape[:2], *grid.shape)


def distances(xy: Tensor, grid: Tensor) -> Tensor:
    """Return (B, K, H, W), squared distances of the grid's cells (H, W, 2) to xy (B, K, 2)."""
    offset = grid - xy[:, :, None, None]
    return offset.square().sum(-1)


def combine(rows: Tensor, masks: Tensor, grid: Tensor) -> Tensor:
    """Return the flow sum_k mask_k T_k, (B, H, W, 2); the affines are summed first.

    rows: (B, K+1, 2, 3); masks: (B, K+1, H, W), summing to one over K+1.
    """
    field = rows.flatten(2).transpose(1, 2) @ masks.flatten(2)  # (B, 6, H W)
    a, b, c, d, e, f = field.unflatten(2, masks.shape[2:]).unbind(1)
    x, y = grid[..., 0], grid[..., 1]
    return torch.stack([a * x + b * y + c, d * x + e * y + f], -1)


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Sample (B, C, h, w) at absolute positions (B, H, W, 2); edge pixels repeat outside."""
    return functional.grid_sample(
        picture, flow.to(picture.dtype), padding_mode="border", align_corners=False
    )


def resize_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Resize an absolute flow (B, h, w, 2) bilinearly; the displacement is interpolated."""
    still = grid_norm(flow.shape[1], flow.shape[2], flow)
    moved = functional.interpolate(
        (flow - still).permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=False
    )
    return moved.permute(0, 2, 3, 1) + grid_norm(height, width, flow)


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs, H / stride, W / stride)."""
        return functional.relu(self.norm(self.conv(x)))


class Up(ConvBlock):
    """Upsampling by two (nearest neighbour), then ``ConvBlock``."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs, 2 H, 2 W)."""
        return super().forward(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class Residual(nn.Module):
    """x + conv-norm-ReLU-conv-norm(x); both norms follow convolutions and can be folded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1)
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)  # starts as the identity
        self.norm: nn.Module = norm

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x + self.norm(self.conv(self.first(x)))


class ReluResidual(nn.Module):
    """ReLU(x + conv-norm-ReLU-conv-norm(x)), without biases; of the small networks of windows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return torch.relu(x + self.body(x))


class UNet(nn.Module):
    """U-Net of len(widths) - 1 halvings with skip connections; widths: channels per level."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(ConvBlock(a, b, stride=2) for a, b in pairs)
        self.middle = Residual(widths[-1])
        self.up = nn.ModuleList(Up(b, a) for a, b in reversed(pairs))
        self.join = nn.ModuleList(ConvBlock(2 * a, a) for a, _ in reversed(pairs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, widths[0], H, W) -> the same shape; H, W divisible by 2 ** (len(widths) - 1)."""
        kept = []
        for down in self.down:
            kept.append(x)
            x = down(x)
        x = self.middle(x)
        for up, join, skip in zip(self.up, self.join, reversed(kept), strict=True):
            x = join(torch.cat([up(x), skip], 1))
        return x


def folded(net: Net) -> Net:
    """Return a copy in evaluation mode with each batch norm fused into its convolution."""
    net = copy.deepcopy(net).eval()
    for part in net.modules():
        if isinstance(part, (ConvBlock, Residual)) and isinstance(part.norm, nn.BatchNorm2d):
            part.conv = fuse_conv_bn_eval(part.conv, part.norm)
            part.norm = nn.Identity()
    return net
