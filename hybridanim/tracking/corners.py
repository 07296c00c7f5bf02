"""Corner detection in a grey window, spread evenly over the allowed area.

Three corner measures: Moravec 1977 (least change when a patch is shifted), Harris and Stephens 1988
(determinant and trace of the gradient matrix), Shi and Tomasi 1994 (its smaller eigenvalue). The
strongest corner of each cell comes first, so that smooth cheeks get features as well as eyes.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from hybridanim.types import Array

Corners = Literal["shi-tomasi", "harris", "moravec"]
_BLOCK_PX = 5
_LEAST = {
    "shi-tomasi": 6e-5,
    "harris": 1e-9,
    "moravec": 40.0,
}  # above flat, noisy skin
_SHIFTS = ((1, 0), (1, 1), (0, 1), (-1, 1))  # the opposite directions give nearly the same


def response(grey: Array, corners: Corners = "shi-tomasi") -> Array:
    """(H, W) float32 corner response of an (H, W) uint8 picture."""
    if corners == "moravec":
        return moravec(grey)
    if corners == "harris":
        return cv2.cornerHarris(grey, _BLOCK_PX, 3, 0.04)
    return cv2.cornerMinEigenVal(grey, _BLOCK_PX)


def moravec(grey: Array, block_px: int = _BLOCK_PX) -> Array:
    """(H, W) float32: least squared change, over shifts by one pixel, of the block around a pixel.

    The change is averaged over the block, in grey levels squared.
    """
    height, width = grey.shape
    padded = cv2.copyMakeBorder(grey, 1, 1, 1, 1, cv2.BORDER_REPLICATE).astype(np.float32)
    centre = padded[1:-1, 1:-1]
    least = np.full(grey.shape, np.inf, np.float32)
    for dx, dy in _SHIFTS:
        shifted = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        change = cv2.boxFilter((shifted - centre) ** 2, -1, (block_px, block_px))
        np.minimum(least, change, out=least)
    return least


def detect(
    grey: Array,
    allowed: Array,
    count: int,
    *,
    corners: Corners = "shi-tomasi",
    spacing_px: float = 7.0,
    taken_xy: Array | None = None,
) -> Array:
    """At most ``count`` corners, (N, 2) float32 x, y with sub-pixel precision, best of cells first.

    allowed: (H, W) uint8, corners only where it is not 0. taken_xy: (M, 2) existing features; new
    corners are at least ``spacing_px`` away from them.
    """
    strength = response(grey, corners)
    reach = max(1, round(spacing_px / 2))
    peak = cv2.dilate(strength, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    free = _free(allowed, taken_xy, spacing_px)
    is_corner = (strength >= peak) & (free > 0) & (strength > _LEAST[corners])
    y, x = np.nonzero(is_corner)
    if not len(x) or count <= 0:
        return np.zeros((0, 2), np.float32)
    order = _spread(x, y, strength[y, x], cell_px=3 * spacing_px)[:count]
    return _subpixel(strength, x[order], y[order])


def _free(allowed: Array, taken_xy: Array | None, spacing_px: float) -> Array:
    """``allowed`` without the border and without discs around existing features."""
    free = allowed.copy()
    edge = 4
    free[:edge] = free[-edge:] = 0
    free[:, :edge] = free[:, -edge:] = 0
    for x, y in np.round(taken_xy).astype(int).tolist() if taken_xy is not None else ():
        cv2.circle(free, (x, y), round(spacing_px), 0, -1)
    return free


def _spread(x: Array, y: Array, strength: Array, cell_px: float) -> Array:
    """Order of candidates: the strongest of each cell, then the second of each, and so on."""
    by_strength = np.argsort(-strength, kind="stable")
    cell = (y // cell_px).astype(np.int64) * 4096 + (x // cell_px).astype(np.int64)
    grouped = by_strength[np.argsort(cell[by_strength], kind="stable")]
    first = np.r_[True, np.diff(cell[grouped]) != 0]
    begin = np.maximum.accumulate(np.where(first, np.arange(len(grouped)), 0))
    rank = np.arange(len(grouped)) - begin
    return grouped[np.lexsort((-strength[grouped], rank))]


def _subpixel(strength: Array, x: Array, y: Array) -> Array:
    """(N, 2) float32 maxima of the parabolas through each peak and its neighbours, per axis."""
    centre = strength[y, x]
    shifts = []
    for before, after in (
        (strength[y, x - 1], strength[y, x + 1]),
        (strength[y - 1, x], strength[y + 1, x]),
    ):
        bend = 2 * centre - before - after
        shift = np.where(bend > 0, (after - before) / (2 * np.maximum(bend, 1e-12)), 0.0)
        shifts.append(np.clip(shift, -0.5, 0.5))
    return (np.stack([x, y], 1) + np.stack(shifts, 1)).astype(np.float32)
