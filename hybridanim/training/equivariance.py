"""Known random warps, and how far keypoints are from following them.

A warp is an affine plus a thin-plate spline (Bookstein 1989), both near the identity; its Jacobian
is in closed form. Siarohin et al. 2019, equations 9 to 11, with a radial basis r^2 log r^2 that is
smooth at its centres and one weight a point and axis.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hybridanim.networks import blocks
from hybridanim.networks.blocks import Points

_LEAST = 1e-9  # squared distance below which the spline is flat


class RandomWarp(NamedTuple):
    """A batch of warps of the plane, normalised coordinates."""

    affine: Tensor  # (B, 2, 3)
    centres: Tensor  # (P, 2)
    weights: Tensor  # (B, P, 2)


def random_warp(
    batch: int, generator: torch.Generator, *, affine: float = 0.05, spline: float = 0.005
) -> RandomWarp:
    """Standard deviations of the six affine numbers and of the 25 spline weights, an axis each."""
    still = torch.eye(2, 3)
    theta = still + affine * torch.randn(batch, 2, 3, generator=generator)
    axis = torch.linspace(-1, 1, 5)
    centres = torch.cartesian_prod(axis, axis)
    weights = spline * torch.randn(batch, len(centres), 2, generator=generator)
    return RandomWarp(theta, centres, weights)


def apply(warp: RandomWarp, xy: Tensor) -> Tensor:
    """Places (B, N, 2) after the warp."""
    square = (xy[:, :, None] - warp.centres).square().sum(-1).clamp(min=_LEAST)  # (B, N, P)
    straight = xy @ warp.affine[..., :2].transpose(1, 2) + warp.affine[:, None, :, 2]
    return straight + (square * square.log()) @ warp.weights


def derivative(warp: RandomWarp, xy: Tensor) -> Tensor:
    """(B, N, 2, 2): the warp's Jacobian at places (B, N, 2)."""
    offset = xy[:, :, None] - warp.centres  # (B, N, P, 2)
    square = offset.square().sum(-1, keepdim=True).clamp(min=_LEAST)
    slope = 2 * offset * (square.log() + 1)
    return warp.affine[:, None, :, :2] + torch.einsum("bpi,bnpj->bnij", warp.weights, slope)


def warp_picture(warp: RandomWarp, picture: Tensor) -> Tensor:
    """The picture (B, C, H, W) whose place z shows what was at warp(z); mirrored outside."""
    height, width = picture.shape[2:]
    cells = blocks.grid_norm(height, width, picture).reshape(1, -1, 2)
    flow = apply(warp, cells.expand(len(picture), -1, -1))
    return torch.nn.functional.grid_sample(
        picture,
        flow.reshape(-1, height, width, 2),
        padding_mode="reflection",
        align_corners=False,
    )


def losses(warp: RandomWarp, seen: Points, warped: Points) -> tuple[Tensor, Tensor]:
    """Mean error of places and of Jacobians: keypoints of a picture, and of its warped version.

    Both are zero when the warped keypoints, mapped by the warp, are those of the picture.
    """
    places = (seen.xy - apply(warp, warped.xy)).abs().mean()
    mapped = derivative(warp, warped.xy) @ warped.jacobian
    still = torch.eye(2, device=mapped.device, dtype=mapped.dtype)
    affines = (still - blocks.inverse_2x2(seen.jacobian) @ mapped).abs().mean()
    return places, affines
