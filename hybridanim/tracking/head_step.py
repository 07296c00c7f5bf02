"""One step of a head that is in view: features, box and landmarks from the last frame to this one.

Flow proposes; the features' first patches, the remembered look of the head, the neighbours and the
way back dispose. When most features go at once the shot changed, or something covers the head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hybridanim.config import TrackConfig
from hybridanim.face import head_box
from hybridanim.fitting import fit_robust_similarity
from hybridanim.types import Array, HeadBox, SkinMask

from . import appearance, features, landmark_filter, lucas_kanade, registration
from .features import View
from .landmark_filter import FaceLandmarks, Fitter
from .state import FEW, TrackState, let_go, map_of
from .templates import Features

_YOUNG = 8  # frames; younger features may turn out to sit on a hand
_HIDDEN_FRAMES = 15  # how long a head may be covered before it counts as gone
_RESTART_FRAMES = 6  # landmarks that were lost are fitted anew so often
_NOISE_HEADS = 0.01


@dataclass(frozen=True)
class _Flow:
    """Where flow takes the features and landmarks of the last frame."""

    before: View
    after: View
    start: Array  # (N, 2) features that were followed, last frame
    end: Array  # (N, 2) the same in this frame
    followed: Array  # (M,) bool, of the features alive before
    marks: Array  # (L, 2) landmarks in this frame
    marks_error: Array  # (L,)
    motion: Array  # (2, 3) similarity of the features


def carried(
    state: TrackState, grey: Array, mask: SkinMask, config: TrackConfig, aligner: Fitter | None
) -> TrackState:
    """The state in this frame; without a head, or with a reason, when it cannot be followed."""
    assert state.view is not None and state.head is not None
    seen = _flow(state, grey, config)
    found = replace(state.alive, xy_px=_all_ends(state, seen)).pick(seen.followed)
    found = features.anchored(seen.after, found, seen.motion)
    sure = _sure(found, config.least_likeness)
    head = head_box.moved(state.head, _head_motion(seen.start, found, sure, state.head))
    is_clear = int(sure.sum()) > 0.6 * len(state.alive)
    memory = appearance.update(
        state.memory, seen.after.small, seen.after.window, head, is_clear=is_clear
    )
    strange = appearance.is_strange(memory, found.xy_px, head)
    stay, doubt = features.judge(found, head, mask, strange, config.least_likeness)
    found = replace(found, doubt=doubt)
    gone = state.alive.pick(~seen.followed).join(found.pick(~stay))
    aside = features.set_aside(state.aside, gone)
    turned = seen.motion[:, :2].astype(np.float32) @ aside.warp
    after = replace(
        state,
        view=seen.after,
        alive=found.pick(stay),
        aside=replace(aside, warp=turned),
        head=head,
        memory=memory,
        shift_px=tuple(np.subtract(head.center_xy_px, state.head.center_xy_px).tolist()),
        dropped=len(gone),
    )
    if len(after.alive) < max(FEW, 0.2 * len(state.alive)):
        if lucas_kanade.is_cut(seen.before.grey, grey):
            return let_go(after, "the shot changed")
        return _covered(after, state, grey, mask)
    return _with_landmarks(replace(after, hidden_steps=0), state, seen, grey, aligner)


def _flow(state: TrackState, grey: Array, config: TrackConfig) -> _Flow:
    """Follow features and landmarks together; look further afield when most are lost."""
    assert state.view is not None and state.head is not None
    marks = state.landmarks.xy_px if state.landmarks else np.zeros((0, 2), np.float32)
    count = len(state.alive)
    points = np.concatenate([state.alive.xy_px, marks])
    shift = np.array(state.shift_px)
    result = features.carry(state.view, grey, state.head, points, shift, config)
    hits = int(np.isfinite(result[3][:count]).sum())
    if hits < 0.5 * count:
        jump, likeness = lucas_kanade.displacement(state.view.grey, grey, state.head)
        if likeness > 0.5:
            again = features.carry(state.view, grey, state.head, points, np.array(jump), config)
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
    """(M, 2) positions of all features, those not followed where they were."""
    xy = state.alive.xy_px.copy()
    xy[seen.followed] = seen.end
    return xy


def _sure(found: Features, least: float) -> Array:
    """(N,) bool: features that speak for the head; what a passing hand drags along does not."""
    like = found.likeness > least
    grown = like & (found.age > _YOUNG)
    return grown if grown.sum() >= 2 * FEW else like


def _head_motion(start: Array, found: Features, sure: Array, head: HeadBox) -> Array:
    """(2, 3) similarity of the head since the last frame; none when too few are sure."""
    if sure.sum() < FEW:
        return np.eye(2, 3)
    noise = _NOISE_HEADS * head.size_px
    return fit_robust_similarity(start[sure], found.xy_px[sure], noise)


def _covered(state: TrackState, last: TrackState, grey: Array, mask: SkinMask) -> TrackState:
    """Most features went at once without a cut: the head is hidden, or was too fast."""
    view = state.view
    assert view is not None and state.head is not None and last.head is not None
    hit = head_box.from_face(mask.face) if mask.face else head_box.check(grey, state.head)
    hidden = state.hidden_steps + 1
    if hit is not None or hidden > _HIDDEN_FRAMES:
        return let_go(state, "the face is covered or left the picture")
    state = replace(state, head=last.head, shift_px=(0.0, 0.0), hidden_steps=hidden, landmarks=None)
    forward = map_of(state, is_forward=True)
    found, aside = features.revive(
        view, state.alive, state.aside, forward, last.head, mask, count=120, reach_px=5.0
    )
    state = replace(state, alive=state.alive.join(found), aside=aside)
    if len(found) >= 2 * FEW:
        return replace(state, hidden_steps=0)
    return replace(state, reason="the face is covered or moved too fast")


def _with_landmarks(
    state: TrackState, last: TrackState, seen: _Flow, grey: Array, aligner: Fitter | None
) -> TrackState:
    """Landmarks predicted by flow and corrected by a fit, or started anew now and then."""
    assert state.head is not None
    if aligner is None:
        return state
    if last.landmarks is None:
        return _restarted(state, grey, aligner) if state.steps % _RESTART_FRAMES == 0 else state
    weight = np.ones(len(seen.start))
    local = registration.fit_map(seen.start, seen.end, weight, state.head.size_px)
    before = last.landmarks.xy_px
    expected = landmark_filter.predicted(before, seen.marks, seen.marks_error, local)
    if last.landmarks.pending is not None:
        xy = expected + last.landmarks.pending
        return replace(state, landmarks=FaceLandmarks(xy, last.landmarks.confidence))
    fitted = aligner.track(grey, expected)
    sure = float(fitted.confidence)
    if sure >= landmark_filter.LEAST_CONFIDENCE:
        size = state.head.size_px
        step, is_calm = landmark_filter.correction(expected, np.asarray(fitted.xy_px), size)
        # a calm correction is good for two frames: half the fits, and no shaking in their rhythm
        pending = 0.8 * step if is_calm else None
        return replace(state, landmarks=FaceLandmarks(expected + step, sure, pending))
    faded = 0.85 * last.landmarks.confidence  # carried by flow alone for some frames
    return replace(state, landmarks=FaceLandmarks(expected, faded) if faded > 0.2 else None)


def _restarted(state: TrackState, grey: Array, aligner: Fitter) -> TrackState:
    """Landmarks fitted in the head box; late ones are placed in the reference frame as well."""
    assert state.head is not None
    marks = landmark_filter.start(aligner, grey, state.head)
    state = replace(state, landmarks=marks)
    if marks is None or state.reference_landmarks_xy_px is not None:
        return state
    backward = map_of(state, is_forward=False)
    return replace(state, reference_landmarks_xy_px=backward(marks.xy_px))
