"""Settings of a training -> the number of pairs a step at which the device is fastest.

Steps without data: noise in place of frames, the mean face's keypoints. The networks are made for
the trial and thrown away, with the random numbers that they took.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.training import batch_size, equivariance
from hybridanim.training import device as devices
from hybridanim.training.config import TrainConfig
from hybridanim.training.data.batch import Batch, anchor_layout, as_points
from hybridanim.training.data.cache import anchors_of
from hybridanim.training.equivariance import RandomWarp

from . import learner
from .flow_teacher import FlowTarget
from .objective import Objective

_FACE_SHARE = 0.35  # size of the mean face in the picture


def fastest(config: TrainConfig, most_s: float, report: Callable[[str], None]) -> int:
    """Pairs a step of the last phase, found in about ``most_s``; see ``batch_size.fastest``.

    On a processor the number of the settings: there larger batches are no faster.
    """
    device = devices.pick(config.device)
    if device.type == "cpu":
        return config.phases[-1].batch
    torch.set_num_threads(config.threads)
    with torch.random.fork_rng(devices=[]):
        step = steps(config, device)
        found = batch_size.fastest(step, device, most_s=most_s, report=report)
    torch.cuda.empty_cache()
    return found


def steps(config: TrainConfig, device: torch.device) -> Callable[[int], None]:
    """A function that does one step, without the optimiser's, on so many pairs without content."""
    net = learner.make(config, learner.read_start(config)).to(device)
    layout = anchor_layout() if config.keypoints == "given" else None
    objective = Objective(
        config.losses, layout, config.perceptual_network,
        scales=config.perceptual_scales, device=device,
    )  # fmt: skip
    size = config.phases[-1].size
    has_flow = bool(config.losses.flow)

    def step(count: int) -> None:
        batch = _batch(count, size, device, has_points=layout is not None)
        if net.animator.sizes.optical:
            batch = batch._replace(optical=torch.zeros(count, 3, size // 4, size // 4).to(device))
        flow = None
        if has_flow:
            flow = FlowTarget(
                torch.zeros(count, size // 4, size // 4, 2).to(device),
                torch.ones(count, size // 4, size // 4).to(device),
            )
        warp = None
        if net.detector is not None:
            drawn = equivariance.random_warp(count, torch.Generator().manual_seed(1))
            warp = RandomWarp(*(x.to(device) for x in drawn))
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            learned = net(batch, warp)
            loss, _ = objective(batch, learned, warp, flow)
        loss.backward()

    return step


def _batch(count: int, size: int, device: torch.device, *, has_points: bool) -> Batch:
    drawn = (torch.rand(count, 3, size, size, device=device) for _ in range(2))
    source, driving = (x.contiguous(memory_format=torch.channels_last) for x in drawn)
    if not has_points:
        return Batch(source, driving)
    xy = _FACE_SHARE * size * MEAN_SHAPE + size / 2
    rows = anchors_of(xy.astype("float32"), size)[None].repeat(count, 0)
    points = as_points(rows)
    points = type(points)(points.xy.to(device), points.jacobian.to(device))
    background = torch.eye(2, 3, device=device).expand(count, 2, 3)
    return Batch(source, driving, points, points, background)
