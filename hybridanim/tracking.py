"""Stage 2: Frame, SkinMask -> Tracks: where features of the reference frame are, and the head.

step() carries features by pyramidal flow, drops those that do not return or no longer look like
their first patch (Shi and Tomasi 1994), moves the head box with the rest, follows landmarks, brings
lost features back, finds new ones and turns the correspondences into a head rotation. The first
frame with a head is the reference. docs/tracking.md tells the rules and what they measure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from . import appearance, carry, flow, headbox, landmark_track, pose, registration, templates
from .appearance import Appearance
from .carry import View
from .config import TrackConfig
from .landmark_track import FaceLandmarks, Fitter
from .pose import Pose
from .profiles import CameraProfile, TrackerProfile
from .registration import Map
from .templates import Features
from .types import Array, Frame, HeadBox, SkinMask, Tracks

_SAME_HEAD = 0.6  # correlation with the remembered head that makes it the same
_YOUNG = 8  # frames; younger features may turn out to sit on a hand
_FEW = 6  # fewer features than this say nothing about the head
_SEARCH_FRAMES = 5  # the whole picture is searched for a face so often while there is no head
_CHECK_FRAMES = 12  # the cascade checks the box so often when there are no landmarks
_HIDDEN_FRAMES = 15  # how long a head may be covered before it counts as gone


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

    profile: measured settings, in place of those of ``config``. camera: intrinsics for the
    rotation; a guess without. aligner: fits landmarks, see alignment.load; None = go without.
    Returns the state for the frame after it, and the tracks. When the head is not followed,
    ``Tracks.lost`` says why and ``Tracks.head`` is where it was last, if it is only covered.
    """
    config = with_profile(config, profile)
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    state = replace(state, new=0, dropped=0, reason="", steps=state.steps + 1)
    if state.view is not None and state.view.grey.shape != grey.shape:
        state = _let_go(state, "the picture changed its size")
    if state.head is not None:
        state = _carry(state, grey, mask, config, aligner)
    if state.head is None:
        state = _acquire(state, grey, mask, aligner)
    if state.head is None or state.reason:
        return _without(state, grey)
    state = _measure_head(state, grey, mask)
    state = _turn(state, frame, camera)
    state = _complete(state, mask, config)
    return replace(state, lost_steps=0), _tracks(state)


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


def _carry(
    state: TrackState, grey: Array, mask: SkinMask, config: TrackConfig, aligner: Fitter | None
) -> TrackState:
    """Everything that moves from the last frame to this one; lets go of the head when it cannot."""
    assert state.view is not None and state.head is not None
    marks = state.landmarks.xy_px if state.landmarks else np.zeros((0, 2), np.float32)
    count = len(state.alive)
    points = np.concatenate([state.alive.xy_px, marks])
    shift = np.array(state.shift_px)
    before, after, xy, error = carry.carry(state.view, grey, state.head, points, shift, config)
    share = np.isfinite(error[:count]).mean() if count else 0.0
    if share < 0.5:
        jump, likeness = flow.displacement(state.view.grey, grey, state.head)
        if likeness > 0.5:
            again = carry.carry(state.view, grey, state.head, points, np.array(jump), config)
            if np.isfinite(again[3][:count]).sum() > share * count:
                (before, after, xy, error), shift = again, np.array(jump)
    followed = np.isfinite(error[:count])
    noise = 0.01 * state.head.size_px
    if followed.sum() >= 3:
        motion = registration.robust_similarity(
            state.alive.xy_px[followed].astype(float), xy[:count][followed], noise
        )
    else:
        motion = np.column_stack([np.eye(2), shift])
    moved = replace(state.alive, xy_px=xy[:count]).pick(followed)
    moved = carry.anchored(after, moved, motion)
    like = moved.likeness > config.least_likeness
    if (like & (moved.age > _YOUNG)).sum() >= 2 * _FEW:
        like &= moved.age > _YOUNG
    if like.sum() >= _FEW:  # what a passing hand drags along says nothing of the head
        start = state.alive.xy_px[followed][like].astype(float)
        sure = registration.robust_similarity(start, moved.xy_px[like], noise)
    else:
        sure = np.eye(2, 3)
    head = headbox.moved(state.head, sure)
    is_clear = like.sum() > 0.6 * count
    memory = appearance.update(
        state.memory, after.small, after.window, head, is_clear=bool(is_clear)
    )
    strange = appearance.is_strange(memory, moved.xy_px, head)
    stay, doubt = carry.judge(moved, head, mask, strange, config.least_likeness)
    moved = replace(moved, doubt=doubt)
    gone = state.alive.pick(~followed).join(moved.pick(~stay))
    aside = carry.set_aside(state.aside, gone)
    aside = replace(aside, warp=motion[:, :2].astype(np.float32) @ aside.warp)
    alive = moved.pick(stay)
    survivors = len(alive)
    carried = replace(
        state,
        view=after,
        alive=alive,
        aside=aside,
        head=head,
        memory=memory,
        shift_px=tuple(np.subtract(head.center_xy_px, state.head.center_xy_px).tolist()),
        dropped=len(gone),
    )
    if survivors < max(_FEW, 0.2 * count):
        if flow.is_cut(before.grey, grey):
            return _let_go(carried, "the shot changed")
        return _covered(carried, state, grey, mask)
    local = registration.fit_map(
        state.alive.xy_px[followed].astype(float), xy[:count][followed].astype(float),
        np.ones(int(followed.sum())), state.head.size_px,
    )  # fmt: skip
    expected = landmark_track.predicted(marks, xy[count:], error[count:], local)
    carried = replace(carried, hidden_steps=0)
    return _follow_landmarks(carried, grey, expected, aligner)


