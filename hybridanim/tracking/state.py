"""State of the classical tracker, and the maps between reference frame and last frame."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hybridanim.face.head_pose import Angles, Pose
from hybridanim.types import Array, HeadBox

from . import features, registration, templates
from .appearance import Appearance
from .confirmation import Confirmation
from .features import HeadView
from .landmark_filter import FaceLandmarks
from .registration import Map
from .templates import Features

FEW = 6  # least features for a fit of the head's motion


@dataclass(frozen=True)
class TrackState:
    """State between frames; positions are pixels of the last frame."""

    view: HeadView | None = None
    alive: Features = field(default_factory=templates.empty)
    lost: Features = field(default_factory=templates.empty)  # may be revived
    head: HeadBox | None = None
    reference_head: HeadBox | None = None
    bias: tuple[float, float, float] = (
        0.0,
        0.0,
        0.0,
    )  # of the box, see head_box.difference
    memory: Appearance | None = None  # model of the head's appearance
    landmarks: FaceLandmarks | None = None
    reference_landmarks_xy_px: Array | None = None
    shift_px: tuple[float, float] = (0.0, 0.0)  # displacement of the head since the frame before
    pose: Pose = field(default_factory=Pose)
    pose_offset_deg: Angles = (0.0, 0.0, 0.0)  # see head_pose.fuse
    confirmation: Confirmation | None = None  # None = before the first head, or without a fitter
    is_new_reference: bool = False  # this frame has become the reference frame
    next_id: int = 0
    steps: int = 0
    hidden_steps: int = 0  # consecutive frames with a covered head
    lost_steps: int = 0  # consecutive frames without a head
    new: int = 0  # features of this frame
    dropped: int = 0
    reason: str = ""  # why the head is not tracked in this frame


def lose_head(state: TrackState, reason: str) -> TrackState:
    """The state without a head; its features may be revived later."""
    lost = features.keep_lost(state.lost, state.alive)
    return replace(
        state,
        alive=templates.empty(),
        lost=lost,
        head=None,
        landmarks=None,
        bias=(0.0, 0.0, 0.0),
        shift_px=(0.0, 0.0),
        hidden_steps=0,
        dropped=state.dropped + len(state.alive),
        reason=reason,
    )


def build_map(state: TrackState, *, is_forward: bool) -> Map:
    """The map reference frame -> last frame, or its reverse, from features and landmarks.

    With too few of them it is the similarity between the two head boxes.
    """
    assert state.head is not None and state.reference_head is not None
    alive = state.alive
    rows = [(alive.reference_xy_px, alive.xy_px, np.clip((alive.age + 1) / 8, 0.1, 1.0))]
    if state.landmarks is not None and state.reference_landmarks_xy_px is not None:
        weight = np.full(len(state.landmarks.xy_px), 0.15)
        rows.append((state.reference_landmarks_xy_px, state.landmarks.xy_px, weight))
    reference, now, weight = (np.concatenate(part) for part in zip(*rows, strict=True))
    if len(now) < 2 * FEW:
        heads = (state.reference_head, state.head)
        return registration.box_map(*(heads if is_forward else heads[::-1]))
    if is_forward:
        return registration.fit_map(reference, now, weight, state.reference_head.size_px)
    return registration.fit_map(now, reference, weight, state.head.size_px)
