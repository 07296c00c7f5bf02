"""Stage 2 by detector and optical flow: Frame -> Tracks with keypoints, cheaply and steadily.

step(state, ...) -> (state, tracks). The detector looks at every n-th frame, and at once when flow
loses its rows or a lid or lip no longer looks as it did; in between, corners carry the positions
and Jacobians. What an anchor says beyond what was carried is a debt that is paid over the next
frames, at once where it is more than the detector's noise: a complementary filter, flow for what is
fast and the detector for what is slow, so that nothing drifts and no anchor makes a step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import cv2
import numpy as np

from hybridanim.config import TrackConfig
from hybridanim.face import head_box
from hybridanim.fitting import fit_robust_affine
from hybridanim.profiles import CameraProfile
from hybridanim.types import Array, Crop, Frame, HeadBox, SkinMask, Tracks

from . import detection, learned
from . import keypoint_flow as footing
from .base import TrackerParts
from .detection import LEAST_CONFIDENCE, Detector, Points, Sight
from .keypoint_flow import Footing
from .learned import LearnedState

__all__ = ["HybridState", "HybridTracker", "initial_state", "step"]

_PAID, _PAID_SMALL = 0.35, 0.65  # share of a small debt paid in each frame; by lids and lips
_NOISE_HEADS = 0.006  # a debt of this is noise, ...
_SURE_HEADS = 0.02  # ... of this, motion that flow did not see: paid at once
_CHANGED = 0.15  # unlikeness of a watched patch that calls the detector
_JUMP_HEADS = 0.15  # an anchor this far from what was carried is another head, or another shot
_BOXES = 2.3  # side of a whole window, in the boxes that flow works with
_BLIND_TRUST = 0.9  # what is left of the confidence after a frame without a face
_BLIND_FRAMES = 10  # so long flow may go on while the detector sees no face


@dataclass(frozen=True)
class HybridState:
    """What is remembered between frames; places are pixels of the last frame."""

    base: LearnedState = field(default_factory=LearnedState)
    footing: Footing | None = None
    points: Points | None = None  # as given out
    seen: Sight | None = None  # by the detector, when it last looked
    debt: Array | None = None  # (K, 6) what they lack in position and Jacobian, pixels
    shift_px: Array = field(default_factory=lambda: np.zeros(2))  # of the last frame
    since: int = 0  # frames since the detector looked
    blind: int = 0  # frames since it last saw a face


def initial_state() -> HybridState:
    """The state before the first frame."""
    return HybridState()


def step(
    state: HybridState,
    frame: Frame,
    detector: Detector,
    config: TrackConfig,
    camera: CameraProfile | None = None,
) -> tuple[HybridState, Tracks]:
    """Find or carry the keypoints of the next frame of a video.

    detector: see tracks/detection.py. camera: intrinsics for the rotation; a guess without.
    When nothing is seen ``Tracks.lost`` says why, and there are no keypoints.
    """
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    state, carried = _carried(state, grey)
    is_due = carried is None or state.since + 1 >= config.anchor_every
    if not is_due and carried is not None:
        is_due = _has_changed(state, carried)
    seen = _look(state, frame.image, carried, detector) if is_due else None
    if seen is None and (carried is None or (is_due and state.blind >= _BLIND_FRAMES)):
        base, tracks = learned.lose(state.base)
        return HybridState(base, state.footing), tracks
    if seen is not None:
        state, points = _anchored(state, carried, seen, grey)
    else:
        assert carried is not None
        points, blind = carried, state.blind + 1 if is_due else state.blind
        state = replace(state, since=state.since + 1, blind=blind)
    state, points = _paid(state, points)
    return _given_out(state, frame, points, camera)


def _carried(state: HybridState, grey: Array) -> tuple[HybridState, Points | None]:
    """The last frame's keypoints carried into this one by flow, if they can be."""
    last = state.footing
    if last is None or state.points is None or last.picture.shape != grey.shape:
        return state, None
    now, points = footing.carry(last, grey, state.points, state.shift_px)
    return replace(state, footing=now), points


def _has_changed(state: HybridState, carried: Points) -> bool:
    """Whether a watched patch shows something else than when it was anchored."""
    now = state.footing
    if now is None or now.looks is None:
        return True
    apart = footing.unlikeness(now.looks, footing.look(now, carried))
    return bool(apart.max() > _CHANGED)


def _window(base: LearnedState) -> Crop:
    """Where the detector looks next: for heads, the window that the last frame's head calls for."""
    assert base.window is not None
    return base.window if base.head is None else detection.next_window(base.window, base.head)


