"""Coarse skin map -> the head, and the regions that may be hands.

The head is tracked by mean shift on the skin map (Bradski 1998) and corrected by cascade hits;
without any hit it is the region most like a head. All positions are pixels of the coarse map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim.types import HEAD, Array, Blob, FaceBox


@dataclass(frozen=True)
class Region:
    """A connected skin region of one frame that may be a hand."""

    xy: tuple[float, float]
    box: tuple[float, float, float, float]
    area: float
    moving: float = 0.0  # mean grey change since the last frame, less 1.5 times the picture's


def head_ellipse(shape: tuple[int, int], face: FaceBox, grow: float = 1.0) -> Array:
    """(h, w) uint8, 255 inside the head: face, forehead and ears, but not the neck."""
    x, y = face.center_xy_px
    mask = np.zeros(shape, np.uint8)
    center = (x, y - 0.06 * face.height_px)
    axes = (1.24 * grow * face.width_px, 1.5 * grow * face.height_px)
    cv2.ellipse(mask, (center, axes, 0.0), 255, -1)
    return mask


def neck_zone(shape: tuple[int, int], face: FaceBox) -> Array:
    """(h, w) uint8, 255 below the chin, where bare skin is neck."""
    x, y = face.center_xy_px
    mask = np.zeros(shape, np.uint8)
    w, h = face.width_px, face.height_px
    left, right = round(x - 0.55 * w), round(x + 0.55 * w)
    cv2.rectangle(mask, (left, round(y)), (right, round(y + 1.05 * h)), 255, -1)
    return mask


def follow_head(probability: Array, face: FaceBox) -> FaceBox:
    """Move the face box by mean shift on the (h, w) uint8 skin probability; its size is kept.

    Only the displacement of the mean-shift window is applied, so a face that is off its centre of
    mass keeps that offset.
    """
    w, h = round(1.1 * face.width_px), round(1.2 * face.height_px)
    x, y = face.center_xy_px
    start = (round(x - w / 2), round(y - h / 2), max(w, 3), max(h, 3))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 6, 0.3)
    _, found = cv2.meanShift(probability, start, criteria)
    dx, dy = found[0] - start[0], found[1] - start[1]
    return replace(face, x_px=face.x_px + dx, y_px=face.y_px + dy)


def head_by_shape(mask: Array) -> FaceBox | None:
    """The region most like a head, by uprightness, solidity, height in the picture and area."""
    count, _, stats, centroids = cv2.connectedComponentsWithStats(mask)
    best, best_score = None, 0.0
    for i in range(1, count):
        x, y, w, h, area = (float(v) for v in stats[i])
        solid, aspect = area / (w * h), h / w
        if area < 0.004 * mask.size or solid < 0.45 or not 0.7 < aspect < 3.5:
            continue
        score = area**0.5 * solid * (1.3 - centroids[i][1] / mask.shape[0])
        if score > best_score:
            side = min(w, h)
            best, best_score = FaceBox(x, y + 0.15 * side, w, 0.95 * side, 0.0), score
    return best


def regions(mask: Array, change: Array, face: FaceBox) -> list[Region]:
    """Skin regions of a plausible hand size relative to the face, largest first.

    mask: (h, w) uint8 without head and neck. change: (h, w) uint8 grey change.
    """
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(mask)
    face_area = face.width_px * face.height_px
    everywhere = float(change.mean())  # of a moving camera or flicker
    found = []
    for i in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[i])
        if not 0.08 * face_area < area < 4 * face_area:
            continue
        inside = labels[y : y + h, x : x + w] == i
        moving = float(change[y : y + h, x : x + w][inside].mean()) - 1.5 * everywhere
        xy = (float(centroids[i][0]), float(centroids[i][1]))
        found.append(Region(xy, (float(x), float(y), float(w), float(h)), float(area), moving))
    return sorted(found, key=lambda region: -region.area)


def head_blob(mask: Array, face: FaceBox, scale: float, *, is_predicted: bool = False) -> Blob:
    """The head in full-resolution pixels, from the coarse head mask or, without one, the box."""
    moments = cv2.moments(mask, True)
    if moments["m00"] < 4:
        x, y = face.center_xy_px
        box = (face.x_px, face.y_px, face.width_px, face.height_px)
        area = 0.78 * face.width_px * face.height_px
        is_predicted = True
    else:
        x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
        box, area = cv2.boundingRect(mask), moments["m00"]
    xy = (scale * (x + 0.5) - 0.5, scale * (y + 0.5) - 0.5)
    full_box = tuple(float(scale * v) for v in box)
    return Blob(HEAD, full_box, xy, area * scale**2, is_predicted)  # type: ignore[arg-type]


def median_uv(yuv: Array, head: Array) -> tuple[float, float] | None:
    """Median U and V of (H, W, 3) YUV pixels in the mask ``head``; None when it is empty."""
    inside = yuv[head > 0]
    if not len(inside):
        return None
    return float(np.median(inside[:, 1])), float(np.median(inside[:, 2]))
