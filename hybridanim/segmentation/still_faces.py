"""The faces of one picture that skin may be learned from.

RGB picture -> cascade hits, checked by colour, size and place. A second search of the enlarged
picture finds small faces; it errs more, so a hit there must also stand out from what is above it:
on a wall, a table or a shirt the same colour goes on, on a head there is hair or background.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.face.cascade import detect_faces
from hybridanim.types import Array, FaceBox

from . import skin_model as skin_cloud
from .face_search import scaled

_SEARCH_PX = 1100  # longer side of the picture in the second search,
_LARGEST_SCALE = 2.0  # which enlarges it by no more than this
_LEAST_PX = 24  # the cascade's own window
_LEAST_SCORE, _LEAST_SHARE = 1.5, 0.75  # of second hits, and of skin-like pixels in them
_MOST_SAME = 0.4  # likeness of face and surroundings (Bhattacharyya) at which a hit is no face


def find_faces(image: Array, yuv: Array) -> list[FaceBox]:
    """Cascade hits that may be learned from, surest first; small ones follow at the end.

    A hit in clothes or furniture would spoil the cloud. So hits must be skin-coloured (unless none
    is, as under odd light), about as large as the others, and no weak hit on a sure one's body.
    """
    found = detect_faces(image, min_frac=0.045, max_side_px=800)
    likely = skin_cloud.probability(yuv, skin_cloud.generic_cloud().table(0.5))
    skinny = [f for f in found if _skin_share(yuv, likely, f) > 0.4]
    kept: list[FaceBox] = []
    for face in skinny or [f for f in found if f.score > 2]:
        if not any(_is_same(face, k) or _is_on_body(face, k) for k in kept):
            kept.append(face)
    usual_px = float(np.median([f.width_px for f in kept])) if kept else 0.0
    kept = [f for f in kept if len(kept) < 3 or usual_px / 2 < f.width_px < 1.8 * usual_px]
    return kept + _small_faces(image, yuv, likely, kept)


def _small_faces(image: Array, yuv: Array, likely: Array, sure: list[FaceBox]) -> list[FaceBox]:
    """Hits in the enlarged picture that the first search missed."""
    found: list[FaceBox] = []
    for face in _search_enlarged(image):
        if face.score < _LEAST_SCORE or _skin_share(yuv, likely, face) < _LEAST_SHARE:
            continue
        is_known = any(_is_same(face, k) for k in sure + found)
        if is_known or any(_is_under(face, k, 5.0) for k in sure):
            continue
        if _sameness(yuv, face) <= _MOST_SAME:
            found.append(face)
    usual_px = float(np.median([f.width_px for f in sure or found])) if sure or found else 0.0
    return [f for f in found if 0.6 * usual_px < f.width_px < 1.6 * usual_px]


def _search_enlarged(image: Array) -> list[FaceBox]:
    scale = min(_LARGEST_SCALE, _SEARCH_PX / max(image.shape[:2]))
    how = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    big = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
    least = _LEAST_PX / min(big.shape[:2])
    found = detect_faces(big, min_frac=least, max_side_px=max(big.shape[:2]))
    return [scaled(face, 1 / scale) for face in found]


def _skin_share(yuv: Array, likely: Array, face: FaceBox) -> float:
    inside = skin_cloud.face_pixels(yuv, face)
    return cv2.mean(cv2.inRange(likely, 100, 255), inside)[0] / 255


def _is_same(a: FaceBox, b: FaceBox) -> bool:
    (ax, ay), (bx, by) = a.center_xy_px, b.center_xy_px
    near_x = abs(ax - bx) < 0.3 * (a.width_px + b.width_px)
    return near_x and abs(ay - by) < 0.3 * (a.height_px + b.height_px)


def _is_under(low: FaceBox, high: FaceBox, heights: float) -> bool:
    """Whether one box lies where the other's body is, down to so many face heights."""
    (ax, ay), (bx, by) = low.center_xy_px, high.center_xy_px
    return abs(ax - bx) < 1.2 * high.width_px and by < ay < by + heights * high.height_px


def _is_on_body(weak: FaceBox, sure: FaceBox) -> bool:
    return _is_under(weak, sure, 7.0) and weak.score < 0.6 * sure.score


def _sameness(yuv: Array, face: FaceBox) -> float:
    """How like the face its surroundings are above its middle: 0 (not at all) to 1."""
    inside = skin_cloud.histogram(yuv, skin_cloud.face_pixels(yuv, face), (0.7, 0.7))
    around = skin_cloud.histogram(yuv, cap(yuv.shape[:2], face, (1.5, 1.9), (1.1, 1.4)), (0.7, 0.7))
    return float(np.sqrt(inside * around).sum())


def cap(
    shape: tuple[int, int], face: FaceBox, outer: tuple[float, float], inner: tuple[float, float]
) -> Array:
    """(H, W) uint8, 255 between two ellipses over the head, above the middle of the face.

    outer, inner: their widths and heights in face widths and heights.
    """
    x, y = face.center_xy_px
    w, h = face.width_px, face.height_px
    mask = np.zeros(shape, np.uint8)
    cv2.ellipse(mask, ((x, y - 0.15 * h), (outer[0] * w, outer[1] * h), 0.0), 255, -1)
    cv2.ellipse(mask, ((x, y + 0.1 * h), (inner[0] * w, inner[1] * h), 0.0), 0, -1)
    mask[max(0, int(y)) :] = 0
    return mask
