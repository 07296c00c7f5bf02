"""A decoded picture as a person sees it.

PyAV's picture -> (H, W, 3) uint8 RGB: colours by the video's own matrix and range, scaled in the
same pass, high dynamic range and wide gamuts brought to those of a display, square pixels, turned
and mirrored by the display matrix, interlaced pictures joined by ffmpeg's yadif filter, transparent
places white.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from av.error import BlockingIOError as NotYetError
from av.error import EOFError as EndError
from av.filter import Graph
from av.video.reformatter import VideoReformatter

from hybridanim.types import Array

from .images import fit, to_rgb8
from .wide_colors import Encoding, ToDisplay

# H.273 numbers of matrix coefficients -> names of swscale
MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020"}
_BLACK = 24  # largest value of a bar
_UNEVEN_PX = 4  # by which two bars may differ
_SAME_SHAPE = 0.02  # by which the shape of what remains may differ


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored pictures are turned and mirrored to stand upright."""

    is_transposed: bool = False
    flips_x: bool = False  # after transposing
    flips_y: bool = False

    @classmethod
    def of(cls, picture: Any) -> Orientation:
        """From the display matrix of a decoded picture: x' = a x + c y, y' = b x + d y."""
        matrix = picture.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        is_transposed = abs(b) > abs(a)
        return cls(is_transposed, (c if is_transposed else a) < 0, (b if is_transposed else d) < 0)

    @property
    def rotation(self) -> int:
        """Degrees clockwise, of the part that is no mirroring."""
        if self.is_transposed:
            return 270 if self.flips_y else 90
        return 180 if self.flips_y else 0

    def __call__(self, image: Array) -> Array:
        """Turn one picture upright."""
        if self.is_transposed:
            image = image.transpose(1, 0, 2)
        image = image[:: -1 if self.flips_y else 1, :: -1 if self.flips_x else 1]
        return np.ascontiguousarray(image)


class Converter:
    """Decoded picture -> (H, W, 3) uint8 RGB, upright, square pixels, at most ``max_side_px``.

    Scaling happens while the colours are converted, so a smaller picture costs no extra pass.
    ``note`` says what is done to the colours of the first picture, as the end of a sentence that
    begins with the file's name, or "".
    """

    def __init__(self, stream: Any, first: Any, max_side_px: int | None) -> None:
        self.orientation = Orientation.of(first)
        self._stream = stream
        self._reformatter: Any = VideoReformatter()
        self._first_size = first.width, first.height
        self._aspect = _usable(stream.sample_aspect_ratio)
        width, height = max(1, round(first.width * self._aspect)), first.height
        scale = min(1.0, max_side_px / max(width, height)) if max_side_px else 1.0
        self._stored_size = max(1, round(width * scale)), max(1, round(height * scale))
        self.native_size = (height, width) if self.orientation.is_transposed else (width, height)
        self._has_alpha = any(part.is_alpha for part in first.format.components) or (
            first.format.name == "pal8"
        )
        self._bars: dict[tuple[int, int], tuple[slice, slice] | None] = {}
        self._tables: dict[Encoding, ToDisplay] = {}
        self.note = Encoding.of(first).note

    def __call__(self, picture: Any) -> Array:
        """Convert one picture; where the size changes within the file, proportions are kept."""
        if (picture.width, picture.height) == self._first_size:
            rgb = self._converted(picture, self._stored_size)
        else:
            rgb = self._fitted(picture)
        return self.orientation(to_rgb8(rgb))

    def _fitted(self, picture: Any) -> Array:
        """A picture of another size, scaled into the first one's, with bars where needed.

        Bars that it has already are taken away if exactly the first picture's shape remains: the
        file's maker has put them there, and without them a face keeps its size, too.
        """
        stored = picture.width, picture.height
        aspect = _usable(self._stream.codec_context.sample_aspect_ratio)
        if stored not in self._bars:
            whole = self._converted(picture, stored)
            first_width, first_height = self._first_size
            shape = float(first_width * self._aspect / first_height / aspect)
            self._bars[stored] = inside_of_bars(whole[..., :3], shape)
        inside = self._bars[stored]
        if inside is not None:
            part = np.ascontiguousarray(self._converted(picture, stored)[inside])
            shrinks = part.shape[1] > self._stored_size[0]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            return cv2.resize(part, self._stored_size, interpolation=method)
        width, height = float(picture.width * aspect), picture.height
        scale = min(self._stored_size[0] / width, self._stored_size[1] / height)
        small = self._converted(
            picture, (max(1, round(width * scale)), max(1, round(height * scale)))
        )
        return fit(to_rgb8(small), self._stored_size)

    def _converted(self, picture: Any, size: tuple[int, int]) -> Array:
        """RGB, or RGBA of a transparent video, of this width and height; uint8, not turned yet."""
        encoding = Encoding.of(picture)
        layout = "rgba" if self._has_alpha else "rgb24"
        if encoding.is_mapped:
            layout = "rgb48le"
        matrix = self._matrix(picture)
        rgb = self._reformatter.reformat(
            picture,
            width=size[0],
            height=size[1],
            format=layout,
            src_colorspace=matrix,
            # without effect on RGB, but PyAV before 17 heeds the first only if the two differ
            dst_colorspace="ITU709" if matrix == "ITU601" else "ITU601",
            interpolation="POINT" if size == (picture.width, picture.height) else "BILINEAR",
        )
        if not encoding.is_mapped:
            return rgb.to_ndarray()
        if encoding not in self._tables:
            self._tables[encoding] = ToDisplay(encoding)
        return self._tables[encoding](rgb)

    def _matrix(self, picture: Any) -> str | None:
        """Name of the colour matrix; untagged video is BT.709 from 720 lines on, else BT.601."""
        if picture.format.is_rgb:
            return None
        if Encoding.of(picture).is_high_range and int(picture.colorspace) not in MATRICES:
            return "BT2020"
        is_high = picture.height >= 720 or picture.width >= 1280
        return MATRICES.get(int(picture.colorspace), "ITU709" if is_high else "ITU601")


