"""Distillation: cached clips with a teacher's keypoints -> weights of a keypoint detector.

The network learns from augmented windows round the head what the teacher says of the whole frame.
A run can be killed at any moment: the checkpoint is replaced as a whole and a batch depends on the
seed and the step alone, so going on equals never having stopped. The result is the average of the
weights over the steps (Polyak and Juditsky 1992, exponentially weighted).
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridanim.errors import InputError
from hybridanim.networks import build
from hybridanim.networks.build import DetectorSizes
from hybridanim.networks.keypoint_detector import KeypointDetector
from hybridanim.networks.weights import read_weights, write_weights
from hybridanim.training import average, checkpoint
from hybridanim.training.checkpoint import CHECKPOINT
from hybridanim.training.data import cache as data_cache
from hybridanim.training.data.cache import Clip

from .config import DistillConfig
from .objective import DistillObjective
from .shape_model import fit_shape
from .validation import validate
from .windows import Teaching, Windows

Report = Callable[[str], None]
EXPORT = "detector.safetensors"


def distill(config: DistillConfig, report: Report = lambda line: None) -> Path:
    """Train, or go on, until the steps or the time are spent; returns the exported weights.

    Raises InputError when there are no clips with the teacher's keypoints.
    """
    return Distiller(config, report).run()


class Distiller:
    """One run: everything that changes while it trains."""

    def __init__(
        self,
        config: DistillConfig,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self._report, self._clock = config, report, clock
        config.out.mkdir(parents=True, exist_ok=True)
        self.net = build.detector(config.sizes).to(memory_format=torch.channels_last)  # pyright: ignore
        clips = [clip for cache in config.caches for clip in _clips(cache, config.points)]
        if config.start_from is not None:
            _start(self.net, config.start_from, config.sizes)
        elif config.sizes.seen:
            _set_shape(self.net, clips, config.points)
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        self._optimiser = torch.optim.AdamW(
            _decaying(self.net, config.weight_decay), lr=config.learning_rate
        )
        self._teaching = Teaching(clips, config)
        self._validation = _clips(config.validation, config.points)
        self._objective = DistillObjective(config.losses)
        self.step, self.elapsed_s = 0, 0.0
        self._since: dict[str, float] = {}
        self._report(
            f"{len(clips)} clips, {sum(p.numel() for p in self.net.parameters())} parameters"
        )
        self._resume()

    def progress(self, step: int | None = None) -> float:
        """Share of the run that is done when ``step`` (by default the next one) begins."""
        config = self.config
        done = (self.step if step is None else step) / config.steps
        if config.time_budget_s:
            done = max(done, self.elapsed_s / config.time_budget_s)
        return min(1.0, done)

    def run(self) -> Path:
        """Train until the budget is spent and export the averaged network."""
        config, last_s = self.config, self._clock()
        saved_s = seen_s = self.elapsed_s
        with ThreadPoolExecutor(1) as ahead:

            def prepare(step: int) -> Future[Windows]:
                return ahead.submit(self._teaching.batch, step, self._size_px(step))

            coming = prepare(self.step)
            while self.progress() < 1:
                batch = coming.result()
                coming = prepare(self.step + 1)
                self._learn(batch)
                now_s = self._clock()
                self.elapsed_s, last_s = self.elapsed_s + now_s - last_s, now_s
                if self.elapsed_s - saved_s >= config.checkpoint_s:
                    self.save()
                    saved_s = self.elapsed_s
                if self.elapsed_s - seen_s >= config.validate_s:
                    self.validate()
                    seen_s = self.elapsed_s
        self.save()
        self.validate()
        return self.export()

    def export(self) -> Path:
        """The averaged network as a weights file."""
        path = self.config.out / EXPORT
        write_weights(path, detector=self.average, detector_sizes=self.config.sizes)
        return path

    def _size_px(self, step: int) -> int:
        """Of the windows of a step."""
        config = self.config
        is_first = self.progress(step) < config.first_share
        return min(config.first_px, config.sizes.size) if is_first else config.sizes.size

    def _learn(self, batch: Windows) -> None:
        config = self.config
        self.net.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
            found = self.net.detect(batch.pictures)
        loss, terms = self._objective(batch, found)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        length = torch.nn.utils.clip_grad_norm_(self.net.parameters(), config.clip_norm)
        if torch.isfinite(length):
            self._optimiser.step()
        self.step += 1
        average.follow(self.average, self.net, config.ema, self.step)
        self._note({"loss": loss, **terms, "gradient_norm": length})

    def _learning_rate(self) -> float:
        config = self.config
        warm = min(1.0, (self.step + 1) / max(1, config.warmup_steps))
        fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress()))
        return config.learning_rate * warm * fall

    def _note(self, values: dict[str, Tensor]) -> None:
        """Running means for the curves."""
        for name, value in values.items():
            number = float(value.detach())
            self._since[name] = 0.98 * self._since.get(name, number) + 0.02 * number
        if self.step % 50 == 0:
            shown = " ".join(f"{name} {value:.4f}" for name, value in self._since.items())
            rate = self.step * self.config.batch / max(1e-9, self.elapsed_s)
            self._report(f"{self.step} {self.elapsed_s:.0f}s {rate:.1f}/s {shown}")

    def validate(self) -> dict[str, float]:
        """Measure the averaged network on other people and append to curves.csv."""
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
        row = {"step": self.step, "elapsed_s": round(self.elapsed_s, 1), **found}
        row |= {f"train_{name}": value for name, value in self._since.items()}
        path = config.out / "curves.csv"
        is_new = not path.is_file()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        return found

    def save(self) -> None:
        """Replace the checkpoint as a whole: a kill leaves the old one or the new one."""
        state: dict[str, Any] = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "since": self._since,
            "sizes": dataclasses.asdict(self.config.sizes),
        }
        checkpoint.write(state, self.config.out / CHECKPOINT)

    def _resume(self) -> None:
        path = self.config.out / CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        if state["sizes"] != dataclasses.asdict(self.config.sizes):
            raise InputError(
                f"{path}: expected a detector of {self.config.sizes}, got one of {state['sizes']};"
                " choose another folder, or the same sizes"
            )
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.elapsed_s, self._since = state["step"], state["elapsed_s"], state["since"]
        self._report(f"resumed at step {self.step}, {self.elapsed_s:.0f} s")


def _start(net: KeypointDetector, file: Path, sizes: DetectorSizes) -> None:
    """Take over the detector of a weights file; InputError when it is another kind of one."""
    found = read_weights(file)
    if found.detector is None or found.detector_sizes != sizes:
        raise InputError(
            f"{file}: expected a detector of {sizes}, got {found.detector_sizes}; give another"
            " file, or the same sizes"
        )
    net.load_state_dict(found.detector.state_dict())


def _clips(cache: Path, points: str) -> list[Clip]:
    found = [clip for clip in data_cache.read(cache) if points in clip.points]
    if not found:
        raise InputError(
            f"{cache}: expected clips with the keypoint set {points!r}, found none; prepare them"
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
    """Start the linear shape model with what the teacher says of these clips."""
    rows = np.concatenate([clip.points[points] for clip in clips])
    shape = fit_shape(rows[np.isfinite(rows).all((1, 2))], net.seen)
    with torch.no_grad():
        net.places.copy_(torch.from_numpy(shape.places))
        net.affines.copy_(torch.from_numpy(shape.affines))


def read_checkpoint(path: Path, sizes: build.DetectorSizes) -> KeypointDetector:
    """The averaged network of a run."""
    net = build.detector(sizes)
    net.load_state_dict(torch.load(path, weights_only=True)["average"])
    return net.eval()
