"""Stage 3 over time: Tracks -> SparseMotion, in four steps over a state.

step(state, ...) -> (state, motion). ``see`` computes the driver's keypoints in a fixed crop: the
first frame's anchors moved by the tracks, or the tracks' own keypoints; ``motion_file`` can keep
these. ``observe`` smooths them. ``retarget`` transfers their change since the reference pose to the
source. ``stabilise`` blends in after a loss of the head; during a loss the motion relaxes to the
source's own pose, so that nothing jumps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hybridanim import geometry
from hybridanim.config import KeypointsConfig
from hybridanim.face.anchors import FOLLOW, FREE, PINNED
from hybridanim.face.face_model import FaceModel
from hybridanim.face.head_box import share_inside
from hybridanim.fitting import fit_similarity
from hybridanim.smoothing import OneEuroState, cutoff_hz, one_euro_step
from hybridanim.types import (
    Array,
    Crop,
    Frame,
    HeadBox,
    HeadTarget,
    Keypoints,
    Source,
    SparseMotion,
    Tracks,
)

from . import body, head_transfer, hold, keypoints, shots, transfer
from .head_transfer import DriverFace, OpenLids
from .hold import HoldState
from .reference import (
    Reference,
    ReferencePose,
    completed,
    context_of,
    is_plausible,
    is_tracked,
    reference_of,
    trust_of,
    with_picture,
)
from .shots import Place, Shot

_RELAX_S = 0.8  # time constant of the return to the source's pose while no head is tracked
_EASE_S = 0.25  # time constant of the blend back to the driver's motion
_CHEST = np.flatnonzero(FOLLOW.min() == FOLLOW)  # the shoulders
# share of the head that is in the picture, of what usually is: below, of a person who walks out,
# the fitted size is 4 to 15 % off, and few corners of the shoulders are left
_LEAST_KEPT = 0.8
_USUAL_S = 2.0  # time constant of what is usual
_STILL_NORM = 1e-4  # background motion below this is treated as none


def _identity() -> Array:
    return np.eye(2, 3, dtype=np.float32)


@dataclass(frozen=True)
class SparseState:
    """What stage 3 keeps between frames."""

    crop: Crop | None = None  # set by the caller; None = around the head of the first frame
    reference: Reference | None = None  # set by the caller; None = the first frame
    first: Reference | None = None  # the frame that the tracks refer to
    pose: ReferencePose | None = None  # the reference, complete in the fixed crop
    filter: OneEuroState | None = None
    driver_background: Array = field(default_factory=_identity)  # (2, 3) norm, now <- first
    target: Keypoints | None = None  # last result, in the source's crop
    background: Array | None = None  # (2, 3) norm source <- target, of the last result
    fixed_face: DriverFace | None = None  # of the reference that was set
    reference_face: DriverFace | None = None  # of the reference frame, or the first with a face
    face_filter: OneEuroState | None = None
    open_lids: OpenLids | None = None  # of relative motion
    hold: HoldState | None = None  # of the driver's face
    shot: Shot = field(default_factory=Shot)  # of the driver, since the last cut
    head: HeadTarget | None = None  # last result
    inside: float = 1.0  # share of the driver's head that is in the picture
    usual_inside: float = 0.0  # the most of the last seconds
    time_s: float = 0.0
    away: float = 0.0  # blend weight of the last result: 1 = head just lost, 0 = fully tracked


@dataclass(frozen=True)
class Seen:
    """The driver of one frame, before smoothing: independent of source and reference frame."""

    keypoints: Keypoints  # in the first frame's crop, with the body's where that is tracked
    background: Array | None  # (2, 3) float32 norm, now <- first; None = unknown, as before
    has_body: bool  # whether neck and shoulders come from tracked corners of the body
    face: DriverFace | None  # None: no face was fitted in this frame
    trust: float  # in [0, 1], confidence of the trackers
    head: HeadBox | None  # driving pixels; None = keypoints of an object
    sure: tuple[float, float] = (1.0, 1.0)  # of the fit, and of a face there; in [0, 1]


@dataclass(frozen=True)
class DriverPose:
    """The driver of one frame, smoothed, in the fixed crop."""

    keypoints: Keypoints
    background: Array  # (2, 3) float32 norm, the driver's background, now <- first
    has_body: bool  # whether neck and shoulders come from tracked corners of the body
    face: DriverFace | None = None  # None: no face was fitted in this frame
    held_face: str = ""  # why its pose or expression are held, at least in part


def step(
    state: SparseState,
    frame: Frame,
    tracks: Tracks,
    source: Source,
    config: KeypointsConfig,
    mean_shape: Array | None,
    model: FaceModel | None = None,
) -> tuple[SparseState, SparseMotion]:
    """Compute the next frame's motion for this source.

    mean_shape: (L, 2) of the aligner, or None when it is not in use. model: of the fitted faces;
    None: heads move in two dimensions.
    """
    state, seen = see(state, frame, tracks, mean_shape, follows_cuts=config.motion == "relative")
    return move(state, frame, seen, source, config, model)


def move(
    state: SparseState,
    frame: Frame,
    seen: Seen | None,
    source: Source,
    config: KeypointsConfig,
    model: FaceModel | None = None,
) -> tuple[SparseState, SparseMotion]:
    """Compute the motion for this source of what was seen in a frame; of the frame, its time."""
    driver = None
    if seen is not None:
        state, driver = observe(state, frame, seen, config, model)
    if driver is None:
        return _relax(state, frame, source, is_solid=model is not None)
    if model is None or source.face is None:
        target, background = retarget(state, driver, source, config)
        return stabilise(state, frame, driver, target, background)
    target, background = retarget(state, driver, source, config, config.strengths.pose)
    person = model.shaped(source.face.offset)
    head = _head(state, driver, target, source, config, person)
    return stabilise(state, frame, driver, target, background, head)


def see(
    state: SparseState,
    frame: Frame,
    tracks: Tracks,
    mean_shape: Array | None,
    *,
    follows_cuts: bool = True,
) -> tuple[SparseState, Seen | None]:
    """Compute the driver's keypoints in the fixed crop; None when nothing is tracked.

    The state's reference pose is completed with what the tracks know of it. follows_cuts: a cut to
    a shot of another size moves the crop, see ``shots``.
    """
    if not is_tracked(tracks):
        return state, None
    if tracks.is_new_reference:
        state = restarted(state)
    first = state.first or with_picture(reference_of(tracks, mean_shape, state.crop), frame.image)
    points = first and _in_fixed_crop(tracks, first)
    state = _with_inside(state, frame, tracks.head)
    is_leaving = state.inside < _LEAST_KEPT * state.usual_inside
    if first is None or points is None or is_leaving:
        return replace(state, first=first), None
    pose = completed(state.pose, state.reference or first, first, tracks)
    state = replace(state, first=first, pose=pose)
    if follows_cuts and pose.is_face:
        state = _in_shot(state, frame, tracks, pose, first)
    scene = tracks.scene if pose.is_face and first.head is not None else None
    crop = state.shot.crop
    if crop is not None:
        points, scene = keypoints.in_crop(points, first.crop, crop), None
    background = None
    if scene is not None:
        context = context_of(first, scene)
        points = body.with_body(points, *context)
        background = body.background(points, *context)
    face = None if tracks.face is None else DriverFace.of(tracks.face, crop or first.crop)
    trust = trust_of(tracks)
    sure = (1.0 if tracks.face is None else tracks.face.confidence, tracks.face_confidence)
    return state, Seen(points, background, scene is not None, face, trust, tracks.head, sure)


def _in_shot(
    state: SparseState, frame: Frame, tracks: Tracks, pose: ReferencePose, first: Reference
) -> SparseState:
    """The state with the shot of this frame; the motion is blended from the last one's."""
    assert tracks.head is not None and pose.reference.head is not None
    now, known = tracks.head, pose.reference.head
    now_px = Place(np.array(now.center_xy_px), now.size_px)
    rest_xy = geometry.norm_from_px(np.array([known.center_xy_px]), first.crop)[0]
    rest = Place(rest_xy, geometry.head_norm(known, first.crop))
    fitted = pose.face or state.reference_face
    if tracks.face is not None and fitted is not None:  # measures a head's size more closely
        face = tracks.face.pose
        now_px = Place(np.asarray(face.shift_px), face.scale_px)
        rest = Place(np.asarray(fitted.pose.shift_px), fitted.pose.scale_px)
    shot = shots.step(state.shot, frame, now_px, rest)
    state = replace(state, shot=shot)
    if not shot.is_moved:
        return state
    return replace(
        state, filter=None, face_filter=None, hold=None, driver_background=_identity(), away=1.0
    )


