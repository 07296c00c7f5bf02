"""Monkey-Net and clips of others -> L1, PSNR and SSIM; strips of pictures.

Measured as the animator is (``animator.validation``): the result, copying the source, and the
source warped by the dense motion alone.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from hybridanim.networks.monkeynet import MonkeyNet
from hybridanim.training.animator.learner import at_device
from hybridanim.training.animator.validation import Task, dotted, images, metrics
from hybridanim.training.data.batch import Batch
from hybridanim.types import Array

from .objective import Animation, animated

_METRICS = ("l1", "psnr", "ssim")


@torch.no_grad()
def run(net: MonkeyNet, batch: Batch, *, bf16: bool) -> Animation:
    """The networks on one batch, in evaluation mode."""
    net.eval()
    with torch.autocast(batch.source.device.type, torch.bfloat16, enabled=bf16):
        return animated(net, batch)


def measure(net: MonkeyNet, task: Task, *, bf16: bool) -> dict[str, float]:
    """{copy|warp|net}_{l1|psnr|ssim}; ``warp`` is the source under the dense motion."""
    found: dict[str, list[Tensor]] = {}
    device = next(net.parameters()).device
    for batch in task.batches:
        batch = at_device(batch, device)
        painted = run(net, batch, bf16=bf16).painted
        pictures = {"copy": batch.source, "warp": painted.warped, "net": painted.picture}
        for name, picture in pictures.items():
            for metric, value in zip(_METRICS, metrics(picture, batch.driving), strict=True):
                found.setdefault(f"{name}_{metric}", []).append(value)
    return {name: float(torch.cat(values).mean()) for name, values in found.items()}


def strip(net: MonkeyNet, batch: Batch, path: Path, *, bf16: bool, rows: int = 8) -> None:
    """PNG, a row for each pair: source, driving, warped source, result, share that moves, flow.

    Keypoints are drawn on the first two pictures, each in its own colour.
    """
    part = Batch(batch.source[:rows], batch.driving[:rows])
    part = at_device(part, next(net.parameters()).device)
    found = run(net, part, bf16=bf16)
    size = part.source.shape[-1]
    moving = (1 - found.motion.masks[:, :1]).expand(-1, 3, -1, -1)
    moving = torch.nn.functional.interpolate(moving, (size, size), mode="bilinear")
    columns = [images(part.source), images(part.driving)]
    columns = [
        dotted(column, points)
        for column, points in zip(columns, (found.source, found.driving), strict=True)
    ]
    columns += [images(x) for x in (found.painted.warped, found.painted.picture, moving)]
    columns.append(np.stack([_coloured(flow, size) for flow in found.motion.flow.cpu().numpy()]))
    sheet = np.hstack([np.vstack(list(column)) for column in columns])
    cv2.imwrite(str(path), sheet[..., ::-1])


def _coloured(flow: Array, size: int) -> Array:
    """A flow (h, h, 2) as (size, size, 3) uint8: hue its direction, brightness its length."""
    at = (2 * np.arange(len(flow), dtype=np.float32) + 1) / len(flow) - 1
    x, y = np.moveaxis(flow - np.stack(np.meshgrid(at, at), -1), -1, 0)
    length, angle = cv2.cartToPolar(x, y, angleInDegrees=True)
    bright = np.clip(length / 0.3, 0, 1) * 255
    hsv = np.stack([angle / 2, np.full_like(angle, 255), bright], -1).astype(np.uint8)
    return cv2.resize(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), (size, size))
