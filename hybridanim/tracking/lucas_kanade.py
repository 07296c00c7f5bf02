"""Pyramidal Lucas-Kanade optical flow of points in a window around the head.

The window is a square of constant size; the offset between the windows of two pictures takes up the
large motion, so the pyramid only has to find the rest. Lucas and Kanade 1981; Bouguet 2000 for the
pyramid; Kalal et al. 2010 for the forward-backward error. OpenCV's Python binding does not accept
precomputed pyramids, so windows are kept small.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim.resampling import shrunk
from hybridanim.types import Array, HeadBox

_SPAN = 2.3  # side of the window, in head boxes
_WORKING_PX = 150.0  # approximate side of the head box in the window
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.03)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the picture, resampled: window = (picture - corner + 1/2) scale - 1/2."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    scale: float

    def inside(self, xy_px: Array) -> Array:
        """Picture pixels (..., 2) to window pixels, float32."""
        corner = np.array([self.x_px, self.y_px], np.float32)
        return ((xy_px - corner + 0.5) * self.scale - 0.5).astype(np.float32)

    def outside(self, xy_window_px: Array) -> Array:
        """Window pixels (..., 2) to picture pixels, float32."""
        corner = np.array([self.x_px, self.y_px], np.float32)
        return ((xy_window_px + 0.5) / self.scale - 0.5 + corner).astype(np.float32)

    def cut(self, picture: Array, interpolation: int | None = None) -> Array:
        """The window of an (H, W[, C]) picture, resampled."""
        rows = slice(self.y_px, self.y_px + self.height_px)
        part = picture[rows, self.x_px : self.x_px + self.width_px]
        if self.scale == 1:
            return np.ascontiguousarray(part)
        size = (round(self.width_px * self.scale), round(self.height_px * self.scale))
        if interpolation is None and self.scale < 1:
            return shrunk(part, size)
        linear = cv2.INTER_LINEAR if interpolation is None else interpolation
        return cv2.resize(part, size, interpolation=linear)


def window_at(head: HeadBox, picture: Array, previous: Window | None = None) -> Window:
    """The window for a head; it keeps the previous size if possible, so that flow can span both."""
    height, width = picture.shape[:2]
    if previous is not None and 0.75 < previous.scale * head.size_px / _working(head) < 1.33:
        wide, tall, scale = previous.width_px, previous.height_px, previous.scale
    else:
        scale = _working(head) / head.size_px
        side = 16 * round(_SPAN * head.size_px / 16 + 1)
        wide, tall = min(width, side), min(height, side)
    x = int(np.clip(round(head.center_xy_px[0] - wide / 2), 0, max(0, width - wide)))
    y = int(np.clip(round(head.center_xy_px[1] - tall / 2), 0, max(0, height - tall)))
    return Window(x, y, min(wide, width), min(tall, height), scale)


def _working(head: HeadBox) -> float:
    """Side of the head box in the window, pixels; no resampling when it is nearly the target."""
    scale = _WORKING_PX / head.size_px
    return head.size_px if 0.7 < scale < 1.35 else head.size_px * float(np.clip(scale, 0.2, 2.0))


def follow(
    before: Array,
    after: Array,
    xy: Array,
    guess: Array,
    *,
    window_px: int,
    levels: int,
) -> tuple[Array, Array]:
    """Track points of window ``before`` into window ``after`` of the same size, uint8.

    xy, guess: (N, 2) float32 window pixels, in ``before`` and (expected) in ``after``. levels:
    pyramid levels above the first. Returns (N, 2) float32 positions and (N,) float32
    forward-backward errors, infinite where a point was not found or left the window.
    """
    if not len(xy):
        return xy.copy(), np.zeros(0, np.float32)
    options = {"winSize": (window_px, window_px), "maxLevel": levels, "criteria": _STOP}
    options["flags"] = cv2.OPTFLOW_USE_INITIAL_FLOW
    start = np.ascontiguousarray(xy, np.float32)[:, None]
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, start, np.ascontiguousarray(guess, np.float32)[:, None].copy(), **options
    )
    # backward flow starts from the motion just found; else a wrong jump would not be noticed
    hint = there - (guess - xy)[:, None]
    options["maxLevel"] = max(min(levels, 1), levels - 1)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(
        after, before, there, np.ascontiguousarray(hint, np.float32), **options
    )
    error = np.hypot(*(back - start)[:, 0].T)
    height, width = after.shape[:2]
    there = there[:, 0]
    is_in = (there >= 1).all(1) & (there[:, 0] < width - 2) & (there[:, 1] < height - 2)
    error[~(is_in & (found[:, 0] == 1) & (returned[:, 0] == 1))] = np.inf
    return there, error


def displacement(before: Array, after: Array, head: HeadBox) -> tuple[tuple[float, float], float]:
    """Displacement of a head between two whole grey pictures, by template matching at low size.

    Returns the (x, y) shift in pixels and the correlation in [-1, 1] at the best position.
    """
    scale = min(1.0, 24.0 / head.size_px)
    small = [
        cv2.resize(p, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for p in (before, after)
    ]
    half = 0.6 * head.size_px * scale
    x, y = (c * scale for c in head.center_xy_px)
    height, width = small[0].shape
    x0, x1 = int(np.clip(x - half, 0, width)), int(np.clip(x + half, 0, width))
    y0, y1 = int(np.clip(y - half, 0, height)), int(np.clip(y + half, 0, height))
    if min(x1 - x0, y1 - y0) < 8:
        return (0.0, 0.0), 0.0
    score = cv2.matchTemplate(small[1], small[0][y0:y1, x0:x1], cv2.TM_CCOEFF_NORMED)
    _, best, _, place = cv2.minMaxLoc(score)
    return ((place[0] - x0) / scale, (place[1] - y0) / scale), float(best)
