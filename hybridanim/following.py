"""Tracks -> SparseMotion, frame after frame: the anchors, smoothed, and transferred to the source.

step(state, ...) -> (state, motion). The first frame with a head places the anchors in the driver;
later ones carry them, unless the tracks bring keypoints of their own. While the head is lost the
motion relaxes to rest, and eases back when it returns, so nothing jumps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from . import geometry, sparse_motion, surroundings, transfer
from .anchors import FOLLOW, FREE, PINNED
from .config import KeypointsConfig
from .local_affine import fit_global_affine
from .smoothing import OneEuroState, one_euro_step
from .types import (
    Array,
    Crop,
    Frame,
    HeadBox,
    Keypoints,
    Source,
    SparseMotion,
    Surroundings,
    Tracks,
)

_RELAX_S = 0.8  # time constant of going to rest while lost
_STRAY_NORM = 0.04  # a keypoint off by this counts half in the head's affine
_STRETCH, _STRETCH_SURE = 1.2, 0.5  # of a head since the first frame; unsure, and in addition sure
_EASE_S = 0.25  # time constant of coming back


def _still() -> Array:
    return np.eye(2, 3, dtype=np.float32)


@dataclass(frozen=True)
class Reference:
    """A driver at "no motion": what relative motion is measured from."""

    keypoints: Keypoints  # in the driving crop
    head: HeadBox | None  # driving pixels; None = keypoints of something without a head
    crop: Crop
    around: Surroundings | None = None  # of the same run, to tell where the body was


@dataclass(frozen=True)
class FollowState:
    """What stage 3 remembers."""

    crop: Crop | None = None  # fixed from outside; None = round the head of the first frame
    first: Reference | None = None  # the frame that the tracks are registered to
    reference: Reference | None = None  # given from outside, or the first
    filter: OneEuroState | None = None
    target: Keypoints | None = None  # the last answer, in the source
    background: Array = field(default_factory=_still)  # (2, 3) norm, the driver's, now <- first
    behind: Array | None = None  # (2, 3) what was last given out of it
    time_s: float = 0.0
    away: float = 0.0  # 1 = was lost until now, 0 = long back


def step(
    state: FollowState,
    frame: Frame,
    tracks: Tracks,
    source: Source,
    config: KeypointsConfig,
    mean_shape: Array | None,
) -> tuple[FollowState, SparseMotion]:
    """The next frame's motion for this source.

    mean_shape: (L, 2) of the aligner, or None when it is not in use.
    """
    if not _shows_something(tracks):
        return _held(state, frame, source)
    first = state.first or reference_of(tracks, mean_shape, state.crop)
    if first is None:
        return _held(state, frame, source)
    reference = state.reference or first
    state = replace(state, first=first, reference=reference)
    driving = _seen(tracks, first)
    if driving is None:
        return _held(state, frame, source)
    is_face = reference.head is not None and len(driving.xy_norm) == len(FREE)
    if is_face and not _is_plausible(driving, first, tracks):
        return _held(state, frame, source)
    has_body = is_face and first.head is not None and tracks.around is not None
    if has_body:
        assert first.head is not None and tracks.around is not None
        beside = first.keypoints, first.head, tracks.around, first.crop
        driving = surroundings.with_body(driving, *beside)
        if config.moves_background:
            behind = surroundings.background(driving, *beside)
            state = replace(state, background=state.background if behind is None else behind)
    state, driving = _smoothed(state, driving, frame.time_s, config.smooth)
    state = replace(state, behind=_behind(state, config))
    if config.motion == "absolute":
        target = transfer.absolute(driving, config.scale, source.keypoints)
    else:
        target = transfer.relative(
            driving,
            _at_rest(reference, first, has_body=has_body),
            source.keypoints,
            head_ratio=_size_ratio(source, reference, first.crop),
            strength=config.scale,
            free=FREE if is_face else None,
        )
    if is_face:
        target = _settled(target, source, is_led=not has_body)
    if state.away > 0.01 and state.target is not None:
        step_s = max(0.0, frame.time_s - state.time_s)
        away = state.away * float(np.exp(-step_s / _EASE_S))
        target = mixed(target, state.target, away)
        state = replace(state, away=away)
    state = replace(state, target=target, time_s=frame.time_s)
    return state, SparseMotion(driving, target, first.crop, background=state.behind)


def reference_of(
    tracks: Tracks, mean_shape: Array | None, crop: Crop | None = None
) -> Reference | None:
    """The driver of this frame as a reference, or None when nothing is tracked."""
    if not _shows_something(tracks):
        return None
    if tracks.keypoints is not None and tracks.keypoints_crop is not None:
        own = tracks.keypoints_crop
        points = sparse_motion.in_crop(tracks.keypoints, own, crop or own)
        return Reference(points, tracks.head, crop or own, tracks.around)
    if tracks.head is None:
        return None
    crop = crop or sparse_motion.crop_around(tracks.head)
    points = sparse_motion.rest(tracks.head, tracks.landmarks_xy_px, mean_shape, crop)
    return Reference(points, tracks.head, crop, tracks.around)


def _shows_something(tracks: Tracks) -> bool:
    return bool(tracks) and (tracks.head is not None or tracks.keypoints is not None)


def _seen(tracks: Tracks, first: Reference) -> Keypoints | None:
    """The keypoints of this frame in the fixed crop: the tracks' own, or the first ones carried."""
    if tracks.keypoints is not None and tracks.keypoints_crop is not None:
        return sparse_motion.in_crop(tracks.keypoints, tracks.keypoints_crop, first.crop)
    if first.head is None:
        return None
    return sparse_motion.moved(tracks, first.keypoints, first.head, first.crop)


