"""Networks and clips of other people -> L1, PSNR and SSIM; strips of pictures.

Three methods are measured: the networks, copying the source, and the source warped by the closed
form of the dense motion, which uses the same keypoints, given or learned, and of the networks
nothing but the keypoints' reach. Two tasks. ``pairs``: fixed random pairs of each clip.
``reconstruction``: each clip's first frame is the source, frames spread over the rest are rebuilt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional

from hybridanim.networks import blocks, build
from hybridanim.networks.blocks import Points
from hybridanim.networks.build import Animator
from hybridanim.training.config import TrainConfig
from hybridanim.training.data import cache
from hybridanim.training.data.batch import Batch, Layout, collate
from hybridanim.training.data.cache import Clip
from hybridanim.training.data.pairs import pair
from hybridanim.types import Array

from . import flow_teacher
from .learner import Learned, Learner, at_device

_METRICS = ("l1", "psnr", "ssim")
_CHUNK = 8


@dataclass(frozen=True)
class Task:
    """Fixed pairs that are measured."""

    name: str
    batches: tuple[Batch, ...]


class Validated(Protocol):
    """What the tasks depend on, of the settings of a training."""

    @property
    def validation(self) -> Path: ...  # noqa: D102
    @property
    def validation_sets(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def validation_sizes(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def validation_pairs(self) -> int: ...  # noqa: D102


def tasks(config: Validated, layout: Layout | None) -> list[Task]:
    """Random pairs, and reconstruction for every keypoint set that is validated.

    layout: layout of given keypoints, or None where they are learned.
    """
    clips = cache.read(config.validation)
    sets = config.validation_sets if layout is not None else (None,)
    small, large = config.validation_sizes
    found: list[Task] = []
    for name in sets:
        having = [clip for clip in clips if name is None or name in clip.points]
        count = config.validation_pairs
        if name == sets[0]:
            found.append(random_pairs(having, name, layout, size=small, per_clip=count))
        count = max(1, count // 3)
        found.append(reconstruction(having, name, layout, size=large, per_clip=count))
    return found


def tasks_for(net: Learner, config: TrainConfig, layout: Layout | None) -> list[Task]:
    """The tasks, with the driver's optical flow if the networks use it."""
    found = tasks(config, layout)
    return [_with_optical(task) for task in found] if net.animator.sizes.optical else found


def _with_optical(task: Task) -> Task:
    batches = (
        batch._replace(optical=flow_teacher.as_seen(flow_teacher.target_of(batch)))
        for batch in task.batches
    )
    return Task(task.name, tuple(batches))


def random_pairs(
    clips: list[Clip], points: str | None, layout: Layout | None, *, size: int, per_clip: int
) -> Task:
    """Random pairs of every clip, the same ones in every run."""
    chosen = []
    for i, clip in enumerate(clips):
        rng = np.random.default_rng([7, i])
        usable = _usable(clip, points)
        chosen += [(clip, tuple(rng.choice(usable, 2, replace=False))) for _ in range(per_clip)]
    return Task(_named("pairs", size, points), _batches(chosen, points, layout, size))


def reconstruction(
    clips: list[Clip], points: str | None, layout: Layout | None, *, size: int, per_clip: int
) -> Task:
    """The clip's first frame as source, ``per_clip`` later frames to be rebuilt."""
    chosen = []
    for clip in clips:
        usable = _usable(clip, points)
        places = np.linspace(0, len(usable) - 1, per_clip + 1)[1:].round().astype(int)
        chosen += [(clip, (usable[0], usable[i])) for i in places]
    return Task(_named("reconstruction", size, points), _batches(chosen, points, layout, size))


def _named(kind: str, size: int, points: str | None) -> str:
    return f"{kind}_{size}_{points or 'learned'}"


def _usable(clip: Clip, points: str | None) -> Array:
    """Frames that every keypoint set of the clip has, so that sets can be compared."""
    if points is None:
        return np.arange(len(clip.frames))
    known = [np.isfinite(rows).all((1, 2)) for rows in clip.points.values()]
    return np.flatnonzero(np.logical_and.reduce(known))


def _batches(
    chosen: list, points: str | None, layout: Layout | None, size: int
) -> tuple[Batch, ...]:
    rows = [pair(clip, points, numbers, layout, size=size) for clip, numbers in chosen]
    return tuple(collate(rows[i : i + _CHUNK]) for i in range(0, len(rows), _CHUNK))


@torch.no_grad()
def closed_form(net: Learner) -> Animator:
    """An animator of the same sizes whose motion is the closed form."""
    animator = net.animator
    reach = None if net.detector is None else animator.motion.log_reach.detach().cpu().exp()
    with torch.random.fork_rng(devices=[]):  # leaves the run's random numbers unchanged
        fresh = build.fast(animator.sizes, reach).requires_grad_(False).eval()
    return fresh.to(animator.motion.log_reach.device)


@torch.no_grad()
def run(net: Learner, batch: Batch, *, bf16: bool) -> Learned:
    """The networks on one batch, in evaluation mode."""
    net.eval()
    with torch.autocast(batch.source.device.type, torch.bfloat16, enabled=bf16):
        return net(batch)


