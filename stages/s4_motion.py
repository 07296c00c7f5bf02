"""Source, SparseMotion -> DenseMotion.  Combines the local maps into one flow (docs/motion.md)."""

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


_REACH_OBJECT = 0.2  # one sigma of an object's keypoint, in halves of the square


class Dense(Stage):
    """Stage 4."""

    name = "motion"

    def __init__(self, config: DenseConfig) -> None:
        self._config = config

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

    def __init__(self, renderer: LearnedRenderer) -> None:
        self._renderer, self.has_optical = renderer, renderer.has_optical
        self._source: Source | None = None

    def __call__(self, source: Source, points: SparseMotion) -> DenseMotion:
        """The network's flow and occlusion map; a new source is encoded when it first comes."""
        if source is not self._source:
            self._renderer.set_source(source)
            self._source = source
        return self._renderer.move(points.target, points.background, points.optical)
