"""Inpainting of the background behind the person: source crop and person mask -> background.

Only slivers next to the person's edge are ever visible, so low frequencies come from a push-pull
pyramid (Gortler et al. 1996) at low resolution, and texture from the background mirrored at the
edge.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from hybridanim.resampling import disc, feathered, masked_blur
from hybridanim.types import Array

_WORKING_PX = 256
_GRAIN = 10.0  # largest mirrored detail, grey levels
_MARGIN = 48  # the mask is dilated by this part of the side: strands of hair lie beside it


def inpaint_background(image: Array, mask: Array) -> Array:
    """The picture with the person inpainted; plausible near the person's edge only.

    image: (S, S, 3) uint8 RGB. mask: (S, S) float32 in [0, 1]. Returns (S, S, 3) uint8 RGB: exactly
    ``image`` away from the person.
    """
    size = image.shape[0]
    hole = inpainting_mask(mask)
    if not hole.any():
        return image.copy()
    small_px = min(size, _WORKING_PX)
    known = cv2.resize(
        1 - hole.astype(np.float32), (small_px, small_px), interpolation=cv2.INTER_AREA
    )
    known = np.where(known > 0.999, 1, 0).astype(np.float32)  # mixed pixels contain the person
    small = cv2.resize(image, (small_px, small_px), interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = _push_pull(small, known)
    detail = np.where(known[..., None] > 0, small - masked_blur(small, known, small_px / 64), 0)
    detail = np.clip(detail, -_GRAIN, _GRAIN)  # mirror grain, not objects
    y, x = _mirror_places(known > 0)
    depth = ndimage.distance_transform_edt(known == 0)
    fade = np.clip(1.5 - depth / (0.12 * small_px), 0, 1)[..., None]
    background = np.clip(smooth + fade * detail[y, x], 0, 255)
    background = cv2.resize(
        background.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )
    soft = feathered(hole, size / 128)[..., None]
    return np.rint(np.clip(background * soft + image * (1 - soft), 0, 255)).astype(np.uint8)


def inpainting_mask(mask: Array) -> Array:
    """(S, S) bool: pixels that may contain the person's colours: the mask, dilated."""
    margin_px = max(1, round(mask.shape[0] / _MARGIN))
    return cv2.dilate((mask > 0.02).astype(np.uint8), disc(margin_px)) > 0


def _push_pull(image: Array, known: Array) -> Array:
    """Fill unknown pixels smoothly (push-pull pyramid): (n, n, 3) float32.

    image: (n, n, 3) float32; known: (n, n) float32, 1 or 0.
    """
    if min(known.shape) <= 2 or known.all():
        total = max(float(known.sum()), 1e-6)
        mean = (image * known[..., None]).sum((0, 1)) / total
        return np.where(known[..., None] > 0, image, mean).astype(np.float32)
    half = ((known.shape[1] + 1) // 2, (known.shape[0] + 1) // 2)
    weighted = np.dstack([image * known[..., None], known])
    coarse = cv2.resize(cv2.GaussianBlur(weighted, (5, 5), 1.0), half, interpolation=cv2.INTER_AREA)
    weight = coarse[..., 3:]
    filled = coarse[..., :3] / np.maximum(weight, 1e-6)
    below = _push_pull(filled, (weight[..., 0] > 0.02).astype(np.float32))
    up = cv2.resize(below, known.shape[::-1], interpolation=cv2.INTER_CUBIC)
    k = known[..., None]
    return (image * k + up * (1 - k)).astype(np.float32)


def _mirror_places(known: Array) -> tuple[Array, Array]:
    """Rows and columns, (n, n) each, of every pixel mirrored at its nearest known pixel."""
    n = known.shape[0]
    found = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    mirrored = np.clip(2 * np.asarray(found) - np.indices(known.shape), 0, n - 1)
    return mirrored[0], mirrored[1]
