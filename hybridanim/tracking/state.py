"""What tracking remembers between frames, and the maps that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hybridanim.face import head_pose as pose
from hybridanim.face.head_pose import Pose
from hybridanim.types import Array, HeadBox

from . import features, registration, templates
from .appearance import Appearance
from .features import View
from .landmark_filter import FaceLandmarks
from .registration import Map
from .templates import Features

FEW = 6  # fewer features than this say nothing about the head


@dataclass(frozen=True)
class TrackState:
    """What tracking remembers between frames; pictures positions are pixels of the last frame."""

    view: View | None = None
    alive: Features = field(default_factory=templates.empty)
    aside: Features = field(default_factory=templates.empty)  # lost, may come back
    head: HeadBox | None = None
    reference_head: HeadBox | None = None
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)  # see headbox.difference; worked off slowly
    memory: Appearance | None = None  # of the head's look
    landmarks: FaceLandmarks | None = None
    reference_landmarks_xy_px: Array | None = None
    shift_px: tuple[float, float] = (0.0, 0.0)  # of the head, from the frame before
    pose: Pose = field(default_factory=Pose)
    pose_offset_deg: pose.Angles = (0.0, 0.0, 0.0)  # see pose.combined
    next_id: int = 0
    steps: int = 0
    hidden_steps: int = 0  # in a row in which the head was covered
    lost_steps: int = 0  # in a row without a head
    new: int = 0
    dropped: int = 0
    reason: str = ""  # why the head is not tracked in this frame


def let_go(state: TrackState, reason: str) -> TrackState:
    """No head any more; its features may come back."""
    aside = features.set_aside(state.aside, state.alive)
    return replace(
        state,
        alive=templates.empty(),
        aside=aside,
        head=None,
        landmarks=None,
        bias=(0.0, 0.0, 0.0),
        shift_px=(0.0, 0.0),
        hidden_steps=0,
        dropped=state.dropped + len(state.alive),
        reason=reason,
    )


def map_of(state: TrackState, *, is_forward: bool) -> Map:
    """Reference frame -> now from features and landmarks, or now -> reference frame."""
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
