"""Optical flow between the frames of a pair, as a target of the dense motion and as its input.

Target: weight ``LossWeights.flow``. Input: ``FastSizes.optical``; then some pairs get no flow or a
displaced one, so that the networks learn how far to trust it. Without either nothing is computed.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hybridanim import geometry
from hybridanim.motion import optical_flow
from hybridanim.networks import blocks
from hybridanim.training.data.batch import Batch
from hybridanim.types import Array

_NONE, _DISPLACED = 0.2, 0.4  # shares of the pairs without a flow, and with a displaced one
_FAR_NORM = 0.15  # largest displacement


class FlowTarget(NamedTuple):
    """The optical flow of a batch."""

    flow: Tensor  # (B, h, w, 2) absolute source places, normalised
    trust: Tensor  # (B, h, w) float32 in [0, 1]


def target_of(batch: Batch) -> FlowTarget:
    """Flow of pictures on the CPU, at a quarter of their resolution."""
    search = optical_flow.matcher()
    rows = [
        optical_flow.between(source, driving, search)
        for source, driving in zip(*(_grey(x) for x in batch[:2]), strict=True)
    ]
    flow, trust = (np.stack(part) for part in zip(*rows, strict=True))
    return FlowTarget(torch.from_numpy(flow), torch.from_numpy(trust))


def as_seen(flow_target: FlowTarget, rng: np.random.Generator | None = None) -> Tensor:
    """(B, 3, h, w): the flow as the dense motion network gets it at run time.

    With a generator some pairs get no flow, and some get one that is displaced against the source,
    as it is when the source is another person than the driver; the larger the displacement, the
    lower the trust.
    """
    rows = []
    for flow, trust in zip(flow_target.flow.numpy(), flow_target.trust.numpy(), strict=True):
        kind = 1.0 if rng is None else rng.random()
        if rng is not None and kind < _NONE + _DISPLACED:
            flow, trust = _displaced(flow, trust, rng)
            trust = trust * (kind >= _NONE)
        rows.append(np.concatenate([flow, trust[..., None]], -1).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def _displaced(flow: Array, trust: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The flow after a smooth random warp of the driver, and the trust that remains."""
    height, width = trust.shape
    still = geometry.grid_norm(height, width)
    knots = rng.uniform(-1, 1, (4, 4, 2)).astype(np.float32) * rng.uniform(0, _FAR_NORM)
    apart = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    both = np.concatenate([flow - still, trust[..., None]], -1).astype(np.float32)
    both = geometry.warp(both, still + apart, cv2.INTER_LINEAR)
    kept = optical_flow.agreement(apart) * rng.uniform(0.6, 1)
    return still + both[..., :2], both[..., 2] * kept


def as_seen_on_device(flow_target: FlowTarget, draw: torch.Generator) -> Tensor:
    """The same as ``as_seen`` with a generator, for a batch on the generator's device."""
    flow, trust = flow_target
    count, height, width, _ = flow.shape
    device = flow.device
    kind = torch.rand((count, 1, 1), generator=draw, device=device)
    far = torch.rand((count, 1, 1, 1), generator=draw, device=device) * _FAR_NORM
    knots = (2 * torch.rand((count, 2, 4, 4), generator=draw, device=device) - 1) * far
    apart = functional.interpolate(knots, (height, width), mode="bicubic", align_corners=False)
    apart = apart.permute(0, 2, 3, 1)
    still = blocks.grid_norm(height, width, flow)
    both = torch.cat([flow - still, trust[..., None]], -1).permute(0, 3, 1, 2)
    both = functional.grid_sample(both, still + apart, padding_mode="border", align_corners=False)
    kept = (-apart.square().sum(-1) / optical_flow.APART_NORM**2).exp()
    kept = kept * (0.6 + 0.4 * torch.rand((count, 1, 1), generator=draw, device=device))
    is_displaced = kind < _NONE + _DISPLACED
    moved = torch.where(is_displaced[..., None], still + both[:, :2].permute(0, 2, 3, 1), flow)
    seen = torch.where(is_displaced, both[:, 2] * kept, trust) * (kind >= _NONE)
    return torch.cat([moved, seen[..., None]], -1).permute(0, 3, 1, 2).contiguous()


def loss(found: Tensor, flow_target: FlowTarget) -> Tensor:
    """Mean absolute difference a coordinate of flows (B, h, w, 2), weighted by the trust."""
    apart = (found - flow_target.flow).abs().mean(-1)
    return (apart * flow_target.trust).sum() / flow_target.trust.sum().clamp(min=1.0)


def _grey(pictures: Tensor) -> Array:
    """(B, 3, S, S) in [0, 1] to (B, S, S) uint8."""
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    return ((pictures * luma).sum(1) * 255).round().byte().contiguous().numpy()
