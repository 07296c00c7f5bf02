"""Animated square -> written picture: cropped or pasted back, marked, next to the driver."""

from __future__ import annotations

import numpy as np

from hybridanim import io
from hybridanim.config import RenderJob, replaces_background
from hybridanim.io import provenance
from hybridanim.resampling import side_by_side
from hybridanim.types import Array, Source

from . import paste_back
from .transparency import straight


class Composer:
    """Composes output frames of one source; has no state that a call changes."""

    def __init__(self, job: RenderJob, source: Source) -> None:
        self._job, self.source = job, source
        h, w = source.picture.shape[:2]
        crop, scale = source.crop, source.image.shape[0] / source.crop.side_px
        self._rows = _span(crop.y_px, h, crop.side_px, scale)
        self._columns = _span(crop.x_px, w, crop.side_px, scale)
        size = source.image.shape[0]
        self._place = (
            paste_back.place(source.picture, crop, size) if job.pipeline.render.paste_back else None
        )

        is_cut = job.pipeline.keypoints.background == "transparent"
        is_own = source.alpha is not None and job.output.suffix.lower() != ".gif"
        self.has_alpha = (
            (is_cut or (is_own and not replaces_background(job.pipeline.keypoints.background)))
            and io.holds_alpha(job.output)
            and self._place is None
        )

    def __call__(self, image: Array, driving: Array, alpha: Array | None = None) -> Array:
        """Compose a frame of image (S, S, 3) and driving frame (H, W, 3), all uint8 RGB.

        alpha: (S, S) uint8 of a picture on white, or None for an opaque one. Where ``has_alpha``,
        the result is (h, w, 4) RGBA, colours not multiplied by alpha.
        """
        out = self._composed(image, driving)
        if not self.has_alpha:
            return out
        shown: Array = np.full(image.shape[:2], 255, np.uint8) if alpha is None else alpha
        if self._job.pipeline.crop == "none":
            shown = shown[self._rows, self._columns]
        if self._job.mark:
            shown = provenance.mark_alpha(shown)
        if self._job.side_by_side:
            whole = np.full(out.shape[:2], 255, np.uint8)
            height, width = shown.shape[:2]
            left = max(1, round(driving.shape[1] * height / driving.shape[0]))
            whole[:, left : left + width] = shown
            shown = whole
        return straight(out, np.ascontiguousarray(shown))

    def _composed(self, image: Array, driving: Array) -> Array:
        if self._place is not None:
            image = paste_back.paste(self._place, image)
        elif self._job.pipeline.crop == "none":
            image = image[self._rows, self._columns]
        if self._job.mark:
            image = provenance.draw_mark(image)
        return side_by_side(driving, image) if self._job.side_by_side else image


def _span(start: float, length: int, side: float, scale: float) -> slice:
    """Rows (or columns) of the animated square that lie inside the source picture."""
    first, last = max(0.0, -start), min(side, length - start)
    return slice(round(first * scale), max(round(first * scale) + 1, round(last * scale)))
