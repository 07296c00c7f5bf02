"""Pixel and normalised coordinates, grids, affine and similarity algebra.

The only file that defines the sampling convention. Pixels: x right, y down, (0, 0) is the centre of
the first pixel. Normalised: [-1, 1] from the outer edge of the first pixel of a square to the outer
edge of the last (grid_sample's align_corners=False), so grids of any size cover the same square.
Affines are 2x3, direction in the name: ``target_from_source``.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .types import Array, Crop, HeadBox


@lru_cache(maxsize=16)
def grid_norm(height: int, width: int | None = None) -> Array:
    """(H, W, 2) float32 of x, y in [-1, 1]: the identity sampling grid, at cell centres; shared.

    It cannot be written to; copy it for that.
    """
    width = width or height
    x = (2 * np.arange(width, dtype=np.float32) + 1) / width - 1
    y = (2 * np.arange(height, dtype=np.float32) + 1) / height - 1
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    grid.setflags(write=False)
    return grid


def grid_px(size: int) -> Array:
    """(size, size, 2) float32 of x, y at pixel centres: the identity sampling grid in pixels."""
    along = np.arange(size, dtype=np.float32)
    return np.stack(np.meshgrid(along, along), axis=-1)


def norm_from_px(xy_px: Array, crop: Crop) -> Array:
    """Convert picture pixels (..., 2) to the crop's normalised coordinates, float32."""
    corner = np.array([crop.x_px, crop.y_px])
    return ((np.asarray(xy_px) + 0.5 - corner) * (2 / crop.side_px) - 1).astype(np.float32)


def px_from_norm(xy_norm: Array, crop: Crop) -> Array:
    """Convert the crop's normalised coordinates (..., 2) to picture pixels, float32."""
    corner = np.array([crop.x_px, crop.y_px])
    return ((np.asarray(xy_norm) + 1) * (crop.side_px / 2) - 0.5 + corner).astype(np.float32)


def turned(image: Array, turn_deg: int) -> Array:
    """The picture turned clockwise by 0, 90, 180 or 270 degrees; a copy, unless by 0."""
    return image if turn_deg == 0 else np.ascontiguousarray(np.rot90(image, -turn_deg // 90))


def whole(image: Array) -> Crop:
    """Return the crop that covers a whole square picture."""
    return Crop(0.0, 0.0, float(image.shape[1]))


def crop_image(image: Array, crop: Crop, size: int) -> Array:
    """Resample the crop to (size, size, C); edge pixels repeat outside the picture.

    Area averaging for smaller sizes (no aliasing), bicubic for larger ones.
    """
    x0, y0 = int(np.floor(crop.x_px)), int(np.floor(crop.y_px))
    x1 = int(np.ceil(crop.x_px + crop.side_px))
    y1 = int(np.ceil(crop.y_px + crop.side_px))
    h, w = image.shape[:2]
    pad = max(0, -x0, -y0, x1 - w, y1 - h)
    if pad:
        image = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    part = image[y0 + pad : y1 + pad, x0 + pad : x1 + pad]
    scale = size / crop.side_px
    if scale < 0.99:  # average to the nearest whole size first; the remainder is a sub-pixel warp
        shape = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
        part = cv2.resize(part, shape, interpolation=cv2.INTER_AREA)
    step_x = part.shape[1] / (x1 - x0)
    step_y = part.shape[0] / (y1 - y0)
    # part pixel = step * (picture edge coordinate - corner) - 1/2, at each output pixel centre
    part_from_out = np.array(
        [
            [step_x / scale, 0, step_x * (0.5 / scale + crop.x_px - x0) - 0.5],
            [0, step_y / scale, step_y * (0.5 / scale + crop.y_px - y0) - 0.5],
        ]
    )
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        part, part_from_out, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )


def head_norm(head: HeadBox, crop: Crop) -> float:
    """Side of the head box in normalised units of the crop."""
    return 2 * head.size_px / crop.side_px


def homogeneous(affine: Array) -> Array:
    """Return a (2, 3) affine as (3, 3) float64, for products and inverses."""
    return np.vstack([affine, [0.0, 0.0, 1.0]])


def similarity(size: float, roll_deg: float = 0.0) -> Array:
    """2x2 float32 matrix: scale ``size``, rotation by ``roll_deg`` clockwise on the screen."""
    a = np.deg2rad(roll_deg)
    turn = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return (size * np.array(turn)).astype(np.float32)


def apply_affine(target_from_source: Array, xy: Array) -> Array:
    """Map points (..., 2) by a 2x3 affine."""
    return xy @ target_from_source[:, :2].T + target_from_source[:, 2]


def inverse_2x2(matrix: Array, least: float = 1e-4) -> Array:
    """Closed-form inverse of (..., 2, 2); a determinant nearer zero than ``least`` is clamped."""
    a, b = matrix[..., 0, 0], matrix[..., 0, 1]
    c, d = matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = a * d - b * c
    sign = np.where(determinant < 0, -1.0, 1.0)
    determinant = np.where(np.abs(determinant) < least, sign * least, determinant)
    rows = [np.stack([d, -b], -1), np.stack([-c, a], -1)]
    return (np.stack(rows, -2) / determinant[..., None, None]).astype(matrix.dtype)


def warp(image: Array, source_grid_norm: Array, flags: int = cv2.INTER_CUBIC) -> Array:
    """Sample a square picture (S, S[, C]) at an absolute grid (H, W, 2) in [-1, 1]: backward warp.

    Returns (H, W[, C]); edge pixels repeat outside the picture.
    """
    height, width = image.shape[:2]
    x = (source_grid_norm[..., 0] + 1) * (width / 2) - 0.5
    y = (source_grid_norm[..., 1] + 1) * (height / 2) - 0.5
    return cv2.remap(
        image, x.astype(np.float32), y.astype(np.float32), flags, borderMode=cv2.BORDER_REPLICATE
    )


def resize_grid(source_grid_norm: Array, size: int) -> Array:
    """Bilinear (size, size, 2) version of a coarse sampling grid; exact for affine motion inside.

    The displacement is resized, not the positions, so the border does not shrink.
    """
    h, w = source_grid_norm.shape[:2]
    flow = source_grid_norm - grid_norm(h, w)
    return cv2.resize(flow, (size, size), interpolation=cv2.INTER_LINEAR) + grid_norm(size)
