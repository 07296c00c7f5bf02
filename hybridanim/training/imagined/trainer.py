"""Windows of motion -> the network of imagined motion.

Two losses: the variational bound of true windows, by latents of the posterior, with the network's
own rows fed back; and an adversarial critic of long rollouts by latents of the prior. Rollouts go
on from step to step (a pool), so that the critic sees what motion becomes after minutes, and drift
is punished as any other fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hybridanim.networks import imagined_motion_file
from hybridanim.networks.imagined_motion import ImaginedMotionNetwork, State, Step
from hybridanim.networks.imagined_motion_file import Tables
from hybridanim.networks.imagined_motion_sizes import ImagineSizes
from hybridanim.training import loop
from hybridanim.training.config import LoopConfig
from hybridanim.training.loop import Report, Schedule, TrainingLoop

from . import samples
from .critic import Critic, CriticTrainer
from .samples import Batch, Corpus

EXPORT = "imagined_motion.safetensors"
_PIECES = 12  # of a window
_ROW, _CHANGE = 0.25, 0.6  # deviation of the rows' error, and of their changes' in their own unit
_FREE_NATS = 0.05  # of each latent and piece, which cost nothing
_RENEWED, _TURNED = 0.04, 0.3  # share of the pool that begins anew, and that gets other statistics
_HELD = 24  # windows that are validated
_LIMIT = 1.15  # largest features, of those that all but one in 500 rows have


@dataclass(frozen=True)
class ImagineConfig(LoopConfig):
    """One training of imagined motion."""

    batch: int = 32
    """Windows a step."""
    learning_rate: float = 1.5e-3
    """Peak of the learning rate."""
    ema: float = 0.995
    """Weight of the past in the averaged weights, which are the result."""
    adversary: float = 1.0
    """Weight of the critic's scores."""
    obeys: float = 2.0
    """Weight of the error of the statistics that the critic tells of a rollout."""
    adversary_from: float = 0.3
    """Share of the run after which the critic is there."""
    critic_rate: float = 4e-4
    """Learning rate of the critic."""
    threads: int = 1
    """CPU threads of the network."""


