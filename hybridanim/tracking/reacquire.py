"""Acquisition of a head without its recent past: at the start, after a cut, when it returns.

With a reference frame the same head is searched by its appearance model, then by all its lost
features together; only those that agree on one motion are revived.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hybridanim.face import head_box, head_pose
from hybridanim.fitting import fit_robust_similarity
from hybridanim.types import Array, HeadBox, SkinMask

from . import appearance, confirmation, features, landmark_filter, lucas_kanade
from .confirmation import FIT
from .landmark_filter import FaceLandmarks, Fitter
from .state import FEW, TrackState, build_map, lose_head

SEARCH_FRAMES = 5  # interval of face searches in the whole picture while there is no head
_SAME_HEAD = 0.6  # least correlation with the appearance model of the same head


def acquire(
    state: TrackState, grey: Array, mask: SkinMask, aligner: Fitter | None, time_s: float = 0.0
) -> TrackState:
    """Find the head in this frame; ``reason`` is set when there is none.

    With a fitter, only a face in which it finds landmarks is taken.
    """
    search = state.lost_steps % SEARCH_FRAMES == 0 and mask.face is None
    if aligner is None:
        state = _unconfirmed(state, grey, head_box.find(grey, mask, search=search))
    else:
        state = _confirmed(state, grey, mask, aligner, time_s, search=search)
    if state.head is None:
        return replace(state, reason=state.reason or "no face in the picture")
    view = features.cut_view(grey, lucas_kanade.window_at(state.head, grey))
    state = replace(state, view=view, reason="")
    return _revive_features(state, mask) if state.reference_head else as_reference(state)


def as_reference(state: TrackState) -> TrackState:
    """Make this frame, in which the head is known, the reference frame; earlier features go."""
    assert state.head is not None
    known = state.confirmation
    return TrackState(
        view=state.view,
        head=state.head,
        reference_head=state.head,
        landmarks=state.landmarks,
        reference_landmarks_xy_px=state.landmarks.xy_px if state.landmarks else None,
        pose=head_pose.frontal(state.head),
        confirmation=confirmation.with_reference(known) if known else None,
        is_new_reference=state.reference_head is not None,
        next_id=state.next_id,
        steps=state.steps,
        lost_steps=state.lost_steps,
        dropped=state.dropped + len(state.alive),
    )


def evidence(marks: FaceLandmarks | None, grey: Array, *, is_known: bool = False) -> float:
    """See ``confirmation.evidence_of``; 0 without landmarks."""
    if marks is None:
        return 0.0
    inside = head_box.share_inside(head_box.from_landmarks(marks.xy_px), *grey.shape[:2])
    return confirmation.evidence_of(marks.confidence, inside, is_known=is_known)


def challenge(state: TrackState, grey: Array, mask: SkinMask, aligner: Fitter | None) -> TrackState:
    """The state without a head if stage 1 has a better-confirmed face elsewhere, or of other size.

    ``acquire`` then takes that one.
    """
    known = state.confirmation
    if aligner is None or known is None or mask.face is None or state.head is None:
        return state
    other = head_box.from_face(mask.face)
    if known.is_confirmed and head_box.agrees(state.head, other):
        return state
    found = evidence(landmark_filter.start(aligner, grey, other), grey)
    if not confirmation.is_better(found, known, FIT):
        return state
    return replace(lose_head(state, ""), hidden_steps=0)


def _unconfirmed(state: TrackState, grey: Array, head: HeadBox | None) -> TrackState:
    """Take a head without a landmark fitter: where it looks most as it did before."""
    if head is not None and state.memory is not None:
        again, score = appearance.locate(state.memory, grey, head)
        head = again if score > _SAME_HEAD else head
    return replace(state, head=head)


def _confirmed(
    state: TrackState, grey: Array, mask: SkinMask, aligner: Fitter, time_s: float, *, search: bool
) -> TrackState:
    """Take the first candidate in which the landmarks find a face."""
    for head in head_box.candidates(grey, mask, search=search):
        marks = landmark_filter.start(aligner, grey, head)
        sure = confirmation.start(evidence(marks, grey), time_s, FIT)
        if marks is None or sure is None:
            continue
        if state.confirmation is not None:
            sure = confirmation.resumed(state.confirmation, sure.evidence, time_s)
        own = head_box.from_landmarks(marks.xy_px)
        return replace(state, head=own, landmarks=marks, confirmation=sure)
    return state


def _revive_features(state: TrackState, mask: SkinMask) -> TrackState:
    """Revive as many lost features as possible on a newly acquired head."""
    view, head, reference = state.view, state.head, state.reference_head
    assert view is not None and head is not None and reference is not None
    forward = build_map(state, is_forward=True)
    if len(state.lost) < FEW:
        return state
    forward = features.align_map(view, state.lost, forward, head.size_px)
    upright = np.eye(2, dtype=np.float32) / view.window.scale
    # the last warps are of another shot; the reference template at the new size is closer
    lost = replace(state.lost, warp=np.tile(upright, (len(state.lost), 1, 1)))
    for reach in (5.0, 3.0):
        found, rest = features.revive(
            view, state.alive, lost, forward, head, mask, count=240, reach_px=reach
        )
        right = features.consensus(found, head.size_px)
        if right.sum() < FEW:
            return state
        lost = rest.join(found.pick(~right))
        state = replace(state, alive=state.alive.join(found.pick(right)), lost=lost)
        forward = build_map(state, is_forward=True)
    since = fit_robust_similarity(
        state.alive.reference_xy_px.astype(float), state.alive.xy_px, 0.02 * head.size_px
    )
    whole = head_box.transform(reference, since)
    return replace(state, head=head_box.blend(head, whole, 0.5, 0.5))
