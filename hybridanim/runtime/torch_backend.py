"""The learned networks run by torch: the fallback, and the reference of every other runtime.

bfloat16 where the processor has it; numpy in and out, as ``networks.AnimatorNetworks`` and
``networks.DetectorNetwork`` say. Imports torch.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridanim.networks.blocks import Points, folded
from hybridanim.networks.build import Animator
from hybridanim.networks.generator import Encoded
from hybridanim.networks.keypoint_detector import KeypointDetector
from hybridanim.networks.weights import read_weights
from hybridanim.types import Array, Keypoints, OpticalFlow

from . import networks
from .networks import About, Moved


def load(part: str, path: Path, notes: list[str]) -> TorchAnimator | TorchDetector:
    """``animator`` or ``detector`` of a weights file that has it."""
    found = read_weights(path)
    if part == "animator" and found.animator is not None:
        return TorchAnimator(found.animator, notes=tuple(notes))
    assert found.detector is not None  # networks._load has looked
    return TorchDetector(found.detector, notes=tuple(notes))


class _Torch:
    def __init__(self, bf16: bool | None, notes: tuple[str, ...]) -> None:
        """bf16: None uses it where the processor has it."""
        self._bf16 = has_bf16() if bf16 is None else bf16
        self.about = About("torch", "bf16" if self._bf16 else "f32", notes=notes)

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._bf16)


class TorchAnimator(_Torch):
    """``networks.AnimatorNetworks`` by torch."""

    def __init__(
        self, net: Animator, *, bf16: bool | None = None, notes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(bf16, notes)
        self._net = _prepared(net)
        self.side_px, self.has_optical = net.sizes.picture_px, net.sizes.optical

    def encode(self, picture: Array) -> Encoded:
        """Once per source: (side, side, 3) uint8 RGB."""
        with torch.inference_mode(), self._precision():
            return self._net.encode(_picture(picture))

    def move(
        self,
        encoded: Encoded,
        source: Keypoints,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> Moved:
        """Once per frame; as ``networks.AnimatorNetworks`` says."""
        behind = None if background is None else torch.from_numpy(background)[None]
        flow = None if optical is None else _flow(optical, self.side_px)
        with torch.inference_mode(), self._precision():
            points = _points(source), _points(target)
            motion = self._net.motion(encoded.small, *points, behind, flow)
        return Moved(
            motion.flow[0].float().numpy(),
            motion.occlusion[0, 0].float().numpy(),
            motion.masks[0].float().numpy(),
            motion,
        )

    def paint(self, encoded: Encoded, moved: Moved) -> tuple[Array, Array]:
        """Once per frame: paint (side, side, 3) uint8 RGB, its alpha (side, side) in [0, 1]."""
        with torch.inference_mode(), self._precision():
            painted = self._net.generator(encoded, moved.features)
        paint = (255 * painted.paint[0].float() + 0.5).clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(paint.permute(1, 2, 0).numpy()), (
            painted.alpha[0, 0].float().numpy()
        )


class TorchDetector(_Torch):
    """``networks.DetectorNetwork`` by torch."""

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


def _prepared(net: Any) -> Any:
    net = folded(net.eval()).requires_grad_(False)
    return net.to(memory_format=torch.channels_last)


def _picture(picture: Array) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1], channels last."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def _flow(optical: OpticalFlow, side_px: int) -> Tensor:
    return torch.from_numpy(networks.optical_input(optical, side_px))


def _points(keypoints: Keypoints) -> Points:
    return Points(
        torch.from_numpy(keypoints.xy_norm)[None], torch.from_numpy(keypoints.jacobian)[None]
    )


@cache
def has_bf16() -> bool:
    """Whether bfloat16 is fast here, not only emulated."""
    found = torch.backends.cpu.get_cpu_capability()
    is_known = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return bool(is_known) and "AVX512" in found
