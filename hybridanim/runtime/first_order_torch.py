"""The first-order model run by torch, in float32: the fallback of ``first_order_models``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybridanim.networks import first_order, first_order_file
from hybridanim.networks.blocks import Points
from hybridanim.networks.first_order_file import DETECTOR, GENERATOR, FirstOrderSizes
from hybridanim.networks.weights import read_header
from hybridanim.types import Array

from . import sample_inputs
from .base import RuntimeInfo, not_finite
from .first_order import FirstOrderAnimator


class TorchParts:
    """``encode``, ``move``, ``paint`` and ``detect``, as ``first_order_models``' models are."""

    def __init__(self, sizes: FirstOrderSizes, tensors: dict[str, Array]) -> None:
        """sizes, tensors: of ``first_order_file.read``."""
        self.sizes = sizes
        self.generator = _filled(first_order.Generator(sizes), tensors, GENERATOR)
        self.detector = _filled(first_order.KeypointDetector(sizes), tensors, DETECTOR)

    def encode(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Features of the source, and the source at the size of the flow."""
        with torch.inference_mode():
            picture = torch.from_numpy(inputs["picture"])
            small = self.generator.dense_motion_network.down(picture)
            return {"small": small.numpy(), "deep": self.generator.encode(picture).numpy()}

    def move(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Flow, occlusion map and masks."""
        found = {name: torch.from_numpy(value) for name, value in inputs.items()}
        with torch.inference_mode():
            points = (
                Points(found[f"{which}_xy"] / self.sizes.unit, found[f"{which}_jacobian"])
                for which in ("source", "target")
            )
            flow, occlusion, masks = self.generator.dense_motion_network.move(
                found["small"], *points
            )
            flow = flow * (self.sizes.unit if self.sizes.align_corners else 1.0)
            return {"flow": flow.numpy(), "occlusion": occlusion.numpy(), "masks": masks.numpy()}

    def paint(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Picture, and an alpha of ones."""
        deep, flow, shown = (
            torch.from_numpy(inputs[name]) for name in ("deep", "flow", "occlusion")
        )
        with torch.inference_mode():
            flow = flow / (self.sizes.unit if self.sizes.align_corners else 1.0)
            paint = self.generator.paint(deep, flow, shown).numpy()
        return {"paint": paint, "alpha": np.ones_like(paint[:, :1])}

    def detect(self, picture: Array) -> tuple[Array, Array, Array]:
        """(1, 3, S, S) in [0, 1] -> xy (1, K, 2), Jacobians (1, K, 2, 2), spread (1, K)."""
        with torch.inference_mode():
            points, spread = self.detector.detect(torch.from_numpy(picture))
        unit = np.float32(self.sizes.unit)
        return unit * points.xy.numpy(), points.jacobian.numpy(), unit * spread.numpy()


class TorchFirstOrderDetector:
    """``base.DetectorNetwork`` by torch."""

    def __init__(self, parts: TorchParts, info: RuntimeInfo) -> None:
        self._parts, self.runtime_info = parts, info

    def __call__(self, picture: Array) -> tuple[Array, Array, Array]:
        """See ``TorchParts.detect``."""
        return self._parts.detect(picture)


Loaded = FirstOrderAnimator | TorchFirstOrderDetector


def load(part: str, path: Path, notes: list[str]) -> Loaded:
    """Load ``animator`` or ``detector``; InputError for weights whose results are not finite."""
    parts = TorchParts(*first_order_file.read(path, read_header(path).sizes))
    info = RuntimeInfo("torch", "f32", notes=tuple(notes))
    sample = sample_inputs.checks(parts.sizes.picture_px, parts.sizes.count)[0]
    if part == "detector":
        found = parts.detect(sample_inputs.batch(sample.picture))
        _expect_finite(path, dict(zip(("xy", "jacobian", "spread"), found, strict=True)))
        return TorchFirstOrderDetector(parts, info)
    own = {"encode": parts.encode, "move": parts.move, "paint": parts.paint}
    animator = FirstOrderAnimator(own, info, parts.sizes.picture_px)
    known: dict[str, Array] = dict(animator.encode(sample.picture))
    moved = animator.move(known, sample.source, sample.target)
    known |= dict(moved.features.motion)
    _expect_finite(path, known | parts.paint(known))
    return animator


def _expect_finite(path: Path, found: dict[str, Array]) -> None:
    wrong = [name for name, value in found.items() if not np.isfinite(value).all()]
    if wrong:
        raise not_finite(path, f"inf or not-a-number in {', '.join(wrong)}")


def _filled(net: Any, tensors: dict[str, Array], name: str) -> Any:
    """The network with the file's values, in evaluation mode."""
    own = first_order_file.part(tensors, name)
    counters = {k: v for k, v in net.state_dict().items() if first_order_file.is_counter(k)}
    net.load_state_dict({k: torch.from_numpy(v) for k, v in own.items()} | counters)
    return net.eval().requires_grad_(False)
