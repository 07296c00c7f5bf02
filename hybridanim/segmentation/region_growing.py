"""Region growing: coarse probability -> whole skin regions -> the same at full resolution.

Growing is hysteresis thresholding of the downscaled picture: a region contains some pixels above
the high threshold and all connected ones above the low threshold. At full resolution the border is
refined within one coarse pixel.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.config import SegmentConfig
from hybridanim.types import Array, FaceBox

from . import blobs, skin_model
from .adaptation import SURE

_MAYBE = 80  # of 255: the low threshold; the high one is SURE
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = np.ones((3, 3), np.uint8)


def grow(likely: Array) -> Array:
    """Hysteresis thresholding of an (h, w) uint8 probability map; (h, w) uint8, 0 or 255."""
    maybe = cv2.inRange(likely, _MAYBE, 255)
    sure = cv2.morphologyEx(cv2.inRange(likely, SURE, 255), cv2.MORPH_OPEN, _CROSS)
    labels = np.asarray(cv2.connectedComponents(maybe, connectivity=4)[1], np.int32)
    keep = np.zeros(int(labels.max()) + 1, np.uint8)
    keep[labels[sure > 0]] = 255
    keep[0] = 0
    return keep[labels]


def exclude_head(grown: Array, face: FaceBox) -> Array:
    """Skin outside the head and the neck, which may be hands; (h, w) uint8."""
    rest = grown.copy()
    rest[blobs.head_ellipse(grown.shape, face, 1.1) > 0] = 0
    rest[blobs.neck_zone(grown.shape, face) > 0] = 0
    return cv2.morphologyEx(rest, cv2.MORPH_OPEN, _CROSS)


def refine(
    image: Array, grown: Array, scale: float, table: Array | None, config: SegmentConfig
) -> Array:
    """The grown regions at full resolution, (H, W) uint8, 0 or 255.

    Skin pixels count inside the regions and up to one coarse pixel outside. scale: full-resolution
    pixels a coarse pixel. table: P(skin | colour), or None for the fixed cloud.
    """
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    x, y, w, h = cv2.boundingRect(grown)
    x0, y0 = max(0, int((x - 2) * scale)), max(0, int((y - 2) * scale))
    x1 = min(width, int((x + w + 2) * scale))
    y1 = min(height, int((y + h + 2) * scale))
    yuv = cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_RGB2YUV)
    if config.cloud == "fixed" or table is None:
        skin = skin_model.fixed_mask(yuv, config.u_range, config.v_range)
    else:
        skin = cv2.inRange(skin_model.probability(yuv, table), _MAYBE, 255)
    near = cv2.resize(cv2.dilate(grown, _SQUARE), (width, height), interpolation=cv2.INTER_NEAREST)[
        y0:y1, x0:x1
    ]
    mask[y0:y1, x0:x1] = _majority(cv2.bitwise_and(skin, near))
    return mask


def _majority(mask: Array) -> Array:
    """5x5 median of a mask of 0 and 255, by thresholding its mean: several times as fast."""
    share = cv2.blur(mask, (5, 5), borderType=cv2.BORDER_REPLICATE)
    return cv2.threshold(share, 127, 255, cv2.THRESH_BINARY)[1]