class ImagineTrainer(TrainingLoop[ImaginedMotionNetwork, Batch]):
    """One run."""

    def __init__(
        self,
        config: ImagineConfig,
        corpus: Corpus,
        held: Corpus,
        tables: Tables,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        sizes: ImagineSizes | None = None,
    ) -> None:
        loop.start(config)
        self.config, self._corpus, self._held, self._tables = config, corpus, held, tables
        net = ImaginedMotionNetwork(sizes)
        rows = np.abs(np.concatenate(corpus.features))
        net.limits.copy_(torch.from_numpy(_LIMIT * np.quantile(rows, 0.998, axis=0)))
        changes = [np.diff(one, axis=0) for one in corpus.features]
        speed = torch.from_numpy(np.concatenate(changes).std(0) + 1e-3)
        s = net.sizes
        rate = config.learning_rate
        super().__init__(
            net,
            torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=config.weight_decay),
            config,
            Schedule(config.steps, config.time_budget_s, rate, config.warmup_steps, last=0.02),
            report=report,
            clock=clock,
        )
        self._speed = speed
        critic = Critic(s.features, s.conditions, s.statistics, speed)
        self._critic = CriticTrainer(critic, config.critic_rate)
        self._pool: tuple[State, Tensor] | None = None
        count = sum(p.numel() for p in net.parameters())
        self._report(f"{len(corpus.places)} windows, {count} parameters")
        self._resume()

    @property
    def _length(self) -> int:
        return _PIECES * self.net.sizes.piece

    def _prepare(self, step: int) -> Batch:
        rng = np.random.default_rng([self.config.seed, 0, step])
        length = self._length + self.net.sizes.overlap
        return samples.batch(self._corpus, self.config.batch, length, rng)

    def _learn(self, batch: Batch) -> dict[str, float]:
        self._begin_step()
        terms = self._bound(batch)
        loss = terms["row"] + terms["change"] + terms["kl"] + 20 * terms["blink"]
        rollout = None
        if self.progress() >= self.config.adversary_from:
            rollout = self._rollout(batch)
            found = self._critic.losses(*rollout)
            scale = 10.0  # the bound is a sum over features
            loss = loss + scale * self.config.adversary * found["adversary"]
            loss = loss + scale * self.config.obeys * found["obeys"]
            terms |= found
        length = self._descend(loss)
        if rollout is not None:
            real = torch.from_numpy(np.concatenate([batch.first[:, None], batch.rows], 1))
            real = real[:, : self._length + 1]
            given = torch.from_numpy(batch.conditions)
            terms["critic"] = self._critic.learn(*rollout, real, given)
        return self._end_step(len(batch.first), {**terms, "gradient_norm": length})

    def _bound(self, batch: Batch) -> dict[str, Tensor]:
        return bound(self.net, batch, self._speed)

    def _rollout(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, length + 1, F) rows by the prior, which go on from those of the last step."""
        net, given = self.net, torch.from_numpy(batch.conditions)
        fresh = net.begin(torch.from_numpy(batch.first), given)
        if self._pool is None:
            state, conditions = fresh, given
        else:
            state, conditions = self._pool
            anew = torch.rand(len(given), 1) < _RENEWED
            turned = anew | (torch.rand(len(given), 1) < _TURNED)
            count = net.sizes.statistics
            statistics = torch.where(turned, given[:, :count], conditions[:, :count])
            pose = torch.where(anew, given[:, count:], conditions[:, count:])
            conditions = torch.cat([statistics, pose], 1)
            state = State(
                torch.where(anew, fresh.hidden, state.hidden),
                torch.where(anew, fresh.last, state.last),
                torch.where(anew[..., None], fresh.tail, state.tail),
            )
        rows = [state.last[:, None]]
        for _ in range(_PIECES):
            step = net(state, conditions, torch.randn(len(given), net.sizes.latent), None)
            state = step.state
            rows.append(step.rows)
        self._pool = State(*(part.detach() for part in state)), conditions
        return torch.cat(rows, 1), conditions

    def validate(self) -> dict[str, float]:
        """Measure the averaged network on other people and add to the curves."""
        numbers = np.linspace(0, len(self._held.places) - 1, _HELD).round().astype(int)
        length = self._length + self.net.sizes.overlap
        batch = samples.take(self._held, numbers.tolist(), length)
        with torch.no_grad():
            found = {k: float(v) for k, v in bound(self.average.eval(), batch, self._speed).items()}
        self._report("  validation: " + " ".join(f"{k} {v:.3f}" for k, v in found.items()))
        self._curves.add({**self._row(), **found})
        self.export()
        return found

    def export(self) -> Path:
        """Write the averaged network."""
        path = self.config.out / EXPORT
        imagined_motion_file.write(self.average, self._tables, path)
        return path

    def _state(self) -> dict[str, Any]:
        pool = None if self._pool is None else [*self._pool[0], self._pool[1]]
        return {**super()._state(), "critic": self._critic.state(), "pool": pool}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self._critic.restore(state["critic"])
        pool = state["pool"]
        self._pool = None if pool is None else (State(*pool[:3]), pool[3])


def bound(net: ImaginedMotionNetwork, batch: Batch, speed: Tensor) -> dict[str, Tensor]:
    """The terms of the variational bound, mean of the pieces; sums over features and latents.

    row: squared error of rows; change: of their changes, each in units of its deviation; kl;
    blink: cross entropy.
    """
    s = net.sizes
    given, rows = torch.from_numpy(batch.conditions), torch.from_numpy(batch.rows)
    onsets, since = torch.from_numpy(batch.onsets), torch.from_numpy(batch.since_s)
    first = torch.from_numpy(batch.first)
    state, made, kl, blink = net.begin(first, given), [], [], []
    pieces = (rows.shape[1] - s.overlap) // s.piece
    for number in range(pieces):
        start = number * s.piece
        logits = net.blink_logits(state, given, since[:, start])
        truth = onsets[:, start : start + s.piece]
        blink.append(functional.binary_cross_entropy_with_logits(logits, truth))
        ahead = rows[:, start : start + s.piece + s.overlap]
        step = net(state, given, torch.randn(len(given), s.latent), ahead)
        state = step.state
        made.append(step.rows)
        kl.append(_divergence(step))
    whole = torch.cat([first[:, None], *made], 1)
    true = torch.cat([first[:, None], rows[:, : pieces * s.piece]], 1)
    apart = (whole - true)[:, 1:]
    change = ((whole[:, 1:] - whole[:, :-1]) - (true[:, 1:] - true[:, :-1])) / speed
    scale = 0.5 * s.piece * s.features
    return {
        "row": scale * apart.square().mean() / _ROW**2,
        "change": scale * change.square().mean() / _CHANGE**2,
        "kl": torch.stack(kl).mean(),
        "blink": torch.stack(blink).mean(),
    }


def _divergence(step: Step) -> Tensor:
    """Sum over the latents of KL(posterior | prior), in nats, mean of the batch."""
    assert step.posterior is not None
    (m, a), (n, b) = step.posterior, step.prior
    found = 0.5 * (b - a + (a.exp() + (m - n).square()) / b.exp() - 1)
    return found.mean(0).clamp(min=_FREE_NATS).sum()