def _follow_landmarks(
    state: TrackState, grey: Array, expected: Array, aligner: Fitter | None
) -> TrackState:
    """Fit landmarks near where flow expects them, or start them anew now and then."""
    assert state.head is not None
    if aligner is None:
        return state
    if state.landmarks is None:
        if state.steps % _CHECK_FRAMES:
            return state
        return replace(state, landmarks=landmark_track.start(aligner, grey, state.head))
    fitted = aligner.track(grey, expected)
    sure = float(fitted.confidence)
    if sure >= landmark_track.LEAST_CONFIDENCE:
        size = state.head.size_px
        xy = landmark_track.corrected(expected, np.asarray(fitted.xy_px), size)
        return replace(state, landmarks=FaceLandmarks(xy, sure))
    faded = 0.85 * state.landmarks.confidence  # carried by flow alone for some frames
    return replace(state, landmarks=FaceLandmarks(expected, faded) if faded > 0.2 else None)


def _covered(state: TrackState, last: TrackState, grey: Array, mask: SkinMask) -> TrackState:
    """Most features went at once without a cut: the head is hidden, or was too fast."""
    assert state.view is not None and state.head is not None and last.head is not None
    hit = headbox.from_face(mask.face) if mask.face else headbox.check(grey, state.head)
    hidden = state.hidden_steps + 1
    if hit is not None or hidden > _HIDDEN_FRAMES:
        return _let_go(state, "the face is covered or left the picture")
    state = replace(state, head=last.head, shift_px=(0.0, 0.0), hidden_steps=hidden)
    found, aside = carry.revive(
        state.view, state.alive, state.aside, _map(state, is_forward=True), last.head, mask,
        count=120, reach_px=5.0,
    )  # fmt: skip
    state = replace(state, alive=state.alive.join(found), aside=aside)
    if len(found) >= 2 * _FEW:
        return replace(state, hidden_steps=0)
    return replace(state, reason="the face is covered or moved too fast")


def _let_go(state: TrackState, reason: str) -> TrackState:
    """No head any more; its features may come back."""
    aside = carry.set_aside(state.aside, state.alive)
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