def _with_inside(state: SparseState, frame: Frame, head: HeadBox | None) -> SparseState:
    """The state with the share of this frame's head that lies in the picture, and the most before.

    The latter falls slowly: who stays half outside, as close to a camera, is taken as that after a
    while.
    """
    if head is None:
        return state
    inside = share_inside(head, *frame.image.shape[:2])
    passed_s = max(0.0, frame.time_s - state.time_s)
    usual = inside + (state.usual_inside - inside) * float(np.exp(-passed_s / _USUAL_S))
    return replace(state, inside=inside, usual_inside=max(inside, usual))


def observe(
    state: SparseState,
    frame: Frame,
    seen: Seen,
    config: KeypointsConfig,
    model: FaceModel | None = None,
) -> tuple[SparseState, DriverPose | None]:
    """Smooth what was seen; None when that is not plausible."""
    first, pose = state.first, state.pose
    assert first is not None and pose is not None
    known = first.keypoints, pose.keypoints
    if (
        pose.is_face
        and seen.face is None
        and not any(is_plausible(seen.keypoints, one, seen.trust) for one in known)
    ):
        return state, None
    if seen.background is not None and config.moves_background:
        state = replace(state, driver_background=seen.background)
    state, points, moved = _smoothed(state, seen.keypoints, frame.time_s, config.smooth)
    face = None
    if model is not None and seen.face is not None:
        state, face = _face(state, frame, seen.face, seen.sure, pose, config)
    elif model is not None:
        state = replace(state, hold=hold.missed(state.hold, frame.time_s))
    why = "" if model is None or state.hold is None else state.hold.why
    return state, DriverPose(points, moved, seen.has_body, face, why)


