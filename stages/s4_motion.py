"""Source, SparseMotion -> DenseMotion.  Local maps into one flow (docs/guide/motion.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hybridanim import geometry
from hybridanim.config import DenseConfig
from hybridanim.face import face_model
from hybridanim.face.anchors import PINNED, REACH_BOX
from hybridanim.motion import dense, head_mesh
from hybridanim.motion.head_mesh import SourceHead
from hybridanim.types import Array, DenseMotion, Source, SparseMotion
from hybridanim.visualization import flow

from .base import Stage

if TYPE_CHECKING:
    from hybridanim.rendering.learned import LearnedRenderer
    from hybridanim.runtime.base import RuntimeInfo


_FINER = (
    (320, 3),
    (640, 6),
)  # side of a source, up to which: cells of the head's flow to one of --grid
_FINEST = 12  # for larger sources: lips, lids and the outline are cuts in the flow
_REACH_OBJECT = 0.2  # sigma of an object's keypoint, normalised units


def _finer(side_px: int) -> int:
    """Cells of the head's flow along one cell of ``--grid``."""
    return next((finer for side, finer in _FINER if side_px <= side), _FINEST)


def _even(cells: int) -> int:
    return cells + cells % 2


class Dense(Stage):
    """Stage 4 in closed form."""

    name = "motion"

    def __init__(self, config: DenseConfig) -> None:
        super().__init__(config)
        self._head: tuple[Source, SourceHead | None] | None = None  # of the last source

    def _mesh(self, source: Source) -> SourceHead | None:
        """The source's head as a mesh, built once; None without a fitted face."""
        if self._head is None or self._head[0] is not source:
            self._head = source, head_mesh.build(source, face_model.load())
        return self._head[1]

    def _cells(self, source: Source) -> int:
        """Cells of the head's flow along a side; an even number."""
        return _even(self._config.grid * _finer(len(source.image)))

    @property
    def uses_optical_flow(self) -> bool:
        """Whether this stage reads ``SparseMotion.optical``."""
        return False

    def __call__(self, source: Source, points: SparseMotion) -> DenseMotion:
        """Compute the backward flow and the occlusion map of this frame."""
        head = None if points.head is None else self._mesh(source)
        if points.head is not None and head is not None:
            return head_mesh.dense(
                head, points.head, self._cells(source), points.background,
                explain=self._config.explain,
            )  # fmt: skip
        head_norm = geometry.head_norm(source.head, source.crop)
        reach_norm, constrained = REACH_BOX * head_norm, PINNED
        if (count := len(source.keypoints.xy_norm)) != len(REACH_BOX):  # an object
            reach_norm, constrained = np.full(count, _REACH_OBJECT, np.float32), None
        return dense.combine(
            source.keypoints,
            points.target,
            reach_norm,
            self._config.grid,
            constrained,
            points.background,
        )

    def draw(self, canvas: Array, output: DenseMotion) -> Array:
        """Draw the flow in colour on the source."""
        return flow.flow(canvas, output)


class LearnedDense(Dense):
    """Stage 4 by the dense motion network, which refines the same closed form."""

    def __init__(self, config: DenseConfig, renderer: LearnedRenderer) -> None:
        super().__init__(config)
        self._renderer = renderer

    @property
    def uses_optical_flow(self) -> bool:
        """Whether the network takes the driver's optical flow as an input."""
        return self._renderer.uses_optical_flow

    @property
    def runtime_info(self) -> RuntimeInfo:
        """Runtime of the networks."""
        return self._renderer.runtime_info

    def __call__(self, source: Source, points: SparseMotion) -> DenseMotion:
        """Compute flow, occlusion map and the generator's further inputs.

        All by the network or, with a fitted face, by the head's mesh; the network adds its features
        to that where a turn shows what the source hides.
        """
        head = None if points.head is None else self._mesh(source)
        if points.head is None or head is None:
            return self._renderer.move(source, points.target, points.background, points.optical)
        from hybridanim.rendering.learned import hidden, with_head

        vertices = head_mesh.moved(head, points.head)
        cells = self._cells(source)
        mesh = head_mesh.dense(head, points.head, cells, points.background, vertices)
        if not hidden(mesh).any():
            return mesh  # nothing to paint
        target = head_mesh.keypoints(head, vertices, source.keypoints, points.target)
        motion = self._renderer.move(source, target, points.background, points.optical)
        return with_head(motion, mesh, source.subject)
