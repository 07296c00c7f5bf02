"""Appearance model of the head: head window -> cells that differ from the learned appearance.

Background subtraction in the head's own axes: the window is resampled upright by the head box,
gain and offset are matched to a slowly learned mean, and cells that differ by several times their
usual deviation are outliers: hands, hair, cups. Outliers are not learned until they have stayed for
seconds, unless nearly all cells are outliers while the features track well: the light has changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim.face.head_box import to_head_units
from hybridanim.types import Array, HeadBox

from .lucas_kanade import Window

SIDE = 48  # cells along each side
_HALF = 0.75  # half of the model's side, in head sizes
_CELL = 2 * _HALF / SIDE
_GAP = np.ones((7, 7), np.uint8)  # closing: a palm before a cheek differs only at its edge
_SEARCH = 72  # cells along each side of the search picture
_RATE = 0.08  # least learning rate a frame
_NOISE = 5.0  # grey levels added to every deviation
_TIMES = 2.6  # an outlier differs by more than so many deviations
_PATIENCE = 90  # frames after which a lasting outlier is learned
_AXIS = (np.arange(SIDE, dtype=np.float32) + 0.5) * _CELL - _HALF
_X, _Y = np.meshgrid(_AXIS, _AXIS)
FACE = (_X / 0.58) ** 2 + ((_Y + 0.04) / 0.72) ** 2 < 1  # (SIDE, SIDE) bool


@dataclass(frozen=True)
class Appearance:
    """Learned grey values of the upright head, and the outliers of the last frame."""

    mean: Array  # (SIDE, SIDE) float32 grey
    spread: Array  # (SIDE, SIDE) float32, mean absolute deviation from it
    outlier: Array  # (SIDE, SIDE) bool
    since: Array  # (SIDE, SIDE) int32, consecutive frames as an outlier
    steps: int = 0


def update(
    memory: Appearance | None, small: Array, window: Window, head: HeadBox, *, is_clear: bool
) -> Appearance:
    """Find the outliers of a window, then learn from the other cells.

    small: (h, w) uint8 window. is_clear: the features indicate that nothing covers the head; if
    nearly all cells are outliers all the same, the head has turned or the light has changed.
    """
    now = cut_upright(small, window, head)
    if memory is None:
        none = np.zeros(now.shape, bool)
        return Appearance(now, np.full_like(now, 6.0), none, none.astype(np.int32))
    difference = np.abs(_matched(now, memory) - memory.mean)
    score = cv2.blur(difference, (3, 3)) / (memory.spread + _NOISE)
    outlier = cv2.morphologyEx((score > _TIMES).astype(np.uint8), cv2.MORPH_CLOSE, _GAP) > 0
    outlier &= memory.steps > 3  # the spread has to be learned first
    if is_clear and outlier[FACE].mean() > 0.5:
        outlier = np.zeros_like(outlier)
    since = np.where(outlier, memory.since + 1, 0).astype(np.int32)
    rate = np.where(outlier & (since < _PATIENCE), 0.0, max(_RATE, 1 / (memory.steps + 2)))
    mean = memory.mean + rate * (now - memory.mean)
    spread = memory.spread + rate * (difference - memory.spread)
    return Appearance(
        mean.astype(np.float32), spread.astype(np.float32), outlier, since, memory.steps + 1
    )


def outlier_share(memory: Appearance | None) -> float:
    """Share of the face's cells, 0 to 1, that are outliers and have not lasted for seconds."""
    if memory is None:
        return 0.0
    return float((memory.outlier & (memory.since < _PATIENCE))[FACE].mean())


def locate(memory: Appearance, grey: Array, near: HeadBox) -> tuple[HeadBox, float]:
    """Search the learned head around a rough box by template matching, at several sizes and rolls.

    grey: (H, W) uint8, the whole picture. Returns the best box and its correlation, -1 to 1.
    """
    rows, columns = (np.abs(axis) < half for axis, half in ((_AXIS, 0.6), (_AXIS, 0.5)))
    wanted = memory.mean[rows][:, columns]
    best, best_score = near, -1.0
    for size in near.size_px * 1.09 ** np.arange(-4, 5):
        for roll in (-16.0, -8.0, 0.0, 8.0, 16.0):
            from_cell = _picture_from_cell(near, size, roll)
            flags = cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
            shape = _SEARCH, _SEARCH
            view = cv2.warpAffine(
                grey, from_cell, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE
            ).astype(np.float32)
            score = cv2.matchTemplate(view, wanted, cv2.TM_CCOEFF_NORMED)
            _, high, _, corner = cv2.minMaxLoc(score)
            if high > best_score:
                middle = np.add(corner, (np.subtract(wanted.shape[::-1], 1)) / 2)
                x, y = from_cell[:, :2] @ middle + from_cell[:, 2]
                best, best_score = HeadBox((float(x), float(y)), float(size), roll), float(high)
    return best, best_score


def _picture_from_cell(near: HeadBox, size: float, roll_deg: float) -> Array:
    """(2, 3) affine, pixels of the picture from cells of the search square."""
    angle = np.deg2rad(roll_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = _CELL * size * turn
    middle = (_SEARCH - 1) / 2
    return np.column_stack([turn, np.array(near.center_xy_px) - turn @ (middle, middle)])


def cut_upright(small: Array, window: Window, head: HeadBox) -> Array:
    """(SIDE, SIDE) float32 grey values of the upright head, from its (h, w) uint8 window."""
    x, y = window.inside(np.array(head.center_xy_px))
    angle = np.deg2rad(head.roll_deg)
    step = _CELL * head.size_px * window.scale  # window pixels per cell
    turn = step * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (SIDE - 1) / 2
    shift = np.array([x, y]) - turn @ (middle, middle)
    smooth = cv2.blur(small, (5, 5))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        smooth,
        np.column_stack([turn, shift]),
        (SIDE, SIDE),
        flags=flags,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)


def is_outlier(memory: Appearance | None, xy_px: Array, head: HeadBox) -> Array:
    """(N,) bool: the cell that the point lies in is an outlier."""
    if memory is None or not len(xy_px):
        return np.zeros(len(xy_px), bool)
    cell = np.floor((to_head_units(xy_px, head) + _HALF) / _CELL).astype(int)
    inside = ((cell >= 0) & (cell < SIDE)).all(1)
    x, y = np.clip(cell, 0, SIDE - 1).T
    return inside & memory.outlier[y, x]


def _matched(now: Array, memory: Appearance) -> Array:
    """``now`` under the gain and offset that fit most of the face to the mean (robust)."""
    x, y = now[FACE][::3], memory.mean[FACE][::3]
    weight = np.where(memory.outlier[FACE][::3], 0.1, 1.0)
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(3):
        error = gain * x + offset - y
        w = weight / (1 + (error / 8.0) ** 2)
        w = w / w.sum()
        middle_x, middle_y = float(w @ x), float(w @ y)
        spread = float(w @ (x - middle_x) ** 2) + 4.0
        gain = float(w @ ((x - middle_x) * (y - middle_y)) + 4.0) / spread
        gain = float(np.clip(gain, 0.6, 1.7))
        offset = middle_y - gain * middle_x
    return gain * now + offset
