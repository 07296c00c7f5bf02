"""A batch of windows as tensors on a device, and the composition of what the network paints."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hybridanim.face.paint_windows import DARK, TO_RGB

from .samples import Batch


class Tensors(NamedTuple):
    """See ``samples.Batch``; the palette by its mean and its deviation in the picture."""

    inputs: Tensor  # (B, 9, H, W) float32, channels last in memory
    quantities: Tensor  # (B, 6) float32
    mean: Tensor  # (B, 3, 1, 1) float32, luminance and chromaticities
    back: Tensor  # (B, 3, 1, 1) float32
    region: Tensor  # (B, 1, H, W) float32 in [0, 1]
    shapes: Tensor  # (B, 3, H, W) float32 in [0, 1]
    warped: Tensor  # (B, 3, H, W) float32 RGB in [0, 1]
    own: Tensor  # (B, 3, H, W) likewise
    true: Tensor  # (B, 3, H, W) likewise


def at_device(batch: Batch, device: torch.device) -> Tensors:
    """The batch as tensors on the device."""
    palette = (np.moveaxis(part, -1, 1) for part in (batch.palette.mean, batch.palette.back))
    inputs = torch.from_numpy(batch.inputs).to(device)
    return Tensors(
        inputs.contiguous(memory_format=torch.channels_last),
        torch.from_numpy(batch.quantities).to(device),
        *(torch.from_numpy(part).to(device) for part in palette),
        *(
            torch.from_numpy(getattr(batch, name)).to(device)
            for name in ("region", "shapes", "warped", "own", "true")
        ),
    )


def composed(batch: Tensors, colour: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Result, paint alone (B, 3, H, W) RGB in [0, 1] and share of paint (B, 1, H, W).

    colour, alpha: as the network gives them.
    """
    values = batch.mean + batch.back * colour
    luminance = values[:, :1].clamp(min=0)
    values = torch.cat([values[:, :1], values[:, 1:] * (luminance + float(DARK))], 1)
    to_rgb = torch.from_numpy(TO_RGB).to(values.device)
    paint = torch.einsum("ij,bjhw->bihw", to_rgb, values) / 255
    share = alpha * batch.region
    return batch.warped + share * (paint - batch.warped), paint, share
