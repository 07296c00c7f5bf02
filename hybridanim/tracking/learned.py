"""Learned tracker (stage 2): Frame -> Tracks with keypoints, each frame on its own.

step(state, ...) -> (state, tracks). The face cascade finds the head; afterwards the detector runs
in a square around the last head box, and its keypoints give the head box and the rotation. A head
that is lost is searched again. A detector trained on whole frames (objects) always runs in the
middle square. Siarohin et al. 2019 for keypoints and Jacobians.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from hybridanim import schema
from hybridanim.config import TrackConfig
from hybridanim.face import head_box, head_pose
from hybridanim.face.head_pose import Pose
from hybridanim.networks.models import FAST
from hybridanim.profiles import CameraProfile
from hybridanim.types import Array, Crop, FaceBox, Frame, HeadBox, SkinMask, Tracks

from . import confirmation, detection
from .base import TrackerParts
from .confirmation import Confirmation
from .detection import LEAST_CONFIDENCE, LEAST_TO_START, Detection, Detector, KeypointsPx

__all__ = ["LearnedState", "LearnedTracker", "initial_state", "step"]

SEARCH_FRAMES = 5  # interval of face searches in the whole picture while there is no head
_PATIENCE_FRAMES = 15  # so long the detector also runs where the head was lost
NO_FACE = "no face in the picture"
HIDDEN = "the face is hidden or turned away"


@dataclass(frozen=True)
class LearnedState:
    """State between frames; positions are pixels of the last frame."""

    window: Crop | None = None  # of the detector; None = unknown
    head: HeadBox | None = None  # the last one detected
    pose: Pose = field(default_factory=Pose)
    reference_xy_px: Array | None = None  # (K, 2) keypoints of the first frame with a head
    steps: int = 0  # consecutive frames with keypoints
    lost_steps: int = 0  # consecutive frames without
    confirmation: Confirmation | None = None  # None = before the first head
    is_new_reference: bool = False  # the last frame has become the reference frame


def initial_state() -> LearnedState:
    """The state before the first frame."""
    return LearnedState()


def step(
    state: LearnedState,
    frame: Frame,
    detector: Detector,
    camera: CameraProfile | None = None,
    face: FaceBox | None = None,
) -> tuple[LearnedState, Tracks]:
    """Find the keypoints of the next frame of a video.

    detector: see ``detection.Detector``. camera: intrinsics for the rotation, guessed without it.
    face: where a face is known to be. When no head is found, ``Tracks.lost`` says why and there are
    no keypoints.
    """
    seen = detect_next(state, frame.image, detector, face)
    if seen is None:
        return lose_head(state)
    state, is_new = update(state, frame, seen, seen.points, camera)
    return state, build_tracks(state, seen.points, seen.window, seen.confidence, is_new=is_new)


def detect_next(
    state: LearnedState, image: Array, detector: Detector, face: FaceBox | None = None
) -> Detection | None:
    """Detect near the last head, then wherever a face is found; None when there is none.

    face: where a face is known to be; it is taken where it is the better-confirmed one.
    """
    if detector.window != "head":
        return detection.detect(image, detection.middle_square(image), detector)
    if state.window is not None and state.head is not None:
        window = detection.next_window(state.window, state.head)
        seen = detection.detect(image, window, detector)
        if detection.evidence(seen, image, is_known=True) > LEAST_CONFIDENCE:
            return better(seen, image, detector, face)
    if face is not None:
        seen = detection.detect_near(image, head_box.from_face(face), detector)
        if detection.evidence(seen, image) > LEAST_TO_START:
            return seen
    if state.lost_steps % SEARCH_FRAMES == 0:
        return detection.search(image, detector)
    return None


def better(seen: Detection, image: Array, detector: Detector, face: FaceBox | None) -> Detection:
    """The detection, or that of a face elsewhere, or of another size, which is surer."""
    here = detection.evidence(seen, image, is_known=True)
    if face is None or seen.is_object:
        return seen
    known = head_box.from_face(face)
    if seen.head is not None and here > LEAST_CONFIDENCE and head_box.agrees(seen.head, known):
        return seen
    other = detection.detect_near(image, known, detector)
    gain = detection.evidence(other, image) - here
    return other if gain >= confirmation.BETTER else seen


def update(
    state: LearnedState,
    frame: Frame,
    seen: Detection,
    points: KeypointsPx,
    camera: CameraProfile | None,
    *,
    solve_pose: bool = True,
) -> tuple[LearnedState, bool]:
    """The state after a detection, and whether the head was lost before it.

    points: the output keypoints; ``seen.head`` must be their head box. solve_pose: solve for the
    rotation; otherwise extrapolate it (solving costs a fifth of a frame without detection).
    """
    turned = head_pose.extrapolate(state.pose, frame.time_s)
    if seen.head is not None and solve_pose:
        intrinsics = head_pose.Intrinsics(
            head_pose.camera_matrix(frame.image, seen.head, camera),
            np.array(camera.distortion) if camera else None,
        )
        turned = detection.estimate_pose(points, seen.head, intrinsics, state.pose, frame.time_s)
    reference = state.reference_xy_px
    found = detection.evidence(seen, frame.image, is_known=True)
    sure = Confirmation(found, found, frame.time_s)
    if state.confirmation is not None:
        sure = confirmation.resumed(state.confirmation, found, frame.time_s)
    is_better = seen.head is not None and confirmation.wants_reference(sure)
    if reference is None or is_better:
        reference, sure = points.xy_px.astype(np.float32), confirmation.with_reference(sure)
    now = LearnedState(
        seen.window, seen.head, turned, reference, state.steps + 1, 0, sure, is_better
    )
    return now, state.steps == 0 or is_better


def lose_head(state: LearnedState) -> tuple[LearnedState, Tracks]:
    """The state and the tracks of a frame without a detection."""
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


def build_tracks(
    state: LearnedState, points: KeypointsPx, window: Crop, confidence: float, *, is_new: bool
) -> Tracks:
    """Tracks whose features are the keypoints themselves."""
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
        face_confidence=state.confirmation.evidence if state.confirmation else 0.0,
        is_new_reference=state.is_new_reference,
        keypoints=points.in_crop(window),
        keypoints_crop=window,
    )


@dataclass(frozen=True)
class LearnedTracker:
    """``base.Tracker`` by the detector's keypoints in every frame."""

    uses_skin: ClassVar[bool] = False
    uses_detector: ClassVar[bool] = True
    uses_anchors: ClassVar[bool] = False
    model: ClassVar[str] = FAST
    config: TrackConfig
    detector: Detector
    camera: CameraProfile | None

    @classmethod
    def build(cls, parts: TrackerParts) -> Self:
        """See ``base.Tracker``."""
        assert parts.detector is not None  # ``uses_detector`` asks for it
        return cls(parts.config, parts.detector, parts.profiles.camera)

    def initial_state(self) -> Any:
        """See ``base.Tracker``."""
        return initial_state()

    def step(self, state: Any, frame: Frame, mask: SkinMask) -> tuple[Any, Tracks]:
        """See ``base.Tracker``."""
        return step(state, frame, self.detector, self.camera, mask.face)

    def adjusted(self, **settings: Any) -> Self:
        """See ``base.Tracker``."""
        return replace(self, config=schema.replaced(self.config, settings, "adjust of tracks"))
