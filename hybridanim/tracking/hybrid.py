"""Hybrid tracker (stage 2): Frame -> Tracks with keypoints, by detector and optical flow.

step(state, ...) -> (state, tracks). The detector runs every n-th frame, and at once when too few
points survive or, without a face fit, a patch of a lid or lip has changed; in between, optical flow
propagates the positions and Jacobians. The difference of a detection from the propagated keypoints
(the residual) is blended in over the next frames, at once where it exceeds the detector's noise.
This is a complementary filter, flow for high and the detector for low frequencies: the result
neither drifts nor jumps at detections.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import cv2
import numpy as np

from hybridanim.config import TrackConfig
from hybridanim.face import head_box
from hybridanim.fitting import fit_robust_affine
from hybridanim.profiles import CameraProfile
from hybridanim.types import Array, Crop, FaceBox, Frame, HeadBox, SkinMask, Tracks

from . import confirmation, detection, keypoint_flow, learned
from .detection import LEAST_CONFIDENCE, Detection, Detector, KeypointsPx
from .keypoint_flow import FlowState
from .learned import LearnedState, LearnedTracker

__all__ = ["HybridState", "HybridTracker", "initial_state", "step"]

_GAIN, _GAIN_SMALL = 0.35, 0.65  # share of the residual added per frame; for lids and lips
_NOISE_HEADS = 0.006  # residual up to which it is the detector's noise, in head sizes
_MOTION_HEADS = 0.02  # residual from which on it is motion missed by the flow: added at once
_MOST_DISSIMILAR = 0.15  # patch dissimilarity above which the detector runs
_JUMP_HEADS = 0.15  # median residual above which it is another head or another shot
_BOXES = 2.3  # side of a detector window in sides of the box that the flow window is made from
_MISS_DECAY = 0.9  # factor of the confidence for each detector run without a face
_MOST_MISSES = 10  # detector runs without a face, after which the head is lost


@dataclass(frozen=True)
class HybridState:
    """State between frames; positions are pixels of the last frame."""

    base: LearnedState = field(default_factory=LearnedState)
    flow: FlowState | None = None
    points: KeypointsPx | None = None  # of the last output
    detected: Detection | None = None  # the last one
    residual: Array | None = None  # (K, 6) not yet blended in: position, Jacobian; pixels
    shift_px: Array = field(default_factory=lambda: np.zeros(2))  # of the last frame
    since: int = 0  # frames since the last detection
    misses: int = 0  # detector runs in a row without a face


def initial_state() -> HybridState:
    """The state before the first frame."""
    return HybridState()


def step(
    state: HybridState,
    frame: Frame,
    detector: Detector,
    config: TrackConfig,
    camera: CameraProfile | None = None,
    face: FaceBox | None = None,
) -> tuple[HybridState, Tracks]:
    """Track the keypoints into the next frame of a video.

    detector: see ``detection.Detector``. camera: intrinsics for the rotation, guessed without it.
    face: where a face is known to be. When no head is found, ``Tracks.lost`` says why and there are
    no keypoints.
    """
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    state, propagated = _propagate(state, grey)
    is_due = propagated is None or state.since + 1 >= config.anchor_every
    if not is_due and propagated is not None:
        # with a fitted face, lids and lips are seen in each frame anyway
        has_changed = not config.face_fit and _has_changed(state, propagated)
        is_due = face is not None or has_changed
    detected = _detect(state, frame.image, propagated, detector, face) if is_due else None
    is_over = propagated is None or (is_due and state.misses >= _MOST_MISSES)
    if detected is None and (is_over or _has_left(state.base.head, grey)):
        base, tracks = learned.lose_head(state.base)
        return HybridState(base, state.flow), tracks
    if detected is not None:
        state, points = _correct(state, propagated, detected, grey)
    else:
        assert propagated is not None
        points, misses = propagated, state.misses + 1 if is_due else state.misses
        state = replace(state, since=state.since + 1, misses=misses)
    state, points = _blend_residual(state, points)
    return _build_output(state, frame, points, camera)


def _has_left(head: HeadBox | None, grey: Array) -> bool:
    """Whether too little of the head of the last frame was in the picture."""
    if head is None:
        return False
    return head_box.share_inside(head, *grey.shape[:2]) < confirmation.KEEP_INSIDE


def _propagate(state: HybridState, grey: Array) -> tuple[HybridState, KeypointsPx | None]:
    """Propagate the last frame's keypoints by optical flow; None when that fails."""
    last = state.flow
    if last is None or state.points is None or last.picture.shape != grey.shape:
        return state, None
    now, points = keypoint_flow.propagate(last, grey, state.points, state.shift_px)
    return replace(state, flow=now), points


def _has_changed(state: HybridState, propagated: KeypointsPx) -> bool:
    """Whether a patch of a small keypoint differs from that at the last detection."""
    now = state.flow
    if now is None or now.patches is None:
        return True
    apart = keypoint_flow.patch_dissimilarity(
        now.patches, keypoint_flow.sample_patches(now, propagated)
    )
    return bool(apart.max() > _MOST_DISSIMILAR)


