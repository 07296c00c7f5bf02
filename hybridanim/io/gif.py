"""What a good GIF needs: one palette of all pictures, steady dithering, and a comment.

ffmpeg's palettegen chooses the palette from all pictures, so that what appears late has its
colours, too, and paletteuse maps pictures to it with ordered dithering (Bayer 1973), whose pattern
stands still from frame to frame, so that still places stay still and compress well. Until the
palette is known the pictures wait in a lossless video file on the disk; in memory there is one at a
time.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.filter import Graph

from hybridanim import files
from hybridanim.types import Array

from .convert import pulled

TICK_S = Fraction(1, 100)  # the format counts in hundredths of a second
# Against 5 (weaker dithering), gradients band less; against 3, files are 3 % smaller
BAYER_SCALE = 4
_PALETTE_SIDE = 16  # palettegen's picture of the 256 colours, in pixels
# 64 steps, of which 0 and 255 are two
_COARSE = (np.arange(256) // 4 * 255 / 63 + 0.5).astype(np.uint8)


class PaletteChooser:
    """Counts the colours of pictures, then chooses the 255 that serve them best.

    Colours are counted in 64 steps a channel, so that memory does not grow with the pictures.
    """

    def __init__(self, first: Array) -> None:
        graph: Any = Graph()
        self._source = graph.add_buffer(**_kind(first), time_base=TICK_S)
        choose, self._sink = graph.add("palettegen"), graph.add("buffersink")
        self._source.link_to(choose)
        choose.link_to(self._sink)
        graph.configure()
        self._graph, self._count = graph, 0  # the filters live as long as it does

    def add(self, image: Array) -> None:
        """Count a picture, (H, W, 3) RGB or (H, W, 4) RGBA, uint8."""
        self._source.push(_frame(cv2.LUT(image, _COARSE), self._count))
        self._count += 1

    def chosen(self) -> Any:
        """The palette, as a picture of 16x16; no picture can be added any more."""
        self._source.push(None)
        (found,) = pulled(self._sink)
        found.pts, found.time_base = 0, TICK_S
        return found


class Palette:
    """Maps pictures like ``first`` to the colours of a palette."""

    def __init__(self, first: Array, colors: Any) -> None:
        graph: Any = Graph()
        self._input = graph.add_buffer(**_kind(first), time_base=TICK_S)
        square = {"width": _PALETTE_SIDE, "height": _PALETTE_SIDE, "format": colors.format.name}
        palette = graph.add_buffer(**square, time_base=TICK_S)
        use = graph.add("paletteuse", f"dither=bayer:bayer_scale={BAYER_SCALE}")
        self._output = graph.add("buffersink")
        self._input.link_to(use, 0, 0)
        palette.link_to(use, 0, 1)
        use.link_to(self._output)
        graph.configure()
        self._graph = graph  # the filters live as long as it does
        palette.push(colors)
        palette.push(None)

    def __call__(self, image: Array, tick: int) -> list[Any]:
        """(H, W, 3) RGB or (H, W, 4) RGBA uint8, shown from ``tick`` on -> pictures (pal8).

        The filter may keep a picture back until the next one is there.
        """
        self._input.push(_frame(image, tick))
        return pulled(self._output)

    def rest(self) -> list[Any]:
        """The pictures that were kept back; none can be added any more."""
        self._input.push(None)
        return pulled(self._output)


class Spool:
    """Pictures on the disk, lossless, in ``path``: written one by one, then read again once."""

    def __init__(self, path: Path, first: Array) -> None:
        self._path = path
        self._container: Any = av.open(str(path), "w", format="matroska")
        self._stream: Any = self._container.add_stream("ffv1", rate=100)
        self._stream.height, self._stream.width = first.shape[:2]
        self._stream.pix_fmt = "bgra" if first.shape[2] == 4 else "bgr0"
        self._stream.codec_context.time_base = TICK_S
        self._layout = _kind(first)["format"]
        self._is_written = False

    def add(self, image: Array, tick: int) -> None:
        """Append a picture, shown from ``tick`` on."""
        self._container.mux(self._stream.encode(_frame(image, tick)))

    def pictures(self) -> Iterator[tuple[Array, int]]:
        """All pictures and their ticks; none can be added any more."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        with av.open(str(self._path)) as container:
            for picture in container.decode(video=0):
                seconds = picture.time or 0.0
                yield picture.to_ndarray(format=self._layout), round(seconds / float(TICK_S))

    def remove(self) -> None:
        """Close and remove the file."""
        with contextlib.suppress(Exception):
            self._container.close()
        self._path.unlink(missing_ok=True)


def _kind(image: Array) -> dict[str, Any]:
    """Size and layout of a picture, as a buffer of ffmpeg takes them."""
    height, width, channels = image.shape
    return {"width": width, "height": height, "format": "rgba" if channels == 4 else "rgb24"}


def _frame(image: Array, tick: int) -> Any:
    frame = av.VideoFrame.from_ndarray(image, format=_kind(image)["format"])
    frame.pts, frame.time_base = tick, TICK_S
    return frame


def insert_comment(path: Path, text: str) -> None:
    """Put a comment block before the first picture of a GIF file."""
    if not text:
        return
    data = text.encode("utf-8")
    pieces = [data[i : i + 255] for i in range(0, len(data), 255)]
    block = b"\x21\xfe" + b"".join(bytes([len(p)]) + p for p in pieces) + b"\x00"
    with files.atomic_write(path) as target, open(path, "rb") as source:
        header = source.read(13)
        flags = header[10]
        colors_bytes = 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
        target.write(header + source.read(colors_bytes) + block)
        shutil.copyfileobj(source, target)
