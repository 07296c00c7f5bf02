"""Features of the head: tracked, validated, removed, recovered, replaced.

A removed feature is kept with its template and its position in the reference frame. When the motion
of the other features predicts that it is visible, it is searched there and, if its template
matches, recovered with its old id: correspondences to the reference frame survive blinks, hands and
cuts without drift. Only then are new features detected, and mapped back into the reference frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.config import TrackConfig
from hybridanim.face.head_box import is_in_hand, is_on_head
from hybridanim.face.head_pose import Pose, lift
from hybridanim.fitting import fit_robust_affine, upper_median
from hybridanim.types import LEFT_HAND, RIGHT_HAND, Array, HeadBox, SkinMask

from . import corners, lucas_kanade, templates
from .appearance import Appearance, is_outlier
from .lucas_kanade import Window
from .registration import Map, squared_distances, unlike_neighbours
from .templates import Features

LEAST_SCORE = 0.55  # template score (NCC) below which a feature is dropped at once
OUTLIER_SCORE = 0.9  # least score where the appearance model reports an outlier
REVIVE_SCORE = 0.88  # least score at which a lost feature is revived
_SPACING_HEADS = 0.055  # least distance of features, in head sizes
_KEPT_LOST = 240  # lost features at most


@dataclass(frozen=True)
class HeadView:
    """The head's window of one picture, for optical flow (uint8) and templates (float32)."""

    grey: Array  # (H, W) uint8, the whole picture
    window: Window
    small: Array  # (h, w) uint8, the window
    fine: Array  # (h, w) float32, the same


def cut_view(grey: Array, window: Window) -> HeadView:
    """Cut the window from an (H, W) uint8 picture."""
    small = window.cut(grey)
    return HeadView(grey, window, small, small.astype(np.float32))


def follow(
    before: HeadView, grey: Array, head: HeadBox, xy_px: Array, shift_px: Array, config: TrackConfig
) -> tuple[HeadView, HeadView, Array, Array]:
    """Track (N, 2) points, pixels of the picture, from view ``before`` into the next picture.

    head: the last head box. shift_px: (2,) its expected displacement. Returns the old view (cut
    anew if the window's size has changed), the new view, (N, 2) positions in pixels of the picture,
    and (N,) forward-backward errors in window pixels, infinite above ``forward_backward_px``.
    """
    x, y = np.add(head.center_xy_px, shift_px)
    there = replace(head, center_xy_px=(float(x), float(y)))
    window = lucas_kanade.window_at(there, grey, before.window)
    if (window.width_px, window.scale) != (before.window.width_px, before.window.scale):
        before = cut_view(before.grey, lucas_kanade.window_at(head, before.grey))
    after = cut_view(grey, window)
    moved, error = lucas_kanade.follow(
        before.small,
        after.small,
        before.window.inside(xy_px),
        window.inside(xy_px + np.asarray(shift_px, np.float32)),
        window_px=config.window_px,
        levels=config.pyramid_levels,
    )
    error[error > config.forward_backward_px] = np.inf
    return before, after, window.outside(moved), error


def refine(view: HeadView, found: Features, motion: Array) -> Features:
    """Align followed features to their templates, starting from the head's (2, 3) motion.

    A shift of more than 1.5 window pixels indicates an outlier rather than drift: such a feature
    keeps its position, and its score is limited to 0.7.
    """
    turned = replace(found, warp=(motion[:, :2].astype(np.float32) @ found.warp))
    fitted = templates.align(view.fine, view.window, turned)
    far = np.hypot(*(fitted.xy_px - found.xy_px).T) * view.window.scale > 1.5
    return replace(
        fitted,
        xy_px=np.where(far[:, None], found.xy_px, fitted.xy_px),
        warp=np.where(far[:, None, None], turned.warp, fitted.warp),
        score=np.where(far, np.minimum(fitted.score, 0.7), fitted.score),
        age=found.age + 1,
    )


