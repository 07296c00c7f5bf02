"""Skin regions of one frame and the hands of the last -> the hands of this frame, same labels.

Each hand predicts its position at constant velocity and is assigned the region of least cost. A
hand in front of the face continues as a prediction and gets its label back when it reappears; hands
that touch share one region, one half each. Positions are pixels of the coarse map.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from hybridanim.types import LEFT_HAND, RIGHT_HAND, Array, Blob, FaceBox

from .blobs import Region

HANDS = (LEFT_HAND, RIGHT_HAND)
_MOVING_GREY = 3.0  # mean grey change of a region that moves; a still one has under 1
_FORGET_FRAMES = 20  # an unseen hand is dropped after these; four times as many at the head


@dataclass(frozen=True)
class Hand:
    """State of one hand between frames."""

    region: Region
    velocity: tuple[float, float] = (0.0, 0.0)
    unseen: int = 0  # frames since it was last seen
    is_at_head: bool = False  # it was last seen near the head, so the face may hide it
    has_moved: bool = False  # which rules out furniture
    is_leftmost: bool = False  # it was left of the other hand when both were last seen

    @property
    def predicted_xy(self) -> tuple[float, float]:
        """Predicted position in the next frame, at a velocity that decays while it is unseen."""
        fade = 0.6**self.unseen
        x, y = self.region.xy
        return x + fade * self.velocity[0], y + fade * self.velocity[1]


def split(region: Region, mask: Array) -> tuple[Region, Region] | None:
    """Split a region of two touching hands at its centroid into a left and a right part.

    mask: (h, w) uint8 skin. None when a part would have fewer than three pixels.
    """
    x, y, w, h = (int(v) for v in region.box)
    rows, columns = np.nonzero(mask[y : y + h, x : x + w])
    points = np.stack([columns + x, rows + y], 1).astype(np.float32)
    is_right = points[:, 0] > region.xy[0]
    if min(is_right.sum(), (~is_right).sum()) < 3:
        return None
    parts = []
    for mine in (points[~is_right], points[is_right]):
        (left, top), (wide, high) = mine.min(0), np.ptp(mine, axis=0) + 1
        box = (float(left), float(top), float(wide), float(high))
        xy = (float(mine[:, 0].mean()), float(mine[:, 1].mean()))
        parts.append(Region(xy, box, float(len(mine)), region.moving))
    return parts[0], parts[1]


def follow_hands(
    hands: dict[str, Hand], found: list[Region], mask: Array, face: FaceBox
) -> dict[str, Hand]:
    """Advance the hands by one frame: each is assigned a region, predicted, or dropped."""
    taken = _separate(hands, found, mask)
    if not taken:
        taken = _assign(hands, found, face)
    after = {label: _update(hand, taken.get(label), face) for label, hand in hands.items()}
    after = _keep_sides(hands, after, 0.8 * face.width_px)
    used = {id(region) for region in taken.values()}
    rest = [region for region in found if id(region) not in used and not _holds(taken, region)]
    after = {label: hand for label, hand in after.items() if _is_kept(hand)}
    return _adopt(after, rest, face)


def as_blob(label: str, hand: Hand, scale: float) -> Blob:
    """A hand in full-resolution pixels; ``scale`` is full over coarse."""
    region = hand.region
    box = tuple(scale * v for v in region.box)
    xy = (scale * (region.xy[0] + 0.5) - 0.5, scale * (region.xy[1] + 0.5) - 0.5)
    return Blob(label, box, xy, region.area * scale**2, hand.unseen > 0)  # type: ignore[arg-type]


def _separate(hands: dict[str, Hand], found: list[Region], mask: Array) -> dict[str, Region]:
    """Split a region between both hands if both are predicted in it and it is large enough."""
    if len(hands) < 2:
        return {}
    seeds = [hands[label].predicted_xy for label in HANDS]
    area = min(hands[label].region.area for label in HANDS)
    near = [region for region in found if any(_is_near(region, seed) for seed in seeds)]
    if len(near) != 1 or near[0].area < 1.4 * area:
        return {}
    if not all(_is_near(near[0], seed) for seed in seeds):
        return {}
    parts = split(near[0], mask)
    if parts is None:
        return {}
    order = sorted(HANDS, key=lambda label: not hands[label].is_leftmost)
    return dict(zip(order, parts, strict=True))


def _holds(taken: dict[str, Region], region: Region) -> bool:
    """Whether one of the assigned regions is a part of this one."""
    return any(_is_near(region, part.xy, 0.0) for part in taken.values())


def _is_near(region: Region, xy: tuple[float, float], margin: float = 3.0) -> bool:
    x, y, w, h = region.box
    return x - margin <= xy[0] <= x + w + margin and y - margin <= xy[1] <= y + h + margin


def _cost(hand: Hand, region: Region, face: FaceBox) -> float:
    """Assignment cost: distance in face widths plus a quarter of the log area ratio."""
    x, y = hand.predicted_xy
    distance = np.hypot(region.xy[0] - x, region.xy[1] - y) / face.width_px
    resize = abs(np.log(region.area / hand.region.area))
    return float(distance + 0.25 * min(resize, 2.0))


def _assign(hands: dict[str, Hand], found: list[Region], face: FaceBox) -> dict[str, Region]:
    """Assignment of regions to labels with the least total cost; no region costs the gate."""
    labels = list(hands)
    gates = [min(1.6 + 0.15 * hands[label].unseen, 3.0) for label in labels]
    choices = [*found[:6], *([None] * len(labels))]
    best: dict[str, Region] = {}
    best_cost = np.inf
    for picked in itertools.permutations(choices, len(labels)):
        costs = [
            gate if region is None else _cost(hands[label], region, face)
            for label, region, gate in zip(labels, picked, gates, strict=True)
        ]
        if sum(costs) < best_cost and all(c <= g for c, g in zip(costs, gates, strict=True)):
            best_cost = sum(costs)
            best = {k: r for k, r in zip(labels, picked, strict=True) if r is not None}
    return best


def _update(hand: Hand, region: Region | None, face: FaceBox) -> Hand:
    if region is None:
        moved = replace(hand.region, xy=hand.predicted_xy)
        dx, dy = moved.xy[0] - hand.region.xy[0], moved.xy[1] - hand.region.xy[1]
        x, y, w, h = moved.box
        moved = replace(moved, box=(x + dx, y + dy, w, h))
        return replace(hand, region=moved, unseen=hand.unseen + 1)
    step = np.subtract(region.xy, hand.region.xy) / (1 + hand.unseen)
    velocity = 0.5 * np.asarray(hand.velocity) + 0.5 * step
    x, y = face.center_xy_px
    reach = abs(region.xy[0] - x) < 1.5 * face.width_px
    is_at_head = bool(reach and abs(region.xy[1] - y) < 1.5 * face.height_px)
    has_moved = hand.has_moved or region.moving > _MOVING_GREY
    return Hand(
        region,
        (float(velocity[0]), float(velocity[1])),
        is_at_head=is_at_head,
        has_moved=has_moved,
        is_leftmost=hand.is_leftmost,
    )


def _keep_sides(before: dict[str, Hand], after: dict[str, Hand], margin: float) -> dict[str, Hand]:
    """While both hands are one region, keep the unseen one on its side of it.

    When they separate, each gets its own label back: hands meet more often than they cross.
    """
    if len(after) < 2:
        return after
    if not any(hand.unseen for hand in after.values()):
        first, last = sorted(after, key=lambda label: after[label].region.xy[0])
        if after[last].region.xy[0] - after[first].region.xy[0] < margin:
            return after
        return {k: replace(hand, is_leftmost=k == first) for k, hand in after.items()}
    for label, other in (HANDS, HANDS[::-1]):
        hidden, seen = after[label], after[other]
        if not hidden.unseen or seen.unseen:
            continue
        last = before[label].region.xy
        if _is_near(seen.region, last, margin) or _is_near(seen.region, hidden.region.xy):
            x, y, w, h = seen.region.box
            is_left = hidden.is_leftmost
            xy = (seen.region.xy[0] + (-w if is_left else w) / 4, seen.region.xy[1])
            half = (x if is_left else x + w / 2, y, w / 2, h)
            region = replace(hidden.region, xy=xy, box=half)
            return after | {label: replace(hidden, region=region, velocity=(0.0, 0.0))}
    return after


def _is_kept(hand: Hand) -> bool:
    return hand.unseen <= _FORGET_FRAMES * (4 if hand.is_at_head else 1)


def _adopt(hands: dict[str, Hand], rest: list[Region], face: FaceBox) -> dict[str, Hand]:
    """Assign free labels to regions that may be hands; left and right as seen in the picture.

    A label whose region never moved is reassigned to a moving one.
    """
    near = [region for region in rest if _may_be_hand(region, face)]
    near.sort(key=lambda r: -(r.moving + 4 * min(r.area, face.width_px**2) / face.width_px**2))
    moving = [region for region in near if region.moving > _MOVING_GREY]
    adopted = {k: h for k, h in hands.items() if h.has_moved or not _is_superseded(h, moving, face)}
    free = [label for label in HANDS if label not in adopted]
    chosen = sorted(near[: len(free)], key=lambda r: r.xy[0])
    if len(free) == 2 and len(chosen) == 1:
        free = [LEFT_HAND if chosen[0].xy[0] < face.center_xy_px[0] else RIGHT_HAND]
    for label, region in zip(free, chosen, strict=False):
        moves = region.moving > _MOVING_GREY
        adopted[label] = Hand(region, has_moved=moves, is_leftmost=label == LEFT_HAND)
    return adopted


def _may_be_hand(region: Region, face: FaceBox) -> bool:
    """Whether it is within reach of the head and, if it does not move, below the shoulders."""
    x, y = face.center_xy_px
    dx, dy = abs(region.xy[0] - x) / face.width_px, (region.xy[1] - y) / face.height_px
    if region.moving > _MOVING_GREY:
        return bool(np.hypot(dx, dy) < 5.5)
    return bool(dx < 3 and 1.2 < dy < 5.5)


def _is_superseded(hand: Hand, moving: list[Region], face: FaceBox) -> bool:
    """Whether a still region away from the body must give its label to a moving one."""
    x, _ = face.center_xy_px
    dx = abs(hand.region.xy[0] - x) / face.width_px
    return bool(moving) and dx > 2.2
