"""The life of features: carried by flow, judged, dropped, found again, replaced.

A feature that leaves is kept aside with its first patch and its place in the reference frame. When
the motion of the others says that it should be in view, it is looked for there and, if its patch
agrees, comes back as the same feature: correspondences to the reference frame survive blinks, hands
and cuts without drift. Only then are new ones found, registered back through the present map.
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

from . import corners as corners_of
from . import lucas_kanade, templates
from .appearance import Appearance, is_strange
from .lucas_kanade import Window
from .registration import Map, squared_distances, unlike_neighbours
from .templates import Features

HARD_LIKENESS = 0.55  # below this the patch shows something else: dropped at once
STRANGE_LIKENESS = 0.9  # asked of a feature where the head looks unlike itself
BACK_LIKENESS = 0.88  # a lost feature must be this much like itself to come back
_SPACING_HEADS = 0.055  # between features
_KEPT_ASIDE = 240


@dataclass(frozen=True)
class View:
    """The head's window of one picture, as the optical flow and the patches need it."""

    grey: Array  # (H, W) uint8, the whole picture
    window: Window
    small: Array  # (h, w) uint8, the window
    fine: Array  # (h, w) float32, the same


def view_of(grey: Array, window: Window) -> View:
    """Cut the window."""
    small = window.cut(grey)
    return View(grey, window, small, small.astype(np.float32))


def carry(
    before: View, grey: Array, head: HeadBox, xy_px: Array, shift_px: Array, config: TrackConfig
) -> tuple[View, View, Array, Array]:
    """Follow (N, 2) picture points of ``before`` into the next picture.

    head: where it was. shift_px: (2,) how far it is expected to have moved. Returns the old view
    (cut anew if the head's size left the window), the new view, (N, 2) positions and (N,) errors in
    window pixels, infinite where the way back does not return within ``forward_backward_px``.
    """
    x, y = np.add(head.center_xy_px, shift_px)
    there = replace(head, center_xy_px=(float(x), float(y)))
    window = lucas_kanade.window_at(there, grey, before.window)
    if (window.width_px, window.scale) != (before.window.width_px, before.window.scale):
        before = view_of(before.grey, lucas_kanade.window_at(head, before.grey))
    after = view_of(grey, window)
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


def anchored(view: View, found: Features, motion: Array) -> Features:
    """Carried features, their warps turned by the head's motion and fitted to their first patch.

    The fit may move a feature by a pixel and a half of the window; what would move it further is a
    sign of doubt, not of drift, and is left to the judge.
    """
    turned = replace(found, warp=(motion[:, :2].astype(np.float32) @ found.warp))
    fitted = templates.align(view.fine, view.window, turned)
    far = np.hypot(*(fitted.xy_px - found.xy_px).T) * view.window.scale > 1.5
    return replace(
        fitted,
        xy_px=np.where(far[:, None], found.xy_px, fitted.xy_px),
        warp=np.where(far[:, None, None], turned.warp, fitted.warp),
        likeness=np.where(far, np.minimum(fitted.likeness, 0.7), fitted.likeness),
        age=found.age + 1,
    )


def judge(
    found: Features, head: HeadBox, mask: SkinMask, strange: Array, least: float
) -> tuple[Array, Array]:
    """(N,) bool that stay, (N,) int64 doubt; see Features.doubt.

    strange: (N,) bool, where the head looks unlike itself, see appearance.is_strange. least:
    likeness below which a feature is doubted, unless most of them are that unlike.
    """
    if not len(found):
        return np.zeros(0, bool), np.zeros(0, np.int64)
    usual = upper_median(found.likeness)
    spread = 1.48 * upper_median(np.abs(found.likeness - usual))
    limit = np.full(len(found), np.clip(usual - 4 * spread, HARD_LIKENESS, least))
    limit[is_in_hand(found.xy_px, mask)] = least
    limit[strange] = max(least, STRANGE_LIKENESS)
    hard = found.likeness < HARD_LIKENESS
    unlike = found.likeness < limit
    astray = _astray(found, 0.045 * head.size_px)
    doubt = np.where(unlike | astray, found.doubt + 1, 0)
    off = ~is_on_head(found.xy_px, head, 1.25)
    return ~(hard | off | (doubt >= 2)), doubt


def _astray(found: Features, limit_px: float) -> Array:
    """(N,) bool: moved unlike their neighbours since the reference frame."""
    weight = np.ones(len(found))
    reference = found.reference_xy_px.astype(np.float64)
    affine, _ = fit_robust_affine(reference, found.xy_px, weight, limit_px, rounds=3)
    remainder = found.xy_px - geometry.apply_affine(affine, reference)
    return unlike_neighbours(reference, remainder, limit_px)


def set_aside(aside: Features, leaving: Features) -> Features:
    """Lost features with those that leave now; too young ones are forgotten, as are the oldest."""
    grown = leaving.pick((leaving.age >= 4) & (leaving.doubt < 3))
    if not len(grown):
        return aside
    joined = aside.join(replace(grown, doubt=np.zeros(len(grown), np.int64)))
    return joined.pick(slice(-_KEPT_ASIDE, None)) if len(joined) > _KEPT_ASIDE else joined


