"""Propagation of a visible head from the last frame to this one: features, box, landmarks.

Optical flow predicts; template match, appearance, neighbour consistency and forward-backward error
reject outliers. When most features are lost at once, the shot changed or the head is covered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hybridanim.config import TrackConfig
from hybridanim.face import head_box
from hybridanim.fitting import fit_robust_similarity
from hybridanim.motion import shots
from hybridanim.types import Array, HeadBox, SkinMask

from . import appearance, features, landmark_filter, lucas_kanade, registration
from .features import HeadView
from .landmark_filter import FaceLandmarks, Fitter
from .state import FEW, TrackState, build_map, lose_head
from .templates import Features

_YOUNG = 8  # frames; features up to this age may lie on a hand
_HIDDEN_FRAMES = 15  # frames that a head may be covered before it is lost
_RESTART_FRAMES = 6  # interval of new fits of lost landmarks
_NOISE_HEADS = 0.01  # noise of features in the robust fits, in head sizes


@dataclass(frozen=True)
class _Flow:
    """Optical flow of features and landmarks, last frame to this one; pixels of the picture."""

    before: HeadView
    after: HeadView
    start: Array  # (N, 2) followed features in the last frame
    end: Array  # (N, 2) and in this one
    followed: Array  # (M,) bool, which of the M features were followed
    landmarks: Array  # (L, 2) landmarks in this frame
    landmarks_error: Array  # (L,) forward-backward error, window pixels
    motion: Array  # (2, 3) robust similarity of the features


def propagate(
    state: TrackState, grey: Array, mask: SkinMask, config: TrackConfig, aligner: Fitter | None
) -> TrackState:
    """The state in this frame; without a head, or with ``reason`` set, when it is not tracked."""
    assert state.view is not None and state.head is not None
    seen = _flow(state, grey, config)
    found = replace(state.alive, xy_px=_all_ends(state, seen)).pick(seen.followed)
    found = features.refine(seen.after, found, seen.motion)
    sure = _inliers(found, config.least_likeness)
    head = head_box.transform(state.head, _head_motion(seen.start, found, sure, state.head))
    is_clear = int(sure.sum()) > 0.6 * len(state.alive)
    memory = appearance.update(
        state.memory, seen.after.small, seen.after.window, head, is_clear=is_clear
    )
    outlier = appearance.is_outlier(memory, found.xy_px, head)
    stay, doubt = features.reject_outliers(found, head, mask, outlier, config.least_likeness)
    found = replace(found, doubt=doubt)
    gone = state.alive.pick(~seen.followed).join(found.pick(~stay))
    lost = features.keep_lost(state.lost, gone)
    turned = seen.motion[:, :2].astype(np.float32) @ lost.warp
    after = replace(
        state,
        view=seen.after,
        alive=found.pick(stay),
        lost=replace(lost, warp=turned),
        head=head,
        memory=memory,
        shift_px=tuple(np.subtract(head.center_xy_px, state.head.center_xy_px).tolist()),
        dropped=len(gone),
    )
    if len(after.alive) < max(FEW, 0.2 * len(state.alive)):
        if shots.is_cut(seen.before.grey, grey):
            return lose_head(after, "the shot changed")
        return _covered(after, state, grey, mask)
    return _with_landmarks(replace(after, hidden_steps=0), state, seen, grey, aligner)


def _flow(state: TrackState, grey: Array, config: TrackConfig) -> _Flow:
    """Track features and landmarks; retry from a template match of the head if most fail."""
    assert state.view is not None and state.head is not None
    landmarks = state.landmarks.xy_px if state.landmarks else np.zeros((0, 2), np.float32)
    count = len(state.alive)
    points = np.concatenate([state.alive.xy_px, landmarks])
    shift = np.array(state.shift_px)
    result = features.follow(state.view, grey, state.head, points, shift, config)
    hits = int(np.isfinite(result[3][:count]).sum())
    if hits < 0.5 * count:
        jump, score = lucas_kanade.displacement(state.view.grey, grey, state.head)
        if score > 0.5:
            again = features.follow(state.view, grey, state.head, points, np.array(jump), config)
            if int(np.isfinite(again[3][:count]).sum()) > hits:
                result, shift = again, np.array(jump)
    before, after, xy, error = result
    followed = np.isfinite(error[:count])
    start, end = state.alive.xy_px[followed].astype(np.float64), xy[:count][followed]
    motion = np.column_stack([np.eye(2), shift])
    if len(start) >= 3:
        noise = _NOISE_HEADS * state.head.size_px
        motion = fit_robust_similarity(start, end, noise)
    return _Flow(before, after, start, end, followed, xy[count:], error[count:], motion)


def _all_ends(state: TrackState, seen: _Flow) -> Array:
    """(M, 2) positions of all features; those not followed stay where they were."""
    xy = state.alive.xy_px.copy()
    xy[seen.followed] = seen.end
    return xy


def _inliers(found: Features, least: float) -> Array:
    """(N,) bool: features for the head's motion; those of at most ``_YOUNG`` frames only if needed.

    A new feature may lie on a hand in front of the face.
    """
    matches = found.score > least
    mature = matches & (found.age > _YOUNG)
    return mature if mature.sum() >= 2 * FEW else matches


def _head_motion(start: Array, found: Features, sure: Array, head: HeadBox) -> Array:
    """(2, 3) similarity of the head since the last frame; identity with too few inliers."""
    if sure.sum() < FEW:
        return np.eye(2, 3)
    noise = _NOISE_HEADS * head.size_px
    return fit_robust_similarity(start[sure], found.xy_px[sure], noise)


def _covered(state: TrackState, last: TrackState, grey: Array, mask: SkinMask) -> TrackState:
    """Most features were lost without a cut: the head is covered, or was too fast."""
    view = state.view
    assert view is not None and state.head is not None and last.head is not None
    hit = head_box.from_face(mask.face) if mask.face else head_box.detect_near(grey, state.head)
    hidden = state.hidden_steps + 1
    if hit is not None or hidden > _HIDDEN_FRAMES:
        return lose_head(state, "the face is covered or left the picture")
    state = replace(state, head=last.head, shift_px=(0.0, 0.0), hidden_steps=hidden, landmarks=None)
    forward = build_map(state, is_forward=True)
    found, lost = features.revive(
        view, state.alive, state.lost, forward, last.head, mask, count=120, reach_px=5.0
    )
    state = replace(state, alive=state.alive.join(found), lost=lost)
    if len(found) >= 2 * FEW:
        return replace(state, hidden_steps=0)
    return replace(state, reason="the face is covered or moved too fast")


def _with_landmarks(
    state: TrackState, last: TrackState, seen: _Flow, grey: Array, aligner: Fitter | None
) -> TrackState:
    """Predict the landmarks by flow and correct them by a fit, or restart lost ones."""
    assert state.head is not None
    if aligner is None:
        return state
    if last.landmarks is None:
        return _restarted(state, grey, aligner) if state.steps % _RESTART_FRAMES == 0 else state
    weight = np.ones(len(seen.start))
    local = registration.fit_map(seen.start, seen.end, weight, state.head.size_px)
    before = last.landmarks.xy_px
    expected = landmark_filter.predict(before, seen.landmarks, seen.landmarks_error, local)
    if last.landmarks.pending is not None:
        xy = expected + last.landmarks.pending
        return replace(state, landmarks=FaceLandmarks(xy, last.landmarks.confidence))
    fitted = aligner.track(grey, expected)
    sure = float(fitted.confidence)
    if sure >= landmark_filter.LEAST_CONFIDENCE:
        size = state.head.size_px
        step, is_calm = landmark_filter.correction(expected, np.asarray(fitted.xy_px), size)
        # a small correction serves two frames: half the fits, and no jitter at their rate
        pending = 0.8 * step if is_calm else None
        return replace(state, landmarks=FaceLandmarks(expected + step, sure, pending))
    faded = 0.85 * last.landmarks.confidence  # for some frames by flow alone
    return replace(state, landmarks=FaceLandmarks(expected, faded) if faded > 0.2 else None)


def _restarted(state: TrackState, grey: Array, aligner: Fitter) -> TrackState:
    """Fit landmarks in the head box; the first ones are also mapped to the reference frame."""
    assert state.head is not None
    landmarks = landmark_filter.start(aligner, grey, state.head)
    state = replace(state, landmarks=landmarks)
    if landmarks is None or state.reference_landmarks_xy_px is not None:
        return state
    backward = build_map(state, is_forward=False)
    return replace(state, reference_landmarks_xy_px=backward(landmarks.xy_px))
