"""Source picture, source and target keypoints -> backward flow, occlusion and motion features.

The masks start at the closed form of ``hybridanim.motion.dense`` (normalised Gaussians round the
target's keypoints): logits = network - |z - p_k|^2 / (2 sigma_k^2) + a_k, with the network's last
layer zero, so training refines a good motion instead of finding one. Siarohin et al. 2019,
equations 4 to 7; the residual flow is Monkey-Net's (Siarohin et al., CVPR 2019). Where the driver's
optical flow is given, it is one more candidate motion beside the keypoints' maps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import blocks
from . import mouth_eye_masks as opened
from .blocks import Points, Same, UNet

_BACKGROUND_LOGIT = -3.912023  # log of the closed form's background share, 0.02
_SHOWN_BIAS = 3.0  # the source shows everything until training says otherwise
_LEAST_SIGHT = 0.08  # sigma of a bell that the network sees, canonical face units
OPTICAL_INPUTS = 6  # channels that the network sees of an optical flow
_RESIDUAL = 0.1  # normalised units that one unit of the residual output moves a cell


class Motion(NamedTuple):
    """What the dense motion network says of one target."""

    flow: Tensor  # (B, h, w, 2) absolute source places, normalised
    occlusion: Tensor  # (B, 1, h, w) in [0, 1], 1 = the source shows it
    masks: Tensor  # (B, K+1, h, w) sum to one; row 0 is the background
    features: Tensor  # (B, F + K (+ 24), h, w) for the generator: learned, the target's bells,
    # and of a face the openings at twice the resolution, folded


class DenseMotion(nn.Module):
    """Works on a quarter of the picture's resolution."""

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
        """reach: (K,) one sigma of each keypoint in units of the canonical face.

        rows: (3, 4) keypoints of the openings, where these are a face's.
        jacobians, occlusion: whether local maps are affine or mere shifts, and whether the
        occlusion map is used or one everywhere. optical: whether it looks at the driver's
        optical flow.
        """
        super().__init__()
        self.register_buffer("rows", rows, persistent=False)
        hints = 0 if rows is None else 2 * opened.COUNT
        self._has_jacobians, self._has_occlusion = jacobians, occlusion
        self._has_optical = optical
        count = len(reach)
        self.log_reach = nn.Parameter(reach.float().log())
        loud = 0.5 * (reach.max() / reach).float().log()
        self.loud = nn.Parameter(torch.cat([torch.tensor([_BACKGROUND_LOGIT]), loud]))
        more = OPTICAL_INPUTS if optical else 0
        self.stem = Same(count + 3 * (count + 1) + 5 + hints + more, widths[0])
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

        background: (B, 2, 3) source <- target, normalised, of what is behind; None: it stands.
        optical: (B, 3, h, w) of the driver's optical flow, where in the source each cell comes
        from, normalised, and how far that is trusted, 0 to 1; None: there is none.
        """
        height, width = small.shape[2:]
        if not self._has_jacobians:
            source, target = _upright(source, target)
        with torch.autocast(small.device.type, enabled=False):
            grid = blocks.grid_norm(height, width, small)
            rows = blocks.affines(source, target, background)
            near, before, prior = self._prior(source, target, grid)
            start = blocks.combine(rows, prior.softmax(1), grid)
            x = torch.cat([near - before, *self._looks(small, rows, start, grid)], 1)
            if self.rows is not None:
                x = torch.cat([x, self._openings(source, target, grid, start)], 1)
            followed = self._followed(small, start, optical) if self._has_optical else None
            if followed is not None:
                x = torch.cat([x, followed.looks], 1)
        body = self.body(self.stem(x))
        out = self.head(body).float()
        count = prior.shape[1]
        masks = (out[:, :count] + prior).softmax(1)
        flow = blocks.combine(rows, masks, grid)
        flow = flow + _RESIDUAL * out[:, count + 1 : count + 3].permute(0, 2, 3, 1)
        if followed is not None:
            share = out[:, count + 3 :].sigmoid().permute(0, 2, 3, 1)
            flow = flow + share * (followed.flow - flow)
        occlusion = (out[:, count : count + 1] + _SHOWN_BIAS).sigmoid()
        if not self._has_occlusion:
            occlusion = torch.ones_like(occlusion)
        features = self.features(body)
        # where the lips and lids shall be, told plainly: without it mouths stayed shut for long
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
        """The optical flow where it is trusted, the closed form elsewhere; and how that looks."""
        if optical is None:
            optical = small.new_zeros(len(small), 3, *small.shape[2:]).float()
        trust = optical[:, 2:]
        apart = trust * (optical[:, :2] - start.permute(0, 3, 1, 2))
        flow = start + apart.permute(0, 2, 3, 1)
        looks = [blocks.warp(small, flow.detach()), 4 * apart, trust]
        return _Followed(flow, torch.cat(looks, 1))

    def _openings(self, source: Points, target: Points, grid: Tensor, moved: Tensor) -> Tensor:
        """(B, 6, H, W): mouth and eyes as they shall be, and as the source has them there."""
        rows = self.get_buffer("rows")
        wanted = opened.openings(target, rows, grid)
        return torch.cat([wanted, opened.openings(source, rows, moved)], 1)

    def _prior(self, source: Points, target: Points, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bells of target and source (B, K, h, w), and the closed form's logits (B, K+1, h, w)."""
        scale = blocks.face_scale(source)
        sigma = self.log_reach.exp() * scale[:, None]
        near, before = (blocks.distances(points.xy, grid) for points in (target, source))
        logits = self.loud[1:, None, None] - near * _half_inverse_square(sigma)
        background = self.loud[0].expand_as(logits[:, :1])
        # seen wider than they reach: a bell narrower than a cell says nothing of where it is
        sight = _half_inverse_square(torch.maximum(sigma, _LEAST_SIGHT * scale[:, None]))
        logits = torch.cat([background, logits], 1)
        return (-near * sight).exp(), (-before * sight).exp(), logits

    def _looks(self, small: Tensor, rows: Tensor, start: Tensor, grid: Tensor) -> list[Tensor]:
        """The source moved by every local map, by the closed form, and the closed form itself."""
        maps = blocks.spread(rows, grid)  # (B, K+1, h, w, 2)
        batch, count, height, width = maps.shape[:4]
        # one tall grid instead of K+1 copies of the picture
        moved = blocks.warp(small, maps.reshape(batch, count * height, width, 2))
        moved = moved.reshape(batch, 3 * count, height, width)
        shift = (start - grid).permute(0, 3, 1, 2)
        return [moved, blocks.warp(small, start.detach()), 4 * shift]


class _Followed(NamedTuple):
    """The driver's optical flow as one more candidate motion."""

    flow: Tensor  # (B, h, w, 2) absolute source places
    looks: Tensor  # (B, OPTICAL_INPUTS, h, w) for the network


def _half_inverse_square(sigma: Tensor) -> Tensor:
    """(B, K, 1, 1): what a squared distance is multiplied by in a Gaussian's exponent."""
    return (0.5 / sigma.square())[..., None, None]


def _upright(source: Points, target: Points) -> tuple[Points, Points]:
    """Both with the source's face scale as every Jacobian: all local maps become shifts."""
    scale = blocks.face_scale(source)[:, None, None, None]
    still = scale * torch.eye(2, device=scale.device).expand_as(source.jacobian)
    return Points(source.xy, still), Points(target.xy, still)
