"""Acquisition of a head without its recent past: at the start, after a cut, when it returns.

With a reference frame the same head is searched by its appearance model, then by all its lost
features together; only those that agree on one motion are revived.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hybridanim.face import head_box, head_pose
from hybridanim.fitting import fit_robust_similarity
from hybridanim.types import Array, SkinMask

from . import appearance, features, landmark_filter, lucas_kanade
from .landmark_filter import Fitter
from .state import FEW, TrackState, build_map

SEARCH_FRAMES = 5  # interval of face searches in the whole picture while there is no head
_SAME_HEAD = 0.6  # least correlation with the appearance model of the same head


def acquire(state: TrackState, grey: Array, mask: SkinMask, aligner: Fitter | None) -> TrackState:
    """Find the head in this frame; ``reason`` is set when there is none."""
    search = state.lost_steps % SEARCH_FRAMES == 0 and mask.face is None
    head = head_box.find(grey, mask, search=search)
    if head is None:
        reason = state.reason or "no face and no head-shaped skin in the picture"
        return replace(state, reason=reason)
    marks = landmark_filter.start(aligner, grey, head) if aligner else None
    if marks is not None:
        head = head_box.from_landmarks(marks.xy_px)
    elif state.memory is not None:
        again, score = appearance.locate(state.memory, grey, head)
        head = again if score > _SAME_HEAD else head
    view = features.cut_view(grey, lucas_kanade.window_at(head, grey))
    state = replace(state, view=view, head=head, landmarks=marks, reason="")
    if state.reference_head is None:
        reference = marks.xy_px if marks else None
        turned = head_pose.frontal(head)
        return replace(state, reference_head=head, reference_landmarks_xy_px=reference, pose=turned)
    return _revive_features(state, mask)


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