def measure(net: Learner, untrained: Animator, task: Task, *, bf16: bool) -> dict[str, float]:
    """{copy|warp|net}_{l1|psnr|ssim} and the mean alpha; ``warp`` is the closed form's flow."""
    found: dict[str, list[Tensor]] = {}
    device = next(net.parameters()).device
    if net.detector is not None:
        for name in ("log_reach", "loud"):
            getattr(untrained.motion, name).data.copy_(getattr(net.animator.motion, name))
    for batch in task.batches:
        batch = at_device(batch, device)
        learned = run(net, batch, bf16=bf16)
        result, small = learned.result.painted, functional.avg_pool2d(batch.source, 4)
        with torch.no_grad():
            still = untrained.motion(small, learned.source, learned.driving)
        pictures = {
            "copy": batch.source,
            "warp": moved(batch.source, still.flow),
            "net": result.picture,
        }
        for name, picture in pictures.items():
            rows = zip(_METRICS, metrics(picture, batch.driving), strict=True)
            for metric, value in rows:
                found.setdefault(f"{name}_{metric}", []).append(value)
        found.setdefault("alpha", []).append(result.alpha.flatten(1).mean(1).cpu())
    return {name: float(torch.cat(values).mean()) for name, values in found.items()}


def moved(picture: Tensor, flow: Tensor) -> Tensor:
    """The picture warped by a flow of lower resolution."""
    full = blocks.resize_flow(flow, *picture.shape[2:])
    return blocks.warp(picture, full)


def metrics(found: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L1, PSNR and SSIM of every picture of a batch, (B,) each; (B, 3, H, W) in [0, 1]."""
    found = found.float().clamp(0, 1)
    return (found - truth).abs().flatten(1).mean(1).cpu(), psnr(found, truth), ssim(found, truth)


def psnr(found: Tensor, truth: Tensor) -> Tensor:
    """(B,) dB of pictures in [0, 1]; 100 where they are equal."""
    return -10 * (found - truth).square().flatten(1).mean(1).clamp(min=1e-10).log10().cpu()


def ssim(found: Tensor, truth: Tensor) -> Tensor:
    """(B,) structural similarity of the grey pictures, Wang et al. 2004, without padding."""
    luma = torch.tensor([0.299, 0.587, 0.114], device=found.device)[:, None, None]
    grey = [(x.float() * luma).sum(1).cpu().numpy() for x in (found, truth)]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    rows = [
        structural_similarity(a, b, data_range=1, **options) for a, b in zip(*grey, strict=True)
    ]
    return torch.tensor(rows, dtype=torch.float32)


def strip(net: Learner, batch: Batch, path: Path, *, bf16: bool, rows: int = 8) -> None:
    """PNG, a row for each pair: source, driving, warped source, result, alpha, occlusion.

    Learned keypoints are drawn on the first two pictures, each in its own colour.
    """

    def first(points: Points | None) -> Points | None:
        return points and Points(*(x[:rows] for x in points))

    part = Batch(
        batch.source[:rows],
        batch.driving[:rows],
        first(batch.source_points),
        first(batch.driving_points),
        *(x if x is None else x[:rows] for x in (batch.background, batch.optical)),
    )
    part = at_device(part, next(net.parameters()).device)
    learned = run(net, part, bf16=bf16)
    painted, shown = learned.result.painted, learned.result.motion.occlusion
    shown = functional.interpolate(shown, part.source.shape[2:], mode="bilinear")
    columns = [images(part.source), images(part.driving), images(painted.warped)]
    columns.append(images(painted.picture))
    columns += [images(x.expand(-1, 3, -1, -1)) for x in (painted.alpha, shown)]
    if net.detector is not None:
        columns[0] = dotted(columns[0], learned.source)
        columns[1] = dotted(columns[1], learned.driving)
    sheet = np.hstack([np.vstack(list(column)) for column in columns])
    cv2.imwrite(str(path), sheet[..., ::-1])


def images(pictures: Tensor) -> Array:
    """(B, 3, H, W) in [0, 1] to (B, H, W, 3) uint8."""
    found = (pictures.float().clamp(0, 1).permute(0, 2, 3, 1) * 255).round().byte()
    return np.ascontiguousarray(found.cpu().numpy())


def dotted(images: Array, points: Points) -> Array:
    """Images (B, S, S, 3) with every keypoint as a dot."""
    size, count = images.shape[1], points.xy.shape[1]
    hues = np.stack([np.arange(count) * 180 // count, *[np.full(count, 255)] * 2], -1)
    colours = cv2.cvtColor(hues.astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0]
    for image, places in zip(images, points.xy.float().cpu().numpy(), strict=True):
        for place, colour in zip((places + 1) * size / 2 - 0.5, colours, strict=True):
            centre = (round(float(place[0])), round(float(place[1])))
            cv2.circle(image, centre, max(1, size // 64), colour.tolist(), -1, cv2.LINE_AA)
    return images
