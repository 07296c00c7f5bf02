"""The learned networks as callables with numpy in and out: OpenVINO where it is there, else torch.

Weights file, RuntimeConfig -> ``AnimatorNetworks`` (encode once per source; move and paint per
frame) or ``DetectorNetwork``. OpenVINO runs graphs that were exported and checked once and are kept
compiled on disk, so that a start with a warm cache imports no torch (docs/runtime.md).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.networks import shipped
from hybridanim.networks.weights import read_header
from hybridanim.types import Array, Keypoints, OpticalFlow

if TYPE_CHECKING:
    from .detector import LearnedDetector


@dataclass(frozen=True, slots=True)
class Moved:
    """What the dense motion network says of one target."""

    flow: Array  # (h, w, 2) float32 absolute source places, normalised
    occlusion: Array  # (h, w) float32 in [0, 1], 1 = the source shows it
    masks: Array  # (K+1, h, w) float32, sum to one; row 0 is the background
    features: Any  # for ``paint`` of the same networks


@dataclass(frozen=True, slots=True)
class About:
    """Where networks run, and what was tried before."""

    runtime: str  # "openvino" or "torch"
    precision: str  # "int8", "bf16" or "f32"
    is_from_cache: bool = False
    notes: tuple[str, ...] = field(default=())  # sentences for the user

    def __str__(self) -> str:
        cached = ", from the cache" if self.is_from_cache else ""
        return f"{self.runtime}, {self.precision}{cached}"


class AnimatorNetworks(Protocol):
    """Dense motion network and generator of one weights file."""

    about: About
    side_px: int  # of the square picture that the networks see and paint
    has_optical: bool  # whether they look at the driver's optical flow

    def encode(self, picture: Array) -> Any:
        """Once per source: (side, side, 3) uint8 RGB -> what ``move`` and ``paint`` read."""
        ...

    def move(
        self,
        encoded: Any,
        source: Keypoints,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> Moved:
        """Once per frame; both in the source's crop, and (2, 3) source <- target of what is behind,
        None where it stands. optical: on a grid of a quarter of the side, or None.
        """
        ...

    def paint(self, encoded: Any, moved: Moved) -> tuple[Array, Array]:
        """Once per frame: paint (side, side, 3) uint8 RGB, its alpha (side, side) in [0, 1]."""
        ...


class DetectorNetwork(Protocol):
    """Keypoint detector of one weights file; a ``models.detector.Network``."""

    about: About

    def __call__(self, picture: Array) -> tuple[Array, Array, Array]:
        """(1, 3, S, S) in [0, 1] -> xy (1, K, 2), Jacobians (1, K, 2, 2), spread (1, K)."""
        ...


def animator(
    path: str | Path | None = None, config: RuntimeConfig | None = None
) -> AnimatorNetworks:
    """Motion network and generator of a weights file, or of the repository's.

    Raises InputError when the file does not serve, or the runtime asked for is not there.
    """
    if path is None and shipped.WEIGHTS.is_file():
        shipped.expect_shipped(shipped.WEIGHTS, shipped.WEIGHTS_SHA256)
    return _load("animator", Path(path or shipped.WEIGHTS), config or RuntimeConfig())


def detector(
    path: str | Path | None = None, config: RuntimeConfig | None = None
) -> LearnedDetector:
    """Keypoint detector of a weights file, or of the repository's; errors as ``animator``."""
    from . import detector as models

    if path is None and models.WEIGHTS.is_file():
        shipped.expect_shipped(models.WEIGHTS, models.WEIGHTS_SHA256)
    file = Path(path or models.WEIGHTS)
    network = _load("detector", file, config or RuntimeConfig())
    header = read_header(file)
    sizes = header.detector or {}
    return models.LearnedDetector(
        network, count=sizes["count"], size=sizes["size"], window=header.window
    )


def _load(part: str, path: Path, config: RuntimeConfig) -> Any:
    """One of the two, on the first runtime that serves."""
    header = read_header(path)
    if (header.sizes if part == "animator" else header.detector) is None:
        raise InputError(
            f"weights: expected a file with {_article(part)}, got {path}, which has none; give"
            " another with --weights"
        )
    notes: list[str] = []
    if config.runtime != "torch":
        from . import openvino_backend

        found = openvino_backend.load(part, path, config, notes)
        if found is not None:
            return found
        if config.runtime == "openvino":
            raise InputError(
                f"--runtime openvino: expected it to run {path.name}, got: {'; '.join(notes)};"
                " choose --runtime torch"
            )
    from . import torch_backend  # imports torch

    return torch_backend.load(part, path, notes)


def _article(part: str) -> str:
    return f"an {part}" if part[0] in "aeiou" else f"a {part}"


def optical_input(optical: OpticalFlow, side_px: int) -> Array:
    """(1, 3, h, w) float32: places and trust as networks of that side read them, h = side / 4."""
    cells, places, trust = side_px // 4, optical.grid_norm, optical.trust
    if len(trust) != cells:
        places = geometry.resize_grid(places, cells)
        trust = cv2.resize(trust, (cells, cells), interpolation=cv2.INTER_AREA)
    both = np.concatenate([places, trust[..., None]], -1)
    return np.ascontiguousarray(both.transpose(2, 0, 1)[None])


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
