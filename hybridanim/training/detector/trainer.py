"""Distillation: cached clips with a teacher's keypoints -> weights of a keypoint detector.

The network learns from augmented windows round the head the keypoints that the teacher finds in the
whole frame.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridanim.errors import InputError
from hybridanim.networks import build
from hybridanim.networks.keypoint_detector import KeypointDetector
from hybridanim.networks.sizes import DetectorSizes
from hybridanim.networks.weights import read_weights, write_weights
from hybridanim.training import loop
from hybridanim.training.config import DistillConfig
from hybridanim.training.data import cache
from hybridanim.training.data.cache import Clip
from hybridanim.training.loop import Report, Schedule, TrainingLoop

from .objective import DistillObjective
from .shape_model import fit_shape
from .validation import validate
from .windows import DistillationDataset, Windows

EXPORT = "detector.safetensors"


def distill(config: DistillConfig, report: Report = lambda line: None) -> Path:
    """Train, or resume, until the steps or the time are spent; returns the exported weights.

    Raises InputError when there are no clips with the teacher's keypoints.
    """
    distiller = Distiller(config, report)
    distiller.run()
    return distiller.export()


class Distiller(TrainingLoop[KeypointDetector, Windows]):
    """One run."""

    def __init__(
        self,
        config: DistillConfig,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        loop.start(config)
        net = build.detector(config.sizes).to(memory_format=torch.channels_last)  # pyright: ignore
        clips = [clip for folder in config.caches for clip in _clips(folder, config.points)]
        if config.start_from is not None:
            _start(net, config.start_from, config.sizes)
        elif config.sizes.seen:
            _set_shape(net, clips, config.points)
        rate = config.learning_rate
        super().__init__(
            net,
            torch.optim.AdamW(_decaying(net, config.weight_decay), lr=rate),
            config,
            Schedule(config.steps, config.time_budget_s, rate, config.warmup_steps, last=0.01),
            report=report,
            clock=clock,
        )
        self.config = config
        self._dataset = DistillationDataset(clips, config)
        self._validation = _clips(config.validation, config.points)
        self._objective = DistillObjective(config.losses)
        self._report(f"{len(clips)} clips, {sum(p.numel() for p in net.parameters())} parameters")
        self._resume()

    def export(self) -> Path:
        """Write the averaged network as a weights file."""
        path = self.config.out / EXPORT
        write_weights(path, detector=self.average, detector_sizes=self.config.sizes)
        return path

    def _prepare(self, step: int) -> Windows:
        return self._dataset.batch(step, self._size_px(step))

    def _size_px(self, step: int) -> int:
        """Side of a step's windows."""
        config = self.config
        is_first = self.progress(step) < config.first_share
        return min(config.first_px, config.sizes.size) if is_first else config.sizes.size

    def _learn(self, batch: Windows) -> dict[str, float]:
        self._begin_step()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
            found = self.net.detect(batch.pictures)
        loss, terms = self._objective(batch, found)
        length = self._descend(loss)
        return self._end_step(len(batch.pictures), {"loss": loss, **terms, "gradient_norm": length})

    def validate(self) -> dict[str, float]:
        """Measure the averaged network on other people and add to the curves."""
        config = self.config
        found = validate(
            self.average,
            self._validation,
            config.points,
            config.sizes.size,
            per_clip=config.validation_frames,
        )
        shown = " ".join(f"{name} {value:.3f}" for name, value in found.items())
        self._report(f"  validation: {shown}")
        self._curves.add({**self._row(), **found})
        return found

    def _network_state(self) -> dict[str, Any]:
        return {**super()._network_state(), "sizes": dataclasses.asdict(self.config.sizes)}

    def _restore(self, state: dict[str, Any]) -> None:
        samples = state["step"] * self.config.batch  # older checkpoints do not hold it
        super()._restore({"samples": samples, **state})

    def _restore_networks(self, state: dict[str, Any]) -> None:
        if state["sizes"] != dataclasses.asdict(self.config.sizes):
            raise InputError(
                f"--out {self.config.out}: expected a detector of {self.config.sizes}, got one of"
                f" {state['sizes']}; choose another folder, or the same sizes"
            )
        super()._restore_networks(state)


def _start(net: KeypointDetector, file: Path, sizes: DetectorSizes) -> None:
    """Take over the detector of a weights file; InputError when it is another kind of one."""
    found = read_weights(file)
    if found.detector is None or found.detector_sizes != sizes:
        raise InputError(
            f"{file}: expected a detector of {sizes}, got {found.detector_sizes}; give another"
            " file, or the same sizes"
        )
    net.load_state_dict(found.detector.state_dict())


def _clips(folder: Path, points: str) -> list[Clip]:
    found = [clip for clip in cache.read(folder) if points in clip.points]
    if not found:
        raise InputError(
            f"{folder}: expected clips with the keypoint set {points!r}, found none; prepare them"
            " with that teacher first"
        )
    return found


def _decaying(net: KeypointDetector, weight_decay: float) -> list[dict[str, Any]]:
    """Only convolutions decay: norms have no use for it, and a shape model would shrink."""
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for parameter in net.parameters():
        parts[parameter.ndim == 4].append(parameter)
    return [
        {"params": parts[True], "weight_decay": weight_decay},
        {"params": parts[False], "weight_decay": 0.0},
    ]


def _set_shape(net: KeypointDetector, clips: list[Clip], points: str) -> None:
    """Start the linear shape model with a fit to the keypoints of these clips."""
    rows = np.concatenate([clip.points[points] for clip in clips])
    shape = fit_shape(rows[np.isfinite(rows).all((1, 2))], net.seen)
    with torch.no_grad():
        net.places.copy_(torch.from_numpy(shape.places))
        net.affines.copy_(torch.from_numpy(shape.affines))
