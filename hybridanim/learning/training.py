"""The training loop: pairs of frames -> an Animator that rebuilds one from the other.

Reads cached clips (data_cache), writes checkpoints, a CSV of curves and strips of pictures. A run
can be killed at any moment: the checkpoint is replaced as a whole, holds everything the next step
depends on, and a batch depends on the seed and the step alone, so going on equals never having
stopped. Siarohin et al. 2019, section 3.3, without a discriminator.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models import build
from ..models.build import Animator
from . import data_cache
from . import training_validation as validation
from .data import Batch, Layout, Pairs, anchor_layout
from .train_config import Phase, TrainConfig
from .training_adversary import Adversary
from .training_objective import Objective
from .training_team import Team

Report = Callable[[str], None]
CHECKPOINT = "checkpoint.pt"


class Trainer:
    """One run: everything that changes while it trains."""

    def __init__(
        self,
        config: TrainConfig,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        team: Team | None = None,
    ) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self._team = team or Team()
        self.config, self._clock = config, clock
        self._report = report if self._team.leads else lambda line: None
        config.out.mkdir(parents=True, exist_ok=True)
        layout = anchor_layout()
        self.net = build.fast(config.sizes).to(memory_format=torch.channels_last)  # pyright: ignore
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        self._untrained = copy.deepcopy(self.net).requires_grad_(False).eval()
        self._optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        clips = data_cache.read(config.cache)
        self._pairs = Pairs(clips, layout, config.augment, seed=config.seed, sets=config.sets)
        self._objective = Objective(config.losses, layout, config.perceptual_network)
        if config.losses.gan or config.losses.matching:
            self._objective.adversary = Adversary(config.discriminator_rate, self._team)
        self._tasks = _tasks(config, layout) if self._team.leads else []
        self.step, self.samples, self.elapsed_s = 0, 0, 0.0
        self._since: dict[str, float] = {}
        self._report(
            f"{len(clips)} clips, {sum(p.numel() for p in self.net.parameters())} parameters"
        )
        self._resume()

    def progress(self, step: int | None = None) -> float:
        """Share of the run that is done when ``step`` (by default the next one) begins."""
        if self.config.steps:
            return min(1.0, (self.step if step is None else step) / self.config.steps)
        return min(1.0, self.elapsed_s / self.config.time_budget_s)

    def phase(self, step: int | None = None) -> Phase:
        """The part of the curriculum that a step belongs to."""
        done, progress = 0.0, self.progress(step)
        for phase in self.config.phases:
            done += phase.share
            if progress < done:
                return phase
        return self.config.phases[-1]

    def run(self) -> Animator:
        """Train until the budget is spent; returns the averaged network."""
        config = self.config
        last_s = self._clock()
        saved_s = seen_s = self.elapsed_s
        with ThreadPoolExecutor(1) as ahead:

            def prepare(step: int) -> Future[Batch]:
                phase, team = self.phase(step), self._team
                mine = range(team.rank, phase.batch, team.size)
                return ahead.submit(self._pairs.batch, step, mine, phase.size)

            coming = prepare(self.step)
            while self.progress() < 1:
                batch = coming.result()
                coming = prepare(self.step + 1)
                self._learn(batch)
                now_s = self._clock()
                self.elapsed_s = self._team.agreed(self.elapsed_s + now_s - last_s)
                last_s = now_s
                if self.elapsed_s - saved_s >= config.checkpoint_s:
                    self.save()
                    saved_s = self.elapsed_s
                if self.elapsed_s - seen_s >= config.validate_s:
                    self.validate()
                    seen_s = self.elapsed_s
        self.save()
        self.validate()
        return self.average

    def _learn(self, batch: Batch) -> None:
        config = self.config
        self.net.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
            result = self.net(batch.source, batch.source_points, batch.driving_points)
            loss, terms = self._objective(batch, result)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._team.average_gradients(self.net.parameters())
        self._team.average_statistics(self.net)
        length = torch.nn.utils.clip_grad_norm_(self.net.parameters(), config.clip_norm)
        if torch.isfinite(length):
            self._optimiser.step()
        if self._objective.adversary is not None:
            with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
                told = self._objective.adversary.learn(result.painted.picture, batch.driving)
            terms["discriminator"] = told
        self.step += 1
        self.samples += len(batch.source) * self._team.size
        self._average()
        self._note({"loss": loss, **terms, "gradient_norm": length})

    def _learning_rate(self) -> float:
        config = self.config
        warm = min(1.0, (self.step + 1) / max(1, config.warmup_steps))
        fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * self.progress()))
        return config.learning_rate * warm * fall

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average of weights and norms; shorter while it is young."""
        keep = min(self.config.ema, (1 + self.step) / (10 + self.step))
        ours, theirs = self.average.state_dict(), self.net.state_dict()
        for name, value in ours.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - keep)
            else:
                value.copy_(theirs[name])

    def _note(self, values: dict[str, Tensor]) -> None:
        """Running means for the curves."""
        for name, value in values.items():
            number = float(value.detach())
            self._since[name] = 0.98 * self._since.get(name, number) + 0.02 * number
        if self.step % 50 == 0:
            shown = " ".join(f"{name} {value:.4f}" for name, value in self._since.items())
            rate = self.samples / max(1e-9, self.elapsed_s)
            self._report(f"{self.step} {self.elapsed_s:.0f}s {rate:.1f}/s {shown}")

    def validate(self) -> dict[str, float]:
        """Measure the averaged network, append to curves.csv, write a strip."""
        config = self.config
        if not self._team.leads:
            return {}
        row: dict[str, float] = {
            "step": self.step,
            "samples": self.samples,
            "elapsed_s": round(self.elapsed_s, 1),
            "size": self.phase().size,
            **{f"train_{name}": value for name, value in self._since.items()},
        }
        for task in self._tasks:
            found = validation.measure(self.average, self._untrained, task, bf16=config.bf16)
            row |= {f"{task.name}_{name}": value for name, value in found.items()}
            shown = " ".join(f"{name} {value:.4f}" for name, value in found.items())
            self._report(f"  {task.name}: {shown}")
            every = max(1, len(task.batches) // 3)
            for i, batch in enumerate(task.batches[::every][:3]):
                path = config.out / f"strip_{self.step:06d}_{task.name}_{i}.png"
                validation.strip(self.average, batch, path, bf16=config.bf16)
        _append(config.out / "curves.csv", row)
        return row

    def save(self) -> None:
        """Replace the checkpoint as a whole: a kill leaves the old one or the new one."""
        if not self._team.leads:
            return
        state: dict[str, Any] = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
            "samples": self.samples,
            "elapsed_s": self.elapsed_s,
            "since": self._since,
            "sizes": dataclasses.asdict(self.config.sizes),
        }
        if self._objective.adversary is not None:
            state["adversary"] = self._objective.adversary.state()
        path = self.config.out / CHECKPOINT
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def _resume(self) -> None:
        path = self.config.out / CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        if self._objective.adversary is not None and "adversary" in state:
            self._objective.adversary.restore(state["adversary"])
        torch.set_rng_state(state["random"])
        self.step, self.samples = state["step"], state["samples"]
        self.elapsed_s, self._since = state["elapsed_s"], state["since"]
        self._report(f"resumed at step {self.step}, {self.elapsed_s:.0f} s")


def _tasks(config: TrainConfig, layout: Layout) -> list[validation.Task]:
    clips, sets = data_cache.read(config.validation), config.validation_sets
    tasks: list[validation.Task] = []
    for name in sets:
        having = [clip for clip in clips if name in clip.points]
        small, large = config.validation_sizes
        count = config.validation_pairs
        if name == sets[0]:
            tasks.append(validation.random_pairs(having, name, layout, size=small, per_clip=count))
        count = max(1, count // 3)
        tasks.append(validation.reconstruction(having, name, layout, size=large, per_clip=count))
    return tasks


def _append(path: Path, row: dict[str, float]) -> None:
    """Add a row; a column that an older row lacks stays empty there."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    rows.append(row)
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)
