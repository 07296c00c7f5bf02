"""Face mesh -> masks of eyes, mouth, face, surroundings and background of a picture.

Masks are (H, W) bool. Eyes and mouth are the hulls of lids and lips, widened; the face is the
outline of the mesh; "around" is what else moves: hair, ears, neck, shoulders.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.face.landmarks import GROUPS, interocular
from hybridanim.types import Array

_EYE_MARGIN, _MOUTH_MARGIN = 0.14, 0.1  # of the hulls, in distances between the eyes


def parts(landmarks_xy_px: Array, mesh_xy_px: Array, still: Array) -> dict[str, Array]:
    """Masks "eyes", "mouth", "face", "around" and "background" of a picture of still's shape.

    landmarks_xy_px: (L, 2) see face.landmarks.POINTS; mesh_xy_px: (468, 2); still: (H, W) bool, the
    pixels that hardly change in the clip. Background is the still pixels outside of the face.
    """
    eyes_px = float(interocular(landmarks_xy_px))
    face = _hull(mesh_xy_px, still.shape, 0.0)
    eyes = np.zeros_like(face)
    for side in ("left", "right"):
        points = landmarks_xy_px[list(GROUPS[f"{side}_eye"])]
        eyes |= _hull(points, still.shape, _EYE_MARGIN * eyes_px)
    lips = landmarks_xy_px[list(GROUPS["outer_lips"])]
    return {
        "eyes": eyes,
        "mouth": _hull(lips, still.shape, _MOUTH_MARGIN * eyes_px),
        "face": face,
        "around": ~face & ~still,
        "background": still & ~face,
    }


def _hull(xy_px: Array, shape: tuple[int, ...], wider_px: float) -> Array:
    """The convex hull of points, widened on all sides, (H, W) bool."""
    mask = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.round(xy_px).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, (1,))
    if wider_px > 0:
        side = 2 * round(wider_px) + 1
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return mask.astype(bool)
