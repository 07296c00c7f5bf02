"""Training of the renderer: pairs of frames -> networks that rebuild one frame from the other.

Reads cached clips; writes checkpoints, the best weights so far, a CSV of curves and strips of
pictures. Siarohin et al. 2019, section 3.3.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from hybridanim.training import device as devices
from hybridanim.training import equivariance, loop
from hybridanim.training.config import Phase, TrainConfig
from hybridanim.training.data import cache, prepare
from hybridanim.training.data.batch import Batch, Layout, anchor_layout
from hybridanim.training.data.cache import Clip
from hybridanim.training.data.pairs import Pairs
from hybridanim.training.data.resident import Resident
from hybridanim.training.distributed import ProcessGroup
from hybridanim.training.equivariance import RandomWarp
from hybridanim.training.loop import BestValidation, Report, Schedule, TrainingLoop, Watch

from . import flow_teacher, learner, validation
from .flow_teacher import FlowTarget
from .learner import Learner
from .objective import DiscriminatorTrainer, Objective

BEST = "best.safetensors"


class PreparedBatch(NamedTuple):
    """The batch of one step, and the optical flow that the dense motion is compared with."""

    batch: Batch
    flow_target: FlowTarget | None


class Trainer(TrainingLoop[Learner, PreparedBatch]):
    """One run."""

    def __init__(
        self,
        config: TrainConfig,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        group: ProcessGroup | None = None,
        watch: Watch = lambda progress, values: None,
    ) -> None:
        loop.start(config)
        device, start = devices.pick(config.device), learner.read_start(config)
        net = learner.make(config, start).to(device)
        rate = config.learning_rate
        super().__init__(
            net,
            torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=config.weight_decay),
            config,
            Schedule(
                config.steps, 0 if config.steps else config.time_budget_s, rate, config.warmup_steps
            ),
            report=report,
            clock=clock,
            watch=watch,
            group=group,
            device=device,
            workers=config.workers,
            tensorboard=config.tensorboard,
        )
        self.config = config
        self._detector_sizes = learner.detector_sizes(config, start)
        self._untrained = validation.closed_form(net)
        self._best = BestValidation(config.patience)
        if start is not None:
            self._report(f"starts from {config.start_from}")
        self._read_data()
        self._resume()

    def _read_data(self) -> None:
        config, device = self.config, self._device
        layout = anchor_layout() if config.keypoints == "given" else None
        clips = cache.read(config.cache)
        self._pairs = Pairs(
            clips,
            layout,
            config.augment,
            seed=config.seed,
            sets=config.sets,
            balance=config.balance,
        )
        self._resident = self._made_resident(clips, layout) if config.resident else None
        self._objective = Objective(
            config.losses,
            layout,
            config.perceptual_network,
            scales=config.perceptual_scales,
            device=device,
        )
        if config.losses.gan or config.losses.matching:
            self._objective.discriminator = DiscriminatorTrainer(
                config.discriminator_rate, self._group, device
            )
        is_main = self._group.is_main
        self._tasks = validation.tasks_for(self.net, config, layout) if is_main else []
        count = sum(p.numel() for p in self.net.parameters())
        self._report(f"{len(clips)} clips, {count} parameters, {device}")

    def _made_resident(self, clips: list[Clip], layout: Layout | None) -> Resident:
        config = self.config
        resident = Resident(
            clips,
            self._pairs,
            layout,
            config.augment,
            seed=config.seed,
            count=config.resident,
            has_flow=bool(self.net.animator.sizes.optical or config.losses.flow),
            device=self._device,
            threads=prepare.processors(),
        )
        held = f"{resident.bytes / 2**20:.0f} MiB of frames"
        self._report(f"{len(resident)} pairs and {held} on {self._device}")
        return resident

    def phase(self, step: int | None = None) -> Phase:
        """The part of the curriculum that a step (by default the next one) belongs to."""
        return loop.phase_at(self.config.phases, self.progress(step))

    def is_done(self) -> bool:
        """Whether the budget is spent, or validation has stopped improving; the same for all."""
        is_exhausted = self._group.from_main(float(self._best.is_exhausted(self.progress())))
        return super().is_done() or bool(is_exhausted)

    def _prepare(self, step: int) -> PreparedBatch:
        """The rows of a step's batch that this process learns from."""
        if self._resident is not None:
            return self._drawn(self._resident, step)
        phase, group = self.phase(step), self._group
        batch = self._pairs.batch(step, range(group.rank, phase.batch, group.size), phase.size)
        uses_optical_flow = self.net.animator.sizes.optical
        if not (uses_optical_flow or self.config.losses.flow):
            return PreparedBatch(batch, None)
        flow_target = flow_teacher.target_of(batch)
        if uses_optical_flow:
            rng = np.random.default_rng([self.config.seed, step, group.rank, 1])
            batch = batch._replace(optical=flow_teacher.as_seen(flow_target, rng))
        return PreparedBatch(batch, flow_target if self.config.losses.flow else None)

    def _drawn(self, resident: Resident, step: int) -> PreparedBatch:
        """A batch that is made on the device."""
        phase, group = self.phase(step), self._group
        count = len(range(group.rank, phase.batch, group.size))
        batch, flow, trust = resident.batch(step, count, phase.size, group.rank)
        if flow is None or trust is None:
            return PreparedBatch(batch, None)
        flow_target = FlowTarget(flow, trust)
        if self.net.animator.sizes.optical:
            draw = devices.generator(self._device, [self.config.seed, step, group.rank, 1])
            batch = batch._replace(optical=flow_teacher.as_seen_on_device(flow_target, draw))
        return PreparedBatch(batch, flow_target if self.config.losses.flow else None)

    def _warp(self, count: int) -> RandomWarp | None:
        """Warps for this process's rows, by seed and step alone."""
        weights, group = self.config.losses, self._group
        if self.net.detector is None:
            return None
        if not (weights.equivariance or weights.equivariance_jacobian):
            return None
        drawn = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        warp = equivariance.random_warp(count * group.size, drawn)
        mine = slice(group.rank, None, group.size)
        warp = RandomWarp(warp.affine[mine], warp.centres, warp.weights[mine])
        return RandomWarp(*(x.to(self._device) for x in warp))

    def _learn(self, batch: PreparedBatch) -> dict[str, float]:
        self._begin_step()
        pairs = learner.at_device(batch.batch, self._device)
        flow_target = batch.flow_target and FlowTarget(
            *(x.to(self._device) for x in batch.flow_target)
        )
        warp = self._warp(len(pairs.source))
        half = torch.autocast(self._device.type, torch.bfloat16, enabled=self.config.bf16)
        with half:
            learned = self.net(pairs, warp, shifts_only=self._moves_by_shifts())
            loss, terms = self._objective(pairs, learned, warp, flow_target)
        length = self._descend(loss)
        if self._objective.discriminator is not None:
            with half:
                picture = learned.result.painted.picture
                terms["discriminator"] = self._objective.discriminator.learn(picture, pairs.driving)
        return self._end_step(len(pairs.source), {"loss": loss, **terms, "gradient_norm": length})

    def _moves_by_shifts(self) -> bool:
        """Whether Jacobians are left out; never when the run starts from weights."""
        return self.config.start_from is None and self.progress() < self.config.shifts_only

    def validate(self) -> dict[str, float]:
        """Measure the averaged networks, add to the curves, write strips, keep the best weights."""
        config = self.config
        if not self._group.is_main:
            return {}
        row = {**self._row(), "size": self.phase().size}
        for task in self._tasks:
            found = validation.measure(self.average, self._untrained, task, bf16=config.bf16)
            row |= {f"{task.name}_{name}": value for name, value in found.items()}
            shown = " ".join(f"{name} {value:.4f}" for name, value in found.items())
            self._report(f"  {task.name}: {shown}")
            every = max(1, len(task.batches) // 3)
            for i, batch in enumerate(task.batches[::every][:3]):
                path = config.out / f"strip_{self.step:06d}_{task.name}_{i}.png"
                validation.strip(self.average, batch, path, bf16=config.bf16)
        self._curves.add(row)
        # reconstruction at the size that is used; random pairs of the first phase's size mislead
        if self._best.is_better(row[f"{self._tasks[1].name}_net_l1"], self.progress()):
            learner.write(self.average, self._detector_sizes, config.out / BEST)
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
        if "best" in state:
            self._best.restore(state["best"])

    def _network_state(self) -> dict[str, Any]:
        """Each network's weights and averaged weights, and the sizes that they need."""
        net, average, detector = self.net, self.average, self._detector_sizes
        state: dict[str, Any] = {
            "net": net.animator.state_dict(),
            "average": average.animator.state_dict(),
            "sizes": dataclasses.asdict(net.animator.sizes),
        }
        if net.detector is not None and average.detector is not None and detector is not None:
            state |= {
                "detector": net.detector.state_dict(),
                "detector_average": average.detector.state_dict(),
                "detector_sizes": dataclasses.asdict(detector),
            }
        return state

    def _restore_networks(self, state: dict[str, Any]) -> None:
        for networks, animator, detector in (
            (self.net, "net", "detector"),
            (self.average, "average", "detector_average"),
        ):
            networks.animator.load_state_dict(state[animator])
            if networks.detector is not None:
                networks.detector.load_state_dict(state[detector])
