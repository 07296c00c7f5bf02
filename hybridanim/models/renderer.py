"""Trained network, Source and target Keypoints -> DenseMotion and picture, numpy in and out.

The network sees 256x256 pixels whatever the size of the source; its flow moves the source's own
pixels at full resolution, and its paint and alpha, which are soft, are enlarged. The only file
through which the rest of the program reaches torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file

from .. import geometry
from ..errors import InputError
from ..types import Array, DenseMotion, Keypoints, Source
from . import build
from .blocks import Points, folded
from .build import Animator, FastSizes

WEIGHTS = Path(__file__).parents[2] / "weights" / "renderer_fast.safetensors"
WEIGHTS_SHA256 = "07126e4d0afb0397c35a4f6fb58f2ef98a5bfba7ba3bf9c20208c5ab29578fe9"
SIZE = 256  # what the network sees and paints


class LearnedRenderer:
    """Holds the network and the encoded source."""

    def __init__(
        self,
        net: Animator,
        *,
        threads: int = 0,
        bf16: bool | None = None,
        pin_border: float = 0.0,
    ) -> None:
        """threads: of torch, 0 leaves them; bf16: None uses it where the processor has it.

        pin_border: share of the side over which the result becomes the source at its border, so
        that a crop can be pasted back.
        """
        if threads:
            torch.set_num_threads(threads)
        net = folded(net.eval()).requires_grad_(False)
        self._net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._bf16 = _has_bf16() if bf16 is None else bf16
        self._pin_border = pin_border
        self._source: Source | None = None

    def set_source(self, source: Source) -> None:
        """Encode the picture; once per source."""
        image = geometry.crop_image(source.image, geometry.whole(source.image), SIZE)
        picture = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode(), self._precision():
            self._encoded = self._net.encode(picture.contiguous(memory_format=torch.channels_last))
        self._points = _points(source.keypoints)
        self._source = source

    def animate(self, target: Keypoints) -> tuple[DenseMotion, Array]:
        """One frame: the motion on a 64x64 grid and the picture, (S, S, 3) uint8 RGB.

        target: where the source's keypoints go, in the source's crop. Raises InputError before
        ``set_source``.
        """
        motion = self.move(target)
        return motion, self.paint(motion)

    def move(self, target: Keypoints) -> DenseMotion:
        """Stage 4 of one frame: the motion, which also carries what ``paint`` needs of it."""
        if self._source is None:
            raise InputError("renderer: expected a source, got none; call set_source first")
        with torch.inference_mode(), self._precision():
            motion = self._net.motion(self._encoded.small, self._points, _points(target))
        return DenseMotion(
            motion.flow[0].float().numpy(),
            motion.occlusion[0, 0].float().numpy(),
            motion.masks[0].float().numpy(),
            features=motion,
        )

    def paint(self, motion: DenseMotion) -> Array:
        """Stage 5 of one frame: (S, S, 3) uint8 RGB of a motion that ``move`` gave."""
        if self._source is None or motion.features is None:
            raise InputError("renderer: expected a motion of its own, got another; call move first")
        with torch.inference_mode(), self._precision():
            painted = self._net.generator(self._encoded, motion.features)
        paint = painted.paint[0].permute(1, 2, 0).float().numpy()
        alpha = painted.alpha[0, 0].float().numpy()
        flow = motion.grid_norm
        if self._pin_border > 0:
            still = geometry.grid_norm(*flow.shape[:2])
            flow = still + (flow - still) * pinned(len(flow), self._pin_border)[..., None]
            alpha = alpha * pinned(len(alpha), self._pin_border)
        return composite(self._source.image, flow, paint, alpha)

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._bf16)


def composite(image: Array, flow: Array, paint: Array, alpha: Array) -> Array:
    """Blend: alpha * paint + (1 - alpha) * the picture moved at its own size, (S, S, 3) uint8.

    image: (S, S, 3) uint8; flow: (h, w, 2) absolute, normalised; paint: (P, P, 3) and alpha:
    (P, P) float32 in [0, 1].
    """
    size = image.shape[0]
    moved = geometry.warp(image, geometry.resize_grid(flow, size)).astype(np.float32)
    if len(alpha) != size:
        paint = cv2.resize(paint, (size, size), interpolation=cv2.INTER_LINEAR)
        alpha = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_LINEAR)
    moved += alpha[..., None] * (255 * paint - moved)
    return np.clip(moved + 0.5, 0, 255).astype(np.uint8)


@cache
def pinned(side: int, share: float) -> Array:
    """(side, side) float32: 0 in the outermost cells, rising smoothly to 1 over ``share``."""
    at = np.arange(side)
    t = np.clip(np.minimum(at, side - 1 - at) / max(1.0, share * side), 0, 1)
    ramp = t * t * (3 - 2 * t)
    return np.outer(ramp, ramp).astype(np.float32)


def _points(keypoints: Keypoints) -> Points:
    return Points(
        torch.from_numpy(keypoints.xy_norm)[None], torch.from_numpy(keypoints.jacobian)[None]
    )


@cache
def _has_bf16() -> bool:
    """Whether bfloat16 is fast here, not only emulated."""
    found = torch.backends.cpu.get_cpu_capability()
    is_known = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return bool(is_known) and "AVX512" in found


def save(net: Animator, sizes: FastSizes, path: Path) -> str:
    """Write the weights with the sizes they need; returns the file's sha256."""
    tensors = {
        # half precision where it costs nothing: convolutions, not the norms' statistics
        name: (value.half() if value.ndim == 4 else value).contiguous()
        for name, value in net.state_dict().items()
    }
    save_file(tensors, path, metadata={"sizes": json.dumps(asdict(sizes)), "format": "fast-1"})
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_net(path: str | Path | None = None) -> Animator:
    """The network with the weights of the repository, or of another file, strictly.

    Raises InputError when the file is missing, damaged, or of another network.
    """
    file = Path(path) if path else WEIGHTS
    if not file.is_file():
        raise InputError(
            f"renderer weights: expected {file}, found nothing; reinstall, or train them"
            " (docs/training.md)"
        )
    data = file.read_bytes()
    if path is None and (found := hashlib.sha256(data).hexdigest()) != WEIGHTS_SHA256:
        raise InputError(
            f"renderer weights: expected sha256 {WEIGHTS_SHA256[:12]}, got {found[:12]}; fetch the"
            " file again, it is damaged or of another version"
        )
    try:
        with safe_open(file, "pt") as header:
            sizes = json.loads((header.metadata() or {})["sizes"])
        tensors = load_tensors(data)
        reach = torch.ones(len(tensors["motion.log_reach"]))
        net = build.fast(build.read_sizes(sizes), reach)
        net.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"renderer weights: expected those of the fast network in {file}, got"
            f" {str(error).splitlines()[0]}; give a file that the trainer exported"
        ) from error
    return net


def load(
    path: str | Path | None = None, *, threads: int = 0, pin_border: float = 0.0
) -> LearnedRenderer:
    """A renderer with the weights of the repository, or of another file."""
    return LearnedRenderer(load_net(path), threads=threads, pin_border=pin_border)
