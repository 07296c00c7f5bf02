"""Optical flow between the pair as a teacher of the dense motion, in training alone.

Two pictures -> for every cell of the driving one, where in the source it comes from, and whether
that can be trusted: DIS flow (Kroeger et al. 2016) both ways, and a cell counts where going there
and back ends near its start. Weight ``LossWeights.flow``; without it nothing of this runs.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..types import Array
from .data import Batch

_COARSE = 4  # the motion network's cells are this many pixels wide
_LEAST_PX = 1.0  # going there and back may miss by this,
_SHARE = 0.1  # or by this share of the way


class Taught(NamedTuple):
    """What the teacher says of a batch."""

    flow: Tensor  # (B, h, w, 2) absolute source places, normalised
    trust: Tensor  # (B, h, w) float32 in [0, 1]


def teach(batch: Batch) -> Taught:
    """Of pictures on the CPU, at a quarter of their resolution."""
    teacher = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    rows = [
        flow_of_pair(source, driving, teacher)
        for source, driving in zip(*(_grey(x) for x in batch[:2]), strict=True)
    ]
    flow, trust = (np.stack(part) for part in zip(*rows, strict=True))
    return Taught(torch.from_numpy(flow), torch.from_numpy(trust))


def flow_of_pair(source: Array, driving: Array, teacher: cv2.DISOpticalFlow) -> tuple[Array, Array]:
    """Source places (h, w, 2) float32 normalised and trust (h, w) float32 of grey (S, S) uint8."""
    source, driving = np.ascontiguousarray(source), np.ascontiguousarray(driving)
    away = teacher.calc(driving, source, None)  # pyright: ignore
    back = teacher.calc(source, driving, None)  # pyright: ignore
    size = source.shape[0]
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    x, y = columns + away[..., 0], rows + away[..., 1]
    returned = cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    miss = np.linalg.norm(away + returned, axis=2)
    limit = np.maximum(_LEAST_PX, _SHARE * np.linalg.norm(away, axis=2))
    inside = (np.minimum(x, y) >= 0) & (np.maximum(x, y) <= size - 1)
    trust = ((miss < limit) & inside).astype(np.float32)
    coarse = (size // _COARSE, size // _COARSE)
    share = cv2.resize(trust, coarse, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(away * trust[..., None], coarse, interpolation=cv2.INTER_AREA)
    mean = mean / np.maximum(share, 1e-6)[..., None] * (2 / size)
    return (geometry.grid_norm(*coarse) + mean).astype(np.float32), share


def loss(found: Tensor, taught: Taught) -> Tensor:
    """Mean distance, where the teacher is trusted, between two flows (B, h, w, 2), an axis."""
    apart = (found - taught.flow).abs().mean(-1)
    return (apart * taught.trust).sum() / taught.trust.sum().clamp(min=1.0)


def _grey(pictures: Tensor) -> Array:
    """(B, 3, S, S) in [0, 1] to (B, S, S) uint8."""
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    return ((pictures * luma).sum(1) * 255).round().byte().contiguous().numpy()
