"""Labelled footage -> weights of the matting network.

The loss is the binary cross entropy, which counts more near the edge, the Dice loss (Milletari et
al. 2016) of the whole person, and the L1 of the mask's differences.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hybridanim.networks import matte_file
from hybridanim.networks.matte import MatteNetwork, MatteSizes
from hybridanim.training import loop
from hybridanim.training.config import LoopConfig
from hybridanim.training.loop import Report, Schedule, TrainingLoop

from . import samples
from .footage import Footage
from .samples import Batch
from .validation import validate

EXPORT = "matte.safetensors"
_EDGE, _EDGE_PX = 3.0, 5  # further weight of pixels near the mask's edge, and how near
_DICE, _GRADIENT = 0.5, 0.5  # weights of the terms


@dataclass(frozen=True)
class MatteConfig(LoopConfig):
    """One training of the matting network."""

    batch: int = 16
    """Windows a step."""
    learning_rate: float = 2e-3
    """Peak of the learning rate."""
    ema: float = 0.99
    """Weight of the past in the averaged weights, which are the result."""
    bf16: bool = False
    """Compute convolutions in bfloat16."""
    first_px: int = 96
    """Size of the windows in the first part of the run: smaller, so nearly three times as many in
    its time."""
    first_share: float = 0.55
    """Share of the run that is its first part."""
    start_from: Path | None = None
    """Weights to start from; None begins anew."""
    threads: int = 1
    """CPU threads of the network."""


class MatteTrainer(TrainingLoop[MatteNetwork, Batch]):
    """One run."""

    def __init__(
        self,
        config: MatteConfig,
        footage: Footage,
        held: Footage,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        sizes: MatteSizes | None = None,
    ) -> None:
        loop.start(config)
        self.config, self._footage, self._held = config, footage, held
        net = MatteNetwork(sizes)
        if config.start_from is not None:
            net = matte_file.read(config.start_from).train()
        net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        rate = config.learning_rate
        super().__init__(
            net,
            torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=config.weight_decay),
            config,
            Schedule(config.steps, config.time_budget_s, rate, config.warmup_steps, last=0.01),
            report=report,
            clock=clock,
        )
        self._report(
            f"{len(footage.images)} frames, {sum(p.numel() for p in net.parameters())} parameters"
        )
        self._resume()

    def _prepare(self, step: int) -> Batch:
        config, rng = self.config, np.random.default_rng([self.config.seed, 0, step])
        early = self.progress(step) < config.first_share
        n = config.first_px if early else self.net.sizes.window_px
        return samples.batch(self._footage, config.batch, n, rng)

    def _learn(self, batch: Batch) -> dict[str, float]:
        self._begin_step()
        windows = torch.from_numpy(batch.windows).to(memory_format=torch.channels_last)
        truth, known = torch.from_numpy(batch.masks), torch.from_numpy(batch.known)
        logits = self.net(windows)
        terms = {
            "entropy": _entropy(logits, truth, known),
            "dice": _dice(torch.sigmoid(logits) * known, truth * known),
            "gradient": _gradient(torch.sigmoid(logits), truth, known),
        }
        loss = terms["entropy"] + _DICE * terms["dice"] + _GRADIENT * terms["gradient"]
        length = self._descend(loss)
        return self._end_step(len(windows), {"loss": loss, **terms, "gradient_norm": length})

    def validate(self) -> dict[str, float]:
        """Measure the averaged network on other people and add to the curves."""
        found = validate(self.average.eval(), self._held)
        shown = " ".join(f"{name} {value:.2f}" for name, value in found.items())
        self._report(f"  validation: {shown}")
        self._curves.add({**self._row(), **found})
        return found

    def export(self) -> Path:
        """Write the averaged network."""
        path = self.config.out / EXPORT
        matte_file.write(self.average, path)
        return path


def _entropy(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    inside = (truth > 0.5).float()
    pad = _EDGE_PX // 2
    most = functional.max_pool2d(inside, _EDGE_PX, 1, pad)
    least = -functional.max_pool2d(-inside, _EDGE_PX, 1, pad)
    weight = known * (1 + _EDGE * (most - least))
    error = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (error * weight).sum() / weight.sum().clamp(min=1)


def _dice(mask: Tensor, truth: Tensor) -> Tensor:
    both = (mask * truth).sum((1, 2, 3))
    total = mask.square().sum((1, 2, 3)) + truth.square().sum((1, 2, 3))
    return (1 - (2 * both + 1) / (total + 1)).mean()


def _gradient(mask: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    off = mask - truth
    down = (off[:, :, 1:] - off[:, :, :-1]).abs() * known[:, :, 1:] * known[:, :, :-1]
    right = (off[..., 1:] - off[..., :-1]).abs() * known[..., 1:] * known[..., :-1]
    return 10 * (down.mean() + right.mean())
