"""The source picture of a command, with messages that speak of a source."""

from __future__ import annotations

from pathlib import Path

from hybridanim import io, paths
from hybridanim.errors import InputError
from hybridanim.io.decoder import ANSWER
from hybridanim.types import Array

_ANSWER = "give a picture file (png, jpg, webp, ...), or a video, of which one frame is taken"
_LOOKED_AT_BYTES = 4096


def source_picture(path: Path, time_s: float = 0.0, *, alpha: bool = False) -> Array:
    """The picture to animate, (H, W, 3) uint8 RGB: the file, or a video's frame at that time.

    alpha: (H, W, 4) RGBA where it is transparent.

    Raises InputError for what is neither.
    """
    try:
        return io.read_source_picture(path, time_s, alpha=alpha)
    except InputError as error:
        text = str(error)
        if is_text(path):
            text = f"source: expected a picture or a video, got {path.name}, a text file; {ANSWER}"
        for reader, ours in (
            ("driving video: expected a video", "source: expected a picture or a video"),
            ("driving video:", "source:"),
            ("picture:", "source:"),
            ("start:", "--source-time:"),
            ("earlier start", "earlier time"),
            (ANSWER, _ANSWER),
        ):
            text = text.replace(reader, ours)
        raise InputError(text) from error


def is_text(path: Path) -> bool:
    """Whether a regular file begins with text in UTF-8, and not with nothing."""
    if not paths.is_file(path):
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(_LOOKED_AT_BYTES)
        start[: -3 if len(start) == _LOOKED_AT_BYTES else None].decode("utf-8")  # a cut character
    except (OSError, UnicodeDecodeError):
        return False
    return bool(start.strip()) and b"\0" not in start
