"""Window of the matting network: the square around a head, and the soft shape of the face in it.

The shape of the face, as a fourth channel, says whose mask is wanted where others are in view.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.types import Array

CHANNELS = 4  # red, green, blue, face
_SOFT = 0.03  # deviation of the face's soft edge, window widths


def window(middle_xy_px: Array, side_px: float, window_px: int) -> Array:
    """(2, 3) float64 map, window pixels from picture pixels, of an upright square.

    middle_xy_px: (2,) of the square in the picture; side_px: its side there.
    """
    zoom = window_px / side_px
    shift = (window_px - 1) / 2 - zoom * np.asarray(middle_xy_px, float)
    return np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])


def face_shape(outline_xy: Array, window_px: int) -> Array:
    """(n, n) float32 in [0, 1]: the convex hull of points in window pixels (L, 2), blurred."""
    hull = cv2.convexHull(np.asarray(outline_xy, np.float32))
    filled = np.zeros((window_px, window_px), np.uint8)
    places = np.clip(np.rint(hull * 16), -(1 << 20), 1 << 20).astype(np.int32)
    cv2.fillConvexPoly(filled, places, 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), _SOFT * window_px)
    return soft * np.float32(1 / 255)


def ellipse(center_xy: tuple[float, float], radius: float) -> Array:
    """(24, 2) outline of a face whose head box has that centre and twice that side."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x, y = center_xy
    return np.column_stack([x + radius * np.cos(turn), y + 1.1 * radius * np.sin(turn)])


def network_input(image: Array, face: Array) -> Array:
    """(4, n, n) float32 of an (n, n, 3) uint8 RGB window and its face shape (n, n) in [0, 1]."""
    colours = image.transpose(2, 0, 1).astype(np.float32) * np.float32(1 / 64) - 2
    return np.concatenate([colours, 4 * face[None] - 2]).astype(np.float32)
