"""Pairs of windows -> weights of one painter.

First L1, gradients and features of a perceptual network; later in the run also a patch
discriminator on the windows (LSGAN with feature matching), which brings teeth and lashes. All
pictures that a loss sees are composed with the warped window, so nothing outside the painted region
counts. The best weights by validation are kept beside the checkpoint.
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

from hybridanim.errors import InputError
from hybridanim.networks import painters_file
from hybridanim.networks.painters import SIZES, PainterNetwork
from hybridanim.training import device as devices
from hybridanim.training import loop, losses
from hybridanim.training.animator.objective import DiscriminatorTrainer
from hybridanim.training.config import LoopConfig
from hybridanim.training.data import prepare
from hybridanim.training.loop import BestValidation, Report, Schedule, TrainingLoop

from . import samples
from .resident import Resident
from .samples import Pairs
from .tensors import Tensors, at_device, composed
from .validation import batches, chosen, score, strip, validate

EXPORT = "painter.safetensors"
_INSIDE, _INSIDE_LATE = 1.0, -0.5  # further weight inside of lips and lids; with a discriminator
_CHANGED = 0.03  # difference of warped and true colours from which on paint is needed
_DETAIL = 6.0  # factor of the detail that the discriminator sees
_WIDTHS = (20, 40, 80)  # of the discriminator


@dataclass(frozen=True)
class PainterConfig(LoopConfig):
    """One training of a painter."""

    kind: str = "mouth"
    """Network: mouth or eye."""
    batch: int = 24
    """Pairs a step."""
    learning_rate: float = 1.5e-3
    """Peak of the learning rate."""
    bf16: bool = False
    """Compute convolutions in bfloat16."""
    start_from: Path | None = None
    """Weights to start from; None begins anew."""
    threads: int = 1
    """CPU threads of the network."""
    device: str = "auto"
    """cpu or cuda; auto takes the GPU where there is one."""
    resident: int = 0
    """Largest number of pairs that are held on the device and augmented there; 0: batches are made
    by the processor."""
    perceptual_network: Path | None = None
    """SqueezeNet weights; None leaves the perceptual term out."""
    gradient: float = 1.0
    """Weight of the L1 of finite differences."""
    paint: float = 0.4
    """Weight of the L1 of the paint alone, so that it learns where alpha is small."""
    perceptual: float = 0.15
    """Weight of the perceptual term."""
    perceptual_share: float = 0.5
    """Share of each batch that it sees; the discriminator sees the rest."""
    unneeded: float = 0.01
    """Weight of the share of paint where the warped window is right already."""
    gan: float = 0.15
    """Weight of the discriminator's scores."""
    matching: float = 0.5
    """Weight of the discriminator's activations."""
    gan_from: float = 0.3
    """Share of the run after which the discriminator is there."""
    discriminator_rate: float = 6e-4
    """Learning rate of the discriminator."""