def _face(
    state: SparseState,
    frame: Frame,
    seen: DriverFace,
    sure: tuple[float, float],
    pose: ReferencePose,
    config: KeypointsConfig,
) -> tuple[SparseState, DriverFace]:
    """The driver's face, held where it is unsure, and smoothed.

    The state knows that of the reference, too.
    """
    known, fixed = state.reference_face, pose.face
    if fixed is not None and fixed is not state.fixed_face:
        known = fixed
        state = replace(state, fixed_face=fixed)
    if config.motion == "relative":
        lids = state.open_lids or OpenLids.start(frame.time_s)
        lids, seen = lids.step(seen, frame.time_s)
        state = replace(state, open_lids=lids)
    held, face = hold.step(state.hold, seen, *sure, frame.time_s)
    filter_state, face = face.smoothed(state.face_filter, frame.time_s, config.smooth)
    state = replace(state, hold=held, face_filter=filter_state)
    return replace(state, reference_face=known or seen), face


def _head(
    state: SparseState,
    driver: DriverPose,
    target: Keypoints,
    source: Source,
    config: KeypointsConfig,
    model: FaceModel,
) -> HeadTarget | None:
    """The source's head in this frame; the last one's where the driver's face is not seen.

    None, before any face has been fitted to the driver, moves all parts by keypoints; where parts
    have strengths of their own, the head rests until then.
    """
    drive = config.strengths
    if state.reference_face is None:
        return None if drive.is_uniform else head_transfer.own_target(source)
    if driver.face is None:
        return state.head
    chest = fit_similarity(source.keypoints.xy_norm[_CHEST], target.xy_norm[_CHEST])
    chest = chest.astype(np.float32)
    if config.motion == "absolute":
        return head_transfer.absolute(driver.face, source, model, chest, drive)
    relaxes = config.neutral == "auto"
    return head_transfer.relative(
        driver.face, state.reference_face, source, model, chest, drive, relaxes=relaxes
    )