def revive(
    view: View, alive: Features, aside: Features, forward: Map, head: HeadBox, mask: SkinMask,
    *, count: int, reach_px: float,
) -> tuple[Features, Features]:  # fmt: skip
    """Look for up to ``count`` lost features where ``forward`` says they are.

    reach_px: how far from there, in window pixels, one may be found. Returns the found and those
    that stay aside, the ones just tried last in line.
    """
    if not len(aside):
        return aside, aside
    expected = forward(aside.reference_xy_px)
    inside = is_on_head(expected, head) & ~is_in_hand(expected, mask)
    inside &= _apart(expected, alive.xy_px, 0.5 * _SPACING_HEADS * head.size_px)
    tried = np.nonzero(inside)[0][:count]
    if not len(tried):
        return aside.pick(slice(0, 0)), aside
    rest = np.setdiff1d(np.arange(len(aside)), tried)
    start = replace(aside.pick(tried), xy_px=expected[tried])
    fitted = templates.align(view.fine, view.window, start, steps=5)
    far = np.hypot(*(fitted.xy_px - start.xy_px).T) * view.window.scale
    back = (fitted.likeness > BACK_LIKENESS) & (far < reach_px)
    if not back.any():
        return aside.pick(slice(0, 0)), aside.pick(np.r_[rest, tried])
    return fitted.pick(back), aside.pick(np.r_[rest, tried[~back]])


def agreed(found: Features, size_px: float) -> Array:
    """(N,) bool: rows that one similarity, reference -> now, explains; none if most disagree."""
    if len(found) < 6:
        return np.zeros(len(found), bool)
    similarity, inside = cv2.estimateAffinePartial2D(
        found.reference_xy_px, found.xy_px, ransacReprojThreshold=0.03 * size_px
    )
    if similarity is None or inside.sum() < max(6, 0.35 * len(found)):
        return np.zeros(len(found), bool)
    return inside[:, 0] > 0


def settled(view: View, aside: Features, forward: Map, size_px: float) -> Map:
    """``forward`` moved and scaled a little to where most lost features look like themselves.

    After a cut the head box is only good to a few hundredths of itself, further than a patch can be
    fitted; places around it are tried for all patches together.
    """
    some = aside.pick(slice(-60, None))
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
                    likeness = templates.align(view.fine, view.window, tried, steps=0).likeness
                    score = float(np.maximum(likeness, 0).mean())
                    if score > best_score:
                        best, best_score = (float(dx), float(dy), s), score
    dx, dy, s = best
    affine = s * forward.affine
    affine[:, 2] += (1 - s) * middle + (dx, dy)
    return replace(forward, affine=affine, remainder=s * forward.remainder)


def replenish(
    view: View, alive: Features, wanted: int, head: HeadBox, mask: SkinMask,
    memory: Appearance | None, turned: Pose, backward: Map, config: TrackConfig, first_id: int,
) -> Features:  # fmt: skip
    """New features on the head's skin, away from ``alive``, placed in the reference frame.

    None are found where ``memory`` says that the head looks strange. turned: the present pose, by
    which they are placed on the generic head; backward: this picture -> the reference frame.
    """
    spacing = _SPACING_HEADS * head.size_px * view.window.scale
    free = allowed(view.window, head, mask)
    x, y, width, height = cv2.boundingRect(free)
    part = slice(y, y + height), slice(x, x + width)
    if min(width, height) < 16:
        return templates.empty()
    corner = np.array([x, y], np.float32)
    xy = corner + corners_of.detect(
        view.small[part],
        free[part],
        wanted,
        corners=config.corners,
        spacing_px=max(3.0, spacing),
        taken_xy=view.window.inside(alive.xy_px) - corner,
    )
    xy = xy[~is_strange(memory, view.window.outside(xy), head)]
    here = view.window.outside(xy)
    model = lift(here, turned)
    return templates.first_seen(view.fine, view.window, xy, backward(here), model, first_id)


def allowed(window: Window, head: HeadBox, mask: SkinMask) -> Array:
    """(h, w) uint8 of the window: head's skin with its holes (eyes, brows, lips), without hands."""
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
    if seen > 0.15 * cv2.countNonZero(on_head):  # less skin than that says nothing about the face
        on_head &= _filled(skin, size)
    for blob in (mask.blob(LEFT_HAND), mask.blob(RIGHT_HAND)):
        if blob is not None:
            corner = np.array(blob.box_px[:2])
            x0, y0 = np.round(window.inside(corner)).astype(int)
            x1, y1 = np.round(window.inside(corner + blob.box_px[2:])).astype(int)
            on_head[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = 0
    return on_head


def _filled(skin: Array, size: float) -> Array:
    """Skin with gaps up to an eye's size closed, without its rim, on a small copy."""
    height, width = skin.shape
    shape = max(1, width // 4), max(1, height // 4)
    small = cv2.resize(skin, shape, interpolation=cv2.INTER_AREA)
    _, small = cv2.threshold(small, 100, 255, cv2.THRESH_BINARY)
    reach = max(1, round(0.12 * size / 4))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    small = cv2.copyMakeBorder(small, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, kernel)[reach:-reach, reach:-reach]
    # not on the outline, which slides over the head as it turns
    small = cv2.erode(small, np.ones((3, 3), np.uint8), borderValue=255)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def _apart(xy: Array, others: Array, distance_px: float) -> Array:
    """(N,) bool: no other point is nearer than that."""
    if not len(others):
        return np.ones(len(xy), bool)
    return squared_distances(xy, others).min(1) > distance_px**2