def _acquire(state: TrackState, grey: Array, mask: SkinMask, aligner: Fitter | None) -> TrackState:
    """Find the head without its recent past."""
    search = state.lost_steps % _SEARCH_FRAMES == 0 and mask.face is None
    head = headbox.find(grey, mask, search=search)
    if head is None:
        reason = state.reason or "no face and no head-shaped skin in the picture"
        return replace(state, reason=reason)
    marks = landmark_track.start(aligner, grey, head) if aligner else None
    if marks is not None:
        head = headbox.from_landmarks(marks.xy_px)
    elif state.memory is not None:
        again, likeness = appearance.located(state.memory, grey, head)
        head = again if likeness > _SAME_HEAD else head
    view = carry.view_of(grey, flow.window_at(head, grey))
    state = replace(state, view=view, head=head, landmarks=marks, reason="")
    if state.reference_head is None:
        reference = marks.xy_px if marks else None
        turned = pose.frontal(head)
        return replace(state, reference_head=head, reference_landmarks_xy_px=reference, pose=turned)
    return _return(state, mask)


def _return(state: TrackState, mask: SkinMask) -> TrackState:
    """Bring back as many lost features as can be found in a head that was just acquired."""
    assert state.view is not None and state.head is not None
    forward = _map(state, is_forward=True)
    if len(state.aside) < _FEW:
        return state
    forward = carry.settled(state.view, state.aside, forward, state.head.size_px)
    upright = np.eye(2, dtype=np.float32) / state.view.window.scale
    # the warp at loss belongs to another shot; the reference patch at the new size is nearer
    aside = replace(state.aside, warp=np.tile(upright, (len(state.aside), 1, 1)))
    for reach in (5.0, 3.0):
        found, rest = carry.revive(
            state.view, state.alive, aside, forward, state.head, mask, count=240, reach_px=reach
        )
        right = carry.agreed(found, state.head.size_px)
        if right.sum() < _FEW:
            return state
        aside = rest.join(found.pick(~right))
        state = replace(state, alive=state.alive.join(found.pick(right)), aside=aside)
        forward = _map(state, is_forward=True)
    since = registration.robust_similarity(
        state.alive.reference_xy_px.astype(float), state.alive.xy_px, 0.02 * state.head.size_px
    )
    assert state.reference_head is not None
    whole = headbox.moved(state.reference_head, since)
    return replace(state, head=headbox.pulled(state.head, whole, 0.5, 0.5))


def _measure_head(state: TrackState, grey: Array, mask: SkinMask) -> TrackState:
    """Pull the carried box towards what this frame shows of the head."""
    assert state.head is not None and state.reference_head is not None
    head, bias = state.head, np.array(state.bias)
    if len(state.alive) >= 20:
        since = registration.robust_similarity(
            state.alive.reference_xy_px.astype(float), state.alive.xy_px, 0.02 * head.size_px
        )
        head = headbox.pulled(head, headbox.moved(state.reference_head, since), 0.02, 0.05)
    hit = headbox.from_face(mask.face) if mask.face else None
    if state.landmarks is not None and state.landmarks.confidence > 0.5:
        head = headbox.pulled(head, headbox.from_landmarks(state.landmarks.xy_px), 0.05, 0.05)
        hit = None
    elif hit is None and state.steps % _CHECK_FRAMES == 0:
        hit = headbox.check(grey, head)
    if hit is not None and headbox.agrees(head, hit):
        bias += 0.3 * (headbox.difference(head, hit) - bias)
    head = headbox.shifted(head, 0.02 * bias)
    return replace(state, head=head, bias=tuple((0.98 * bias).tolist()))


def _map(state: TrackState, *, is_forward: bool) -> Map:
    """Reference frame -> now from features and landmarks, or now -> reference frame."""
    assert state.head is not None and state.reference_head is not None
    alive = state.alive
    rows = [(alive.reference_xy_px, alive.xy_px, np.clip((alive.age + 1) / 8, 0.1, 1.0))]
    if state.landmarks is not None and state.reference_landmarks_xy_px is not None:
        weight = np.full(len(state.landmarks.xy_px), 0.15)
        rows.append((state.reference_landmarks_xy_px, state.landmarks.xy_px, weight))
    reference, now, weight = (np.concatenate(part) for part in zip(*rows, strict=True))
    if len(now) < 2 * _FEW:
        heads = (state.reference_head, state.head)
        return registration.box_map(*(heads if is_forward else heads[::-1]))
    if is_forward:
        return registration.fit_map(reference, now, weight, state.reference_head.size_px)
    return registration.fit_map(now, reference, weight, state.head.size_px)