def _window(base: LearnedState) -> Crop:
    """The detector's next window; for heads, it follows the head of the last frame."""
    assert base.window is not None
    return base.window if base.head is None else detection.next_window(base.window, base.head)


def _detect(
    state: HybridState,
    image: Array,
    propagated: KeypointsPx | None,
    detector: Detector,
    face: FaceBox | None,
) -> Detection | None:
    """Detect near the last head, or anywhere when the flow failed too; None without a face."""
    if propagated is None or detector.window != "head":
        return learned.detect_next(state.base, image, detector, face)
    detected = detection.detect(image, _window(state.base), detector)
    detected = learned.better(detected, image, detector, face)
    here = detection.evidence(detected, image, is_known=True)
    return detected if here > LEAST_CONFIDENCE else None


def _correct(
    state: HybridState, propagated: KeypointsPx | None, detected: Detection, grey: Array
) -> tuple[HybridState, KeypointsPx]:
    """Store the detection's residual; restart from the detection where the flow has failed."""
    state = replace(state, detected=detected, since=0, misses=0)
    last = state.flow
    box = detected.head or _box_of(detected.window)
    if propagated is not None and last is not None:
        apart = detected.points.xy_px - propagated.xy_px
        if np.median(np.hypot(*apart.T)) < _JUMP_HEADS * box.size_px:
            turn = detected.points.linear_px - propagated.linear_px
            residual = np.concatenate([apart, turn.reshape(-1, 4)], 1)
            points = replace(propagated, confidence=detected.points.confidence)
            return replace(state, residual=residual), points
    fresh = keypoint_flow.start(grey, box, last)
    state = replace(state, flow=fresh, residual=None, shift_px=np.zeros(2))
    return state, detected.points


def _blend_residual(state: HybridState, points: KeypointsPx) -> tuple[HybridState, KeypointsPx]:
    """Add a share of the residual, which grows from the gain to 1 as it exceeds the noise."""
    if state.residual is None or state.flow is None:
        return state, points
    length = np.hypot(*state.residual[:, :2].T) / state.flow.box.size_px
    excess = np.clip((length - _NOISE_HEADS) / (_MOTION_HEADS - _NOISE_HEADS), 0, 1)
    gain = np.where(keypoint_flow.watched(len(length)), _GAIN_SMALL, _GAIN)
    share = (gain + (1 - gain) * excess)[:, None]
    part = share * state.residual
    corrected = replace(
        points,
        xy_px=points.xy_px + part[:, :2],
        linear_px=points.linear_px + part[:, 2:].reshape(-1, 2, 2),
    )
    return replace(state, residual=state.residual - part), corrected


def _build_output(
    state: HybridState, frame: Frame, points: KeypointsPx, camera: CameraProfile | None
) -> tuple[HybridState, Tracks]:
    """The state after this frame, and its tracks."""
    now, last, detected = state.flow, state.points, state.detected
    assert now is not None and detected is not None
    window = detected.window if state.since == 0 else _window(state.base)
    head = None if detected.head is None else head_box.from_anchors(points.xy_px)
    confidence = detected.confidence * _MISS_DECAY**state.misses
    current = replace(detected, points=points, window=window, confidence=confidence, head=head)
    base, is_new = learned.update(
        state.base, frame, current, points, camera, solve_pose=state.since == 0
    )
    box = head or _box_of(window)
    now = replace(now, box=box)
    if base.is_new_reference:
        now = keypoint_flow.start(now.picture, box, now)
    if state.since == 0 or base.is_new_reference:
        now = replace(now, patches=keypoint_flow.sample_patches(now, points))
        assert base.reference_xy_px is not None
        back, _ = fit_robust_affine(
            points.xy_px, base.reference_xy_px, np.ones(len(points.xy_px)), 0.03 * box.size_px
        )
        now = keypoint_flow.add_corners(now, points, back)
    shift = np.zeros(2) if last is None or is_new else (points.xy_px - last.xy_px).mean(0)
    state = replace(state, base=base, flow=now, points=points, shift_px=shift)
    tracks = learned.build_tracks(base, points, window, confidence, is_new=is_new)
    tracks = replace(
        tracks,
        xy_px=now.xy_px,
        reference_xy_px=now.reference_xy_px,
        ids=now.ids,
        age=now.age,
        confidence=np.ones(len(now.ids), np.float32),
        new=now.new,
        dropped=now.dropped,
    )
    return state, tracks


def _box_of(window: Crop) -> HeadBox:
    """The box whose flow window is about this square."""
    middle = window.side_px / 2 - 0.5
    return HeadBox((window.x_px + middle, window.y_px + middle), window.side_px / _BOXES)


@dataclass(frozen=True)
class HybridTracker(LearnedTracker):
    """``base.Tracker`` by the detector's keypoints now and then, carried by optical flow."""

    uses_anchors: ClassVar[bool] = True

    def initial_state(self) -> HybridState:
        """See ``base.Tracker``."""
        return initial_state()

    def step(self, state: HybridState, frame: Frame, mask: SkinMask) -> tuple[HybridState, Tracks]:
        """See ``base.Tracker``."""
        return step(state, frame, self.detector, self.config, self.camera, mask.face)
