"""Trains a Monkey-Net on cached clips without labels: pairs of frames of one clip.

The loop, its clock and its checkpoints are those of all trainings (``training.loop``), the pairs
and the measures those of the animator. Result: the averaged networks with the best reconstruction.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hybridanim.errors import InputError
from hybridanim.networks import sizes as network_sizes
from hybridanim.networks import weights
from hybridanim.networks.monkeynet import MonkeyNet
from hybridanim.training import checkpoint as checkpoints
from hybridanim.training import device as devices
from hybridanim.training import loop
from hybridanim.training.animator import learner
from hybridanim.training.animator.objective import DiscriminatorTrainer
from hybridanim.training.animator.trainer import BEST
from hybridanim.training.animator.validation import tasks
from hybridanim.training.config import MonkeyNetConfig, Phase
from hybridanim.training.data import cache
from hybridanim.training.data.batch import Batch
from hybridanim.training.data.pairs import Pairs
from hybridanim.training.distributed import ProcessGroup
from hybridanim.training.loop import BestValidation, Report, Schedule, TrainingLoop, Watch

from . import validation
from .objective import Objective, animated


class MonkeyNetTrainer(TrainingLoop[MonkeyNet, Batch]):
    """One run."""

    def __init__(
        self,
        config: MonkeyNetConfig,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        group: ProcessGroup | None = None,
        watch: Watch = lambda progress, values: None,
    ) -> None:
        """Begin, or go on from the checkpoint in the run's folder."""
        loop.start(config)
        device, rate = devices.pick(config.device), config.learning_rate
        net = make(config).to(device)
        time_s = 0 if config.steps else config.time_budget_s
        super().__init__(
            net,
            torch.optim.Adam(
                net.parameters(), rate, config.betas, weight_decay=config.weight_decay
            ),
            config,
            Schedule(config.steps, time_s, rate, config.warmup_steps),
            report=report,
            clock=clock,
            watch=watch,
            group=group,
            device=device,
            workers=config.workers,
            tensorboard=config.tensorboard,
        )
        self.config = config
        self._best = BestValidation(config.patience)
        clips = cache.read(config.cache)
        self._pairs = Pairs(clips, None, config.augment, seed=config.seed)
        self._objective = Objective(config.losses, self._made_discriminator())
        self._tasks = tasks(config, None) if self._group.is_main else []
        count = sum(p.numel() for p in net.parameters())
        self._report(f"{len(clips)} clips, {count} parameters, {device}")
        self._resume()

    def _made_discriminator(self) -> DiscriminatorTrainer | None:
        config = self.config
        if not (config.losses.gan or config.losses.matching):
            return None
        return DiscriminatorTrainer(
            config.discriminator_rate,
            self._group,
            self._device,
            inputs=3 + self.net.sizes.count,
            widths=config.discriminator_widths,
        )

    def phase(self, step: int | None = None) -> Phase:
        """The part of the curriculum that a step (by default the next one) belongs to."""
        return loop.phase_at(self.config.phases, self.progress(step))

    def is_done(self) -> bool:
        """Whether the budget is spent, or validation has stopped improving; the same for all."""
        is_exhausted = self._group.from_main(float(self._best.is_exhausted(self.progress())))
        return super().is_done() or bool(is_exhausted)

    def _prepare(self, step: int) -> Batch:
        """The rows of a step's batch that this process learns from."""
        phase, group = self.phase(step), self._group
        return self._pairs.batch(step, range(group.rank, phase.batch, group.size), phase.size)

    def _learn(self, batch: Batch) -> dict[str, float]:
        self._begin_step()
        batch = learner.at_device(batch, self._device)
        half = torch.autocast(self._device.type, torch.bfloat16, enabled=self.config.bf16)
        with half:
            found = animated(self.net, batch)
            loss, terms = self._objective(batch, found)
        length = self._descend(loss)
        with half:
            terms |= self._objective.learn(batch, found)
        values = {"loss": loss, **terms, "gradient_norm": length}
        return self._end_step(len(batch.source), values)

    def validate(self) -> dict[str, float]:
        """Measure the averaged networks, add to the curves, write strips, keep the best weights."""
        config = self.config
        if not self._group.is_main:
            return {}
        row = {**self._row(), "size": self.phase().size}
        for task in self._tasks:
            found = validation.measure(self.average, task, bf16=config.bf16)
            row |= {f"{task.name}_{name}": value for name, value in found.items()}
            shown = " ".join(f"{name} {value:.4f}" for name, value in found.items())
            self._report(f"  {task.name}: {shown}")
            every = max(1, len(task.batches) // 3)
            for i, batch in enumerate(task.batches[::every][:3]):
                path = config.out / f"strip_{self.step:06d}_{task.name}_{i}.png"
                validation.strip(self.average, batch, path, bf16=config.bf16)
        self._curves.add(row)
        if self._best.is_better(row[f"{self._tasks[1].name}_net_l1"], self.progress()):
            weights.write_monkeynet(config.out / BEST, self.average)
        return row

    def _state(self) -> dict[str, Any]:
        state = {**super()._state(), "best": self._best.state()}
        if self._objective.discriminator is not None:
            state["adversary"] = self._objective.discriminator.state()
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        if self._objective.discriminator is not None and "adversary" in state:
            self._objective.discriminator.restore(state["adversary"])
        self._best.restore(state["best"])

    def _network_state(self) -> dict[str, Any]:
        return {**super()._network_state(), "monkeynet": dataclasses.asdict(self.net.sizes)}


def make(config: MonkeyNetConfig) -> MonkeyNet:
    """The networks at the start of a run; those of ``start_from`` keep sizes and weights."""
    if config.start_from is None:
        net = MonkeyNet(config.sizes)
    else:
        found = weights.read_weights(config.start_from).monkeynet
        if found is None:
            raise InputError(
                f"--start-from {config.start_from}: expected weights of a Monkey-Net, got others;"
                " give some that train --model monkeynet wrote, or none"
            )
        net = found
    return net.to(memory_format=torch.channels_last)  # pyright: ignore


def read_checkpoint(checkpoint: Path) -> MonkeyNet:
    """The averaged networks of a checkpoint; InputError when there is no such file."""
    if not checkpoint.is_file():
        raise InputError(
            f"{checkpoint}: expected a checkpoint, found nothing; give the folder's checkpoint.pt"
        )
    state = checkpoints.read(checkpoint)
    net = MonkeyNet(network_sizes.read_monkeynet_sizes(state["monkeynet"]))
    net.load_state_dict(state["average"])
    return net.eval()


def export(checkpoint: Path, path: Path) -> str:
    """Write the averaged networks of a checkpoint as a weights file; returns the file's sha256."""
    return weights.write_monkeynet(path, read_checkpoint(checkpoint))