def _look(
    state: HybridState, image: Array, carried: Points | None, detector: Detector
) -> Sight | None:
    """What the detector sees where the head was, or anywhere when flow has nothing either."""
    if carried is None or detector.window != "head":
        return learned.next_sight(state.base, image, detector)
    seen = detection.look(image, _window(state.base), detector)
    is_face = seen.head is not None and seen.confidence > LEAST_CONFIDENCE
    return seen if is_face else None


def _anchored(
    state: HybridState, carried: Points | None, seen: Sight, grey: Array
) -> tuple[HybridState, Points]:
    """Take in what the detector saw: as a debt, or whole where nothing was carried there."""
    state = replace(state, seen=seen, since=0, blind=0)
    last = state.footing
    box = seen.head or _box_of(seen.window)
    if carried is not None and last is not None:
        apart = seen.points.xy_px - carried.xy_px
        if np.median(np.hypot(*apart.T)) < _JUMP_HEADS * box.size_px:
            turn = seen.points.linear_px - carried.linear_px
            debt = np.concatenate([apart, turn.reshape(-1, 4)], 1)
            points = replace(carried, confidence=seen.points.confidence)
            return replace(state, debt=debt), points
    fresh = footing.start(grey, box, last)
    state = replace(state, footing=fresh, debt=None, shift_px=np.zeros(2))
    return state, seen.points


def _paid(state: HybridState, points: Points) -> tuple[HybridState, Points]:
    """Pay a share of the debt: little of what may be noise, all of what cannot be."""
    if state.debt is None or state.footing is None:
        return state, points
    owed = np.hypot(*state.debt[:, :2].T) / state.footing.box.size_px
    excess = np.clip((owed - _NOISE_HEADS) / (_SURE_HEADS - _NOISE_HEADS), 0, 1)
    least = np.where(footing.watched(len(owed)), _PAID_SMALL, _PAID)
    share = (least + (1 - least) * excess)[:, None]
    part = share * state.debt
    paid = replace(
        points,
        xy_px=points.xy_px + part[:, :2],
        linear_px=points.linear_px + part[:, 2:].reshape(-1, 2, 2),
    )
    return replace(state, debt=state.debt - part), paid


def _given_out(
    state: HybridState, frame: Frame, points: Points, camera: CameraProfile | None
) -> tuple[HybridState, Tracks]:
    """Remember this frame and say what it shows."""
    now, last, seen = state.footing, state.points, state.seen
    assert now is not None and seen is not None
    window = seen.window if state.since == 0 else _window(state.base)
    head = None if seen.head is None else head_box.from_anchors(points.xy_px)
    confidence = seen.confidence * _BLIND_TRUST**state.blind
    sight = Sight(points, window, confidence, head)
    base, is_new = learned.hold(
        state.base, frame, sight, points, camera, is_turned=state.since == 0
    )
    box = head or _box_of(window)
    now = replace(now, box=box)
    if state.since == 0:
        now = replace(now, looks=footing.look(now, points))
        assert base.reference_xy_px is not None
        back, _ = fit_robust_affine(
            points.xy_px, base.reference_xy_px, np.ones(len(points.xy_px)), 0.03 * box.size_px
        )
        now = footing.completed(now, points, back)
    shift = np.zeros(2) if last is None or is_new else (points.xy_px - last.xy_px).mean(0)
    state = replace(state, base=base, footing=now, points=points, shift_px=shift)
    tracks = learned.tracks_of(base, points, window, confidence, is_new=is_new)
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
    """A box that flow takes for the head: its window is then about this square."""
    middle = window.side_px / 2 - 0.5
    return HeadBox((window.x_px + middle, window.y_px + middle), window.side_px / _BOXES)


@dataclass(frozen=True)
class HybridTracker:
    """``base.Tracker`` by the detector's keypoints now and then, carried by optical flow."""

    uses_skin: ClassVar[bool] = False
    uses_detector: ClassVar[bool] = True
    uses_anchors: ClassVar[bool] = True
    config: TrackConfig
    detector: Detector
    camera: CameraProfile | None

    @classmethod
    def build(cls, parts: TrackerParts) -> Self:
        """See ``base.Tracker``."""
        assert parts.detector is not None  # ``uses_detector`` asks for it
        return cls(parts.config, parts.detector, parts.profiles.camera)

    def initial_state(self) -> HybridState:
        """See ``base.Tracker``."""
        return initial_state()

    def step(self, state: HybridState, frame: Frame, mask: SkinMask) -> tuple[HybridState, Tracks]:
        """See ``base.Tracker``."""
        return step(state, frame, self.detector, self.config, self.camera)

    def adjusted(self, **settings: Any) -> Self:
        """See ``base.Tracker``."""
        return replace(self, config=replace(self.config, **settings))