def restarted(state: SparseState) -> SparseState:
    """The state before a new first frame; the motion is blended from the last result."""
    return replace(
        state,
        first=None,
        pose=None,
        filter=None,
        reference_face=None,
        fixed_face=None,
        face_filter=None,
        open_lids=None,
        hold=None,
        driver_background=_identity(),
        usual_inside=0.0,
        shot=state.shot if state.reference else replace(state.shot, crop=None),
        away=1.0,
    )


def retarget(
    state: SparseState,
    driver: DriverPose,
    source: Source,
    config: KeypointsConfig,
    strength: float | None = None,
) -> tuple[Keypoints, Array | None]:
    """Transfer the motion: target keypoints in the source's crop, and the background's affine.

    Absolute motion takes the driver's keypoints, relative motion their change since the reference
    pose (Siarohin et al., NeurIPS 2019, equation 12 and its Jacobians). The affine is (2, 3)
    source <- target, normalised; None where the background is still. strength: of the motion; None:
    as configured for a motion that has no parts.
    """
    strength = config.strength_of_all if strength is None else strength
    pose, first = state.pose, state.first
    assert pose is not None and first is not None
    ratio = _size_ratio(source, pose.reference, first.crop)
    if config.motion == "absolute":
        target = transfer.absolute(driver.keypoints, strength, source.keypoints)
    else:
        target = transfer.relative(
            driver.keypoints,
            pose.keypoints,
            source.keypoints,
            head_ratio=ratio,
            strength=strength,
            free=FREE if pose.is_face else None,
        )
    if pose.is_face:
        target = _limited(target, source, has_body=driver.has_body)
    if not config.moves_background:
        return target, None
    background = _source_background(driver.background, config, pose, ratio, strength)
    return target, background


def stabilise(
    state: SparseState,
    frame: Frame,
    driver: DriverPose,
    target: Keypoints,
    background: Array | None,
    head: HeadTarget | None = None,
) -> tuple[SparseState, SparseMotion]:
    """After a loss of the head, blend from the last result to this one (time constant 0.25 s)."""
    if state.away > 0.01 and state.target is not None:
        step_s = max(0.0, frame.time_s - state.time_s)
        away = state.away * float(np.exp(-step_s / _EASE_S))
        target = mixed(target, state.target, away)
        background = _mixed_affine(background, state.background, away)
        if head is not None and state.head is not None:
            head = head_transfer.mixed(head, state.head, away)
        state = replace(state, away=away)
    state = replace(state, target=target, background=background, head=head, time_s=frame.time_s)
    assert state.first is not None
    crop = state.shot.crop or state.first.crop
    motion = SparseMotion(
        *(driver.keypoints, target, crop),
        background=background,
        head=head,
        held_face="" if head is None else driver.held_face,
    )
    return state, motion


def _relax(
    state: SparseState, frame: Frame, source: Source, *, is_solid: bool
) -> tuple[SparseState, SparseMotion]:
    """Without a tracked head, let the last motion decay to the source's own pose (0.8 s).

    is_solid: heads move in three dimensions.
    """
    step_s = max(0.0, frame.time_s - state.time_s)
    target = source.keypoints
    background = state.background
    share = 1 - float(np.exp(-step_s / _RELAX_S))
    if state.target is not None:
        target = mixed(state.target, target, share)
        background = _mixed_affine(background, None, share)
    head = None
    if is_solid and source.face is not None:
        own = head_transfer.own_target(source)  # a later motion is blended in from it
        head = own if state.head is None else head_transfer.mixed(state.head, own, share)
    crop = state.shot.crop or (state.first.crop if state.first else source.crop)
    driving = state.first.keypoints if state.first else source.keypoints
    state = replace(
        state,
        target=target,
        background=background,
        head=head,
        time_s=frame.time_s,
        away=1.0,
        filter=None,
        face_filter=None,
        hold=None,
    )
    motion = SparseMotion(driving, target, crop, True, background, head=head)
    return state, motion


