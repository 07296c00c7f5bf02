"""Stage 1: Frame -> SkinMask: skin by colour, head and hand blobs, regions at full resolution.

The skin colour model is either a fixed box in U, V or YUV histograms learned from the face in
view. Skin regions are grown by hysteresis on a downscaled picture, where head and hands are
located, then refined at full resolution. After Schreer et al. 2005 (cloud, blobs, growing) and
Jones and Rehg 2002 (histogram model). still.py segments single pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from hybridanim.config import SegmentConfig
from hybridanim.profiles import SkinProfile
from hybridanim.resampling import shrunk
from hybridanim.types import Array, Blob, FaceBox, Frame, SkinMask

from . import adaptation, blobs, face_search, region_growing, skin_model
from .hands import Hand, as_blob, follow_hands
from .skin_model import Cloud

_CHECK_FRAMES = 8  # the cascade checks a known head every so many frames, in a small window
_SEARCH_FRAMES = 6  # interval of searches of the whole picture while no head is known
_RECHECK_FRAMES = 20  # and while the followed head is one that the cascade has not confirmed
_LEARN_FRAMES = 4
_CUT_GREY = 28.0  # mean grey change, less the change of brightness, that only a cut causes
_WHITE_SHIFT = 5.0  # sudden change of the picture's mean U, V that indicates a change of light


@dataclass(frozen=True)
class SegmentState:
    """State between frames; positions are pixels of the coarse picture."""

    cloud: Cloud | None = None
    table: Array | None = None  # P(skin | colour) of the cloud
    face: FaceBox | None = None  # followed head, coarse pixels
    is_seen: bool = False  # the cascade has confirmed this head
    hands: dict[str, Hand] = field(default_factory=dict)
    grey: Array | None = None  # last coarse grey picture
    white_uv: tuple[float, float] | None = None  # low-passed mean U, V of the picture
    frames: int = 0
    misses: int = 0  # consecutive cascade calls that found nothing
    lost_frames: int = 0  # consecutive frames without a head


def initial_state() -> SegmentState:
    """The state before the first frame."""
    return SegmentState()


def step(
    state: SegmentState, frame: Frame, config: SegmentConfig, profile: SkinProfile | None
) -> tuple[SegmentState, SkinMask]:
    """Segment the next frame of a video.

    Returns the state for the next frame, and the mask with its blobs in full-resolution pixels. For
    a frame without skin or without a head, ``lost`` says why; the returned state stays usable.
    """
    image = frame.image
    scale = max(1.0, max(image.shape[:2]) / config.coarse_px)
    size = (max(8, round(image.shape[1] / scale)), max(8, round(image.shape[0] / scale)))
    yuv = cv2.cvtColor(shrunk(image, size), cv2.COLOR_RGB2YUV)
    grey = cv2.GaussianBlur(yuv[..., 0], (3, 3), 0)
    if float(grey.max()) < 16 or float(np.ptp(grey)) < 4:
        return _nothing(state, image, grey, "the picture is empty or black")
    if state.grey is None or state.grey.shape != grey.shape or _is_cut(state.grey, grey):
        state = _new_scene(state, grey)
    state, is_relit = _update_white(state, yuv)
    state, hit = _detect_face(state, image, scale, is_relit)
    if state.cloud is None:
        cloud = adaptation.first_cloud(profile)
        state = replace(state, cloud=cloud, table=cloud.table())
    state, is_frozen = _learn(state, image, yuv, hit, config, is_relit=is_relit)
    likely = _likelihood(state, yuv, config)
    state, parts, reason = _follow(state, likely, grey, hit)
    state = replace(state, grey=grey, frames=state.frames + 1)
    if reason:
        return replace(state, lost_frames=state.lost_frames + 1), _lost(image, reason)
    mask = region_growing.refine(image, parts.grown, scale, state.table, config)
    found = _blobs(state, parts, scale)
    uv = blobs.median_uv(yuv, parts.head)
    return replace(state, lost_frames=0), SkinMask(mask, found, uv, is_frozen, hit)


@dataclass(frozen=True)
class _Parts:
    """Coarse masks of one frame, uint8."""

    grown: Array  # skin of the head and the hands
    head: Array


def _nothing(
    state: SegmentState, image: Array, grey: Array, reason: str
) -> tuple[SegmentState, SkinMask]:
    state = replace(state, frames=state.frames + 1, lost_frames=state.lost_frames + 1)
    return replace(state, grey=grey, face=None, hands={}), _lost(image, reason)


def _lost(image: Array, reason: str) -> SkinMask:
    return SkinMask(np.zeros(image.shape[:2], np.uint8), lost=reason)


def _new_scene(state: SegmentState, grey: Array) -> SegmentState:
    """Reset positions but keep the colour model until a face in the new scene is learned."""
    cloud = replace(state.cloud, person_weight=0.0) if state.cloud else None
    return replace(
        state, cloud=cloud, face=None, is_seen=False, hands={}, grey=grey, misses=0, lost_frames=0
    )


def _is_cut(before: Array, now: Array) -> bool:
    """Whether the whole picture changed by more than its brightness did."""
    difference = cv2.absdiff(before, now)
    brightness = abs(float(cv2.mean(before)[0]) - float(cv2.mean(now)[0]))
    return float(cv2.mean(difference)[0]) - brightness > _CUT_GREY


def _update_white(state: SegmentState, yuv: Array) -> tuple[SegmentState, bool]:
    """Low-pass the picture's mean colour; True when it has suddenly departed from that."""
    white = cv2.mean(yuv)[1:3]
    before = state.white_uv or white
    shift = max(abs(white[0] - before[0]), abs(white[1] - before[1]))
    slow = (_mix(before[0], white[0]), _mix(before[1], white[1]))
    return replace(state, white_uv=slow), shift > _WHITE_SHIFT


