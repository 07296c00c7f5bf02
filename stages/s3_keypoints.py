"""Frame, Tracks, Source -> SparseMotion.  Anchors with local affines, smoothed and transferred to
the source (docs/motion.md).
"""

import dataclasses

from hybridanim import draw, following
from hybridanim.alignment import MEAN_SHAPE
from hybridanim.config import KeypointsConfig
from hybridanim.references import Reference
from hybridanim.types import Array, Crop, Frame, Source, SparseMotion, Tracks

from .base import Stage


class Keypoints(Stage):
    """Stage 3."""

    name = "keypoints"

    def __init__(self, config: KeypointsConfig) -> None:
        self._config = config
        self.reset()

    def __call__(self, frame: Frame, tracks: Tracks, source: Source) -> SparseMotion:
        """Carry the anchors to this frame and the motion over to the source."""
        self._state, motion = following.step(
            self._state, frame, tracks, source, self._config, MEAN_SHAPE
        )
        return motion

    def draw(self, canvas: Array, output: SparseMotion) -> Array:
        """The driver's keypoints with their local affines, on the driving frame."""
        return draw.keypoints(canvas, output.driving, output.driving_crop)

    def reset(self) -> None:
        """Forget the driver; the next frame with a head is the reference."""
        self._state = following.FollowState()

    def set_crop(self, crop: Crop) -> None:
        """Keep normalised coordinates in this square of the driving frames; before the first."""
        self._state = dataclasses.replace(self._state, crop=crop)

    def set_reference(self, reference: Reference | None) -> None:
        """Measure relative motion from this driver instead of the first frame."""
        self._state = dataclasses.replace(self._state, reference=reference)
