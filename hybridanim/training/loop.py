"""The loop that all trainings share: schedule, batches ahead, averaged weights, checkpoints.

A run can be killed at any moment. The checkpoint is replaced as a whole and holds everything that
the next step depends on, and a batch is a function of the seed and the step alone, so a resumed run
equals one that was never stopped. The result is an exponential moving average of the weights over
the steps (Polyak and Juditsky 1992).
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from . import checkpoint
from .checkpoint import CHECKPOINT
from .config import LoopConfig, Phase
from .curves import Curves
from .distributed import ProcessGroup

Report = Callable[[str], None]
Watch = Callable[[float, dict[str, float]], None]
"""(share of the run that is done, running means of the losses with step and samples_per_s)."""
Net = TypeVar("Net", bound=nn.Module)
Batch = TypeVar("Batch")
_REPORT_STEPS = 50  # between two lines of the log
_ENDING, _ENDING_SHARE = 1.5, 0.02  # reserve for the end: of its measured time, of the limit


@dataclass(frozen=True)
class Schedule:
    """How long a run is, and the learning rate over it.

    The learning rate rises linearly over ``warmup_steps``, stays at ``learning_rate`` until the
    share ``falls_from`` of the run is done, then falls as a cosine to its share ``last``.
    """

    steps: int  # 0: no limit
    time_s: float  # 0: no limit
    learning_rate: float
    warmup_steps: int = 0
    last: float = 0.05
    falls_from: float = 0.0

    def progress(self, step: int, elapsed_s: float) -> float:
        """Share of the run that is done, in [0, 1], by the limit that is nearer."""
        done = step / self.steps if self.steps else 0.0
        if self.time_s:
            done = max(done, elapsed_s / self.time_s)
        return min(1.0, done)

    def rate(self, step: int, progress: float) -> float:
        """Learning rate of the step after ``step`` steps."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        late = max(0.0, progress - self.falls_from) / max(1e-9, 1 - self.falls_from)
        fall = self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * late))
        return self.learning_rate * warm * fall


def phase_at(phases: tuple[Phase, ...], progress: float) -> Phase:
    """The phase of the curriculum that is on when that share of the run is done."""
    done = 0.0
    for phase in phases:
        done += phase.share
        if progress < done:
            return phase
    return phases[-1]


def averaged(net: nn.Module, ema: float) -> AveragedModel:
    """The moving average of a network's weights and of its norms' statistics.

    ema: weight of the past, at most; it is (1 + n) / (10 + n) while only n are averaged.
    The weights at the start count as the first of them.
    """

    def update(past: Any, now: Any, count: Tensor | int) -> None:
        weight = min(ema, (1 + int(count)) / (10 + int(count)))
        if past[0].is_floating_point():
            get_ema_multi_avg_fn(weight)(past, now, count)
        else:
            for before, value in zip(past, now, strict=True):  # counters are not averaged
                before.copy_(value)

    model = AveragedModel(net, multi_avg_fn=update, use_buffers=True).requires_grad_(False)
    model.n_averaged.fill_(1)
    return model


@dataclass
class BestValidation:
    """The lowest validation error so far, and when it was measured."""

    patience: float  # share of the run without a lower error after which to stop; 0: never
    error: float = math.inf
    progress: float = 0.0  # share of the run that was done when it was measured

    def is_better(self, error: float, progress: float) -> bool:
        """Whether this error is the lowest so far; if so, it is remembered."""
        if not error < self.error:
            return False
        self.error, self.progress = error, progress
        return True

    def is_exhausted(self, progress: float) -> bool:
        """Whether the error has not fallen for longer than ``patience``."""
        if not self.patience or math.isinf(self.error):
            return False
        return progress - self.progress >= self.patience

    def state(self) -> dict[str, float]:
        """The numbers that a checkpoint keeps."""
        return {"error": self.error, "progress": self.progress}

    def restore(self, state: dict[str, float]) -> None:
        """Take over the numbers of a checkpoint."""
        self.error, self.progress = state["error"], state["progress"]


