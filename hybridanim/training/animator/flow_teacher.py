"""Optical flow between the pair (optical_flow), as a teacher of the dense motion and as its input.

As a teacher: weight ``LossWeights.flow``. As an input: ``FastSizes.optical``; then some pairs have
none, or a misplaced one, so that the networks learn how far to believe it. Without either nothing
of this runs.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from hybridanim import geometry
from hybridanim.motion import optical_flow
from hybridanim.training.data.batch import Batch
from hybridanim.types import Array

_NONE, _MISPLACED = 0.2, 0.4  # shares of the pairs without a flow, and with a misplaced one
_FAR_NORM = 0.15  # by which it is misplaced at most


class FlowTarget(NamedTuple):
    """What the teacher says of a batch."""

    flow: Tensor  # (B, h, w, 2) absolute source places, normalised
    trust: Tensor  # (B, h, w) float32 in [0, 1]


def target_of(batch: Batch) -> FlowTarget:
    """Of pictures on the CPU, at a quarter of their resolution."""
    search = optical_flow.matcher()
    rows = [
        optical_flow.between(source, driving, search)
        for source, driving in zip(*(_grey(x) for x in batch[:2]), strict=True)
    ]
    flow, trust = (np.stack(part) for part in zip(*rows, strict=True))
    return FlowTarget(torch.from_numpy(flow), torch.from_numpy(trust))


def as_seen(flow_target: FlowTarget, rng: np.random.Generator | None = None) -> Tensor:
    """(B, 3, h, w) for the dense motion network, as the program would get it of another person.

    With a generator: some pairs have none, and some are shifted against the source, as they are
    where its face is another one than the driver's, and trusted less the more they are.
    """
    rows = []
    for flow, trust in zip(flow_target.flow.numpy(), flow_target.trust.numpy(), strict=True):
        kind = 1.0 if rng is None else rng.random()
        if rng is not None and kind < _NONE + _MISPLACED:
            flow, trust = _misplaced(flow, trust, rng)
            trust = trust * (kind >= _NONE)
        rows.append(np.concatenate([flow, trust[..., None]], -1).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def _misplaced(flow: Array, trust: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The flow as if seen through a smooth warp of the driver, and what trust that leaves."""
    height, width = trust.shape
    still = geometry.grid_norm(height, width)
    knots = rng.uniform(-1, 1, (4, 4, 2)).astype(np.float32) * rng.uniform(0, _FAR_NORM)
    apart = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    both = np.concatenate([flow - still, trust[..., None]], -1).astype(np.float32)
    both = geometry.warp(both, still + apart, cv2.INTER_LINEAR)
    kept = optical_flow.agreement(apart) * rng.uniform(0.6, 1)
    return still + both[..., :2], both[..., 2] * kept


def loss(found: Tensor, flow_target: FlowTarget) -> Tensor:
    """Mean distance, where the teacher is trusted, between two flows (B, h, w, 2), an axis."""
    apart = (found - flow_target.flow).abs().mean(-1)
    return (apart * flow_target.trust).sum() / flow_target.trust.sum().clamp(min=1.0)


def _grey(pictures: Tensor) -> Array:
    """(B, 3, S, S) in [0, 1] to (B, S, S) uint8."""
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    return ((pictures * luma).sum(1) * 255).round().byte().contiguous().numpy()
