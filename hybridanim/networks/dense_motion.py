"""Source picture, source and target keypoints -> backward flow, occlusion and motion features.

The masks start at the closed form of ``hybridanim.motion.dense`` (normalised Gaussians round the
target's keypoints): logits = network - |z - p_k|^2 / (2 sigma_k^2) + a_k, with the network's last
layer initialised to zero, so that training refines the closed form. Siarohin et al. 2019, equations
4 to 7; the residual flow is Monkey-Net's (Siarohin et al., CVPR 2019). If the driver's optical flow
is given, it is an additional candidate motion.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import blocks, mouth_eye_masks
from .blocks import ConvBlock, Points, UNet
from .constants import LEAST_INPUT_SIGMA, OPENINGS, OPTICAL_INPUTS, RESIDUAL, SHOWN_BIAS

_BACKGROUND_LOGIT = -3.912023  # log of the closed form's background share, 0.02


class Motion(NamedTuple):
    """Output of the dense motion network for one target."""

    flow: Tensor  # (B, h, w, 2) absolute source positions, normalised
    occlusion: Tensor  # (B, 1, h, w) in [0, 1], 1 = the source shows it
    masks: Tensor  # (B, K+1, h, w) sum to one; row 0 is the background
    features: Tensor  # (B, F + K (+ 24), h, w) for the generator: learned, the target's
    # Gaussians, and for faces the opening masks at twice the resolution (pixel unshuffle)


class DenseMotion(nn.Module):
    """Dense motion network at a quarter of the picture's resolution."""

    def __init__(
        self,
        reach: Tensor,
        widths: tuple[int, ...],
        features: int,
        *,
        jacobians: bool = True,
        occlusion: bool = True,
        rows: Tensor | None = None,
        optical: bool = False,
    ) -> None:
        """reach: (K,) sigma of each keypoint in units of the canonical face.

        jacobians: whether local maps are affine or translations. occlusion: whether the occlusion
        map is learned or one everywhere. rows: (3, 4) keypoint indices of mouth and eyes, None for
        objects. optical: whether the driver's optical flow is an input.
        """
        super().__init__()
        self.register_buffer("rows", rows, persistent=False)
        hints = 0 if rows is None else 2 * OPENINGS
        self._has_jacobians, self._has_occlusion = jacobians, occlusion
        self._has_optical = optical
        count = len(reach)
        self.log_reach = nn.Parameter(reach.float().log())
        loud = 0.5 * (reach.max() / reach).float().log()
        self.loud = nn.Parameter(torch.cat([torch.tensor([_BACKGROUND_LOGIT]), loud]))
        more = OPTICAL_INPUTS if optical else 0
        self.stem = ConvBlock(count + 3 * (count + 1) + 5 + hints + more, widths[0])
        self.body = UNet(widths)
        self.head = nn.Conv2d(widths[0], count + 1 + 1 + 2 + optical, 3, 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # pyright: ignore[reportArgumentType]
        self.features = nn.Conv2d(widths[0], features, 1)

    def forward(
        self,
        small: Tensor,
        source: Points,
        target: Points,
        background: Tensor | None = None,
        optical: Tensor | None = None,
    ) -> Motion:
        """small: (B, 3, h, w) source picture in [0, 1] at the working resolution.

        background: (B, 2, 3) affine source <- target of the background, normalised; None: still.
        optical: (B, 3, h, w), the driver's optical flow: x, y of the source position of each cell,
        normalised, and its confidence in [0, 1]; None: no optical flow.
        """
        height, width = small.shape[2:]
        if not self._has_jacobians:
            source, target = _upright(source, target)
        with torch.autocast(small.device.type, enabled=False):
            grid = blocks.grid_norm(height, width, small)
            rows = blocks.affines(source, target, background)
            near, before, prior = self._prior(source, target, grid)
            start = blocks.combine(rows, prior.softmax(1), grid)
            x = torch.cat([near - before, *self._candidates(small, rows, start, grid)], 1)
            if self.rows is not None:
                x = torch.cat([x, self._openings(source, target, grid, start)], 1)
            followed = self._followed(small, start, optical) if self._has_optical else None
            if followed is not None:
                x = torch.cat([x, followed.inputs], 1)
        body = self.body(self.stem(x))
        out = self.head(body).float()
        count = prior.shape[1]
        masks = (out[:, :count] + prior).softmax(1)
        flow = blocks.combine(rows, masks, grid)
        flow = flow + RESIDUAL * out[:, count + 1 : count + 3].permute(0, 2, 3, 1)
        if followed is not None:
            share = out[:, count + 3 :].sigmoid().permute(0, 2, 3, 1)
            flow = flow + share * (followed.flow - flow)
        occlusion = (out[:, count : count + 1] + SHOWN_BIAS).sigmoid()
        if not self._has_occlusion:
            occlusion = torch.ones_like(occlusion)
        features = self.features(body)
        # the target's Gaussians: without them mouths stay shut for long in training
        features = torch.cat([features, near.to(features.dtype)], 1)
        if self.rows is not None:
            with torch.autocast(small.device.type, enabled=False):
                fine = blocks.grid_norm(2 * height, 2 * width, small)
                moved = blocks.resize_flow(flow.detach(), 2 * height, 2 * width)
                hints = self._openings(source, target, fine, moved)
                hints = functional.pixel_unshuffle(hints, 2).to(features.dtype)
            features = torch.cat([features, hints], 1)
        return Motion(flow, occlusion, masks, features)

    def _followed(self, small: Tensor, start: Tensor, optical: Tensor | None) -> _Followed:
        """Blend optical flow and closed form by confidence; and the network's inputs from it."""
        if optical is None:
            optical = small.new_zeros(len(small), 3, *small.shape[2:]).float()
        trust = optical[:, 2:]
        apart = trust * (optical[:, :2] - start.permute(0, 3, 1, 2))
        flow = start + apart.permute(0, 2, 3, 1)
        inputs = [blocks.warp(small, flow.detach()), 4 * apart, trust]
        return _Followed(flow, torch.cat(inputs, 1))

    def _openings(self, source: Points, target: Points, grid: Tensor, moved: Tensor) -> Tensor:
        """(B, 6, H, W) in [0, 1]: masks of mouth and eyes, of the target and of the warped source.

        moved: (B, H, W, 2) source position of each cell of the grid (H, W, 2).
        """
        rows = self.get_buffer("rows")
        wanted = mouth_eye_masks.openings(target, rows, grid)
        return torch.cat([wanted, mouth_eye_masks.openings(source, rows, moved)], 1)

    def _prior(self, source: Points, target: Points, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gaussians of target and source, (B, K, h, w) each; closed-form logits (B, K+1, h, w)."""
        scale = blocks.face_scale(source)
        sigma = self.log_reach.exp() * scale[:, None]
        near, before = (blocks.distances(points.xy, grid) for points in (target, source))
        logits = self.loud[1:, None, None] - near * _half_inverse_square(sigma)
        background = self.loud[0].expand_as(logits[:, :1])
        # wider for the input: a Gaussian narrower than a cell does not encode its position
        precision = _half_inverse_square(torch.maximum(sigma, LEAST_INPUT_SIGMA * scale[:, None]))
        logits = torch.cat([background, logits], 1)
        return (-near * precision).exp(), (-before * precision).exp(), logits

    def _candidates(self, small: Tensor, rows: Tensor, start: Tensor, grid: Tensor) -> list[Tensor]:
        """The source warped by each local map and by the closed form, and the latter's flow."""
        maps = blocks.apply_affines(rows, grid)  # (B, K+1, h, w, 2)
        batch, count, height, width = maps.shape[:4]
        # one tall grid instead of K+1 copies of the picture
        moved = blocks.warp(small, maps.reshape(batch, count * height, width, 2))
        moved = moved.reshape(batch, 3 * count, height, width)
        shift = (start - grid).permute(0, 3, 1, 2)
        return [moved, blocks.warp(small, start.detach()), 4 * shift]


class _Followed(NamedTuple):
    """The driver's optical flow as an additional candidate motion."""

    flow: Tensor  # (B, h, w, 2) absolute source positions, normalised
    inputs: Tensor  # (B, OPTICAL_INPUTS, h, w) for the network


def _half_inverse_square(sigma: Tensor) -> Tensor:
    """Return 1 / (2 sigma^2) as (B, K, 1, 1), for sigma (B, K)."""
    return (0.5 / sigma.square())[..., None, None]


def _upright(source: Points, target: Points) -> tuple[Points, Points]:
    """Set all Jacobians to the source's face scale, so that local maps are translations."""
    scale = blocks.face_scale(source)[:, None, None, None]
    still = scale * torch.eye(2, device=scale.device).expand_as(source.jacobian)
    return Points(source.xy, still), Points(target.xy, still)
