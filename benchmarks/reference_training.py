"""Trains the published first-order model as published, in the processor time that it is given.

Self-supervised: ten keypoints with Jacobians by its own detector, perceptual loss at several sizes,
equivariance of places and Jacobians, Adam at 2e-4 (Siarohin et al. 2019, section 3 and its
configuration for faces). ``Recipe`` says what differs, for want of time. The loop and its clock,
processor time, are those of the renderer's own training (hybridanim/training/loop.py), so equal
budgets are equal; a killed run goes on and equals one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hybridanim.networks.blocks import Points
from hybridanim.training import equivariance, loop, losses
from hybridanim.training.config import LoopConfig, Phase
from hybridanim.training.data import cache
from hybridanim.training.data.augment import Augment
from hybridanim.training.data.batch import Batch
from hybridanim.training.data.pairs import Pairs
from hybridanim.training.loop import Schedule, TrainingLoop

from .training import Published

AUGMENT = Augment(turn_deg=0, grow=(1, 1), crop=0, shift_norm=0, hue=0, noisy=0)
"""As published: mirroring, reversing and colours."""
_LEAST_PX = 32  # of a picture that the perceptual network is shown


@dataclass(frozen=True)
class Recipe(LoopConfig):
    """One training run of the published model; nothing is validated during the run."""

    time_budget_s: float = 1800.0
    """Processor time; without effect when there are ``steps``."""
    learning_rate: float = 2e-4
    """Of Adam, as published; falls as a cosine to a twentieth in the run's last part."""
    warmup_steps: int = 0
    """As published."""
    clip_norm: float = math.inf
    """As published: gradients are not clipped."""
    ema: float = 0.98
    """Weight of the past in the averaged weights, which are measured (published: none)."""
    threads: int = 1
    """Time of one thread is compared."""
    validate_s: float = math.inf
    """Never."""
    cache: Path = Path("scratch/cache/train")
    """Listing or folder of cached clips."""
    network: Path | None = None
    """SqueezeNet weights for the perceptual loss (published: VGG-19), or none: left out."""
    phases: tuple[Phase, ...] = (Phase(128, 4, 0.5), Phase(256, 2, 0.5))
    """Published: 256 pixels throughout, in batches of twenty and more."""
    falls_from: float = 0.7
    """Share of the run after which the learning rate falls (published: by ten at 0.6 and 0.9)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Of Adam, as published."""
    perceptual: float = 1.0
    """Weight; the mean over the sizes, each relative to the truth's own features."""
    l1: float = 5.0
    """Weight of the pixels' own difference (published: 0): it is quicker than features alone."""
    equivariance: float = 0.1
    """Weight of both terms; relative to the perceptual one about what was published."""


class Training(TrainingLoop[Published, Batch]):
    """One run."""

    def __init__(self, recipe: Recipe, report: Callable[[str], None] = print) -> None:
        """Begin, or go on from the checkpoint in the run's folder."""
        loop.start(recipe)
        net = Published().to(memory_format=torch.channels_last)  # pyright: ignore
        rate, time_s = recipe.learning_rate, 0 if recipe.steps else recipe.time_budget_s
        super().__init__(
            net,
            torch.optim.Adam(net.parameters(), rate, recipe.betas, fused=True),
            recipe,
            Schedule(recipe.steps, time_s, rate, falls_from=recipe.falls_from),
            report=report,
            clock=time.process_time,
        )
        self.recipe = recipe
        self._pairs = Pairs(cache.read(recipe.cache), None, AUGMENT, seed=recipe.seed)
        self._perceptual = losses.SqueezeNet(recipe.network) if recipe.network else None
        self.losses: list[float] = []  # of every step
        self._resume()

    def _prepare(self, step: int) -> Batch:
        phase = loop.phase_at(self.recipe.phases, self.progress(step))
        return self._pairs.batch(step, phase.batch, phase.size)

    def _learn(self, batch: Batch) -> dict[str, float]:
        recipe = self.recipe
        self._begin_step()
        drawn = torch.Generator().manual_seed(recipe.seed * 1_000_003 + self.step)
        warp = equivariance.random_warp(len(batch.driving), drawn)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            warped = equivariance.warp_picture(warp, batch.driving)
            found = self.net.detector(torch.cat([batch.source, batch.driving, warped]))
            parts = zip(found.xy.chunk(3), found.jacobian.chunk(3), strict=True)
            points = [Points(*part) for part in parts]
            picture = self.net.generator(batch.source, *points[:2]).picture.float()
            perceptual = self._look(picture, batch.driving)
        places, affines = equivariance.losses(warp, *points[1:])
        l1 = (picture - batch.driving).abs().mean()
        loss = recipe.perceptual * perceptual + recipe.l1 * l1
        loss = loss + recipe.equivariance * (places + affines)
        self._descend(loss)
        terms = {"loss": loss, "l1": l1, "perceptual": perceptual, "places": places}
        numbers = self._end_step(len(batch.driving), terms | {"affines": affines})
        self.losses.append(numbers["loss"])
        return numbers

    def _look(self, found: Tensor, truth: Tensor) -> Tensor:
        """Mean perceptual difference of (B, 3, S, S) at full, half, ... an eighth of the size."""
        if self._perceptual is None:
            return found.new_zeros(())
        terms = []
        for _ in range(4):
            terms.append(self._perceptual(found, truth))
            if found.shape[-1] < 2 * _LEAST_PX:
                break
            found, truth = functional.avg_pool2d(found, 2), functional.avg_pool2d(truth, 2)
        return torch.stack(terms).mean()

    def validate(self) -> dict[str, float]:
        """Nothing: benchmarks/against_reference.py measures the result."""
        return {}

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "losses": self.losses}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self.losses = state["losses"]
