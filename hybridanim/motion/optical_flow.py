"""Two pictures of one person -> how everything between them has moved, and where that is sure.

Dense inverse search (Kroeger et al., ECCV 2016) both ways: for every cell of the later picture,
where in the earlier one it comes from, trusted where going there and back ends near its start. What
the keypoints do not mark (hair, cheeks, collar) is seen to move; what was hidden in the earlier
picture is trusted nowhere.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.types import Array

CELL_PX = 4  # pixels of the pictures a cell, as the motion network has them
_LEAST_PX = 1.0  # going there and back may miss by this,
_SHARE = 0.1  # or by this share of the way
_APART_NORM = 0.1  # faces so far from each other share little motion


def matcher() -> cv2.DISOpticalFlow:
    """What ``between`` searches with; not for two threads at once."""
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)


def between(before: Array, after: Array, search: cv2.DISOpticalFlow) -> tuple[Array, Array]:
    """Places (h, w, 2) float32 in ``before``, absolute, normalised, and trust (h, w) in [0, 1].

    before, after: (S, S) uint8 grey, S a multiple of 4; h = w = S / 4.
    """
    before, after = np.ascontiguousarray(before), np.ascontiguousarray(after)
    size = before.shape[0]
    half = (size // 2, size // 2)  # the search itself ends at a quarter of the resolution
    away, back = (
        cv2.resize(search.calc(*pair, None), half, interpolation=cv2.INTER_AREA)  # pyright: ignore
        for pair in ((after, before), (before, after))
    )
    places = cv2.add(geometry.grid_px(size // 2), 0.5 * away)
    returned = cv2.remap(back, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # pyright: ignore
    miss = cv2.magnitude(*cv2.split(cv2.add(away, returned)))
    limit = np.maximum(_LEAST_PX, _SHARE * cv2.magnitude(*cv2.split(away)))
    x, y = cv2.split(places)
    inside = (np.minimum(x, y) >= 0) & (np.maximum(x, y) <= half[0] - 1)
    sure = ((miss < limit) & inside).astype(np.float32)
    coarse = (size // CELL_PX, size // CELL_PX)
    trust = cv2.resize(sure, coarse, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(away * sure[..., None], coarse, interpolation=cv2.INTER_AREA)
    mean = mean / np.maximum(trust, 1e-6)[..., None] * (2 / size)
    return (geometry.grid_norm(*coarse) + mean).astype(np.float32), trust


def agreement(apart_norm: Array) -> Array:
    """Trust in [0, 1] where two faces are this far apart, (h, w, 2), normalised."""
    return np.exp(-(apart_norm**2).sum(-1) / _APART_NORM**2)
