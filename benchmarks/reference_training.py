"""Trains the published first-order model as published, in the processor time that it is given.

Self-supervised: ten keypoints with Jacobians by its own detector, perceptual loss at several sizes,
equivariance of places and Jacobians, Adam at 2e-4 (Siarohin et al. 2019, section 3 and its
configuration for faces). What differs, for want of time, is in ``Recipe``. Time is that of the
processor, of training steps alone; a killed run goes on, and equals one that was never stopped.
"""

from __future__ import annotations

import copy
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
from hybridanim.training import average, checkpoint, equivariance, losses
from hybridanim.training.config import Phase
from hybridanim.training.data import cache as data_cache
from hybridanim.training.data.pairs import Augment, Batch, Pairs

from .training import Published

AUGMENT = Augment(turn_deg=0, grow=(1, 1), crop=0, shift_norm=0, hue=0, noisy=0)
"""As published: mirroring, reversing and colours."""
_LEAST_PX = 32  # of a picture that the perceptual network is shown


@dataclass(frozen=True)
class Recipe:
    """One training run of the published model."""

    out: Path
    """Folder of the checkpoint."""
    cache: Path
    """Listing or folder of cached clips."""
    network: Path | None = None
    """SqueezeNet weights for the perceptual loss (published: VGG-19), or none: left out."""
    minutes: float = 30.0
    """Of processor time."""
    steps: int = 0
    """Steps in all; 0 takes as many as the time allows."""
    phases: tuple[Phase, ...] = (Phase(128, 4, 0.5), Phase(256, 2, 0.5))
    """Published: 256 pixels throughout, in batches of twenty and more."""
    learning_rate: float = 2e-4
    """Of Adam, as published; falls as a cosine to a twentieth in the run's last part."""
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
    ema: float = 0.98
    """Weight of the past in the averaged weights, which are measured (published: none)."""
    seed: int = 1
    """One seed and number of steps give one result."""
    bf16: bool = True
    """Compute convolutions in bfloat16."""
    checkpoint_s: float = 120.0
    """Processor seconds between checkpoints."""


class Training:
    """One run: everything that changes while it trains."""

    def __init__(self, recipe: Recipe, report: Callable[[str], None] = print) -> None:
        """Begin, or go on from the checkpoint in the run's folder."""
        torch.set_num_threads(1)
        torch.manual_seed(recipe.seed)
        recipe.out.mkdir(parents=True, exist_ok=True)
        self.recipe, self._report = recipe, report
        self.net = Published().to(memory_format=torch.channels_last)  # pyright: ignore
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        self._optimiser = torch.optim.Adam(
            self.net.parameters(), recipe.learning_rate, recipe.betas, fused=True
        )
        clips = data_cache.read(recipe.cache)
        self._pairs = Pairs(clips, None, AUGMENT, seed=recipe.seed)
        self._perceptual = losses.SqueezeNet(recipe.network) if recipe.network else None
        self.step, self.samples, self.elapsed_s = 0, 0, 0.0
        self.losses: list[float] = []  # of every step
        self._resume()

    def progress(self) -> float:
        """Share of the run that is done."""
        if self.recipe.steps:
            return min(1.0, self.step / self.recipe.steps)
        return min(1.0, self.elapsed_s / (60 * self.recipe.minutes))

    def phase(self) -> Phase:
        """The part of the curriculum that the next step belongs to."""
        done, phases = 0.0, self.recipe.phases
        for phase in phases:
            done += phase.share
            if self.progress() < done:
                return phase
        return phases[-1]

    def run(self) -> Published:
        """Train until the run is done; returns the averaged networks."""
        saved_s = self.elapsed_s
        while self.progress() < 1:
            start_s, phase = time.process_time(), self.phase()
            batch = self._pairs.batch(self.step, phase.batch, phase.size)
            terms = self._learn(batch)
            self.elapsed_s += time.process_time() - start_s
            if self.step % 20 == 0 or self.step == 1:
                shown = " ".join(f"{name} {value:.4f}" for name, value in terms.items())
                self._report(f"{self.step} {self.elapsed_s:.0f}s {phase.size}px {shown}")
            if self.elapsed_s - saved_s >= self.recipe.checkpoint_s:
                self.save()
                saved_s = self.elapsed_s
        if self.elapsed_s > saved_s:
            self.save()
        return self.average.eval()

    def _learn(self, batch: Batch) -> dict[str, float]:
        recipe = self.recipe
        self.net.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        drawn = torch.Generator().manual_seed(recipe.seed * 1_000_003 + self.step)
        bend = equivariance.random_bend(len(batch.driving), drawn)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            bent = equivariance.bend_picture(bend, batch.driving)
            found = self.net.detector(torch.cat([batch.source, batch.driving, bent]))
            parts = zip(found.xy.chunk(3), found.jacobian.chunk(3), strict=True)
            points = [Points(*part) for part in parts]
            picture = self.net.generator(batch.source, *points[:2]).picture.float()
            perceptual = self._look(picture, batch.driving)
        places, affines = equivariance.losses(bend, *points[1:])
        l1 = (picture - batch.driving).abs().mean()
        loss = recipe.perceptual * perceptual + recipe.l1 * l1
        loss = loss + recipe.equivariance * (places + affines)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(loss):
            self._optimiser.step()
        self.losses.append(float(loss.detach()))
        self.step += 1
        self.samples += len(batch.driving)
        average.follow(self.average, self.net, recipe.ema, self.step)
        terms = {"loss": loss, "l1": l1, "perceptual": perceptual, "places": places}
        return {n: float(v.detach()) for n, v in (terms | {"affines": affines}).items()}

    def _learning_rate(self) -> float:
        start = self.recipe.falls_from
        late = max(0.0, self.progress() - start) / max(1e-9, 1 - start)
        return self.recipe.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * late)))

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

    def save(self) -> None:
        """Replace the checkpoint as a whole."""
        state: dict[str, Any] = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "samples": self.samples,
            "elapsed_s": self.elapsed_s,
            "losses": self.losses,
        }
        checkpoint.write(state, self.recipe.out / checkpoint.CHECKPOINT)

    def _resume(self) -> None:
        path = self.recipe.out / checkpoint.CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.samples = state["step"], state["samples"]
        self.elapsed_s, self.losses = state["elapsed_s"], state["losses"]
        self._report(f"resumed at step {self.step}, {self.elapsed_s:.0f} s")
