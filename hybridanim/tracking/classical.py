"""Classical tracker (stage 2): Frame, SkinMask -> Tracks: features, head box, landmarks, rotation.

step() tracks features by pyramidal optical flow, drops those with a large forward-backward error or
a low correlation with their template (Shi and Tomasi 1994), moves the head box with the others,
tracks landmarks, revives lost features, detects new ones, and solves for the head rotation from the
correspondences. The first frame with a head is the reference frame. docs/guide/tracking.md has the
rules, docs/results/tracking.md the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import cv2
import numpy as np

from hybridanim import schema
from hybridanim.config import TrackConfig
from hybridanim.face import head_box, head_pose
from hybridanim.fitting import fit_robust_similarity
from hybridanim.networks.models import FAST
from hybridanim.profiles import CameraProfile, Profiles, TrackerProfile
from hybridanim.types import Array, Frame, SkinMask, Tracks

from . import appearance, confirmation, features, head_step, reacquire
from .base import TrackerParts
from .confirmation import FIT
from .landmark_filter import Fitter
from .state import FEW, TrackState, build_map, lose_head

__all__ = ["ClassicalTracker", "TrackState", "initial_state", "step", "with_profile"]

_LEAST_CONFIDENCE = 0.25  # below this the last rotation is kept
_LEVEL_FRAMES = 3  # interval of corrections of the rotation by landmarks
_CHECK_FRAMES = 12  # interval of cascade checks of the box when there are no landmarks


def initial_state() -> TrackState:
    """The state before the first frame."""
    return TrackState()


def step(
    state: TrackState,
    frame: Frame,
    mask: SkinMask,
    config: TrackConfig,
    profile: TrackerProfile | None = None,
    camera: CameraProfile | None = None,
    aligner: Fitter | None = None,
) -> tuple[TrackState, Tracks]:
    """Track the next frame of a video.

    profile: measured settings, which replace those of ``config``. camera: intrinsics for the
    rotation, guessed without it. aligner: landmark fitter, see ``aligner.load``; None = no
    landmarks. Returns the state for the next frame, and the tracks. When the head is not tracked,
    ``Tracks.lost`` says why, and ``Tracks.head`` is its last box if it is only covered.
    """
    config = with_profile(config, profile)
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    state = replace(
        state, new=0, dropped=0, reason="", is_new_reference=False, steps=state.steps + 1
    )
    if state.view is not None and state.view.grey.shape != grey.shape:
        state = lose_head(state, "the picture changed its size")
    if state.head is not None:
        state = head_step.propagate(state, grey, mask, config, aligner)
        state = _confirm(reacquire.challenge(state, grey, mask, aligner), grey, frame.time_s)
    if state.head is None:
        state = reacquire.acquire(state, grey, mask, aligner, frame.time_s)
    if state.head is None or state.reason:
        return _build_lost(state, grey)
    if state.confirmation is not None and confirmation.wants_reference(state.confirmation):
        state = reacquire.as_reference(state)
    state = _measure_head(state, grey, mask)
    state = _estimate_pose(state, frame, camera)
    state = _replenish(state, mask, config)
    return replace(state, lost_steps=0), _build_tracks(state)


def with_profile(config: TrackConfig, profile: TrackerProfile | None) -> TrackConfig:
    """The config with a profile's measured settings."""
    if profile is None:
        return config
    return replace(
        config,
        corners=profile.corners,
        max_features=profile.max_features,
        window_px=profile.window_px,
        pyramid_levels=profile.pyramid_levels,
        forward_backward_px=profile.forward_backward_px,
    )


def _confirm(state: TrackState, grey: Array, time_s: float) -> TrackState:
    """Take in this frame's evidence of a face; give the head up when there was none for long."""
    if state.head is None or state.confirmation is None:
        return state
    if head_box.share_inside(state.head, *grey.shape[:2]) < confirmation.KEEP_INSIDE:
        return lose_head(state, confirmation.LEFT)
    found = reacquire.evidence(state.landmarks, grey, is_known=True)
    now = confirmation.step(state.confirmation, found, time_s, FIT)
    state = replace(state, confirmation=now)
    if confirmation.is_given_up(now, time_s, FIT):
        return lose_head(state, confirmation.NOT_CONFIRMED)
    return state


def _measure_head(state: TrackState, grey: Array, mask: SkinMask) -> TrackState:
    """Correct the tracked head box by features, landmarks and cascade hits of this frame."""
    assert state.head is not None and state.reference_head is not None
    head, bias = state.head, np.array(state.bias)
    if len(state.alive) >= 20:
        since = fit_robust_similarity(
            state.alive.reference_xy_px.astype(float), state.alive.xy_px, 0.02 * head.size_px
        )
        head = head_box.blend(head, head_box.transform(state.reference_head, since), 0.02, 0.05)
    hit = head_box.from_face(mask.face) if mask.face else None
    if state.landmarks is not None and state.landmarks.confidence > 0.5:
        head = head_box.blend(head, head_box.from_landmarks(state.landmarks.xy_px), 0.05, 0.05)
        hit = None
    elif hit is None and state.steps % _CHECK_FRAMES == 0:
        hit = head_box.detect_near(grey, head)
    if hit is not None and head_box.agrees(head, hit):
        bias += 0.3 * (head_box.difference(head, hit) - bias)
    head = head_box.apply_difference(head, 0.02 * bias)
    return replace(state, head=head, bias=tuple((0.98 * bias).tolist()))


