"""Animated pictures (WebP, APNG, AVIF) as driving videos.

ffmpeg reads no animated WebP, and Pillow reads all of them with profiles and transparency. File ->
(SourceInfo, iterator of Frame), one picture in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from hybridanim.errors import InputError
from hybridanim.types import Array, Frame

from .decoder import SourceInfo
from .images import fit, is_heif, opened_picture, to_rgb8, upright
from .timing import timing_of

_TICK_S = Fraction(1, 1000)  # Pillow's unit
_USUAL_MS = 100  # of a picture that states no duration, as browsers show it
_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def is_animation(path: Path) -> bool:
    """Whether a picture file has several pictures that follow each other in time."""
    if is_heif(path):
        return False
    try:
        with opened_picture(path) as opened:
            return opened.format in ("WEBP", "PNG", "GIF", "AVIF") and _count(opened) > 1
    except _ERRORS:
        return False  # reading it as a still picture says what is wrong


class Animation:
    """Reads one animated picture; ``frames()`` may be run once, in any thread.

    Raises InputError where ``start_s`` is after its end.
    """

    def __init__(
        self, path: Path, start_s: float, end_s: float | None, max_side_px: int | None
    ) -> None:
        self.warning = ""
        self._path, self._start_s, self._end_s = path, start_s, end_s
        durations_ms, (width, height) = self._looked_through()
        starts = np.concatenate([[0], np.cumsum(durations_ms)])
        # a last tick, so that the last picture's duration counts, too
        timing = timing_of(starts, _TICK_S, [])
        self._starts, self._fps = starts[:-1], timing.fps
        self._is_even = not timing.is_variable_rate
        duration_s = float(starts[-1] * _TICK_S)
        if start_s >= duration_s:
            raise InputError(
                f"start: expected a time before the end of {path.name} at {duration_s:.2f} s, got "
                f"{start_s:g} s; choose an earlier start"
            )
        scale = min(1.0, (max_side_px or 1e9) / max(width, height))
        self._size = max(1, round(width * scale)), max(1, round(height * scale))
        self.info = SourceInfo(
            path, width, height, timing.fps, timing.is_variable_rate, timing.time_base,
            len(durations_ms), duration_s,
        )  # fmt: skip

    def _looked_through(self) -> tuple[list[int], tuple[int, int]]:
        """Duration of each picture that can be read, in ms, and the size of the first."""
        durations: list[int] = []
        size = (0, 0)
        with opened_picture(self._path) as opened:
            for index in range(_count(opened)):
                try:
                    opened.seek(index)
                    opened.load()
                except _ERRORS:
                    break
                if not size[0]:
                    height, width = upright(opened.copy()).shape[:2]
                    size = width, height
                durations.append(round(opened.info.get("duration") or _USUAL_MS))
        if not durations:
            raise InputError(
                f"driving video: expected at least one frame, got {self._path.name} of which none"
                " can be read; copy or download it again"
            )
        return durations, size

    def frames(self) -> Iterator[Frame]:
        """Frames whose time lies from start to end."""
        index = 0
        with opened_picture(self._path) as opened:
            count = _count(opened)
            for slot, start_ms in enumerate(self._starts):
                time_s = float(slot / self._fps) if self._is_even else start_ms / 1000
                if time_s < self._start_s - 1e-6:
                    continue
                if self._end_s is not None and time_s >= self._end_s - 1e-6:
                    return
                opened.seek(slot)
                yield Frame(self._picture(opened), index, time_s)
                index += 1
        if len(self._starts) < count:
            self.warning = (
                f"{self._path.name} breaks off before its end; the {index} frames up to"
                f" {self.info.duration_s:.2f} s were used"
            )

    def _picture(self, opened: Image.Image) -> Array:
        profile = opened.info.get("icc_profile")
        copy = opened.copy()
        if profile:
            copy.info["icc_profile"] = profile
        return fit(to_rgb8(upright(copy)), self._size)


def _count(opened: Image.Image) -> int:
    return int(getattr(opened, "n_frames", 1))
