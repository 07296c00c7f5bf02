"""The training loop: pairs of frames -> networks that rebuild one from the other.

Reads cached clips (data_cache), writes checkpoints, the best weights so far, a CSV of curves and
strips of pictures. A run can be killed at any moment: the checkpoint is replaced as a whole, holds
everything the next step depends on, and a batch depends on the seed and the step alone, so going on
equals never having stopped. Siarohin et al. 2019, section 3.3.
"""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hybridanim.training import average, checkpoint, equivariance
from hybridanim.training.best import Best
from hybridanim.training.checkpoint import CHECKPOINT
from hybridanim.training.config import Phase, TrainConfig
from hybridanim.training.curves import Curves
from hybridanim.training.data import cache
from hybridanim.training.data.pairs import Batch, Pairs, anchor_layout
from hybridanim.training.distributed import Team
from hybridanim.training.equivariance import Bend

from . import export, flow_teacher, learner, validation
from .adversary import Adversary
from .flow_teacher import Taught
from .learner import Learner
from .objective import Objective

Report = Callable[[str], None]
Watch = Callable[[float, dict[str, float]], None]
"""(share of the run that is done, running means of the losses with step and samples_per_s)."""
BEST = "best.safetensors"


class Fed(NamedTuple):
    """One step's batch, and what a teacher says of it."""

    batch: Batch
    taught: Taught | None


