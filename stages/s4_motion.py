"""Source, SparseMotion -> DenseMotion.  Combines the local maps into one flow (docs/motion.md)."""

from hybridanim import dense_motion
from hybridanim.anchors import PINNED, REACH_BOX
from hybridanim.config import DenseConfig
from hybridanim.show import flow_picture as draw_flow
from hybridanim.types import Array, DenseMotion, Source, SparseMotion

from .base import Stage


class Dense(Stage):
    """Stage 4."""

    name = "motion"

    def __init__(self, config: DenseConfig) -> None:
        self._config = config

    def __call__(self, source: Source, points: SparseMotion) -> DenseMotion:
        """The backward flow and the occlusion map for this frame."""
        head_norm = 2 * source.head.size_px / source.crop.side_px
        return dense_motion.combine(
            source.keypoints, points.target, REACH_BOX * head_norm, self._config.grid, PINNED
        )

    def draw(self, canvas: Array, output: DenseMotion) -> Array:
        """The flow in colour, on the source."""
        return draw_flow.flow(canvas, output)
