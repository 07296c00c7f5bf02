"""Two pictures of one person -> dense backward optical flow and its confidence.

Dense inverse search (Kroeger et al., ECCV 2016) in both directions gives, for each cell of the
later picture, its position in the earlier one; a small forward-backward error means trust. The flow
covers parts without keypoints (hair, cheeks, collar). Parts that were hidden in the earlier picture
get no trust.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.types import Array

CELL_PX = 4  # pixels per cell, as in the motion network
_LEAST_PX = 1.0  # largest forward-backward error,
_SHARE = 0.1  # or as a share of the displacement
APART_NORM = 0.1  # distance at which agreement falls to 1/e, normalised


def matcher() -> cv2.DISOpticalFlow:
    """Create the DIS flow that ``between`` uses; one instance must not serve two threads."""
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)


def between(before: Array, after: Array, search: cv2.DISOpticalFlow) -> tuple[Array, Array]:
    """Backward flow (h, w, 2) float32 into ``before``, absolute, norm; trust (h, w) in [0, 1].

    before, after: (S, S) uint8 grey, S a multiple of 4; h = w = S / 4.
    """
    before, after = np.ascontiguousarray(before), np.ascontiguousarray(after)
    size = before.shape[0]
    half = (size // 2, size // 2)  # DIS itself ends at a quarter of the resolution
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
    """Trust (h, w) in [0, 1] for a distance (h, w, 2) between two faces, normalised units."""
    return np.exp(-(apart_norm**2).sum(-1) / APART_NORM**2)