def _usable(aspect: Fraction | None) -> Fraction:
    """A pixel aspect ratio, or 1 for none and for one that is a writing error."""
    if aspect and Fraction(1, 4) <= aspect <= 4:
        return Fraction(aspect)
    return Fraction(1)


def inside_of_bars(picture: Array, shape: float) -> tuple[slice, slice] | None:
    """Rows and columns of a picture (H, W, 3) uint8 that black bars leave; None without bars.

    shape: width over height, in stored pixels, that must remain.
    """
    light = picture.max(axis=2) > _BLACK
    rows, columns = np.flatnonzero(light.any(axis=1)), np.flatnonzero(light.any(axis=0))
    if not len(rows):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    height, width = picture.shape[:2]
    is_middle = max(abs(top + bottom - height), abs(left + right - width)) <= _UNEVEN_PX
    has_bars = (bottom - top, right - left) != (height, width)
    is_same = abs((right - left) / (bottom - top) / shape - 1) < _SAME_SHAPE
    return (slice(top, bottom), slice(left, right)) if is_middle and has_bars and is_same else None


class Deinterlacer:
    """Passes progressive pictures on and runs interlaced ones through ffmpeg's yadif filter.

    Pictures come out in ticks of their own ``time_base``.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._graph: Any = None
        self._kind: tuple[int, int, str] | None = None

    def __call__(self, picture: Any) -> list[Any]:
        """Zero or more finished pictures for one that came in; None asks for the last."""
        if self._graph is None and (picture is None or not picture.interlaced_frame):
            return [] if picture is None else [picture]
        rest: list[Any] = []
        if picture is not None:
            kind = picture.width, picture.height, picture.format.name
            if kind != self._kind:  # a filter takes pictures of one size only
                rest = self._rest()
                self._graph, self._kind = self._build(picture), kind
        graph: Any = self._graph
        graph.push(picture)
        return [*rest, *pulled(graph)]

    def _rest(self) -> list[Any]:
        if self._graph is None:
            return []
        self._graph.push(None)
        return pulled(self._graph)

    def _build(self, picture: Any) -> Any:
        graph: Any = Graph()
        source = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base or self._stream.time_base,
        )
        filters = [source, graph.add("yadif"), graph.add("buffersink")]
        for one, following in pairwise(filters):
            one.link_to(following)
        graph.configure()
        return graph


def pulled(output: Any) -> list[Any]:
    """The finished pictures that a filter graph, or one sink of it, has ready."""
    finished = []
    while True:
        try:
            finished.append(output.pull())
        except (NotYetError, EndError):
            return finished
