"""A decoded picture as a person sees it.

PyAV's picture -> (H, W, 3) uint8 RGB: colours by the video's own matrix and range, scaled in the
same pass, square pixels, turned and mirrored by the display matrix, interlaced pictures joined by
ffmpeg's yadif filter, transparent places white.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from av.error import BlockingIOError as NotYetError
from av.error import EOFError as EndError
from av.filter import Graph
from av.video.reformatter import VideoReformatter

from hybridanim.types import Array

from .images import to_rgb8

# H.273 numbers of matrix coefficients -> names of swscale
MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020"}


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
    """

    def __init__(self, stream: Any, first: Any, max_side_px: int | None) -> None:
        self.orientation = Orientation.of(first)
        self._reformatter: Any = VideoReformatter()
        aspect = stream.sample_aspect_ratio or Fraction(1)
        width, height = first.width, first.height
        if aspect > 0 and Fraction(1, 4) <= aspect <= 4:  # anything else is a writing error
            width = max(1, round(width * aspect))
        scale = min(1.0, max_side_px / max(width, height)) if max_side_px else 1.0
        self._stored_size = max(1, round(width * scale)), max(1, round(height * scale))
        self.native_size = (height, width) if self.orientation.is_transposed else (width, height)
        self._has_alpha = any(part.is_alpha for part in first.format.components) or (
            first.format.name == "pal8"
        )

    def __call__(self, picture: Any) -> Array:
        """Convert one picture; sizes that change within the file are scaled to the first one's."""
        width, height = self._stored_size
        matrix = self._matrix(picture)
        is_same_size = (picture.width, picture.height) == self._stored_size
        rgb = self._reformatter.reformat(
            picture,
            width=width,
            height=height,
            format="rgba" if self._has_alpha else "rgb24",
            src_colorspace=matrix,
            # without effect on RGB, but PyAV before 17 heeds the first only if the two differ
            dst_colorspace="ITU709" if matrix == "ITU601" else "ITU601",
            interpolation="POINT" if is_same_size else "BILINEAR",
        )
        return self.orientation(to_rgb8(rgb.to_ndarray()))

    def _matrix(self, picture: Any) -> str | None:
        """Name of the colour matrix; untagged video is BT.709 from 720 lines on, else BT.601."""
        if picture.format.is_rgb:
            return None
        is_high = picture.height >= 720 or picture.width >= 1280
        return MATRICES.get(int(picture.colorspace), "ITU709" if is_high else "ITU601")


class Deinterlacer:
    """Passes progressive pictures on and runs interlaced ones through ffmpeg's yadif filter."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._graph: Any = None

    def __call__(self, picture: Any) -> list[Any]:
        """Zero or more finished pictures for one that came in; None asks for the last."""
        if self._graph is None and (picture is None or not picture.interlaced_frame):
            return [] if picture is None else [picture]
        if self._graph is None:
            self._graph = self._build()
        self._graph.push(picture)
        return pulled(self._graph)

    def _build(self) -> Any:
        graph = Graph()
        source = graph.add_buffer(template=self._stream)
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
