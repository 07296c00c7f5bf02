"""Source, SparseMotion -> DenseMotion.  Local maps into one flow (docs/guide/motion.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hybridanim import geometry
from hybridanim.config import DenseConfig
from hybridanim.face.anchors import PINNED, REACH_BOX
from hybridanim.motion import dense
from hybridanim.types import Array, DenseMotion, Source, SparseMotion
from hybridanim.visualization import flow

from .base import Stage

if TYPE_CHECKING:
    from hybridanim.rendering.learned import LearnedRenderer
    from hybridanim.runtime.base import RuntimeInfo


_REACH_OBJECT = 0.2  # one sigma of an object's keypoint, in halves of the square


class Dense(Stage):
    """Stage 4 in closed form."""

    name = "motion"

    def __init__(self, config: DenseConfig) -> None:
        super().__init__(config)

    @property
    def uses_optical_flow(self) -> bool:
        """Whether it reads ``SparseMotion.optical``."""
        return False

    def __call__(self, source: Source, points: SparseMotion) -> DenseMotion:
        """The backward flow and the occlusion map for this frame."""
        head_norm = geometry.head_norm(source.head, source.crop)
        reach_norm, pinned = REACH_BOX * head_norm, PINNED
        if (count := len(source.keypoints.xy_norm)) != len(REACH_BOX):  # those of an object
            reach_norm, pinned = np.full(count, _REACH_OBJECT, np.float32), None
        return dense.combine(
            source.keypoints,
            points.target,
            reach_norm,
            self._config.grid,
            pinned,
            points.background,
        )

    def draw(self, canvas: Array, output: DenseMotion) -> Array:
        """The flow in colour, on the source."""
        return flow.flow(canvas, output)


class LearnedDense(Dense):
    """Stage 4 by the dense motion network, which starts from the same closed form."""

    def __init__(self, config: DenseConfig, renderer: LearnedRenderer) -> None:
        super().__init__(config)
        self._renderer = renderer

    @property
    def uses_optical_flow(self) -> bool:
        """Whether the network takes the driver's optical flow as an input."""
        return self._renderer.uses_optical_flow

    @property
    def runtime_info(self) -> RuntimeInfo:
        """Where the networks run."""
        return self._renderer.runtime_info

    def __call__(self, source: Source, points: SparseMotion) -> DenseMotion:
        """The network's flow and occlusion map, and what its generator reads beside them."""
        return self._renderer.move(source, points.target, points.background, points.optical)