def reject_outliers(
    found: Features, head: HeadBox, mask: SkinMask, outlier: Array, least: float
) -> tuple[Array, Array]:
    """Which features to keep, (N,) bool, and their doubt, (N,) int64; see ``Features.doubt``.

    Doubted are features with a low template score or a motion unlike their neighbours'; twice in a
    row drops them. outlier: (N,) bool, see ``appearance.is_outlier``. least: score below which a
    feature is doubted; it is lowered when the median score is low.
    """
    if not len(found):
        return np.zeros(0, bool), np.zeros(0, np.int64)
    usual = upper_median(found.score)
    spread = 1.48 * upper_median(np.abs(found.score - usual))
    limit = np.full(len(found), np.clip(usual - 4 * spread, LEAST_SCORE, least))
    limit[is_in_hand(found.xy_px, mask)] = least
    limit[outlier] = max(least, OUTLIER_SCORE)
    is_wrong = found.score < LEAST_SCORE
    is_doubted = found.score < limit
    deviates = _moves_differently(found, 0.045 * head.size_px)
    doubt = np.where(is_doubted | deviates, found.doubt + 1, 0)
    off = ~is_on_head(found.xy_px, head, 1.25)
    return ~(is_wrong | off | (doubt >= 2)), doubt


def _moves_differently(found: Features, limit_px: float) -> Array:
    """(N,) bool: their displacement since the reference frame is unlike their neighbours'."""
    weight = np.ones(len(found))
    reference = found.reference_xy_px.astype(np.float64)
    affine, _ = fit_robust_affine(reference, found.xy_px, weight, limit_px, rounds=3)
    residual = found.xy_px - geometry.apply_affine(affine, reference)
    return unlike_neighbours(reference, residual, limit_px)


def keep_lost(lost: Features, leaving: Features) -> Features:
    """Append removed features to the lost ones, except those younger than 4 frames.

    Only the newest ``_KEPT_LOST`` are kept.
    """
    grown = leaving.pick((leaving.age >= 4) & (leaving.doubt < 3))
    if not len(grown):
        return lost
    joined = lost.join(replace(grown, doubt=np.zeros(len(grown), np.int64)))
    return joined.pick(slice(-_KEPT_LOST, None)) if len(joined) > _KEPT_LOST else joined


def revive(
    view: HeadView, alive: Features, lost: Features, forward: Map, head: HeadBox, mask: SkinMask,
    *, count: int, reach_px: float,
) -> tuple[Features, Features]:  # fmt: skip
    """Search up to ``count`` lost features where ``forward`` (reference -> now) predicts them.

    reach_px: largest distance from there, in window pixels. Returns the found ones and those still
    lost, the ones just tried at the end.
    """
    if not len(lost):
        return lost, lost
    expected = forward(lost.reference_xy_px)
    inside = is_on_head(expected, head) & ~is_in_hand(expected, mask)
    inside &= _apart(expected, alive.xy_px, 0.5 * _SPACING_HEADS * head.size_px)
    tried = np.nonzero(inside)[0][:count]
    if not len(tried):
        return lost.pick(slice(0, 0)), lost
    rest = np.setdiff1d(np.arange(len(lost)), tried)
    start = replace(lost.pick(tried), xy_px=expected[tried])
    fitted = templates.align(view.fine, view.window, start, steps=5)
    far = np.hypot(*(fitted.xy_px - start.xy_px).T) * view.window.scale
    back = (fitted.score > REVIVE_SCORE) & (far < reach_px)
    if not back.any():
        return lost.pick(slice(0, 0)), lost.pick(np.r_[rest, tried])
    return fitted.pick(back), lost.pick(np.r_[rest, tried[~back]])


def consensus(found: Features, size_px: float) -> Array:
    """(N,) bool: inliers of one similarity, reference -> now (RANSAC); none if they are few."""
    if len(found) < 6:
        return np.zeros(len(found), bool)
    similarity, inside = cv2.estimateAffinePartial2D(
        found.reference_xy_px, found.xy_px, ransacReprojThreshold=0.03 * size_px
    )
    if similarity is None or inside.sum() < max(6, 0.35 * len(found)):
        return np.zeros(len(found), bool)
    return inside[:, 0] > 0