class PainterTrainer(TrainingLoop[PainterNetwork, Tensors]):
    """One run."""

    def __init__(
        self,
        config: PainterConfig,
        pairs: Pairs,
        held: Pairs,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        loop.start(config)
        device = devices.pick(config.device)
        self.config, self._pairs, self._held = config, pairs, held
        net = PainterNetwork(SIZES[config.kind])
        net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if config.start_from is not None:
            _start(net, config.start_from, config.kind)
        net = net.to(device)
        rate = config.learning_rate
        super().__init__(
            net,
            torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=config.weight_decay),
            config,
            Schedule(config.steps, config.time_budget_s, rate, config.warmup_steps, last=0.02),
            report=report,
            clock=clock,
            device=device,
        )
        self._perceptual = None
        if config.perceptual_network is not None:
            self._perceptual = losses.SqueezeNet(config.perceptual_network).to(device)
        self._adversary = DiscriminatorTrainer(
            config.discriminator_rate, device=device, inputs=7, widths=_WIDTHS, spectral=False
        )
        self._resident = None
        if config.resident:
            threads = prepare.processors()
            self._resident = Resident(pairs, config.resident, config.seed, device, threads)
        self._best = BestValidation(0.0)
        self._numbers = chosen(held)
        self._given = batches(held, self._numbers)
        parameters = sum(p.numel() for p in net.parameters())
        kept = "" if self._resident is None else f", {len(self._resident)} of them on it"
        self._report(
            f"{len(pairs.places)} pairs of {len(pairs.parts)} clips, {parameters} parameters,"
            f" {device}{kept}"
        )
        self._resume()

    def _prepare(self, step: int) -> Tensors:
        if self._resident is not None:
            return self._resident.batch(step, self.config.batch)
        rng = np.random.default_rng([self.config.seed, 0, step])
        return at_device(samples.batch(self._pairs, self.config.batch, rng), self._device)

    def _half(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.config.bf16)

    def _learn(self, batch: Tensors) -> dict[str, float]:
        self._begin_step()
        with self._half():
            found = self.net(batch.inputs, batch.quantities)
        result, paint, share = composed(batch, *(x.float() for x in found))
        is_adversarial = self.progress() >= self.config.gan_from
        terms, loss = self._plain_losses(batch, result, paint, share, is_adversarial=is_adversarial)
        wanted = _wanted(batch)
        rest = slice(self._few(len(batch.inputs)) if self._perceptual else 0, None)
        pictures = [_seen(p[rest], batch.shapes[rest]) for p in (result, wanted)]
        if is_adversarial:
            with self._half():
                found_losses = self._adversary.generator_losses(*pictures)
            loss = loss + self.config.gan * found_losses["gan"]
            loss = loss + self.config.matching * found_losses["matching"]
            terms |= found_losses
        length = self._descend(loss)
        if is_adversarial:
            with self._half():
                terms["discriminator"] = self._adversary.learn(*pictures)
        values = {"loss": loss, **terms, "gradient_norm": length}
        return self._end_step(len(batch.inputs), values)

    def _plain_losses(
        self,
        batch: Tensors,
        result: Tensor,
        paint: Tensor,
        share: Tensor,
        *,
        is_adversarial: bool,
    ) -> tuple[dict[str, Tensor], Tensor]:
        config, true = self.config, batch.true
        inside = batch.shapes[:, 1 if config.kind == "mouth" else 0, None]
        weight = batch.region * (1 + (_INSIDE_LATE if is_adversarial else _INSIDE) * inside)
        change = (batch.warped - true).abs().mean(1, keepdim=True)
        change = functional.avg_pool2d(change, 5, 1, 2)
        terms = {
            "l1": losses.weighted_l1(result, true, weight),
            "gradient": losses.gradient_l1(result, true, weight, scales=2),
            "paint": losses.weighted_l1(paint, true, weight),
            "unneeded": (share * (-change / _CHANGED).exp()).mean(),
        }
        loss = terms["l1"] + config.gradient * terms["gradient"] + config.paint * terms["paint"]
        loss = loss + config.unneeded * terms["unneeded"]
        if self._perceptual is not None and config.perceptual:
            few = self._few(len(true))
            with self._half():
                terms["perceptual"] = self._perceptual(result[:few], _wanted(batch)[:few])
            loss = loss + config.perceptual * terms["perceptual"]
        return terms, loss

    def _few(self, count: int) -> int:
        """How many of a batch the perceptual network sees; it leaves one to the discriminator."""
        return min(count - 1, max(1, round(self.config.perceptual_share * count)))

    def validate(self) -> dict[str, float]:
        """Measure the averaged network on other people, add to the curves, keep the best."""
        net = self.average.eval()
        found = validate(net, self._held, self._numbers, self._given)
        shown = " ".join(f"{name} {value:.4f}" for name, value in found.items())
        self._report(f"  validation: {shown}")
        self._curves.add({**self._row(), **found})
        strip(net, self._given, self.config.out / f"strip_{self.step:06d}.png")
        if self._best.is_better(score(found), self.progress()):
            painters_file.write({self.config.kind: net}, self.config.out / EXPORT)
        return found

    def export(self) -> Path:
        """The file with the best weights so far; ``calibration.painters`` joins two."""
        return self.config.out / EXPORT

    def _state(self) -> dict[str, Any]:
        return {
            **super()._state(),
            "best": self._best.state(),
            "adversary": self._adversary.state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self._best.restore(state["best"])
        self._adversary.restore(state["adversary"])


def _seen(picture: Tensor, shapes: Tensor) -> Tensor:
    """What the discriminator sees, (B, 7, H, W): colours, amplified detail, masks."""
    grey = picture.mean(1, keepdim=True)
    detail = grey - functional.avg_pool2d(grey, 5, 1, 2, count_include_pad=False)
    return torch.cat([2 * picture - 1, _DETAIL * detail, shapes], 1)


def _wanted(batch: Tensors) -> Tensor:
    """The true window where paint may be, the warped one elsewhere."""
    return batch.warped + batch.region * (batch.true - batch.warped)


def _start(net: PainterNetwork, file: Path, kind: str) -> None:
    """Take over the network of a weights file; InputError when that has none of this kind."""
    found = painters_file.read(file).get(kind)
    if found is None or found.sizes != net.sizes:
        raise InputError(
            f"{file}: expected a painter of the {kind} of {net.sizes}, got"
            f" {found and found.sizes}; give another file"
        )
    net.load_state_dict(found.state_dict())
