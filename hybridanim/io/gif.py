"""What a good GIF needs: one palette, steady dithering, and a comment.

ffmpeg's palettegen chooses the palette once, from the first picture, and paletteuse maps pictures
to it with ordered dithering (Bayer 1973), whose pattern stands still from frame to frame, so that
still places stay still and compress well. Nothing is kept of the pictures that have passed.
"""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.filter import Graph

from hybridanim import files
from hybridanim.types import Array

from .convert import pulled

TICK_S = Fraction(1, 100)  # the format counts in hundredths of a second
# Against 5 (weaker dithering), gradients band less; against 3, files are 3 % smaller
BAYER_SCALE = 4
_PALETTE_SIDE = 16  # palettegen's picture of the 256 colours, in pixels


class Palette:
    """Maps pictures to the colours of the first of them."""

    def __init__(self, first: Array) -> None:
        height, width = first.shape[:2]
        graph: Any = Graph()
        pictures = {"width": width, "height": height, "format": "rgb24"}
        self._input = graph.add_buffer(**pictures, time_base=TICK_S)
        colors = _palette(first)
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
        """(H, W, 3) uint8 RGB, shown from ``tick`` on -> pictures of palette numbers (pal8).

        The filter may keep a picture back until the next one is there.
        """
        self._input.push(_frame(image, tick))
        return pulled(self._output)

    def rest(self) -> list[Any]:
        """The pictures that were kept back; none can be added any more."""
        self._input.push(None)
        return pulled(self._output)


def _palette(image: Array) -> Any:
    """The 255 colours that serve a picture best and a transparent one, as a picture."""
    height, width = image.shape[:2]
    graph: Any = Graph()
    source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=TICK_S)
    choose, sink = graph.add("palettegen"), graph.add("buffersink")
    source.link_to(choose)
    choose.link_to(sink)
    graph.configure()
    source.push(_frame(image, 0))
    source.push(None)
    (found,) = pulled(sink)
    found.pts, found.time_base = 0, TICK_S
    return found


def _frame(image: Array, tick: int) -> Any:
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
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