def align_map(view: HeadView, lost: Features, forward: Map, size_px: float) -> Map:
    """Correct ``forward`` by the shift and scale that maximise the lost features' mean score.

    After a cut the head box is off by a few hundredths of its side, more than a template alignment
    converges from; so a grid of shifts and scales is evaluated for all templates together.
    """
    some = lost.pick(slice(-60, None))
    expected = forward(some.reference_xy_px)
    middle = expected.mean(0)
    best, best_score = (0.0, 0.0, 1.0), -1.0
    for step, scales in ((0.05, (0.94, 1.0, 1.06)), (0.018, (0.98, 1.0, 1.02))):
        (x0, y0, s0) = best
        for scale in scales:
            for dx in np.arange(-2, 3) * step * size_px + x0:
                for dy in np.arange(-2, 3) * step * size_px + y0:
                    s = s0 * scale
                    xy = (expected - middle) * s + middle + (dx, dy)
                    tried = replace(some, xy_px=xy.astype(np.float32))
                    score = templates.align(view.fine, view.window, tried, steps=0).score
                    score = float(np.maximum(score, 0).mean())
                    if score > best_score:
                        best, best_score = (float(dx), float(dy), s), score
    dx, dy, s = best
    affine = s * forward.affine
    affine[:, 2] += (1 - s) * middle + (dx, dy)
    return replace(forward, affine=affine, residual=s * forward.residual)


def detect_new(
    view: HeadView, alive: Features, wanted: int, head: HeadBox, mask: SkinMask,
    memory: Appearance | None, turned: Pose, backward: Map, config: TrackConfig, first_id: int,
) -> Features:  # fmt: skip
    """Detect new features on the head's skin, away from ``alive`` and from appearance outliers.

    turned: the present pose, which places them on the generic head. backward: map from this picture
    to the reference frame, which places them there. first_id: id of the first new feature.
    """
    spacing = _SPACING_HEADS * head.size_px * view.window.scale
    free = allowed_mask(view.window, head, mask)
    x, y, width, height = cv2.boundingRect(free)
    part = slice(y, y + height), slice(x, x + width)
    if min(width, height) < 16:
        return templates.empty()
    corner = np.array([x, y], np.float32)
    xy = corner + corners.detect(
        view.small[part],
        free[part],
        wanted,
        corners=config.corners,
        spacing_px=max(3.0, spacing),
        taken_xy=view.window.inside(alive.xy_px) - corner,
    )
    xy = xy[~is_outlier(memory, view.window.outside(xy), head)]
    here = view.window.outside(xy)
    model = lift(here, turned)
    return templates.first_seen(view.fine, view.window, xy, backward(here), model, first_id)


def allowed_mask(window: Window, head: HeadBox, mask: SkinMask) -> Array:
    """(h, w) uint8 mask of the window: the head's skin with eyes, brows and lips, no hands."""
    skin = window.cut(mask.mask, cv2.INTER_NEAREST)
    shape = skin.shape
    on_head = np.zeros(shape, np.uint8)
    x, y = window.inside(np.array(head.center_xy_px))
    size = head.size_px * window.scale
    turn = np.deg2rad(head.roll_deg)
    centre = (round(x + 0.06 * size * np.sin(turn)), round(y - 0.06 * size * np.cos(turn)))
    axes = (round(0.56 * size), round(0.70 * size))
    cv2.ellipse(on_head, centre, axes, head.roll_deg, 0, 360, 255, -1)
    seen = cv2.countNonZero(skin & on_head)
    if seen > 0.15 * cv2.countNonZero(on_head):  # less skin is no reliable mask
        on_head &= _filled(skin, size)
    for blob in (mask.blob(LEFT_HAND), mask.blob(RIGHT_HAND)):
        if blob is not None:
            corner = np.array(blob.box_px[:2])
            x0, y0 = np.round(window.inside(corner)).astype(int)
            x1, y1 = np.round(window.inside(corner + blob.box_px[2:])).astype(int)
            on_head[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = 0
    return on_head


def _filled(skin: Array, size: float) -> Array:
    """Close gaps of the (h, w) skin mask up to an eye's size and erode its rim."""
    height, width = skin.shape
    shape = max(1, width // 4), max(1, height // 4)
    small = cv2.resize(skin, shape, interpolation=cv2.INTER_AREA)
    _, small = cv2.threshold(small, 100, 255, cv2.THRESH_BINARY)
    reach = max(1, round(0.12 * size / 4))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    small = cv2.copyMakeBorder(small, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, kernel)[reach:-reach, reach:-reach]
    # the outline is no fixed place on a turning head
    small = cv2.erode(small, np.ones((3, 3), np.uint8), borderValue=255)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def _apart(xy: Array, others: Array, distance_px: float) -> Array:
    """(N,) bool: points with no other point nearer than ``distance_px``."""
    if not len(others):
        return np.ones(len(xy), bool)
    return squared_distances(xy, others).min(1) > distance_px**2
