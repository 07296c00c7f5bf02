"""Optical flow of keypoints with local affines: keypoints and two pictures -> moved keypoints.

Corners around the keypoints, and the small keypoints themselves, are tracked forward and backward
(lucas_kanade.py); a robust affine fitted near each keypoint moves its position and its Jacobian.
A patch of each small keypoint, sampled at the last detection, is compared with its present one:
lids and lips change in ways that flow cannot follow, which lowers the correlation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.face.anchors import ANCHORS, EXACT, FIT_BOX
from hybridanim.fitting import fit_global_affine, fit_local_affines
from hybridanim.types import Array, HeadBox

from . import corners, lucas_kanade
from .detection import KeypointsPx
from .lucas_kanade import Window

FEW = 8  # least tracked points for a fit
_CORNERS = 80
_WINDOW_PX, _LEVELS = 9, 2
_RETURN_PX = 0.8  # largest forward-backward error of a corner
_OWN_WEIGHT = 0.5  # weight of a keypoint's own flow; a corner's is 1
_RESIDUAL_HEADS = 0.01
_FIT_OBJECT = 0.12  # sigma of the local fit of keypoints that are no anchors, in box sides
_PATCH = 9  # samples along a patch's side
_PATCH_BOX = 0.11  # its side, in units of the canonical face
_LEAST_CONTRAST = 3.0  # grey levels of noise assumed in every patch

_AXIS = (np.arange(_PATCH) / (_PATCH - 1) - 0.5) * _PATCH_BOX
_CELLS = np.stack(np.meshgrid(_AXIS, _AXIS), -1).reshape(-1, 2)


@dataclass(frozen=True)
class FlowState:
    """The last picture and the corners in it; positions are pixels of the whole picture."""

    picture: Array  # (H, W) uint8, the whole one
    grey: Array  # (h, w) uint8, the window cut out
    window: Window
    box: HeadBox  # of the head, in the middle of the window
    xy_px: Array = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    reference_xy_px: Array = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    ids: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    age: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    next_id: int = 0
    patches: Array | None = None  # (W, P) float32, of the small keypoints at the last detection
    dropped: int = 0
    new: int = 0


def start(grey: Array, box: HeadBox, last: FlowState | None) -> FlowState:
    """A state without corners; new ids continue after those of ``last``."""
    window = lucas_kanade.window_at(box, grey)
    number = last.next_id if last is not None else 0
    lost = len(last.ids) if last is not None else 0
    return FlowState(grey, window.cut(grey), window, box, next_id=number, dropped=lost)


def propagate(
    last: FlowState, grey: Array, points: KeypointsPx, shift_px: Array
) -> tuple[FlowState, KeypointsPx | None]:
    """Track corners and keypoints into the next picture; None when fewer than FEW are found.

    grey: (H, W) uint8, the whole picture. shift_px: (2,) expected displacement of the head.
    """
    x, y = np.add(last.box.center_xy_px, shift_px)
    box = replace(last.box, center_xy_px=(float(x), float(y)))
    window = lucas_kanade.window_at(box, grey, last.window)
    small = window.cut(grey)
    if small.shape != last.grey.shape or window.scale != last.window.scale:  # another head size
        last = replace(last, grey=window.cut(last.picture), window=window)
    own = np.flatnonzero(watched(len(points.xy_px)))
    before = np.concatenate([last.xy_px, points.xy_px[own]]).astype(np.float32)
    there, error = lucas_kanade.follow(
        last.grey, small, last.window.inside(before), window.inside(before + shift_px),
        window_px=_WINDOW_PX, levels=_LEVELS,
    )  # fmt: skip
    after, kept = window.outside(there), error < _RETURN_PX
    count = len(last.ids)
    is_kept = kept[:count]
    now = replace(
        last, picture=grey, grey=small, window=window, box=box, xy_px=after[:count][is_kept],
        reference_xy_px=last.reference_xy_px[is_kept], ids=last.ids[is_kept],
        age=last.age[is_kept] + 1, dropped=int((~is_kept).sum()), new=0,
    )  # fmt: skip
    if kept.sum() < FEW:
        return now, None
    weight = np.r_[np.ones(count), np.full(len(own), _OWN_WEIGHT)]
    return now, _moved(points, before[kept], after[kept], weight[kept], box.size_px)


def _moved(
    points: KeypointsPx, before: Array, after: Array, weight: Array, size_px: float
) -> KeypointsPx:
    """The keypoints under the local affines of rows (N, 2) -> (N, 2)."""
    residual_px = max(0.5, _RESIDUAL_HEADS * size_px)
    whole = fit_global_affine(before, after, weight, 2 * residual_px)
    xy, linear, _ = fit_local_affines(
        before,
        after,
        weight,
        places=points.xy_px,
        reach_px=_reach(len(points.xy_px)) * size_px,
        prior=whole,
        residual_px=residual_px,
    )
    return KeypointsPx(
        xy.astype(np.float64), linear.astype(np.float64) @ points.linear_px, points.confidence
    )


def add_corners(now: FlowState, points: KeypointsPx, to_reference: Array) -> FlowState:
    """Detect new corners when there are too few.

    to_reference: (2, 3) affine from this picture to the reference frame, which places them there.
    """
    wanted = _CORNERS - len(now.ids)
    if wanted < 0.2 * _CORNERS:
        return replace(now, new=0)
    allowed = _allowed(now, points)
    spacing = max(4.0, 0.045 * now.box.size_px * now.window.scale)
    taken = now.window.inside(now.xy_px)
    found = corners.detect(now.grey, allowed, wanted, spacing_px=spacing, taken_xy=taken)
    xy = now.window.outside(found)
    number = np.arange(now.next_id, now.next_id + len(xy), dtype=np.int64)
    reference = geometry.apply_affine(to_reference, xy).astype(np.float32)
    return replace(
        now,
        xy_px=np.concatenate([now.xy_px, xy]),
        reference_xy_px=np.concatenate([now.reference_xy_px, reference]),
        ids=np.concatenate([now.ids, number]),
        age=np.concatenate([now.age, np.zeros(len(xy), np.int64)]),
        next_id=now.next_id + len(xy),
        new=len(xy),
    )


def _allowed(now: FlowState, points: KeypointsPx) -> Array:
    """(h, w) uint8 mask of the window: around the keypoints, or on the face if they are anchors."""
    out = np.zeros(now.grey.shape, np.uint8)
    if len(points.xy_px) != len(ANCHORS):
        reach = round(2 * _FIT_OBJECT * now.box.size_px * now.window.scale)
        for x, y in np.round(now.window.inside(points.xy_px)).astype(int).tolist():
            cv2.circle(out, (x, y), reach, 255, -1)
        return out
    x, y = (float(v) for v in now.window.inside(np.array(now.box.center_xy_px)))
    size = now.box.size_px * now.window.scale
    axes = (0.56 * size, 0.7 * size)  # forehead to chin, without the hair
    cv2.ellipse(out, ((x, y), (2 * axes[0], 2 * axes[1]), now.box.roll_deg), 255, -1)
    return out


def sample_patches(now: FlowState, points: KeypointsPx) -> Array:
    """(W, P) float32: a grey patch at each small keypoint, in the axes of its Jacobian."""
    rows = np.flatnonzero(watched(len(points.xy_px)))
    places = points.xy_px[rows, None] + _CELLS @ points.linear_px[rows].transpose(0, 2, 1)
    x, y = now.window.inside(places).transpose(2, 0, 1)
    return cv2.remap(
        now.grey, np.ascontiguousarray(x), np.ascontiguousarray(y), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)  # fmt: skip


def patch_dissimilarity(before: Array, now: Array) -> Array:
    """(W,) float32, 1 - NCC of (W, P) patches: 0 = equal up to gain and offset, 1 = unrelated."""
    x, y = before - before.mean(1, keepdims=True), now - now.mean(1, keepdims=True)
    xx, yy, xy = (np.einsum("wp,wp->w", a, b) / a.shape[1] for a, b in ((x, x), (y, y), (x, y)))
    floor = _LEAST_CONTRAST**2
    return (1 - (xy + floor) / (np.sqrt((xx + floor) * (yy + floor)))).astype(np.float32)


def watched(count: int) -> Array:
    """(K,) bool: small keypoints, which are tracked themselves: lids and lips, all of an object."""
    return EXACT > 0 if count == len(ANCHORS) else np.ones(count, bool)


def _reach(count: int) -> Array:
    """(K,) sigma of the local fits, in box sides."""
    return FIT_BOX if count == len(ANCHORS) else np.full(count, _FIT_OBJECT, np.float32)
