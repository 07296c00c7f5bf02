"""Smaller pictures without aliasing; smooth ramps, blurs and structuring elements for masks.

A picture is halved as often as its size allows, then blurred and sampled. Area averaging at a
non-integer ratio costs OpenCV as much as everything else in a step of the trackers; at two to one
it is nearly free. The remaining factor, less than two, gets a Gaussian with the variance that
averaging would have had.
"""

from __future__ import annotations

import cv2
import numpy as np

from .geometry import apply_affine
from .types import Array

_ALIASES = 0.67  # scale below which bilinear sampling aliases
FILL = (22, 24, 28)  # RGB of what no picture covers


def halved(picture: Array, scale: float) -> tuple[Array, float]:
    """The picture at 1/2, 1/4, ... of its size, and the remaining scale factor in (0.5, 1].

    An odd last row or column is dropped, so pixel centres stay at 2 x + 1/2.
    """
    while scale <= 0.5 and min(picture.shape[:2]) >= 4:
        height, width = (side // 2 for side in picture.shape[:2])
        even = picture[: 2 * height, : 2 * width]
        picture = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
        scale *= 2
    return picture, scale


def softened(picture: Array, scale: float) -> Array:
    """Blurred so that bilinear samples ``1 / scale`` pixels apart (1 to 2) do not alias.

    Where samples are nearer than that, the picture is returned as it is.
    """
    # variance of averaging 1 / scale pixels with bilinear sampling, less that of sampling here
    variance = 0.25 / scale**2 - 1 / 6
    if variance <= 0:
        return picture
    return cv2.GaussianBlur(picture, (5, 5), float(np.sqrt(variance)))


def window_of(picture: Array, matrix: Array, size: tuple[int, int]) -> Array:
    """(height, width[, 3]) part of a picture under a similarity, without aliasing.

    matrix: (2, 3) window from picture. size: (width, height). Pixels of the edge repeat outside.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < _ALIASES:
        picture, matrix = _shrunk_under(picture, matrix, scale, size)
    return cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)


def _shrunk_under(
    picture: Array, matrix: Array, scale: float, size: tuple[int, int]
) -> tuple[Array, Array]:
    """The part of the picture under the window, downscaled to about its resolution; its map."""
    back = cv2.invertAffineTransform(np.asarray(matrix, np.float64))
    corners = apply_affine(back, np.array(size) * np.array([[0, 0], [1, 0], [0, 1], [1, 1]]))
    height, width = picture.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, [width - 2, height - 2])
    x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 3, [x0 + 2, y0 + 2], [width, height])
    small, left = halved(picture[y0:y1, x0:x1], scale)
    step = left / scale  # picture pixels per small one, a power of two
    corner = np.array([x0, y0]) + (step - 1) / 2  # where the first small pixel lies
    turn = step * matrix[:, :2]
    return softened(small, left), np.column_stack([turn, apply_affine(matrix, corner)])


def shrunk(picture: Array, size: tuple[int, int]) -> Array:
    """Downscale an (H, W[, C]) picture to ``size`` = (width, height), at most its own size."""
    height, width = picture.shape[:2]
    while width == 2 * (width // 2) >= 2 * size[0] and height == 2 * (height // 2) >= 2 * size[1]:
        width, height = width // 2, height // 2
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    if (width, height) == size:
        return picture
    soft = softened(picture, max(0.5, size[0] / width))
    return cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)


def smoothstep(t: Array) -> Array:
    """The cubic ramp 3 t^2 - 2 t^3 of t in [0, 1]: level at both ends."""
    return t * t * (3 - 2 * t)


def disc(radius_px: int) -> Array:
    """Round structuring element, (2 radius + 1, 2 radius + 1) uint8."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))


def feathered(area: Array, width_px: float) -> Array:
    """(S, S) float32: 1 in ``area`` (bool), falling smoothly to exactly 0 ``width_px`` outside."""
    away_px = cv2.distanceTransform(1 - area.astype(np.uint8), cv2.DIST_L2, 5)
    t = np.clip(1 - away_px / (width_px + 1), 0, 1)
    return smoothstep(t).astype(np.float32)


def masked_blur(image: Array, known: Array, sigma_px: float) -> Array:
    """Gaussian mean of the known neighbours of each pixel, (n, n, 3) float32.

    image: (n, n, 3) float32. known: (n, n) float32 weights in [0, 1].
    """
    top = cv2.GaussianBlur(image * known[..., None], (0, 0), sigma_px)
    return top / np.maximum(cv2.GaussianBlur(known, (0, 0), sigma_px), 1e-4)[..., None]


def resized(image: Array, width: int, height: int) -> Array:
    """(H, W, 3) uint8 at that size in pixels, without aliasing; the same array if it has it.

    Both sides may change by different factors, and either way; enlarging is bicubic.
    """
    if image.shape[:2] == (height, width):
        return image
    scale = np.sqrt(width * height / (image.shape[0] * image.shape[1]))
    # down to about half, bilinear shows no aliasing yet and costs an eighth of averaging
    method = cv2.INTER_AREA if scale < 0.55 else cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (max(1, width), max(1, height)), interpolation=method)


def side_by_side(
    left: Array, right: Array, *, height_px: int | None = None, gap_px: int = 0
) -> Array:
    """Two (H, W, 3) uint8 pictures at one height, as one picture of an even width.

    height_px: the right one's height where it is None. Columns of neither picture are FILL.
    """
    height = height_px or right.shape[0]
    first, second = (max(1, round(p.shape[1] * height / p.shape[0])) for p in (left, right))
    start, end = first + gap_px, first + gap_px + second
    out = np.empty((height, (end + 1) // 2 * 2, 3), np.uint8)
    out[:, :first] = resized(left, first, height)
    out[:, first:start] = FILL
    out[:, start:end] = resized(right, second, height)
    out[:, end:] = FILL
    return out
