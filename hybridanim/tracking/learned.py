"""Stage 2 by a learned detector: Frame -> Tracks with keypoints, every frame on its own.

step(state, ...) -> (state, tracks). The cascade finds the head; from then on the detector looks at
a square round where the head was last, and its keypoints say where the head is now and how it is
turned. What is no face any more is looked for again. A detector that was trained on whole frames
(objects) looks at the middle square, always. Siarohin et al. 2019 for keypoints and Jacobians.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from hybridanim.config import TrackConfig
from hybridanim.face import head_pose as pose
from hybridanim.face.head_pose import Pose
from hybridanim.profiles import CameraProfile
from hybridanim.types import Array, Crop, Frame, HeadBox, SkinMask, Tracks

from . import detection
from .base import TrackerParts
from .detection import LEAST_CONFIDENCE, Detector, Points, Sight

__all__ = ["LearnedState", "LearnedTracker", "initial_state", "step"]

SEARCH_FRAMES = 5  # the whole picture is searched for a face so often while there is no head
_PATIENCE_FRAMES = 15  # so long the place where the head was lost is looked at as well
NO_FACE = "no face in the picture"
HIDDEN = "the face is hidden or turned away"


@dataclass(frozen=True)
class LearnedState:
    """What is remembered between frames; places are pixels of the last frame."""

    window: Crop | None = None  # where the detector looks; None = nothing to go by
    head: HeadBox | None = None  # the last one seen
    pose: Pose = field(default_factory=Pose)
    reference_xy_px: Array | None = None  # (K, 2) keypoints of the first frame with a head
    steps: int = 0  # frames in a row in which keypoints were seen
    lost_steps: int = 0  # frames in a row in which they were not


def initial_state() -> LearnedState:
    """The state before the first frame."""
    return LearnedState()


def step(
    state: LearnedState, frame: Frame, detector: Detector, camera: CameraProfile | None = None
) -> tuple[LearnedState, Tracks]:
    """Find the keypoints of the next frame of a video.

    detector: see tracks/detection.py. camera: intrinsics for the rotation; a guess without.
    When nothing is seen ``Tracks.lost`` says why, and there are no keypoints.
    """
    seen = next_sight(state, frame.image, detector)
    if seen is None:
        return lose(state)
    state, is_new = hold(state, frame, seen, seen.points, camera)
    return state, tracks_of(state, seen.points, seen.window, seen.confidence, is_new=is_new)


def next_sight(state: LearnedState, image: Array, detector: Detector) -> Sight | None:
    """Look where the head was, then wherever a face is found; None when there is none."""
    if detector.window != "head":
        return detection.look(image, detection.middle_square(image), detector)
    if state.window is not None and state.head is not None:
        window = detection.next_window(state.window, state.head)
        seen = detection.look(image, window, detector)
        if seen.head is not None and seen.confidence > LEAST_CONFIDENCE:
            return seen
    if state.lost_steps % SEARCH_FRAMES == 0:
        return detection.search(image, detector)
    return None


def hold(
    state: LearnedState,
    frame: Frame,
    seen: Sight,
    points: Points,
    camera: CameraProfile | None,
    *,
    is_turned: bool = True,
) -> tuple[LearnedState, bool]:
    """Remember a good look and turn the head by its points; also whether it was found just now.

    points: the keypoints that are given out; ``seen.head`` must be theirs. is_turned: solve for
    the rotation; if not, it goes on as it did (solving costs a fifth of a frame without a look).
    """
    turned = pose.foreseen(state.pose, frame.time_s)
    if seen.head is not None and is_turned:
        lens = pose.Lens(
            pose.camera_matrix(frame.image, seen.head, camera),
            np.array(camera.distortion) if camera else None,
        )
        turned = detection.turned(points, seen.head, lens, state.pose, frame.time_s)
    reference = state.reference_xy_px
    if reference is None:
        reference = points.xy_px.astype(np.float32)
    is_new = state.steps == 0
    now = LearnedState(seen.window, seen.head, turned, reference, state.steps + 1, 0)
    return now, is_new


def lose(state: LearnedState) -> tuple[LearnedState, Tracks]:
    """A frame in which nothing was seen."""
    was_seen = state.steps > 0
    lost = state.lost_steps + 1
    reason = HIDDEN if state.head is not None else NO_FACE
    state = replace(state, steps=0, lost_steps=lost, pose=replace(state.pose, confidence=0.0))
    head = state.head
    if lost > _PATIENCE_FRAMES:
        state = replace(state, window=None, head=None)
    dropped = 0
    if was_seen and state.reference_xy_px is not None:
        dropped = len(state.reference_xy_px)
    none = np.zeros((0, 2), np.float32)
    ids = np.zeros(0, np.int64)
    tracks = Tracks(
        none, none, ids, ids, np.zeros(0, np.float32), dropped=dropped, head=head, lost=reason,
        rotation_deg=state.pose.angles_deg,
    )  # fmt: skip
    return state, tracks


def tracks_of(
    state: LearnedState, points: Points, window: Crop, confidence: float, *, is_new: bool
) -> Tracks:
    """What is given out: the keypoints themselves are the features."""
    count = len(points.xy_px)
    assert state.reference_xy_px is not None
    return Tracks(
        xy_px=points.xy_px.astype(np.float32),
        reference_xy_px=state.reference_xy_px,
        ids=np.arange(count, dtype=np.int64),
        age=np.full(count, state.steps - 1, np.int64),
        confidence=np.clip(points.confidence, 0, 1).astype(np.float32),
        new=count if is_new else 0,
        head=state.head,
        rotation_deg=state.pose.angles_deg,
        rotation_confidence=state.pose.confidence,
        confidence_overall=confidence,
        keypoints=points.in_crop(window),
        keypoints_crop=window,
    )


@dataclass(frozen=True)
class LearnedTracker:
    """``base.Tracker`` by the detector's keypoints in every frame."""

    uses_skin: ClassVar[bool] = False
    uses_detector: ClassVar[bool] = True
    uses_anchors: ClassVar[bool] = False
    config: TrackConfig
    detector: Detector
    camera: CameraProfile | None

    @classmethod
    def build(cls, parts: TrackerParts) -> Self:
        """See ``base.Tracker``."""
        assert parts.detector is not None  # ``uses_detector`` asks for it
        return cls(parts.config, parts.detector, parts.profiles.camera)

    def initial_state(self) -> LearnedState:
        """See ``base.Tracker``."""
        return initial_state()

    def step(
        self, state: LearnedState, frame: Frame, mask: SkinMask
    ) -> tuple[LearnedState, Tracks]:
        """See ``base.Tracker``."""
        return step(state, frame, self.detector, self.camera)

    def adjusted(self, **settings: Any) -> Self:
        """See ``base.Tracker``."""
        return replace(self, config=replace(self.config, **settings))