def _replenish(state: TrackState, mask: SkinMask, config: TrackConfig) -> TrackState:
    """Revive lost features, then detect new ones if there are still too few."""
    view, head = state.view, state.head
    assert view is not None and head is not None
    wanted = config.max_features - len(state.alive)
    is_turn = state.steps % 2 == 0 or len(state.alive) < 3 * FEW
    if is_turn and wanted > 0 and len(state.lost) and len(state.alive) >= FEW:
        forward = build_map(state, is_forward=True)
        found, lost = features.revive(
            view, state.alive, state.lost, forward, head, mask,
            count=min(40, 2 * wanted), reach_px=2.5,
        )  # fmt: skip
        state = replace(state, alive=state.alive.join(found), lost=lost)
    wanted = config.max_features - len(state.alive)
    # while something covers the face only known features may be added
    most = 0.15 if head_box.is_hand_near(head, mask) else 0.5
    is_hidden = appearance.outlier_share(state.memory) > most
    is_rested = state.steps % 3 == 0 or len(state.alive) < 20
    # corners found while no face is seen may be the wall's, and would carry the head on
    is_face = state.confirmation is None or state.confirmation.is_confirmed
    if is_hidden or not is_face or not is_rested or wanted < 0.1 * config.max_features:
        return state
    fresh = features.detect_new(
        view, state.alive, wanted, head, mask, state.memory, state.pose,
        build_map(state, is_forward=False), config, state.next_id,
    )  # fmt: skip
    alive = state.alive.join(fresh)
    return replace(state, alive=alive, new=len(fresh), next_id=state.next_id + len(fresh))


def _estimate_pose(state: TrackState, frame: Frame, camera: CameraProfile | None) -> TrackState:
    """Head rotation by PnP of features and landmarks on the generic head, low-passed."""
    assert state.head is not None
    intrinsics = head_pose.Intrinsics(
        head_pose.camera_matrix(frame.image, state.head, camera),
        np.array(camera.distortion) if camera else None,
    )
    guess = replace(state.pose, centre_xy_px=state.head.center_xy_px, size_px=state.head.size_px)
    alive = state.alive
    rows = np.nonzero((alive.doubt == 0) & (alive.age > 0))[0]
    rows = rows[np.argsort(alive.ids[rows])]  # the oldest are placed most accurately
    steady = head_pose.solve(alive.model[rows], alive.xy_px[rows], intrinsics, guess)
    landmarks = state.landmarks
    is_due = steady is None or state.steps % _LEVEL_FRAMES == 0
    absolute = (
        head_pose.solve_landmarks(landmarks.xy_px, intrinsics, guess)
        if landmarks and is_due
        else None
    )
    now, offset = head_pose.fuse(steady, absolute, state.pose_offset_deg)
    if now is None or now.confidence < _LEAST_CONFIDENCE:
        return replace(state, pose=replace(guess, confidence=0.5 * state.pose.confidence))
    turned = head_pose.smooth(state.pose, now, frame.time_s)
    return replace(state, pose=turned, pose_offset_deg=offset)


def _build_tracks(state: TrackState) -> Tracks:
    """The tracks of this frame."""
    alive, landmarks = state.alive, state.landmarks
    trust = np.clip((alive.score - 0.5) / 0.45, 0, 1) * np.where(alive.doubt > 0, 0.3, 1.0)
    overall = float(min(1.0, len(alive) / 40) * (np.mean(trust) if len(alive) else 0.0))
    return Tracks(
        xy_px=alive.xy_px,
        reference_xy_px=alive.reference_xy_px,
        ids=alive.ids,
        age=alive.age,
        confidence=trust.astype(np.float32),
        new=state.new,
        dropped=state.dropped,
        head=state.head,
        landmarks_xy_px=landmarks.xy_px if landmarks else None,
        reference_landmarks_xy_px=state.reference_landmarks_xy_px if landmarks else None,
        landmarks_confidence=landmarks.confidence if landmarks else 0.0,
        rotation_deg=state.pose.angles_deg,
        rotation_confidence=state.pose.confidence,
        confidence_overall=overall,
        face_confidence=state.confirmation.evidence if state.confirmation else 0.0,
        is_new_reference=state.is_new_reference,
    )


def _build_lost(state: TrackState, grey: Array) -> tuple[TrackState, Tracks]:
    """The state and the tracks of a frame in which the head is not tracked."""
    lost = 0 if state.head is not None else state.lost_steps + 1
    turned = replace(state.pose, confidence=0.0)
    if state.head is None:
        state = replace(state, view=None)
    state = replace(state, lost_steps=lost, pose=turned)
    tracks = _build_tracks(state)
    tracks = replace(tracks, lost=state.reason, confidence_overall=0.0, face_confidence=0.0)
    return state, tracks


@dataclass(frozen=True)
class ClassicalTracker:
    """``base.Tracker`` by skin, corners, optical flow and landmarks."""

    uses_skin: ClassVar[bool] = True
    uses_detector: ClassVar[bool] = False
    uses_anchors: ClassVar[bool] = False
    model: ClassVar[str] = FAST
    config: TrackConfig
    profiles: Profiles
    aligner: Fitter | None

    @classmethod
    def build(cls, parts: TrackerParts) -> Self:
        """See ``base.Tracker``."""
        return cls(parts.config, parts.profiles, parts.aligner)

    def initial_state(self) -> TrackState:
        """See ``base.Tracker``."""
        return initial_state()

    def step(self, state: TrackState, frame: Frame, mask: SkinMask) -> tuple[TrackState, Tracks]:
        """See ``base.Tracker``."""
        own = self.profiles
        return step(state, frame, mask, self.config, own.tracker, own.camera, self.aligner)

    def adjusted(self, **settings: Any) -> Self:
        """See ``base.Tracker``."""
        return replace(self, config=schema.replaced(self.config, settings, "adjust of tracks"))
