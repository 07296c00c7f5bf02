"""A head without its recent past: found at the start, after a cut, when it comes back.

With a reference frame in memory the same head is looked for by its remembered look, then by its
lost features all together, and only those that agree on one motion come back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hybridanim.face import head_box, head_pose
from hybridanim.fitting import fit_robust_similarity
from hybridanim.types import Array, SkinMask

from . import appearance, features, landmark_filter, lucas_kanade
from .landmark_filter import Fitter
from .state import FEW, TrackState, map_of

SEARCH_FRAMES = 5  # the whole picture is searched for a face so often while there is no head
_SAME_HEAD = 0.6  # correlation with the remembered head that makes it the same


def acquire(state: TrackState, grey: Array, mask: SkinMask, aligner: Fitter | None) -> TrackState:
    """Find the head without its recent past."""
    search = state.lost_steps % SEARCH_FRAMES == 0 and mask.face is None
    head = head_box.find(grey, mask, search=search)
    if head is None:
        reason = state.reason or "no face and no head-shaped skin in the picture"
        return replace(state, reason=reason)
    marks = landmark_filter.start(aligner, grey, head) if aligner else None
    if marks is not None:
        head = head_box.from_landmarks(marks.xy_px)
    elif state.memory is not None:
        again, likeness = appearance.located(state.memory, grey, head)
        head = again if likeness > _SAME_HEAD else head
    view = features.view_of(grey, lucas_kanade.window_at(head, grey))
    state = replace(state, view=view, head=head, landmarks=marks, reason="")
    if state.reference_head is None:
        reference = marks.xy_px if marks else None
        turned = head_pose.frontal(head)
        return replace(state, reference_head=head, reference_landmarks_xy_px=reference, pose=turned)
    return _return(state, mask)


def _return(state: TrackState, mask: SkinMask) -> TrackState:
    """Bring back as many lost features as can be found in a head that was just acquired."""
    view, head, reference = state.view, state.head, state.reference_head
    assert view is not None and head is not None and reference is not None
    forward = map_of(state, is_forward=True)
    if len(state.aside) < FEW:
        return state
    forward = features.settled(view, state.aside, forward, head.size_px)
    upright = np.eye(2, dtype=np.float32) / view.window.scale
    # the warp at loss belongs to another shot; the reference patch at the new size is nearer
    aside = replace(state.aside, warp=np.tile(upright, (len(state.aside), 1, 1)))
    for reach in (5.0, 3.0):
        found, rest = features.revive(
            view, state.alive, aside, forward, head, mask, count=240, reach_px=reach
        )
        right = features.agreed(found, head.size_px)
        if right.sum() < FEW:
            return state
        aside = rest.join(found.pick(~right))
        state = replace(state, alive=state.alive.join(found.pick(right)), aside=aside)
        forward = map_of(state, is_forward=True)
    since = fit_robust_similarity(
        state.alive.reference_xy_px.astype(float), state.alive.xy_px, 0.02 * head.size_px
    )
    whole = head_box.moved(reference, since)
    return replace(state, head=head_box.pulled(head, whole, 0.5, 0.5))
