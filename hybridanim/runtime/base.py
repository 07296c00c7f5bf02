"""Interfaces of the learned networks, with numpy arrays in and out, for every runtime.

``AnimatorNetworks`` encode a source once and compute motion and paint per frame;
``DetectorNetwork`` computes keypoints. ``torch_backend`` and ``openvino_backend`` implement both,
``networks`` loads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.types import Array, Keypoints, LearnedFeatures, OpticalFlow


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """Runtime and precision of the networks, and why others were not used."""

    runtime: str  # "openvino" or "torch"
    precision: str  # "int8", "bf16" or "f32"
    is_from_cache: bool = False
    notes: tuple[str, ...] = field(default=())  # sentences for the user

    def __str__(self) -> str:
        cached = ", from the cache" if self.is_from_cache else ""
        return f"{self.runtime}, {self.precision}{cached}"


@dataclass(frozen=True, slots=True)
class Moved:
    """Output of the dense motion network for one target."""

    flow: Array  # (h, w, 2) float32 absolute source positions, normalised
    occlusion: Array  # (h, w) float32 in [0, 1], 1 = the source shows it
    masks: Array  # (K+1, h, w) float32, sum to one; row 0 is the background
    features: LearnedFeatures  # input of ``paint`` of the same networks


class AnimatorNetworks(Protocol):
    """Dense motion network and generator of one weights file."""

    runtime_info: RuntimeInfo
    side_px: int  # side of the networks' square input and output pictures
    uses_optical_flow: bool  # whether they take the driver's optical flow as an input

    def encode(self, picture: Array) -> Mapping[str, Array]:
        """Encode a source once: (side, side, 3) uint8 RGB -> maps by name, (1, C, h, w) float32."""
        ...

    def move(
        self,
        encoded: Mapping[str, Array],
        source: Keypoints,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> Moved:
        """Compute one frame's motion; source and target are in the source's crop.

        encoded: result of ``encode``. background: (2, 3) affine source <- target of the background,
        normalised; None: still. optical: of any grid size, or None.
        """
        ...

    def paint(self, features: LearnedFeatures) -> tuple[Array, Array]:
        """Paint one frame: (side, side, 3) uint8 RGB, and alpha (side, side) in [0, 1]."""
        ...


class DetectorNetwork(Protocol):
    """Keypoint detector of one weights file; a ``runtime.detector.Network``."""

    runtime_info: RuntimeInfo

    def __call__(self, picture: Array) -> tuple[Array, Array, Array]:
        """(1, 3, S, S) in [0, 1] -> xy (1, K, 2), Jacobians (1, K, 2, 2), spread (1, K)."""
        ...


def not_finite(path: Path, wrong: str) -> InputError:
    """The error for weights whose networks give inf or not-a-number; wrong: what they give."""
    return InputError(
        f"weights: expected networks with finite results in {path}, got {wrong}; fetch the file"
        " again, or export it from an earlier checkpoint"
    )


def optical_input(optical: OpticalFlow, side_px: int) -> Array:
    """Network input (1, 3, h, w) float32: x, y of the source position and trust; h = side / 4."""
    cells, places, trust = side_px // 4, optical.grid_norm, optical.trust
    if len(trust) != cells:
        places = geometry.resize_grid(places, cells)
        trust = cv2.resize(trust, (cells, cells), interpolation=cv2.INTER_AREA)
    both = np.concatenate([places, trust[..., None]], -1)
    return np.ascontiguousarray(both.transpose(2, 0, 1)[None])
