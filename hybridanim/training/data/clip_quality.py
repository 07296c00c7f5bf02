"""One pass over a clip -> the parts that are worth training on, and their squares of the picture.

A cut is a frame that differs from the one before far more than its neighbours do, where optical
flow does not explain the difference. Parts between cuts that are short, static or without a face
are left out with the reason. For a face a part has one fixed square, the one that the program would
animate; when the head leaves it, a new part begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from hybridanim.face.aligner import Aligner
from hybridanim.motion import keypoints
from hybridanim.prepare import driver_scan
from hybridanim.types import Array, Crop, Frame, HeadBox

_SMALL = 64  # side of the thumbnails
_SEARCH_S = 0.4  # time between two searches for a face
_STILL = 0.6  # mean deviation over time, in grey levels, below which nothing moves
_CUT_LEAST, _CUT_RATIO, _CUT_UNEXPLAINED = 6.0, 2.5, 8.0
# measured on 176 clips of talking heads: the fastest turns leave up to 7 grey levels unexplained,
# jump cuts within one scene 8 to 12, cuts to another scene 20 and more
_SQUARE = 1.05  # aspect ratio up to which a picture counts as square and is taken whole ...
_HEAD_SHARE = (0.25, 0.7)  # ... if the head is between these shares of its side
_CORE_HEADS = 0.75  # half of the side that must stay in the square: the head with its hair
_ROOM = 1.25  # largest size of the square, relative to the usual, for a moving head
_GAP = 3  # consecutive searches without a face that end a part

Square = Literal["face", "middle", "whole"]


@dataclass(frozen=True, slots=True)
class ClipStatistics:
    """Thumbnails of a clip and the heads found in it."""

    width: int
    height: int
    fps: float
    small: Array  # (N, 64, 64) uint8, grey
    heads: tuple[tuple[int, HeadBox | None], ...] = ()  # (frame number, head), sorted


@dataclass(frozen=True, slots=True)
class Part:
    """Frames start <= i < stop of a clip, and their square of the picture."""

    start: int
    stop: int
    crop: Crop


@dataclass(frozen=True, slots=True)
class Wants:
    """Requirements of a part."""

    square: Square = "middle"
    least_frames: int = 8
    least_px: int = 96
    longest_s: float = 20.0
    most_parts: int = 6


def inspect(frames: Iterable[Frame], fps: float, aligner: Aligner | None) -> ClipStatistics:
    """Read every frame once; with an aligner, heads are searched at regular intervals."""
    small: list[Array] = []
    heads: list[tuple[int, HeadBox | None]] = []
    every = max(1, round(_SEARCH_S * fps))
    height = width = 0
    for i, frame in enumerate(frames):
        height, width = frame.image.shape[:2]
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        small.append(cv2.resize(grey, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA))
        if aligner is not None and i % every == 0:
            seen = driver_scan.detect(frame.image, i, frame.time_s, aligner)
            is_sure = seen is not None and seen.landmarks_xy_px is not None
            heads.append((i, seen.head if seen is not None and is_sure else None))
    thumbnails = np.array(small, np.uint8).reshape(-1, _SMALL, _SMALL)
    return ClipStatistics(width, height, fps, thumbnails, tuple(heads))


def parts(seen: ClipStatistics, wants: Wants) -> tuple[list[Part], dict[str, str]]:
    """The parts to train on, and those left out, frames -> reason."""
    left_out: dict[str, str] = {}
    found: list[Part] = []
    count = len(seen.small)
    if min(seen.width, seen.height) < wants.least_px:
        return [], {"": f"tiny: {seen.width}x{seen.height}, less than {wants.least_px} pixels"}
    edges = [0, *cuts(seen.small), count]
    for start, stop in itertools.pairwise(edges):
        where = "" if (start, stop) == (0, count) else f"frames {start} to {stop - 1}"
        if stop - start < wants.least_frames:
            left_out[where] = f"short: {stop - start} frames, less than {wants.least_frames}"
        elif is_still(seen.small[start:stop]):
            left_out[where] = "static: nothing moves"
        elif wants.square == "face":
            windows, gaps = _face_windows(seen, start, stop, wants)
            found += windows
            left_out |= gaps
        else:
            found.append(Part(start, stop, _plain_square(seen, wants.square)))
    return _chunked(found, seen.fps, wants, left_out), left_out


def cuts(small: Array) -> list[int]:
    """Indices of the frames of (N, 64, 64) with which a new scene begins."""
    if len(small) < 2:
        return []
    change = np.abs(np.diff(small.astype(np.int16), axis=0)).mean((1, 2))
    found = []
    for i in np.flatnonzero(change > _CUT_LEAST):
        near = np.concatenate([change[max(0, i - 6) : i], change[i + 1 : i + 7]])
        is_sudden = not len(near) or change[i] > _CUT_RATIO * np.median(near)
        if is_sudden and _unexplained(small[i], small[i + 1]) > _CUT_UNEXPLAINED:
            found.append(int(i) + 1)
    return found


def _unexplained(before: Array, after: Array) -> float:
    """Mean grey difference that remains when the first is warped by the optical flow."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # pyright: ignore
    twice = 2 * _SMALL  # DIS needs some pixels
    a, b = (cv2.resize(x, (twice, twice)) for x in (before, after))
    moved = cv2.resize(flow.calc(b, a, None), (_SMALL, _SMALL)) / 2  # pyright: ignore
    x, y = np.meshgrid(*[np.arange(_SMALL, dtype=np.float32)] * 2)
    warped = cv2.remap(
        before,
        x + moved[..., 0],
        y + moved[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return float(np.abs(warped.astype(np.int16) - after).mean())


def is_still(small: Array) -> bool:
    """Whether nothing moves: even the most changing 16th of the picture hardly changes."""
    deviation = small.astype(np.float32).std(0)
    cells = deviation.reshape(8, _SMALL // 8, 8, _SMALL // 8).mean((1, 3))
    return bool(np.sort(cells.ravel())[-4:].mean() < _STILL)


def _plain_square(seen: ClipStatistics, square: Square) -> Crop:
    short, long = sorted((seen.width, seen.height))
    side = short if square == "middle" else long + long % 2
    return Crop((seen.width - side) // 2, (seen.height - side) // 2, float(side))


def _face_windows(
    seen: ClipStatistics, start: int, stop: int, wants: Wants
) -> tuple[list[Part], dict[str, str]]:
    """Parts in which the head stays in one square, and those left out, frames -> reason."""
    searches = [(i, head) for i, head in seen.heads if start <= i < stop]
    if not any(head is not None for _, head in searches):
        return [], {f"frames {start} to {stop - 1}": "no face found"}
    short, long = sorted((seen.width, seen.height))
    sizes = [head.size_px for _, head in searches if head is not None]
    share = float(np.median(sizes)) / short
    is_framed = long <= _SQUARE * short and _HEAD_SHARE[0] <= share
    if share > _HEAD_SHARE[1]:
        return [], {f"frames {start} to {stop - 1}": f"too near: the face is {share:.0%} of it"}
    found: list[Part] = []
    left_out: dict[str, str] = {}
    every = max(1, round(_SEARCH_S * seen.fps))
    for first, last, heads in _stretches(searches, (start, stop), every, is_framed=is_framed):
        where = f"frames {first} to {last - 1}"
        if last - first < wants.least_frames:
            left_out[where] = "short: the face is seen for too few frames"
            continue
        crop = _plain_square(seen, "middle") if is_framed else _window(heads, seen)
        if crop.side_px < wants.least_px:
            left_out[where] = f"tiny: the head's square has {crop.side_px:.0f} pixels"
            continue
        found.append(Part(first, last, crop))
    return found, left_out


def _stretches(
    searches: list[tuple[int, HeadBox | None]],
    span: tuple[int, int],
    every: int,
    *,
    is_framed: bool,
) -> list[tuple[int, int, list[HeadBox]]]:
    """(first frame, one past the last, heads) of every part whose heads fit into one square."""
    groups: list[list[tuple[int, HeadBox]]] = []
    missed = 0
    for i, head in searches:
        if head is None:
            missed += 1
            continue
        is_near = bool(groups) and missed < _GAP
        if is_near and (is_framed or _fit_together([*(h for _, h in groups[-1]), head])):
            groups[-1].append((i, head))
        else:
            groups.append([(i, head)])
        missed = 0
    out = []
    following = [*(group[0][0] for group in groups[1:]), span[1]]
    for group, after in zip(groups, following, strict=True):
        first, last = group[0][0], group[-1][0]
        first = span[0] if first - span[0] < every else first
        stop = after if after - last <= _GAP * every else last + 1
        out.append((first, stop, [head for _, head in group]))
    return out


def _fit_together(heads: list[HeadBox]) -> bool:
    low, high, usual = _reach(heads)
    return float((high - low).max()) <= _ROOM * usual


def _reach(heads: list[HeadBox]) -> tuple[Array, Array, float]:
    """Corners of the area that must be visible for all heads, and side of the usual square."""
    centres = np.array([head.center_xy_px for head in heads])
    sizes = np.array([head.size_px for head in heads])
    low = (centres - _CORE_HEADS * sizes[:, None]).min(0)
    high = (centres + _CORE_HEADS * sizes[:, None]).max(0)
    return low, high, keypoints.CROP_HEADS * float(np.median(sizes))


def _window(heads: list[HeadBox], seen: ClipStatistics) -> Crop:
    """The square for all these heads, in whole pixels, inside the picture as far as possible."""
    low, high, usual = _reach(heads)
    needed = float((high - low).max())
    side = max(needed, min(usual, float(min(seen.width, seen.height))))
    side = 2 * round(side / 2)
    x, y = (low + high) / 2
    y += keypoints.CROP_RISE * side
    corner = (_inside(x - side / 2, side, seen.width), _inside(y - side / 2, side, seen.height))
    return Crop(float(round(corner[0])), float(round(corner[1])), float(side))


def _inside(start: float, side: float, length: int) -> float:
    return min(max(start, 0.0), length - side) if side <= length else (length - side) / 2


def _chunked(found: list[Part], fps: float, wants: Wants, left_out: dict[str, str]) -> list[Part]:
    """Parts in pieces of ``longest_s``; of too many pieces an evenly spread choice."""
    longest = max(wants.least_frames, round(wants.longest_s * fps))
    pieces = []
    for part in found:
        count = -(-(part.stop - part.start) // longest)
        edges = np.linspace(part.start, part.stop, count + 1).round().astype(int)
        pairs = itertools.pairwise(edges)
        pieces += [Part(int(a), int(b), part.crop) for a, b in pairs]
    if len(pieces) <= wants.most_parts:
        return pieces
    chosen = {round(i) for i in np.linspace(0, len(pieces) - 1, wants.most_parts)}
    rest = len(pieces) - len(chosen)
    left_out["the rest"] = f"{rest} of {len(pieces)} parts: {wants.most_parts} are enough of a clip"
    return [piece for i, piece in enumerate(pieces) if i in chosen]
