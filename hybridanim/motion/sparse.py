"""Tracks -> SparseMotion, frame after frame: the anchors, smoothed, and transferred to the source.

step(state, ...) -> (state, motion). The first frame with a head places the anchors in the driver;
later ones carry them, unless the tracks bring keypoints of their own. While the head is lost the
motion relaxes to rest, and eases back when it returns, so nothing jumps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hybridanim import geometry
from hybridanim.config import KeypointsConfig
from hybridanim.face.anchors import FOLLOW, FREE, PINNED
from hybridanim.smoothing import OneEuroState, one_euro_step
from hybridanim.types import Array, Crop, Frame, Keypoints, Source, SparseMotion, Tracks

from . import body, keypoints, transfer
from . import reference as references
from .reference import Reference, pictured, reference_of

_RELAX_S = 0.8  # time constant of going to rest while lost
_EASE_S = 0.25  # time constant of coming back
_STANDS_NORM = 1e-4  # a background that moves less stands


def _still() -> Array:
    return np.eye(2, 3, dtype=np.float32)


@dataclass(frozen=True)
class FollowState:
    """What stage 3 remembers."""

    crop: Crop | None = None  # fixed from outside; None = round the head of the first frame
    first: Reference | None = None  # the frame that the tracks are registered to
    reference: Reference | None = None  # given from outside, or the first
    rest: tuple[Reference, Keypoints] | None = None  # that reference in the fixed crop
    filter: OneEuroState | None = None
    target: Keypoints | None = None  # the last answer, in the source
    background: Array = field(default_factory=_still)  # (2, 3) norm, the driver's, now <- first
    behind: Array | None = None  # (2, 3) source <- target, as last given
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
    if not references.shows_something(tracks):
        return _held(state, frame, source)
    first = state.first or pictured(reference_of(tracks, mean_shape, state.crop), frame.image)
    if first is None:
        return _held(state, frame, source)
    reference = state.reference or first
    state = replace(state, first=first, reference=reference)
    driving = _seen(tracks, first)
    if driving is None:
        return _held(state, frame, source)
    is_face = reference.head is not None and len(driving.xy_norm) == len(FREE)
    if state.rest is None or state.rest[0] is not reference:
        state = replace(state, rest=(reference, _rest(reference, first, tracks, is_face=is_face)))
    assert state.rest is not None
    resting = state.rest[1]
    poses = first.keypoints, resting
    if is_face and not any(references.is_plausible(driving, pose, tracks) for pose in poses):
        return _held(state, frame, source)
    has_body = is_face and first.head is not None and tracks.around is not None
    if has_body:
        assert first.head is not None and tracks.around is not None
        beside = first.keypoints, first.head, tracks.around, first.crop
        driving = body.with_body(driving, *beside)
        if config.moves_background:
            behind = body.background(driving, *beside)
            state = replace(state, background=state.background if behind is None else behind)
    state, driving, background = _smoothed(state, driving, frame.time_s, config.smooth)
    ratio = _size_ratio(source, reference, first.crop)
    behind = None
    if config.moves_background:
        behind = _behind(background, config, reference, first, tracks, ratio)
    if config.motion == "absolute":
        target = transfer.absolute(driving, config.scale, source.keypoints)
    else:
        target = transfer.relative(
            driving,
            resting,
            source.keypoints,
            head_ratio=ratio,
            strength=config.scale,
            free=FREE if is_face else None,
        )
    if is_face:
        target = _settled(target, source, has_body=has_body)
    if state.away > 0.01 and state.target is not None:
        step_s = max(0.0, frame.time_s - state.time_s)
        away = state.away * float(np.exp(-step_s / _EASE_S))
        target = mixed(target, state.target, away)
        behind = _mixed_affine(behind, state.behind, away)
        state = replace(state, away=away)
    state = replace(state, target=target, behind=behind, time_s=frame.time_s)
    return state, SparseMotion(driving, target, first.crop, background=state.behind)


def _rest(reference: Reference, first: Reference, tracks: Tracks, *, is_face: bool) -> Keypoints:
    """The reference in the fixed crop, with the body of a face; once a reference."""
    if is_face:
        return references.at_rest(reference, first, tracks)
    return references.within(reference, first.crop)


def _seen(tracks: Tracks, first: Reference) -> Keypoints | None:
    """The keypoints of this frame in the fixed crop: the tracks' own, or the first ones carried."""
    if tracks.keypoints is not None and tracks.keypoints_crop is not None:
        return keypoints.in_crop(tracks.keypoints, tracks.keypoints_crop, first.crop)
    if first.head is None:
        return None
    return keypoints.moved(tracks, first.keypoints, first.head, first.crop)


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