def start(config: LoopConfig) -> None:
    """Threads, seed and folder of a run; to be called before its networks are made."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    config.out.mkdir(parents=True, exist_ok=True)


class TrainingLoop(ABC, Generic[Net, Batch]):
    """One run. A subclass makes the networks, prepares batches, learns from them and validates."""

    def __init__(
        self,
        net: Net,
        optimiser: torch.optim.Optimizer,
        config: LoopConfig,
        schedule: Schedule,
        *,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        watch: Watch = lambda progress, values: None,
        group: ProcessGroup | None = None,
        device: torch.device | None = None,
        workers: int = 1,
        tensorboard: bool = False,
    ) -> None:
        """clock: seconds, of the wall or of the processor; watch: called after every step.

        workers: threads that prepare batches. Call ``_resume`` when the subclass is complete.
        """
        self.net, self._optimiser = net, optimiser
        self._settings, self._schedule, self._clock = config, schedule, clock
        self._group = group or ProcessGroup()
        is_main = self._group.is_main
        self._report = report if is_main else lambda line: None
        self._watch = watch if is_main else lambda progress, values: None
        self._device, self._workers = device or torch.device("cpu"), workers
        self._average = averaged(net, config.ema)
        self._curves = Curves(config.out, tensorboard=tensorboard and is_main)
        self.step, self.samples, self.elapsed_s = 0, 0, 0.0
        self._began_s = clock()
        self._ending_s = 0.0  # time that saving and validating at the end may take
        self._step_s = 0.0  # time that the last step took
        self._since: dict[str, float] = {}  # running means of the losses

    @property
    def average(self) -> Net:
        """The averaged networks."""
        return self._average.module  # pyright: ignore[reportReturnType]

    def progress(self, step: int | None = None) -> float:
        """Share of the run that is done when ``step`` (by default the next one) begins."""
        return self._schedule.progress(self.step if step is None else step, self.elapsed_s)

    def is_done(self) -> bool:
        """Whether the run ends before the next step; the same for all processes."""
        return self.progress() >= 1 or self._is_at_limit()

    def _is_at_limit(self, endings: float = 1.0) -> bool:
        """Whether the rest of the sitting is needed to save and validate, or so many times that."""
        limit_s = self._settings.limit_s
        if not limit_s:
            return False
        spent_s = self._clock() - self._began_s + endings * self._ending_s + self._step_s
        return bool(self._group.from_main(float(spent_s >= limit_s)))

    def _rehearse_ending(self) -> None:
        """Save and validate before the first step, to know how long that will take at the end."""
        began_s = self._clock()
        self.save()
        self.validate()
        self.save()
        took_s = self._clock() - began_s
        self._ending_s = _ENDING * took_s + _ENDING_SHARE * self._settings.limit_s

    def run(self) -> Net:
        """Train until the run is done; returns the averaged networks."""
        settings = self._settings
        if settings.limit_s and not self.is_done():
            self._rehearse_ending()
        last_s = self._clock()
        saved_s = validated_s = self.elapsed_s
        validated = self.step  # the step that was validated last
        with ThreadPoolExecutor(self._workers) as pool:
            ahead: deque[Future[Batch]] = deque()
            while not self.is_done():
                while len(ahead) <= self._workers:
                    ahead.append(pool.submit(self._prepare, self.step + len(ahead)))
                self._learn(ahead.popleft().result())
                now_s = self._clock()
                self._step_s = now_s - last_s
                self.elapsed_s = self._group.from_main(self.elapsed_s + now_s - last_s)
                last_s = now_s
                self._watch(self.progress(), self._shown())
                if self.elapsed_s - saved_s >= settings.checkpoint_s:
                    self.save()
                    saved_s = self.elapsed_s
                is_due = self.elapsed_s - validated_s >= settings.validate_s
                if is_due and not self._is_at_limit(2.0):
                    self.validate()
                    validated_s, validated = self.elapsed_s, self.step
            for batch in ahead:
                batch.cancel()
        self.save()
        if validated != self.step:
            self.validate()
            self.save()
        return self.average

    @abstractmethod
    def _prepare(self, step: int) -> Batch:
        """The batch of a step, by seed and step alone; called in another thread."""

    @abstractmethod
    def _learn(self, batch: Batch) -> dict[str, float]:
        """One step: ``_begin_step``, forward passes, ``_descend``, ``_end_step``."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Measure the averaged networks and add a row to the curves."""

    def _begin_step(self) -> None:
        self.net.train()
        rate = self._schedule.rate(self.step, self.progress())
        for part in self._optimiser.param_groups:
            part["lr"] = rate

    def _descend(self, loss: Tensor) -> Tensor:
        """Step down the gradient, clipped, if it is finite; returns its length."""
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._group.average_gradients(self.net.parameters())
        self._group.average_statistics(self.net)
        length = nn.utils.clip_grad_norm_(self.net.parameters(), self._settings.clip_norm)
        if torch.isfinite(length):
            self._optimiser.step()
        return length

    def _end_step(self, samples: int, values: dict[str, Tensor]) -> dict[str, float]:
        """Count the step, average the weights and the values; returns the values."""
        self.step += 1
        self.samples += samples * self._group.size
        self._average.update_parameters(self.net)
        # one transfer from the device, not one for each
        found = torch.stack([value.detach().float() for value in values.values()])
        numbers: dict[str, float] = dict(zip(values, found.tolist(), strict=True))
        for name, number in numbers.items():
            self._since[name] = 0.98 * self._since.get(name, number) + 0.02 * number
        if self.step % _REPORT_STEPS == 0:
            shown = " ".join(f"{name} {value:.4f}" for name, value in self._since.items())
            self._report(f"{self.step} {self.elapsed_s:.0f}s {self._rate():.1f}/s {shown}")
        return numbers

    def _rate(self) -> float:
        return self.samples / max(1e-9, self.elapsed_s)

    def _shown(self) -> dict[str, float]:
        return {**self._since, "step": self.step, "samples_per_s": self._rate()}

    def _row(self) -> dict[str, float]:
        """What every row of the curves has; the measurements follow."""
        return {
            "step": self.step,
            "samples": self.samples,
            "elapsed_s": round(self.elapsed_s, 1),
            **{f"train_{name}": value for name, value in self._since.items()},
        }

    def save(self) -> None:
        """Replace the checkpoint as a whole."""
        if self._group.is_main:
            most_bytes = int(self._settings.checkpoint_mib * 2**20)
            checkpoint.write(self._state(), self._settings.out / CHECKPOINT, most_bytes)

    def _state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            **self._network_state(),
            "optimiser": self._optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
            "samples": self.samples,
            "elapsed_s": self.elapsed_s,
            "since": self._since,
        }

    def _network_state(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "average": self.average.state_dict()}

    def _resume(self) -> None:
        """Go on from the checkpoint in the run's folder, if there is one."""
        path = self._settings.out / CHECKPOINT
        if self._group.is_main:
            for part in path.parent.glob(f".{CHECKPOINT}*.part"):  # of a run that was killed
                part.unlink()
        if not path.is_file():
            return
        self._restore(checkpoint.read(path))  # from the processor's memory to the device
        self._report(f"resumed at step {self.step}, {self.elapsed_s:.0f} s")

    def _restore(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint; older ones lack some of the entries."""
        self._restore_networks(state)
        self._optimiser.load_state_dict(state["optimiser"])
        if "random" in state:
            torch.set_rng_state(state["random"].cpu())
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.samples = state.get("samples", self.samples)
        self._since = state.get("since", {})
        self._average.n_averaged.fill_(1 + self.step)

    def _restore_networks(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
