"""Frame, Tracks, Source -> SparseMotion.  Anchors with local affines, smoothed and transferred to
the source (docs/motion.md).
"""

import dataclasses

from hybridanim.config import KeypointsConfig
from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.motion import flow_transfer, sparse
from hybridanim.motion.reference import Reference
from hybridanim.types import Array, Crop, Frame, Source, SparseMotion, Tracks
from hybridanim.visualization import stages as draw

from .base import Stage


class Keypoints(Stage):
    """Stage 3."""

    name = "keypoints"

    has_optical = False
    """Whether the driver's optical flow is followed too, for a renderer that looks at it."""

    def __init__(self, config: KeypointsConfig) -> None:
        self._config = config
        self.reset()

    def __call__(self, frame: Frame, tracks: Tracks, source: Source) -> SparseMotion:
        """Carry the anchors to this frame and the motion over to the source."""
        self._state, motion = sparse.step(
            self._state, frame, tracks, source, self._config, MEAN_SHAPE
        )
        if not self.has_optical or self._state.rest is None:
            return motion
        config = self._config  # only in full does the flow move the background as it should
        has_behind = config.moves_background and config.motion == "absolute" and config.scale == 1
        rest, share = self._state.rest, 1 - self._state.away
        return self._optical(frame, motion, *rest, source, has_behind=has_behind, share=share)

    def draw(self, canvas: Array, output: SparseMotion) -> Array:
        """The driver's keypoints with their local affines, on the driving frame."""
        return draw.keypoints(canvas, output.driving, output.driving_crop)

    def reset(self) -> None:
        """Forget the driver; the next frame with a head is the reference."""
        self._state, self._optical = sparse.FollowState(), flow_transfer.Follower()

    def set_crop(self, crop: Crop) -> None:
        """Keep normalised coordinates in this square of the driving frames; before the first."""
        self._state = dataclasses.replace(self._state, crop=crop)

    def set_reference(self, reference: Reference | None) -> None:
        """Measure relative motion from this driver instead of the first frame."""
        self._state = dataclasses.replace(self._state, reference=reference)