def _behind(
    background: Array,
    config: KeypointsConfig,
    reference: Reference,
    first: Reference,
    tracks: Tracks,
    head_ratio: float,
) -> Array | None:
    """(2, 3) float32 source <- target of what is behind the source; None where it stands.

    background: (2, 3) norm, how the driver's has moved since the first frame.
    """
    moved = geometry.homogeneous(background)
    if config.motion == "relative":
        around = references.beside_at_rest(reference, first, tracks)
        if around is not None and first.head is not None:
            seen = references.within(reference, first.crop)
            rest = body.background(seen, first.keypoints, first.head, around, first.crop)
            if rest is not None:
                moved = moved @ np.linalg.inv(geometry.homogeneous(rest))
        moved[:2, 2] *= head_ratio
    moved = np.eye(3) + min(config.scale, 1.0) * (moved - np.eye(3))
    if np.allclose(moved, np.eye(3), atol=_STANDS_NORM):
        return None
    return np.linalg.inv(moved)[:2].astype(np.float32)


def _mixed_affine(a: Array | None, b: Array | None, share_b: float) -> Array | None:
    """An affine (2, 3) between two, linearly; None is the identity."""
    if a is None and b is None:
        return None
    first, second = (_still() if one is None else one for one in (a, b))
    found = ((1 - share_b) * first + share_b * second).astype(np.float32)
    return None if np.allclose(found, _still(), atol=_STANDS_NORM) else found


def _settled(target: Keypoints, source: Source, *, has_body: bool) -> Keypoints:
    """The head kept in the square; a body that is not followed led by it."""
    center_px = np.array([source.head.center_xy_px])
    center = geometry.norm_from_px(center_px, source.crop)[0].astype(np.float64)
    size = geometry.head_norm(source.head, source.crop)
    target = transfer.kept_inside(
        source.keypoints, target, center, size, PINNED, with_body=has_body
    )
    return target if has_body else transfer.led(source.keypoints, target, FOLLOW)


def _held(state: FollowState, frame: Frame, source: Source) -> tuple[FollowState, SparseMotion]:
    """While no head is tracked: from the last motion slowly to rest."""
    step_s = max(0.0, frame.time_s - state.time_s)
    target = source.keypoints
    behind = state.behind
    if state.target is not None:
        share = 1 - float(np.exp(-step_s / _RELAX_S))
        target = mixed(state.target, target, share)
        behind = _mixed_affine(behind, None, share)
    crop = state.first.crop if state.first else source.crop
    driving = state.first.keypoints if state.first else source.keypoints
    state = replace(state, target=target, behind=behind, time_s=frame.time_s, away=1.0, filter=None)
    return state, SparseMotion(driving, target, crop, is_held=True, background=behind)


def _smoothed(
    state: FollowState, driving: Keypoints, time_s: float, amount: float
) -> tuple[FollowState, Keypoints, Array]:
    """Keypoints and the background's affine, filtered together."""
    behind = state.background
    if amount <= 0:
        return state, driving, behind
    count = len(driving.xy_norm)
    value = np.concatenate([driving.xy_norm, driving.jacobian.reshape(count, 4)], 1)
    value = np.vstack([value, [*behind[:, 2], *behind[:, :2].ravel()]])
    # 0.5 gives 2.5 Hz at rest; half a crop a second (a brisk nod) adds 8 Hz
    filter_state, value = one_euro_step(
        state.filter, value, time_s, min_cutoff_hz=20 * 0.0156**amount, beta=16.0
    )
    xy, linear = value[:, :2], value[:, 2:].reshape(-1, 2, 2)
    behind = np.column_stack([linear[-1], xy[-1]])
    xy, linear = (np.ascontiguousarray(part[:-1], np.float32) for part in (xy, linear))
    return replace(state, filter=filter_state), Keypoints(xy, linear, driving.confidence), behind


def _size_ratio(source: Source, reference: Reference, crop: Crop) -> float:
    """Size of the source's head, or of its keypoints' spread, over the driver's; both in crops."""
    if reference.head is not None:
        return geometry.head_norm(source.head, source.crop) / geometry.head_norm(
            reference.head, crop
        )
    driver = keypoints.in_crop(reference.keypoints, reference.crop, crop)
    return _spread_norm(source.keypoints) / max(1e-6, _spread_norm(driver))


def _spread_norm(points: Keypoints) -> float:
    """Root of the keypoints' mean squared distance from their middle."""
    offset = points.xy_norm - points.xy_norm.mean(0)
    return float(np.sqrt((offset**2).sum(1).mean()))
