"""The learned networks run by torch: the fallback, and the reference for every other runtime.

Uses bfloat16 if the processor supports it; numpy in and out (``base``). Imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridanim.config import RuntimeConfig
from hybridanim.networks.blocks import Points, folded
from hybridanim.networks.build import Animator
from hybridanim.networks.dense_motion import Motion
from hybridanim.networks.generator import Encoded, Painted
from hybridanim.networks.keypoint_detector import KeypointDetector
from hybridanim.networks.models import FIRST_ORDER
from hybridanim.networks.weights import read_header, read_weights
from hybridanim.types import Array, Keypoints, LearnedFeatures, OpticalFlow

from . import first_order_torch, sample_inputs
from .base import Moved, RuntimeInfo, not_finite, optical_input


def load(
    part: str, path: Path, config: RuntimeConfig, notes: list[str]
) -> TorchAnimator | TorchDetector | first_order_torch.Loaded:
    """Load ``animator`` or ``detector`` of a weights file that has it.

    config: precision f32 is used as given, any other choice means the fastest; there is no int8. A
    precision that gives non-finite results on the check's input is replaced by float32. Raises
    InputError when float32 gives such results as well.
    """
    if read_header(path).model == FIRST_ORDER:
        return first_order_torch.load(part, path, notes)
    found, wrong = read_weights(path), ""
    fast = config.precision != "f32" and has_bf16()
    for bf16 in (True, False) if fast else (False,):
        if part == "animator" and found.animator is not None:
            network = TorchAnimator(found.animator, bf16=bf16, notes=tuple(notes))
        else:
            assert found.detector is not None  # checked by networks._load
            network = TorchDetector(found.detector, bf16=bf16, notes=tuple(notes))
        wrong = network.not_finite()
        if not wrong:
            return network
        notes.append(f"Torch's {part} in {network.runtime_info.precision} is not used: {wrong}")
    raise not_finite(path, wrong)


class _Torch:
    def __init__(self, bf16: bool | None, notes: tuple[str, ...]) -> None:
        """bf16: None = if the processor supports it."""
        self._bf16 = has_bf16() if bf16 is None else bf16
        self.runtime_info = RuntimeInfo("torch", "bf16" if self._bf16 else "f32", notes=notes)

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._bf16)


class TorchAnimator(_Torch):
    """``base.AnimatorNetworks`` by torch."""

    def __init__(
        self, net: Animator, *, bf16: bool | None = None, notes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(bf16, notes)
        self._net = _prepared(net)
        self.side_px, self.uses_optical_flow = net.sizes.picture_px, net.sizes.optical

    def encode(self, picture: Array) -> dict[str, Array]:
        """Encode a source; see ``base.AnimatorNetworks``."""
        with torch.inference_mode(), self._precision():
            return _arrays(self._net.encode(_picture(picture)))

    def move(
        self,
        encoded: Mapping[str, Array],
        source: Keypoints,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> Moved:
        """Compute one frame's motion; see ``base.AnimatorNetworks``."""
        affine = None if background is None else torch.from_numpy(background)[None]
        flow = None if optical is None else _flow(optical, self.side_px)
        with torch.inference_mode(), self._precision():
            points = _points(source), _points(target)
            small = torch.from_numpy(encoded["small"])
            found = _arrays(self._net.motion(small, *points, affine, flow))
        flow_norm, occlusion, masks = found["flow"][0], found["occlusion"][0, 0], found["masks"][0]
        return Moved(flow_norm, occlusion, masks, LearnedFeatures(encoded, found))

    def paint(self, features: LearnedFeatures) -> tuple[Array, Array]:
        """Paint one frame; see ``base.AnimatorNetworks``."""
        painted = self._painted(features)
        paint = (255 * painted.paint[0].float() + 0.5).clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(paint.permute(1, 2, 0).numpy()), (
            painted.alpha[0, 0].float().numpy()
        )

    def _painted(self, features: LearnedFeatures) -> Painted:
        encoded, motion = Encoded(**_tensors(features.source)), Motion(**_tensors(features.motion))
        with torch.inference_mode(), self._precision():
            return self._net.generator(encoded, motion)

    def not_finite(self) -> str:
        """Text about non-finite results on the check's first sample; "" if all are finite."""
        sample = sample_inputs.checks(self.side_px, len(self._net.motion.log_reach))[0]
        encoded = self.encode(sample.picture)
        moved = self.move(encoded, sample.source, sample.target, sample.background)
        painted = self._painted(moved.features)
        output = encoded | dict(moved.features.motion)
        return _not_finite(
            output | {"paint": painted.paint.float(), "alpha": painted.alpha.float()}
        )


class TorchDetector(_Torch):
    """``base.DetectorNetwork`` by torch."""

    def __init__(
        self, net: KeypointDetector, *, bf16: bool | None = None, notes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(bf16, notes)
        self._net = _prepared(net)

    def __call__(self, picture: Array) -> tuple[Array, Array, Array]:
        """(1, 3, S, S) in [0, 1] -> xy (1, K, 2), Jacobians (1, K, 2, 2), spread (1, K)."""
        with torch.inference_mode(), self._precision():
            found = self._net.detect(torch.from_numpy(picture))
        xy, jacobian, spread = (value.float().numpy() for value in (*found.points, found.spread))
        return xy, jacobian, spread

    def not_finite(self) -> str:
        """Text about non-finite results on the check's first sample; "" if all are finite."""
        sample = sample_inputs.checks(self._net.size, 1)[0]
        output = self(sample_inputs.batch(sample.picture))
        return _not_finite(dict(zip(("xy", "jacobian", "spread"), output, strict=True)))


def _not_finite(output: Mapping[str, Array | Tensor]) -> str:
    wrong = [name for name, value in output.items() if not np.isfinite(np.asarray(value)).all()]
    return f"inf or not-a-number in {', '.join(wrong)}" if wrong else ""


def _arrays(named: Encoded | Motion) -> dict[str, Array]:
    """Tensors of a named tuple as float32 arrays; exact for bfloat16."""
    return {name: value.float().numpy() for name, value in named._asdict().items()}


def _tensors(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value) for name, value in arrays.items()}


def _prepared(net: Any) -> Any:
    net = folded(net.eval()).requires_grad_(False)
    return net.to(memory_format=torch.channels_last)


def _picture(picture: Array) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1], channels last."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def _flow(optical: OpticalFlow, side_px: int) -> Tensor:
    return torch.from_numpy(optical_input(optical, side_px))


def _points(keypoints: Keypoints) -> Points:
    return Points(
        torch.from_numpy(keypoints.xy_norm)[None], torch.from_numpy(keypoints.jacobian)[None]
    )


@cache
def has_bf16() -> bool:
    """Whether the processor supports bfloat16, so that it is fast."""
    found = torch.backends.cpu.get_cpu_capability()
    is_known = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return bool(is_known) and "AVX512" in found