class Trainer:
    """One run: everything that changes while it trains."""

    def __init__(
        self,
        config: TrainConfig,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        team: Team | None = None,
        watch: Watch = lambda progress, values: None,
    ) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self._team = team or Team()
        self.config, self._clock = config, clock
        self._report = report if self._team.leads else lambda line: None
        self._watch = watch if self._team.leads else lambda progress, values: None
        self._device = learner.pick_device(config.device)
        config.out.mkdir(parents=True, exist_ok=True)
        self._make_networks()
        self._optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        layout = anchor_layout() if config.keypoints == "given" else None
        clips = cache.read(config.cache)
        self._pairs = Pairs(clips, layout, config.augment, seed=config.seed, sets=config.sets)
        self._objective = Objective(
            config.losses,
            layout,
            config.perceptual_network,
            scales=config.perceptual_scales,
            device=self._device,
        )
        if config.losses.gan or config.losses.matching:
            rate = config.discriminator_rate
            self._objective.adversary = Adversary(rate, self._team, self._device)
        self._tasks = validation.tasks_for(self.net, config, layout) if self._team.leads else []
        self._curves = Curves(config.out, tensorboard=config.tensorboard and self._team.leads)
        self._best = Best(config.patience)
        self.step, self.samples, self.elapsed_s = 0, 0, 0.0
        self._since: dict[str, float] = {}
        count = sum(p.numel() for p in self.net.parameters())
        self._report(f"{len(clips)} clips, {count} parameters, {self._device}")
        self._resume()

    def _make_networks(self) -> None:
        config = self.config
        start = learner.read_start(config)
        self._detector_sizes = learner.detector_sizes(config, start)
        self.net = learner.make(config, start).to(self._device)
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        self._untrained = validation.closed_form(self.net)
        if start is not None:
            self._report(f"starts from {config.start_from}")

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

    def is_done(self) -> bool:
        """Whether the budget is spent, or validation has stopped improving; the same for all."""
        in_vain = self._team.agreed(float(self._best.is_in_vain(self.progress())))
        return self.progress() >= 1 or bool(in_vain)

    def run(self) -> Learner:
        """Train until the run is done; returns the averaged networks."""
        config = self.config
        last_s = self._clock()
        saved_s = seen_s = self.elapsed_s
        seen = self.step  # the step that was validated last
        with ThreadPoolExecutor(config.workers) as ahead:
            coming: deque[Future[Fed]] = deque()
            while not self.is_done():
                while len(coming) <= config.workers:
                    coming.append(ahead.submit(self._feed, self.step + len(coming)))
                self._learn(coming.popleft().result())
                now_s = self._clock()
                self.elapsed_s = self._team.agreed(self.elapsed_s + now_s - last_s)
                last_s = now_s
                self._watch(self.progress(), self._shown())
                if self.elapsed_s - saved_s >= config.checkpoint_s:
                    self.save()
                    saved_s = self.elapsed_s
                if self.elapsed_s - seen_s >= config.validate_s:
                    self.validate()
                    seen_s, seen = self.elapsed_s, self.step
            for rest in coming:
                rest.cancel()
        self.save()
        if seen != self.step:
            self.validate()
            self.save()
        return self.average

    def _feed(self, step: int) -> Fed:
        """The rows of a step's batch that fall to this process."""
        phase, team = self.phase(step), self._team
        batch = self._pairs.batch(step, range(team.rank, phase.batch, team.size), phase.size)
        has_optical = self.net.animator.sizes.optical
        if not (has_optical or self.config.losses.flow):
            return Fed(batch, None)
        taught = flow_teacher.teach(batch)
        if has_optical:
            rng = np.random.default_rng([self.config.seed, step, team.rank, 1])
            batch = batch._replace(optical=flow_teacher.as_seen(taught, rng))
        return Fed(batch, taught if self.config.losses.flow else None)

    def _bend(self, count: int) -> Bend | None:
        """Warps for this process's rows, by seed and step alone."""
        weights, team = self.config.losses, self._team
        if self.net.detector is None:
            return None
        if not (weights.equivariance or weights.equivariance_jacobian):
            return None
        drawn = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        bend = equivariance.random_bend(count * team.size, drawn)
        mine = slice(team.rank, None, team.size)
        bend = Bend(bend.affine[mine], bend.centres, bend.weights[mine])
        return Bend(*(x.to(self._device) for x in bend))

    def _learn(self, fed: Fed) -> None:
        config = self.config
        batch = learner.at_device(fed.batch, self._device)
        taught = fed.taught and Taught(*(x.to(self._device) for x in fed.taught))
        self.net.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        bend = self._bend(len(batch.source))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=config.bf16):
            learned = self.net(batch, bend, shifts_only=self._moves_by_shifts())
            loss, terms = self._objective(batch, learned, bend, taught)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._team.average_gradients(self.net.parameters())
        self._team.average_statistics(self.net)
        length = torch.nn.utils.clip_grad_norm_(self.net.parameters(), config.clip_norm)
        if torch.isfinite(length):
            self._optimiser.step()
        if self._objective.adversary is not None:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=config.bf16):
                picture = learned.result.painted.picture
                terms["discriminator"] = self._objective.adversary.learn(picture, batch.driving)
        self.step += 1
        self.samples += len(batch.source) * self._team.size
        average.follow(self.average, self.net, config.ema, self.step)
        self._note({"loss": loss, **terms, "gradient_norm": length})

    def _moves_by_shifts(self) -> bool:
        """Whether Jacobians are too young; those that a run starts from are not."""
        return self.config.start_from is None and self.progress() < self.config.shifts_only

    def _learning_rate(self) -> float:
        config = self.config
        warm = min(1.0, (self.step + 1) / max(1, config.warmup_steps))
        fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * self.progress()))
        return config.learning_rate * warm * fall

    def _note(self, values: dict[str, Tensor]) -> None:
        """Running means for the curves."""
        for name, value in values.items():
            number = float(value.detach())
            self._since[name] = 0.98 * self._since.get(name, number) + 0.02 * number
        if self.step % 50 == 0:
            shown = " ".join(f"{name} {value:.4f}" for name, value in self._since.items())
            rate = self.samples / max(1e-9, self.elapsed_s)
            self._report(f"{self.step} {self.elapsed_s:.0f}s {rate:.1f}/s {shown}")

    def _shown(self) -> dict[str, float]:
        rate = self.samples / max(1e-9, self.elapsed_s)
        return {**self._since, "step": self.step, "samples_per_s": rate}

    def validate(self) -> dict[str, float]:
        """Measure the averaged networks, append to the curves, write strips, keep the best."""
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
        self._curves.add(row)
        # reconstruction at the size that is used; random pairs of the first phase's size mislead
        if self._best.is_better(row[f"{self._tasks[1].name}_net_l1"], self.progress()):
            export.write(self.average, self._detector_sizes, config.out / BEST)
        return row

    def save(self) -> None:
        """Write the checkpoint."""
        if not self._team.leads:
            return
        state: dict[str, Any] = {
            **checkpoint.network_state(self.net, self.average, self._detector_sizes),
            "optimiser": self._optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
            "samples": self.samples,
            "elapsed_s": self.elapsed_s,
            "since": self._since,
            "best": self._best.state(),
        }
        if self._objective.adversary is not None:
            state["adversary"] = self._objective.adversary.state()
        checkpoint.write(state, self.config.out / CHECKPOINT)

    def _resume(self) -> None:
        path = self.config.out / CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True, map_location=self._device)
        checkpoint.restore_networks(state, self.net, self.average)
        self._optimiser.load_state_dict(state["optimiser"])
        if self._objective.adversary is not None and "adversary" in state:
            self._objective.adversary.restore(state["adversary"])
        torch.set_rng_state(state["random"].cpu())
        self.step, self.samples = state["step"], state["samples"]
        self.elapsed_s, self._since = state["elapsed_s"], state["since"]
        if "best" in state:
            self._best.restore(state["best"])
        self._report(f"resumed at step {self.step}, {self.elapsed_s:.0f} s")
