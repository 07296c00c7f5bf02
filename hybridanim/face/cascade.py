"""RGB picture -> FaceBoxes: the frontal LBP cascade that scikit-image ships, run by OpenCV.

OpenCV 5 wheels contain no cascade files. scikit-image's file has one misspelt element name, which
OpenCV refuses; it is corrected in memory. Viola and Jones 2001; Liao et al. 2007 for LBP features.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from hybridanim.types import Array, FaceBox

_WINDOW_PX = 24  # the smallest face that the cascade knows


@cache
def _cascade() -> cv2.CascadeClassifier:
    text = Path(data.lbp_frontal_face_cascade_filename()).read_text()
    text = text.replace("featuhreParams", "featureParams")
    storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    cascade = cv2.CascadeClassifier()
    cascade.read(storage.getFirstTopLevelNode())
    return cascade


def detect_faces(
    image: Array,
    *,
    min_frac: float = 0.06,
    max_side_px: int = 640,
    neighbours: int = 2,
) -> list[FaceBox]:
    """Detect upright frontal faces, in descending order of score times width.

    image: (H, W, 3) uint8 RGB or (H, W) uint8 grey, any size; searched at ``max_side_px`` or less.
    min_frac: smallest face, as a share of the shorter side.
    neighbours: overlapping hits that make a face; fewer find more faces and more false ones.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, max_side_px / max(grey.shape))
    if min(grey.shape) * scale < _WINDOW_PX:
        return []
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    least = max(_WINDOW_PX, round(min_frac * min(grey.shape)))
    boxes, _, weights = _cascade().detectMultiScale3(
        grey, 1.1, neighbours, minSize=(least, least), outputRejectLevels=True
    )
    found = [
        FaceBox(*(float(v) / scale for v in box), score=float(weight))
        for box, weight in zip(boxes, np.ravel(weights), strict=True)
    ]
    return sorted(found, key=lambda face: -face.score * face.width_px)
