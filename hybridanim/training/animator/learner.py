"""The networks that are trained: an animator, and with learned keypoints a detector, too.

Batch -> Learned: the animated source, and the keypoints that it was animated by. Given keypoints
come with the batch. Learned keypoints come from the detector, which gets source, driving and warped
driving pictures as one batch. Siarohin et al. 2019, section 3. Also checkpoint -> weights file.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybridanim.errors import InputError
from hybridanim.networks import build, sizes, weights
from hybridanim.networks.blocks import Points
from hybridanim.networks.build import Animated, Animator
from hybridanim.networks.keypoint_detector import KeypointDetector
from hybridanim.networks.sizes import DetectorSizes
from hybridanim.networks.weights import WeightsFile
from hybridanim.training import equivariance
from hybridanim.training.checkpoint import read as read_state
from hybridanim.training.config import TrainConfig
from hybridanim.training.data.batch import Batch
from hybridanim.training.equivariance import RandomWarp


class Learned(NamedTuple):
    """One batch, animated."""

    result: Animated
    source: Points
    driving: Points
    warped: Points | None  # keypoints of the warped driving picture


class Learner(nn.Module):
    """The networks of one run. Checkpoints need the animator's parameters to come first."""

    def __init__(self, animator: Animator, detector: KeypointDetector | None = None) -> None:
        super().__init__()
        self.animator = animator
        self.detector = detector

    def forward(
        self, batch: Batch, warp: RandomWarp | None = None, *, shifts_only: bool = False
    ) -> Learned:
        """warp: a known warp for each driving picture, for the equivariance losses.

        shifts_only: animate as if every Jacobian were the identity.
        """
        source, driving, warped = self.points(batch, warp)
        moving = [_identity_jacobians(x) if shifts_only else x for x in (source, driving)]
        result = self.animator(batch.source, *moving, batch.background, batch.optical)
        return Learned(result, source, driving, warped)

    def points(
        self, batch: Batch, warp: RandomWarp | None = None
    ) -> tuple[Points, Points, Points | None]:
        """Keypoints of source, driving and warped driving pictures."""
        if self.detector is None:
            assert batch.source_points is not None and batch.driving_points is not None
            return batch.source_points, batch.driving_points, None
        pictures = [self._shrunk(batch.source), self._shrunk(batch.driving)]
        if warp is not None:
            pictures.append(equivariance.warp_picture(warp, pictures[1]))
        found = self.detector(torch.cat(pictures))
        parts = zip(found.xy.chunk(len(pictures)), found.jacobian.chunk(len(pictures)), strict=True)
        source, driving, *warped = (Points(*part) for part in parts)
        return source, driving, warped[0] if warped else None

    def _shrunk(self, picture: Tensor) -> Tensor:
        """At the detector's size; warping is cheaper there."""
        assert self.detector is not None
        step = picture.shape[-1] // self.detector.size
        return functional.avg_pool2d(picture, step) if step > 1 else picture


def _identity_jacobians(points: Points) -> Points:
    return Points(points.xy, torch.eye(2, device=points.xy.device).expand_as(points.jacobian))


def make(config: TrainConfig, start: WeightsFile | None) -> Learner:
    """The networks at the start of a run; those of ``start`` keep their sizes and weights."""
    sizes, reach = config.sizes, None
    if config.keypoints == "learned":
        reach = torch.full((config.detector.count,), config.start_reach)
    animator = build.fast(sizes, reach) if start is None or start.animator is None else None
    detector = None
    if config.keypoints == "learned":
        detector = start.detector if start is not None else None
        detector = detector or build.detector(config.detector)
    if animator is None:
        assert start is not None and start.animator is not None
        animator = start.animator
        if sizes.optical and not animator.sizes.optical:
            animator = build.with_optical(animator)
    return Learner(animator, detector).to(memory_format=torch.channels_last)  # pyright: ignore


def detector_sizes(config: TrainConfig, start: WeightsFile | None) -> DetectorSizes | None:
    """Sizes of the detector that ``make`` gives."""
    if config.keypoints == "given":
        return None
    return (start.detector_sizes if start is not None else None) or config.detector


def read_start(config: TrainConfig) -> WeightsFile | None:
    """The weights that a run starts from, or None."""
    return weights.read_weights(config.start_from) if config.start_from is not None else None


def at_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on that device."""

    def moved(points: Points | None) -> Points | None:
        return points and Points(points.xy.to(device), points.jacobian.to(device))

    source, driving = (x.to(device, non_blocking=True) for x in (batch.source, batch.driving))
    points = moved(batch.source_points), moved(batch.driving_points)
    more = (x if x is None else x.to(device) for x in (batch.background, batch.optical))
    return Batch(source, driving, *points, *more)


def read_checkpoint(checkpoint: Path) -> tuple[Learner, DetectorSizes | None]:
    """The averaged networks of a checkpoint, and the sizes of the detector if there is one.

    Raises InputError when there is no such file.
    """
    if not checkpoint.is_file():
        raise InputError(
            f"{checkpoint}: expected a checkpoint, found nothing; give the folder's checkpoint.pt"
        )
    state = read_state(checkpoint)
    reach = torch.ones_like(state["average"]["motion.log_reach"])
    animator = build.fast(sizes.read_sizes(state["sizes"]), reach)
    animator.load_state_dict(state["average"])
    detector = own = None
    if "detector_average" in state:
        own = sizes.read_detector_sizes(state["detector_sizes"])
        detector = build.detector(own)
        detector.load_state_dict(state["detector_average"])
    return Learner(animator, detector).eval(), own


def write(net: Learner, detector: DetectorSizes | None, path: Path) -> str:
    """Write networks as safetensors: for faces a renderer, for objects both; returns the sha256."""
    if net.detector is None:
        return weights.write_weights(path, animator=net.animator)
    return weights.write_weights(
        path,
        animator=net.animator,
        detector=net.detector,
        detector_sizes=detector,
        kind="object",
        window="frame",
    )


def export(checkpoint: Path, path: Path) -> str:
    """Write the averaged networks of a checkpoint as a weights file; returns the file's sha256."""
    return write(*read_checkpoint(checkpoint), path)
