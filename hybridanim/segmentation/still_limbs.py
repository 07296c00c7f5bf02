"""Which regions of a still's skin mask can be parts of the people in it, by size alone.

(H, W) mask and faces -> the mask without regions that are no part of a body: away from the heads
nothing bare is much thicker than a face is wide (walls, tables, shirts are), and nothing is
thinner than a finger (stripes, edges, cracks in wood are).
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.types import Array, FaceBox

_OPENING = 0.12  # in face widths: links thinner than twice this part two regions
_THICKEST = 0.6  # largest half thickness of a limb, in widths of the largest face
_THINNEST = 0.1  # least half thickness of anything, in widths of the usual face
_LEAST_AREA = 0.02  # in squares of the usual face's width


def without_impossible(mask: Array, faces: list[FaceBox]) -> Array:
    """(H, W) uint8, 0 or 255, with regions of impossible thickness removed; no face: unchanged."""
    if not faces:
        return mask
    usual_px = float(np.median([face.width_px for face in faces]))
    largest_px = max(face.width_px for face in faces)
    heads = np.zeros_like(mask)
    for face in faces:
        axes = (0.8 * face.width_px, face.height_px)
        cv2.ellipse(heads, (face.center_xy_px, axes, 0.0), 255, -1)
    thin = _without_thick(mask, heads, max(1, round(_OPENING * usual_px)), _THICKEST * largest_px)
    return _without_small(thin, usual_px)


def _without_thick(mask: Array, heads: Array, radius: int, thickest_px: float) -> Array:
    """Remove what is too thick and touches no head once thin links are cut."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    core = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc)
    labels, half_px = _half_thickness_px(core, mask)
    is_thick = half_px > thickest_px
    is_thick[labels[heads > 0]] = False
    is_thick[0] = False
    thick = np.where(is_thick[labels], 255, 0).astype(np.uint8)
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)  # the opening cut corners off
    return cv2.bitwise_and(mask, cv2.bitwise_not(cv2.dilate(thick, square)))


def _without_small(mask: Array, usual_px: float) -> Array:
    labels, half_px = _half_thickness_px(mask, mask)
    areas = np.bincount(labels.ravel(), minlength=len(half_px))
    keep = (areas >= _LEAST_AREA * usual_px**2) & (half_px >= _THINNEST * usual_px)
    keep[0] = False
    return np.where(keep[labels], 255, 0).astype(np.uint8)


def _half_thickness_px(regions: Array, mask: Array) -> tuple[Array, Array]:
    """Labels (H, W) int32 of ``regions``, and by label the most distance to a border of mask."""
    labels = np.asarray(cv2.connectedComponents(regions)[1], np.int32)
    half_px = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(half_px, labels.ravel(), cv2.distanceTransform(mask, cv2.DIST_L2, 5).ravel())
    return labels, half_px
