"""Labelled footage -> weights of one landmark network.

The loss is the distance of the points, smooth near zero, in units of the window; lids and lips
count more, and so do the openings themselves, which decide whether a blink is seen. For close looks
the change of openings and widths between two frames of a clip counts, too: a constant error is
better than a missed smile. Whoever is unsure answers near the mean, so the gain of these changes
over the true ones, their slope, is held near one.
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

from hybridanim.errors import InputError
from hybridanim.face import mesh
from hybridanim.face.face_model import FaceModel
from hybridanim.face.face_windows import FACE, KINDS
from hybridanim.networks import face_points_file
from hybridanim.networks.face_points import SIZES, PointNetwork
from hybridanim.training import loop
from hybridanim.training.config import LoopConfig
from hybridanim.training.loop import Report, Schedule, TrainingLoop

from . import samples
from .samples import Batch, Footage
from .validation import PAIRS, validate

EXPORT = "points.safetensors"
_SHAPE_SAMPLES = 6000  # windows that the shape model is made of
_STILL = 1e-4  # squared window widths, sum over a batch
_SOFT = 0.004  # window widths; distance up to which the loss is quadratic
_OPENING, _CHANGE, _GAIN, _SCORE, _DEPTH = 1.5, 1.5, 0.5, 0.05, 0.5  # weights of the terms


@dataclass(frozen=True)
class PointsConfig(LoopConfig):
    """One training of a landmark network."""

    kind: str = "face"
    """Network: face, eye or mouth."""
    batch: int = 64
    """Windows a step."""
    learning_rate: float = 1.5e-3
    """Peak of the learning rate."""
    bf16: bool = False
    """Compute convolutions in bfloat16."""
    start_from: Path | None = None
    """Weights to start from, whose shape model is kept; None begins anew."""
    threads: int = 1
    """CPU threads of the network."""


class PointsTrainer(TrainingLoop[PointNetwork, Batch]):
    """One run."""

    def __init__(
        self,
        config: PointsConfig,
        footage: Footage,
        held: Footage,
        model: FaceModel,
        report: Report = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        loop.start(config)
        self.config, self._kind = config, KINDS[config.kind]
        self._footage, self._held, self._model = samples.balanced(footage, self._kind), held, model
        net = PointNetwork(SIZES[config.kind])
        net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if config.start_from is None:
            self._set_shape(net)
        else:
            _start(net, config.start_from, config.kind)
        rate = config.learning_rate
        super().__init__(
            net,
            torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=config.weight_decay),
            config,
            Schedule(config.steps, config.time_budget_s, rate, config.warmup_steps, last=0.01),
            report=report,
            clock=clock,
        )
        weight = np.ones(len(self._kind.points), np.float32)
        if config.kind == "face":
            weight[[i for rows in (*mesh.EYES, *mesh.IRISES) for i in rows]] = 2.0
            weight[[*mesh.OUTER_LIPS, *mesh.INNER_LIPS]] = 2.0
        self._weight = torch.from_numpy(weight / weight.mean())
        self._pairs = PAIRS[config.kind]
        self._report(
            f"{len(footage.greys)} frames, {sum(p.numel() for p in net.parameters())} parameters"
        )
        self._resume()

    def _set_shape(self, net: PointNetwork) -> None:
        """Mean and principal directions of the points in the augmented windows."""
        rng = np.random.default_rng([self.config.seed, 1])
        found = samples.batch(self._footage, self._kind, _SHAPE_SAMPLES, rng, self._model.mirror)
        flat = found.points[found.is_face > 0].reshape(int(found.is_face.sum()), -1)
        mean = flat.mean(0)
        _, spread, directions = np.linalg.svd(flat - mean, full_matrices=False)
        count = net.sizes.components
        basis = directions[:count] * (spread[:count] / np.sqrt(len(flat)))[:, None]
        net.mean.copy_(torch.from_numpy(mean))
        net.basis.copy_(torch.from_numpy(basis.astype(np.float32)))

    def _prepare(self, step: int) -> Batch:
        rng = np.random.default_rng([self.config.seed, 0, step])
        return samples.batch(self._footage, self._kind, self.config.batch, rng, self._model.mirror)

    def _learn(self, batch: Batch) -> dict[str, float]:
        self._begin_step()
        windows = torch.from_numpy(batch.windows).to(memory_format=torch.channels_last)
        truth, is_face = torch.from_numpy(batch.points), torch.from_numpy(batch.is_face)
        points, score = self.net(windows)
        weight = is_face[:, None] * self._weight
        error = _robust(points - truth)
        place = (error[..., :2].sum(-1) * weight).mean()
        if error.shape[-1] == 3:
            place = place + _DEPTH * (error[..., 2] * weight).mean()
        seen, true = self._gaps(points), self._gaps(truth)
        gaps = seen - true
        terms = {
            "place": place,
            "opening": (_robust(gaps) * is_face[:, None]).mean(),
            "score": functional.binary_cross_entropy_with_logits(score, is_face),
        }
        loss = place + _OPENING * terms["opening"] + _SCORE * terms["score"]
        if self._kind is not FACE and len(gaps) > 1:
            terms["change"] = _robust(_change(gaps)).mean()
            terms["gain"] = ((1 - _gain(_change(seen), _change(true))) ** 2).mean()
            loss = loss + _CHANGE * terms["change"] + _GAIN * terms["gain"]
        terms["gradient_norm"] = self._descend(loss)
        return self._end_step(len(windows), {"loss": loss, **terms})

    def _gaps(self, points: Tensor) -> Tensor:
        """(B, P) distances between pairs of points across lids and lips."""
        first, second = (points[:, list(rows), :2] for rows in zip(*self._pairs, strict=True))
        return torch.sqrt(((first - second) ** 2).sum(-1) + 1e-8)

    def validate(self) -> dict[str, float]:
        """Measure the averaged network on other people and add to the curves."""
        found = validate(self.average.eval(), self._held, self._kind, self._model)
        shown = " ".join(f"{name} {value:.3f}" for name, value in found.items())
        self._report(f"  validation: {shown}")
        self._curves.add({**self._row(), **found})
        return found

    def export(self) -> Path:
        """Write the averaged network alone; ``calibration.face_points`` joins several."""
        path = self.config.out / EXPORT
        face_points_file.write({self.config.kind: self.average}, path)
        return path


def _start(net: PointNetwork, file: Path, kind: str) -> None:
    """Take over the network of a weights file; InputError when that has none of this kind."""
    found = face_points_file.read(file).get(kind)
    if found is None or found.sizes != net.sizes:
        raise InputError(
            f"{file}: expected a network for the {kind} of {net.sizes}, got"
            f" {found and found.sizes}; give another file"
        )
    net.load_state_dict(found.state_dict())


def _change(values: Tensor) -> Tensor:
    """(B // 2, P) change of (B, P) values from row 2 i to row 2 i + 1, two frames of one clip."""
    return values[1::2] - values[: len(values) - 1 : 2]


def _gain(seen: Tensor, true: Tensor) -> Tensor:
    """(P,) slope of the changes that were seen over the true ones; 1 where nothing changed."""
    power = (true**2).sum(0)
    slope = (seen * true).sum(0) / power.clamp_min(_STILL)
    return torch.where(power > _STILL, slope, torch.ones_like(slope))


def _robust(difference: Tensor) -> Tensor:
    return functional.smooth_l1_loss(
        difference, torch.zeros_like(difference), beta=_SOFT, reduction="none"
    )
