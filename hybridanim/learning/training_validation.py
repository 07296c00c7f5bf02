"""Network and clips of other people -> L1, PSNR, SSIM beside copying and the closed form; strips.

Two tasks. ``pairs``: fixed random pairs of each clip. ``reconstruction``: each clip's first frame
is the source, frames spread over the rest are rebuilt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.build import Animated, Animator
from ..types import Array
from . import losses
from .data import Batch, Layout, collate, pair
from .data_cache import Clip

_METRICS = ("l1", "psnr", "ssim")
_CHUNK = 8


@dataclass(frozen=True)
class Task:
    """Fixed pairs to be measured on."""

    name: str
    batches: tuple[Batch, ...]


def random_pairs(
    clips: list[Clip], points: str, layout: Layout, *, size: int, per_clip: int
) -> Task:
    """The same random pairs of every clip, every time."""
    chosen = []
    for i, clip in enumerate(clips):
        rng = np.random.default_rng([7, i])
        usable = _usable(clip)
        chosen += [(clip, tuple(rng.choice(usable, 2, replace=False))) for _ in range(per_clip)]
    return Task(f"pairs_{size}_{points}", _batches(chosen, points, layout, size))


def reconstruction(
    clips: list[Clip], points: str, layout: Layout, *, size: int, per_clip: int
) -> Task:
    """The clip's first frame as source, ``per_clip`` later frames to be rebuilt."""
    chosen = []
    for clip in clips:
        usable = _usable(clip)
        places = np.linspace(0, len(usable) - 1, per_clip + 1)[1:].round().astype(int)
        chosen += [(clip, (usable[0], usable[i])) for i in places]
    return Task(f"reconstruction_{size}_{points}", _batches(chosen, points, layout, size))


def _usable(clip: Clip) -> Array:
    """Numbers of the frames that every keypoint set of the clip knows, so that sets compare."""
    known = [np.isfinite(rows).all((1, 2)) for rows in clip.points.values()]
    return np.flatnonzero(np.logical_and.reduce(known))


def _batches(chosen: list, points: str, layout: Layout, size: int) -> tuple[Batch, ...]:
    rows = [pair(clip, points, numbers, layout, size=size) for clip, numbers in chosen]
    return tuple(collate(rows[i : i + _CHUNK]) for i in range(0, len(rows), _CHUNK))


@torch.no_grad()
def run(net: Animator, batch: Batch, *, bf16: bool) -> Animated:
    """The network on one batch, in evaluation mode."""
    net.eval()
    with torch.autocast(batch.source.device.type, torch.bfloat16, enabled=bf16):
        return net(batch.source, batch.source_points, batch.driving_points)


def measure(net: Animator, untrained: Animator, task: Task, *, bf16: bool) -> dict[str, float]:
    """{copy|warp|net}_{l1|psnr|ssim} and the mean alpha; ``warp`` is the untrained flow alone."""
    found: dict[str, list[Tensor]] = {}
    for batch in task.batches:
        with torch.no_grad():
            still = untrained.motion(
                losses.functional.avg_pool2d(batch.source, 4),
                batch.source_points,
                batch.driving_points,
            )
        result = run(net, batch, bf16=bf16).painted
        pictures = {
            "copy": batch.source,
            "warp": moved(batch.source, still.flow),
            "net": result.picture,
        }
        for name, picture in pictures.items():
            rows = zip(_METRICS, metrics(picture, batch.driving), strict=True)
            for metric, value in rows:
                found.setdefault(f"{name}_{metric}", []).append(value)
        found.setdefault("alpha", []).append(result.alpha.flatten(1).mean(1))
    return {name: float(torch.cat(values).mean()) for name, values in found.items()}


def moved(picture: Tensor, flow: Tensor) -> Tensor:
    """The picture moved by a coarse flow."""
    full = losses.blocks.resize_flow(flow, *picture.shape[2:])
    return losses.blocks.warp(picture, full)


def metrics(found: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L1, PSNR and SSIM of every picture of a batch, (B,) each."""
    found = found.float().clamp(0, 1)
    return (
        (found - truth).abs().flatten(1).mean(1),
        losses.psnr(found, truth),
        losses.ssim(found, truth),
    )


def strip(net: Animator, batch: Batch, path: Path, *, bf16: bool, rows: int = 8) -> None:
    """PNG, one row a pair: source, driving, moved source, result, paint's share,
    occlusion.
    """
    part = Batch(
        batch.source[:rows],
        batch.driving[:rows],
        type(batch.source_points)(*(x[:rows] for x in batch.source_points)),
        type(batch.source_points)(*(x[:rows] for x in batch.driving_points)),
    )
    result = run(net, part, bf16=bf16)
    painted, shown = result.painted, result.motion.occlusion
    shown = losses.functional.interpolate(shown, part.source.shape[2:], mode="bilinear")
    columns = [part.source, part.driving, painted.warped, painted.picture]
    columns += [painted.alpha.expand(-1, 3, -1, -1), shown.expand(-1, 3, -1, -1)]
    sheet = torch.cat([torch.cat(list(x.float()), 1) for x in columns], 2)
    image = (sheet.clamp(0, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    cv2.imwrite(str(path), image[..., ::-1])