def _complete(state: TrackState, mask: SkinMask, config: TrackConfig) -> TrackState:
    """Bring lost features back, then find new ones where there are still too few."""
    assert state.view is not None and state.head is not None
    wanted = config.max_features - len(state.alive)
    if wanted > 0 and len(state.aside) and len(state.alive) >= _FEW:
        forward = _map(state, is_forward=True)
        found, aside = carry.revive(
            state.view, state.alive, state.aside, forward, state.head, mask,
            count=min(40, 2 * wanted), reach_px=2.5,
        )  # fmt: skip
        state = replace(state, alive=state.alive.join(found), aside=aside)
    wanted = config.max_features - len(state.alive)
    # while something passes before the face only known features may come back
    most = 0.15 if headbox.is_hand_near(state.head, mask) else 0.5
    is_hidden = appearance.strange_share(state.memory) > most
    is_rested = state.steps % 3 == 0 or len(state.alive) < 20
    if is_hidden or not is_rested or wanted < 0.1 * config.max_features:
        return state
    fresh = carry.replenish(
        state.view, state.alive, wanted, state.head, mask, state.memory, state.pose,
        _map(state, is_forward=False), config, state.next_id,
    )  # fmt: skip
    alive = state.alive.join(fresh)
    return replace(state, alive=alive, new=len(fresh), next_id=state.next_id + len(fresh))


def _turn(state: TrackState, frame: Frame, camera: CameraProfile | None) -> TrackState:
    """Head rotation from features and landmarks on the generic head."""
    assert state.head is not None
    lens = pose.Lens(
        pose.camera_matrix(frame.image, state.head, camera),
        np.array(camera.distortion) if camera else None,
    )
    guess = replace(state.pose, centre_xy_px=state.head.center_xy_px, size_px=state.head.size_px)
    rows = state.alive.pick((state.alive.doubt == 0) & (state.alive.age > 0))
    rows = rows.pick(np.argsort(rows.ids))  # the first were placed in the reference frame
    steady = pose.solve(rows.model, rows.xy_px, lens, guess)
    marks = state.landmarks
    absolute = pose.solve_landmarks(marks.xy_px, lens, guess) if marks else None
    now, offset = pose.combined(steady, absolute, state.pose_offset_deg)
    if now is None:
        return replace(state, pose=replace(guess, confidence=0.5 * state.pose.confidence))
    turned = pose.smoothed(state.pose, now, frame.time_s)
    return replace(state, pose=turned, pose_offset_deg=offset)


def _tracks(state: TrackState) -> Tracks:
    """What the state says of this frame."""
    alive, marks = state.alive, state.landmarks
    trust = np.clip((alive.likeness - 0.5) / 0.45, 0, 1) * np.where(alive.doubt > 0, 0.3, 1.0)
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
        landmarks_xy_px=marks.xy_px if marks else None,
        reference_landmarks_xy_px=state.reference_landmarks_xy_px if marks else None,
        landmarks_confidence=marks.confidence if marks else 0.0,
        rotation_deg=state.pose.angles_deg,
        rotation_confidence=state.pose.confidence,
        confidence_overall=overall,
    )


def _without(state: TrackState, grey: Array) -> tuple[TrackState, Tracks]:
    """A frame in which the head is not followed."""
    lost = 0 if state.head is not None else state.lost_steps + 1
    turned = replace(state.pose, confidence=0.0)
    if state.head is None:
        state = replace(state, view=None)
    state = replace(state, lost_steps=lost, pose=turned)
    tracks = replace(_tracks(state), lost=state.reason, confidence_overall=0.0)
    return state, tracks