def mixed(a: Keypoints, b: Keypoints, share_b: float) -> Keypoints:
    """Keypoints between two, linearly."""
    return Keypoints(
        *(
            ((1 - share_b) * first + share_b * second).astype(np.float32)
            for first, second in (
                (a.xy_norm, b.xy_norm),
                (a.jacobian, b.jacobian),
                (a.confidence, b.confidence),
            )
        )
    )


def _is_plausible(driving: Keypoints, first: Reference, tracks: Tracks) -> bool:
    """Whether a head can look like this: turned, it is narrower, but never half as wide or tall.

    A hand before the face makes trackers crush or stretch it, with little confidence.
    """
    head = FOLLOW == 1
    whole = fit_global_affine(
        first.keypoints.xy_norm[head], driving.xy_norm[head], np.ones(int(head.sum())), _STRAY_NORM
    )
    longest, shortest = np.linalg.svd(whole[:, :2], compute_uv=False)
    has_landmarks = tracks.landmarks_xy_px is not None
    trust = tracks.landmarks_confidence if has_landmarks else tracks.confidence_overall
    return bool(longest < (_STRETCH + _STRETCH_SURE * trust) * shortest)


def _at_rest(reference: Reference, first: Reference, *, has_body: bool) -> Keypoints:
    """The reference in the fixed crop; a followed body rests as it was then, or at first."""
    found = sparse_motion.in_crop(reference.keypoints, reference.crop, first.crop)
    if not has_body or reference is first or first.head is None:
        return found
    if reference.around is not None:
        around = reference.around
        return surroundings.with_body(found, first.keypoints, first.head, around, first.crop)
    body = FOLLOW < 1
    return Keypoints(
        np.where(body[:, None], first.keypoints.xy_norm, found.xy_norm),
        np.where(body[:, None, None], first.keypoints.jacobian, found.jacobian),
        found.confidence,
    )


def _behind(state: FollowState, config: KeypointsConfig) -> Array | None:
    """(2, 3) float32 source <- target of what is behind the source; None where it stands."""
    if not config.moves_background:
        return None
    still = np.eye(2, 3)
    moved = still + config.scale * (state.background - still)
    if np.array_equal(moved, still):
        return None
    linear = np.linalg.inv(moved[:, :2])
    return np.column_stack([linear, -linear @ moved[:, 2]]).astype(np.float32)


def _settled(target: Keypoints, source: Source, *, is_led: bool) -> Keypoints:
    """The head kept in the square; a body that is not followed led by it."""
    center_px = np.array([source.head.center_xy_px])
    center = geometry.norm_from_px(center_px, source.crop)[0].astype(np.float64)
    size = _head_norm(source.head, source.crop)
    target = transfer.kept_inside(source.keypoints, target, center, size, PINNED)
    return transfer.led(source.keypoints, target, FOLLOW) if is_led else target


def _held(state: FollowState, frame: Frame, source: Source) -> tuple[FollowState, SparseMotion]:
    """While no head is tracked: from the last motion slowly to rest."""
    step_s = max(0.0, frame.time_s - state.time_s)
    target = source.keypoints
    if state.target is not None:
        target = mixed(state.target, target, 1 - float(np.exp(-step_s / _RELAX_S)))
    crop = state.first.crop if state.first else source.crop
    driving = state.first.keypoints if state.first else source.keypoints
    state = replace(state, target=target, time_s=frame.time_s, away=1.0, filter=None)
    return state, SparseMotion(driving, target, crop, is_held=True, background=state.behind)


def _smoothed(
    state: FollowState, driving: Keypoints, time_s: float, amount: float
) -> tuple[FollowState, Keypoints]:
    if amount <= 0:
        return state, driving
    count = len(driving.xy_norm)
    behind = state.background
    value = np.concatenate([driving.xy_norm, driving.jacobian.reshape(count, 4)], 1)
    value = np.vstack([value, [*behind[:, 2], *behind[:, :2].ravel()]])
    # 0.5 gives 2.5 Hz at rest; half a crop a second (a brisk nod) adds 8 Hz
    filter_state, value = one_euro_step(
        state.filter, value, time_s, min_cutoff_hz=20 * 0.0156**amount, beta=16.0
    )
    xy, linear = value[:, :2], value[:, 2:].reshape(-1, 2, 2)
    background = np.column_stack([linear[-1], xy[-1]])
    if not np.array_equal(behind, _still()):
        state = replace(state, background=background)
    xy, jacobian = (np.ascontiguousarray(part[:-1], np.float32) for part in (xy, linear))
    return replace(state, filter=filter_state), Keypoints(xy, jacobian, driving.confidence)


def _size_ratio(source: Source, reference: Reference, crop: Crop) -> float:
    """Size of the source's head, or of its keypoints' spread, over the driver's; both in crops."""
    if reference.head is not None:
        return _head_norm(source.head, source.crop) / _head_norm(reference.head, crop)
    driver = sparse_motion.in_crop(reference.keypoints, reference.crop, crop)
    return _spread_norm(source.keypoints) / max(1e-6, _spread_norm(driver))


def _spread_norm(points: Keypoints) -> float:
    """Root of the keypoints' mean squared distance from their middle."""
    offset = points.xy_norm - points.xy_norm.mean(0)
    return float(np.sqrt((offset**2).sum(1).mean()))


def _head_norm(head: HeadBox, crop: Crop) -> float:
    return 2 * head.size_px / crop.side_px