def _detect_face(
    state: SegmentState, image: Array, scale: float, is_relit: bool
) -> tuple[SegmentState, FaceBox | None]:
    """Run the face cascade when it is due: in a window around a known head, else everywhere.

    Returns the state with the corrected head, and the hit in pixels of ``image``.
    """
    is_known = state.face is not None and state.is_seen and state.misses < 4
    every = _CHECK_FRAMES if is_known else _RECHECK_FRAMES if state.face else _SEARCH_FRAMES
    is_due = state.frames % every == 0 or (state.face is None and not state.lost_frames)
    is_due = is_due or (is_known and is_relit)
    if not is_due and not (is_known and state.misses):
        return state, None
    known = face_search.scaled(state.face, scale) if state.face else None
    if is_known and known is not None:
        hit = face_search.detect_near(image, known)
    else:
        side = 640 if state.face is None and not state.lost_frames else 400
        hit = face_search.detect_anywhere(image, max_side_px=side, near=known)
    if hit is None or not adaptation.is_skin_coloured(image, hit):
        return replace(state, misses=state.misses + 1), None
    coarse = face_search.scaled(hit, 1 / scale)
    face = coarse if state.face is None else face_search.blend(state.face, coarse)
    return replace(state, face=face, is_seen=True, misses=0), hit


def _learn(
    state: SegmentState,
    image: Array,
    yuv: Array,
    hit: FaceBox | None,
    config: SegmentConfig,
    *,
    is_relit: bool,
) -> tuple[SegmentState, bool]:
    """Update the colour model from this frame; True when it was frozen instead."""
    cloud, face = state.cloud, state.face
    if config.cloud == "fixed" or cloud is None or face is None:
        return state, False
    if hit is not None:
        rate = _CHECK_FRAMES * config.learning_rate
        learned = adaptation.learn_detected(cloud, image, yuv, hit=hit, face=face, rate=rate)
    elif is_relit:
        return state, True
    elif state.frames % _LEARN_FRAMES or not state.is_seen or state.misses:
        return state, False
    else:
        rate = _LEARN_FRAMES * config.learning_rate
        learned = adaptation.learn_followed(cloud, yuv, face, rate)
    if learned is None:
        return state, True
    return replace(state, cloud=learned, table=learned.table()), False


def _mix(old: float, new: float, rate: float = 0.1) -> float:
    return (1 - rate) * old + rate * new


def _likelihood(state: SegmentState, yuv: Array, config: SegmentConfig) -> Array:
    """(h, w) uint8, 255 x P(skin), lightly smoothed."""
    if config.cloud == "fixed" or state.table is None:
        return skin_model.fixed_mask(yuv, config.u_range, config.v_range)
    return cv2.GaussianBlur(skin_model.probability(yuv, state.table), (3, 3), 0)


def _follow(
    state: SegmentState, likely: Array, grey: Array, hit: FaceBox | None
) -> tuple[SegmentState, _Parts, str]:
    """Track head and hands; the string says why there is no head, or is empty."""
    grown = region_growing.grow(likely)
    nothing = _Parts(grown, np.zeros_like(grown))
    if cv2.countNonZero(grown) < 12:
        return replace(state, face=None, hands={}), nothing, "no skin in the picture"
    face = state.face or blobs.head_by_shape(grown)
    if face is None:
        return state, nothing, "no face, and no skin region shaped like a head"
    if state.face is not None and hit is None and not _is_hand_at_face(state, face):
        face = blobs.follow_head(likely, face)
    ellipse = blobs.head_ellipse(grown.shape, face)
    head = cv2.bitwise_and(grown, ellipse)
    if cv2.countNonZero(head) < 0.15 * cv2.countNonZero(ellipse) and hit is None:
        gone = replace(state, face=None, is_seen=False, hands={})
        return gone, nothing, "the head left the picture or is hidden"
    state = replace(state, face=face, is_seen=state.is_seen and state.face is not None)
    rest = region_growing.exclude_head(grown, face)
    change = cv2.absdiff(grey, state.grey) if state.grey is not None else np.zeros_like(grey)
    found = blobs.regions(rest, change, face)
    state = replace(state, hands=follow_hands(state.hands, found, rest, face))
    return state, _Parts(_people(grown, head, rest, state), head), ""


def _is_hand_at_face(state: SegmentState, face: FaceBox) -> bool:
    x, y = face.center_xy_px
    return any(
        abs(hand.predicted_xy[0] - x) < 0.9 * face.width_px
        and abs(hand.predicted_xy[1] - y) < 1.1 * face.height_px
        for hand in state.hands.values()
    )


def _people(grown: Array, head: Array, rest: Array, state: SegmentState) -> Array:
    """The regions after region growing that contain the head or a hand."""
    labels = np.asarray(cv2.connectedComponents(grown, connectivity=4)[1], np.int32)
    keep = np.zeros(int(labels.max()) + 1, np.uint8)
    keep[labels[head > 0]] = 255
    for hand in state.hands.values():
        if not hand.unseen:
            x, y, w, h = (int(v) for v in hand.region.box)
            keep[labels[y : y + h, x : x + w][rest[y : y + h, x : x + w] > 0]] = 255
    keep[0] = 0
    return keep[labels]


def _blobs(state: SegmentState, parts: _Parts, scale: float) -> tuple[Blob, ...]:
    assert state.face is not None
    seen = tuple(as_blob(k, v, scale) for k, v in sorted(state.hands.items()))
    return (blobs.head_blob(parts.head, state.face, scale), *seen)
