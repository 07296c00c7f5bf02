"""Picture and window -> Keypoints, numpy in and out, by the learned keypoint detector.

The window is a square of the picture: for faces 2.5 heads around a head (``crop_around``), for
objects the whole frame. Keypoints are in the window's normalised coordinates; Jacobians map the
canonical face to it, as those of ``motion.keypoints.place_anchors``. Any callable that runs the
network is accepted; ``networks.detector`` loads one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from hybridanim import resampling
from hybridanim.errors import InputError
from hybridanim.types import Array, Crop, Keypoints

if TYPE_CHECKING:
    from hybridanim.networks.weights import Window

    from .base import RuntimeInfo

CELLS_BASE = 0.8  # standard deviation of a heatmap at a certain position, in cells
_DOUBT = 0.04  # an expected error of this share of the face halves the confidence

Network = Callable[[Array], tuple[Array, Array, Array]]
"""(1, 3, S, S) float32 in [0, 1] -> xy (1, K, 2), Jacobians (1, K, 2, 2), spread (1, K)."""


class LearnedDetector:
    """Runs the network on a window of a picture; keeps no state between pictures."""

    def __init__(
        self,
        network: Network,
        *,
        count: int,
        size: int,
        window: Window,
        extent_norm: float | None = None,
    ) -> None:
        """count: K; size: side of the network's input, in pixels; window: "head" or "frame".

        extent_norm: size of the object, by which errors are judged; None: that of the Jacobians.
        """
        self._extent_norm = extent_norm
        self._network = network
        self.runtime_info: RuntimeInfo | None = getattr(network, "runtime_info", None)
        self.count, self.size, self.window = count, size, window

    def __call__(self, image: Array, window: Crop) -> Keypoints:
        """Keypoints of (H, W, 3) uint8 RGB in the window's normalised coordinates.

        The window may reach beyond the picture, whose border pixels repeat.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(
                f"detector: expected (H, W, 3) uint8 RGB, got {image.shape} {image.dtype};"
                " convert with hybridanim.io.to_rgb8"
            )
        small = window_image(image, window, self.size)
        picture = np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32) / 255
        xy, jacobian, spread = (np.asarray(part[0], np.float32) for part in self._network(picture))
        return Keypoints(
            xy, jacobian, confidence(spread, jacobian, self.size // 2, self._extent_norm)
        )


def confidence(
    spread: Array, jacobian: Array, cells: int, extent_norm: float | None = None
) -> Array:
    """Confidence (K,) float32 in [0, 1] from the width of the heatmaps.

    1 for the narrowest heatmaps, 0.5 where the expected error is 4% of the face. spread: (K,)
    normalised; jacobian: (K, 2, 2); cells: side of a heatmap. extent_norm: see ``LearnedDetector``.
    """
    face = np.sqrt(np.abs(np.linalg.det(jacobian)).mean()) if extent_norm is None else extent_norm
    error = np.maximum(spread - CELLS_BASE * 2 / cells, 0) / max(float(face), 1e-3)
    return (1 / (1 + (error / _DOUBT) ** 2)).astype(np.float32)


def window_image(image: Array, window: Crop, size: int) -> Array:
    """Resample the window to (size, size, 3) uint8 without aliasing; edge pixels repeat outside."""
    x0, y0, x1, y1 = _inside(image, window)
    part, scale = resampling.halved(image[y0:y1, x0:x1], size / window.side_px)
    if scale < 0.95:
        part = resampling.softened(part, scale)
    step = scale * window.side_px / size  # picture pixels to a pixel of ``part``
    # part pixel = (picture edge coordinate - corner) / step - 1/2, at each output pixel centre
    part_from_out = np.array(
        [
            [1 / scale, 0, (0.5 / scale) + (window.x_px - x0) / step - 0.5],
            [0, 1 / scale, (0.5 / scale) + (window.y_px - y0) / step - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        part, part_from_out, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )


def _inside(image: Array, window: Crop) -> tuple[int, int, int, int]:
    """Corners of the part of the picture that the window needs; at least 8 pixels a side."""
    margin = 4 + 0.02 * window.side_px
    out = []
    for start, length in ((window.x_px, image.shape[1]), (window.y_px, image.shape[0])):
        low = int(np.clip(np.floor(start - margin), 0, max(0, length - 8)))
        high = int(np.clip(np.ceil(start + window.side_px + margin), min(low + 8, length), length))
        out.append((low, high))
    (x0, x1), (y0, y1) = out
    return x0, y0, x1, y1
