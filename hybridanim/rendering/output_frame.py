"""Animated square -> written picture: cropped or pasted back, marked, next to the driver."""

from __future__ import annotations

from hybridanim.config import RenderJob
from hybridanim.io import provenance
from hybridanim.resampling import side_by_side
from hybridanim.types import Array, Source

from . import paste_back


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

    def __call__(self, image: Array, driving: Array) -> Array:
        """Compose a frame of image (S, S, 3) and driving frame (H, W, 3), all uint8 RGB."""
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