def _in_fixed_crop(tracks: Tracks, first: Reference) -> Keypoints | None:
    """Keypoints of this frame: the tracks' own, or the first frame's moved by the tracks."""
    if tracks.keypoints is not None and tracks.keypoints_crop is not None:
        return keypoints.in_crop(tracks.keypoints, tracks.keypoints_crop, first.crop)
    if first.head is None:
        return None
    return keypoints.carry_anchors(tracks, first.keypoints, first.head, first.crop)


def mixed(a: Keypoints, b: Keypoints, share_b: float) -> Keypoints:
    """Interpolate keypoints linearly: share_b 0 = a, 1 = b."""
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


def _mixed_affine(a: Array | None, b: Array | None, share_b: float) -> Array | None:
    """Interpolate two (2, 3) affines linearly; None is the identity, in and out."""
    if a is None and b is None:
        return None
    first, second = (_identity() if one is None else one for one in (a, b))
    found = ((1 - share_b) * first + share_b * second).astype(np.float32)
    return None if np.allclose(found, _identity(), atol=_STILL_NORM) else found


def _source_background(
    moved: Array, config: KeypointsConfig, pose: ReferencePose, head_ratio: float, strength: float
) -> Array | None:
    """Affine (2, 3) float32 source <- target of the source's background; None where it is still.

    moved: (2, 3) norm, motion of the driver's background now <- first frame. head_ratio: size of
    the source's head over the driver's.
    """
    total = geometry.homogeneous(moved)
    if config.motion == "relative":
        if pose.background is not None:
            total = total @ np.linalg.inv(geometry.homogeneous(pose.background))
        total[:2, 2] *= head_ratio
    total = np.eye(3) + min(strength, 1.0) * (total - np.eye(3))
    if np.allclose(total, np.eye(3), atol=_STILL_NORM):
        return None
    return np.linalg.inv(total)[:2].astype(np.float32)


def _limited(target: Keypoints, source: Source, *, has_body: bool) -> Keypoints:
    """Clamp head motion to the crop. Without body tracks, neck and shoulders follow the head."""
    center_px = np.array([source.head.center_xy_px])
    center = geometry.norm_from_px(center_px, source.crop)[0].astype(np.float64)
    size = geometry.head_norm(source.head, source.crop)
    target = transfer.clamp_to_crop(
        source.keypoints, target, center, size, PINNED, with_body=has_body
    )
    return target if has_body else transfer.follow_head(source.keypoints, target, FOLLOW)


def _smoothed(
    state: SparseState, points: Keypoints, time_s: float, amount: float
) -> tuple[SparseState, Keypoints, Array]:
    """Low-pass keypoints and background affine together (One-Euro filter).

    amount: in [0, 1], 0 = no filter.
    """
    moved = state.driver_background
    if amount <= 0:
        return state, points, moved
    count = len(points.xy_norm)
    value = np.concatenate([points.xy_norm, points.jacobian.reshape(count, 4)], 1)
    value = np.vstack([value, [*moved[:, 2], *moved[:, :2].ravel()]])
    # cutoff: amount 0.5 gives 2.5 Hz for a still head; a nod of half a crop per second adds 8 Hz
    filter_state, value = one_euro_step(
        state.filter, value, time_s, min_cutoff_hz=cutoff_hz(amount), beta=16.0
    )
    xy, linear = value[:, :2], value[:, 2:].reshape(-1, 2, 2)
    moved = np.column_stack([linear[-1], xy[-1]])
    xy, linear = (np.ascontiguousarray(part[:-1], np.float32) for part in (xy, linear))
    return replace(state, filter=filter_state), Keypoints(xy, linear, points.confidence), moved


def _size_ratio(source: Source, reference: Reference, crop: Crop) -> float:
    """Size of the source's head over the driver's, each in its crop; of an object, by spread."""
    if reference.head is not None:
        return geometry.head_norm(source.head, source.crop) / geometry.head_norm(
            reference.head, crop
        )
    driver = keypoints.in_crop(reference.keypoints, reference.crop, crop)
    return _spread_norm(source.keypoints) / max(1e-6, _spread_norm(driver))


def _spread_norm(points: Keypoints) -> float:
    """Root mean squared distance of the keypoints from their mean."""
    offset = points.xy_norm - points.xy_norm.mean(0)
    return float(np.sqrt((offset**2).sum(1).mean()))
