"""Frame, Tracks, Source -> SparseMotion.  Keypoints and their transfer (docs/guide/motion.md)."""

import dataclasses
from typing import Any

from hybridanim.config import KeypointsConfig
from hybridanim.face import face_model
from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.face.face_model import FaceModel
from hybridanim.motion import flow_transfer, sparse
from hybridanim.motion.reference import Reference
from hybridanim.types import Array, Crop, Frame, Source, SparseMotion, Tracks
from hybridanim.visualization import drawing

from .base import Stage


def model_of(config: KeypointsConfig) -> FaceModel | None:
    """The face model by which heads move; None: in two dimensions."""
    return face_model.load() if config.head_motion == "3d" else None


class Keypoints(Stage):
    """Stage 3."""

    name = "keypoints"

    def __init__(self, config: KeypointsConfig) -> None:
        """config: ``optical_flow="auto"`` computes the driver's optical flow in every frame."""
        super().__init__(config)
        self.reset()

    def __call__(self, frame: Frame, tracks: Tracks, source: Source) -> SparseMotion:
        """Observe the driver's keypoints in this frame and transfer their motion to the source."""
        model = model_of(self._config)
        self._state, self.seen = sparse.see(
            self._state, frame, tracks, MEAN_SHAPE, follows_cuts=self._config.motion == "relative"
        )
        self._state, motion = sparse.move(
            self._state, frame, self.seen, source, self._config, model
        )
        pose, config = self._state.pose, self._config
        if pose is None or config.optical_flow == "off" or not config.strengths.is_uniform:
            return motion  # the driver's optical flow has no parts
        if motion.head is not None:
            return motion  # a fitted head is moved by its mesh alone
        if self._state.shot.crop is not None:
            return motion  # the reference's picture is of another shot
        # the flow fits the background only if its motion is transferred unscaled
        is_full = config.motion == "absolute" and config.scale == 1
        moves = motion.background is not None or config.background == "follow"
        moves_background = config.moves_background and is_full and moves
        share = 1 - self._state.away
        points = pose.reference, pose.keypoints
        return self._flow(
            frame, motion, *points, source, moves_background=moves_background, share=share
        )

    def draw(self, canvas: Array, output: SparseMotion) -> Array:
        """Draw the driver's keypoints with their local affines on the driving frame."""
        return drawing.keypoints(canvas, output.driving, output.driving_crop)

    def reset(self) -> None:
        """Discard all state of the driver; the next frame with a head is the reference."""
        self._state, self._flow = sparse.SparseState(), flow_transfer.FlowTransfer()
        self.seen: sparse.Seen | None = None  # the driver in the last frame

    @property
    def first(self) -> Reference | None:
        """The frame that the tracks refer to; None before the first head."""
        return self._state.first

    def adjust(self, **settings: Any) -> None:
        """Change settings between two frames; other parts of the motion are blended in."""
        before = self._config
        super().adjust(**settings)
        after = self._config
        if (before.drive, before.neutral) != (after.drive, after.neutral):
            self._state = dataclasses.replace(self._state, away=1.0)

    @property
    def has_seen_a_face(self) -> bool:
        """Whether a face has been fitted to the driver."""
        return self._state.reference_face is not None

    def set_crop(self, crop: Crop) -> None:
        """Fix the driving crop, in pixels of the driving frames; call before the first frame."""
        self._state = dataclasses.replace(self._state, crop=crop)

    def set_reference(self, reference: Reference | None) -> None:
        """Measure relative motion from this reference; None = from the first frame."""
        self._state = dataclasses.replace(self._state, reference=reference)
