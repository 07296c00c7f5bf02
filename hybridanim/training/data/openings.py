"""Keypoints of a clip -> how far mouth and eyes are open in each frame, and the frames of extremes.

A mouth or an eye is as open as the distance between its keypoints above and below, measured across
the line through its corners, in units of that line's length: turning, moving and scaling the head
change nothing.
"""

from __future__ import annotations

import numpy as np

from hybridanim.types import Array

MOUTH, EYES = 0, 1
_EXTREME = 0.1  # share of the frames that count as the least or the most open, at least one


def measured(xy: Array, rows: Array) -> Array:
    """(N, 2) openings of mouth and eyes, of keypoints (N, K, 2); nan where there are none.

    rows: (3, 4), keypoints of mouth, left and right eye: left corner, right corner, above, below.
    """
    left, right, above, below = np.moveaxis(xy[:, rows].astype(np.float64), 2, 0)  # (N, 3, 2)
    axis = right - left
    down = np.stack([-axis[..., 1], axis[..., 0]], -1)
    gap = ((below - above) * down).sum(-1) / np.maximum((axis**2).sum(-1), 1e-12)
    return np.column_stack([gap[:, 0], gap[:, 1:].mean(1)])


def extremes(points: Array, rows: Array) -> tuple[tuple[Array, Array], ...]:
    """Numbers of the least and the most open frames of a clip, for the mouth and for the eyes.

    points: (N, K, 2 or more), x and y first; frames in which any number is nan are left out.
    """
    usable = np.flatnonzero(np.isfinite(points).all((1, 2)))
    count = max(1, int(_EXTREME * len(usable)))
    order = np.argsort(measured(points[usable, :, :2], rows), axis=0, kind="stable")
    return tuple((usable[part[:count]], usable[part[-count:]]) for part in order.T)
