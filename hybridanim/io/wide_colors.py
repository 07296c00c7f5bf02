"""High dynamic range and wide gamuts -> the colours of an ordinary display.

A decoded picture's tags -> Encoding; 16-bit RGB in that encoding -> (H, W, 3) uint8 in BT.709
primaries with a gamma of 2.4 (BT.1886). The whole chain is one table of colours, computed once and
looked up by ffmpeg's haldclut filter (tetrahedral interpolation):

1. signal -> light of the display in cd/m2: HLG by its inverse OETF and OOTF (BT.2100, gamma 1.2,
   1000 cd/m2), PQ by its EOTF (BT.2100); ordinary video by BT.1886;
2. highlights: the EETF of BT.2390 from 1000 to 203 cd/m2, which BT.2408 takes as the white of
   ordinary video, on the largest of R, G and B, so that hues stay. What is darker than 93 cd/m2
   keeps its light: faces look as in ordinary video;
3. primaries BT.2020 or Display P3 -> BT.709; what lies outside is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph

from hybridanim.types import Array

# numbers of H.273
_PQ, _HLG = 16, 18
_XY = {  # red, green, blue
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),  # BT.709
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
_WHITE_XY = (0.3127, 0.3290)  # D65
_PEAK, _WHITE = 1000.0, 203.0  # cd/m2: of high-range video, and of ordinary white in it
_GAMMA = 2.4
_LEVEL = 8  # of the Hald table: 64 steps on each axis
_TICK_S = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a picture's numbers mean colours, as far as it matters here."""

    transfer: int  # number of H.273; 0 = ordinary
    primaries: int

    @classmethod
    def of(cls, picture: Any) -> Encoding:
        """From the tags of a decoded picture; high-range video without primaries is BT.2020."""
        transfer = int(getattr(picture, "color_trc", 0) or 0)
        primaries = int(getattr(picture, "color_primaries", 0) or 0)
        is_high = transfer in (_PQ, _HLG)
        if primaries not in _XY:
            primaries = 9 if is_high else 1
        return cls(transfer if is_high else 0, primaries)

    @property
    def is_high_range(self) -> bool:
        """Whether it is high dynamic range, PQ or HLG."""
        return self.transfer != 0

    @property
    def is_mapped(self) -> bool:
        """Whether its colours are not those of an ordinary display."""
        return self.is_high_range or self.primaries != 1

    @property
    def note(self) -> str:
        """What is done to the colours, after the file's name; "" for nothing, or a gamut alone."""
        if not self.is_high_range:
            return ""
        name = "PQ" if self.transfer == _PQ else "HLG"
        return f"is high-dynamic-range video ({name}); it was tone-mapped to the ordinary range."

    def display_linear(self, signal: Array) -> Array:
        """(..., 3) signal in [0, 1] -> linear light in its own primaries, 1 = ordinary white."""
        if self.transfer == _PQ:
            return _pq_light(signal) / _WHITE
        if self.transfer == _HLG:
            return _hlg_light(signal) / _WHITE
        return signal**_GAMMA


def to_display(signal: Array, encoding: Encoding) -> Array:
    """(..., 3) float signal in [0, 1] -> (..., 3) in [0, 1], BT.709 primaries, gamma 2.4."""
    linear = encoding.display_linear(signal)
    if encoding.is_high_range:
        largest = np.maximum(linear.max(axis=-1, keepdims=True), 1e-9)
        linear = linear * (_rolled_off(largest) / largest)
    matrix = np.linalg.solve(_rgb_to_xyz(1), _rgb_to_xyz(encoding.primaries))
    return np.clip(linear @ matrix.T, 0, 1) ** (1 / _GAMMA)


def _pq_light(signal: Array) -> Array:
    """The EOTF of PQ: signal in [0, 1] -> cd/m2 (BT.2100, table 4)."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = signal ** (1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def _pq_signal(light: Array) -> Array:
    """The inverse of ``_pq_light``."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.clip(light / 10_000, 0, 1) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def _hlg_light(signal: Array) -> Array:
    """The inverse OETF and the OOTF of HLG: (..., 3) in [0, 1] -> cd/m2 (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    bright = (np.exp((np.maximum(signal, 0.5) - c) / a) + b) / 12
    scene = np.where(signal <= 0.5, signal**2 / 3, bright)
    luminance = (scene @ np.array([0.2627, 0.6780, 0.0593]))[..., None]
    return _PEAK * np.maximum(luminance, 1e-12) ** 0.2 * scene


def _rolled_off(light: Array) -> Array:
    """The EETF of BT.2390-8, 5.4.1: light, 1 = white, up to 1000 cd/m2 -> [0, 1]."""
    peak = _pq_signal(np.array(_PEAK))
    most = float(_pq_signal(np.array(_WHITE)) / peak)
    knee = 1.5 * most - 0.5
    signal = np.minimum(_pq_signal(light * _WHITE) / peak, 1)
    t = np.clip((signal - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return _pq_light(np.where(signal < knee, signal, spline) * peak) / _WHITE


def _rgb_to_xyz(primaries: int) -> Array:
    """(3, 3) matrix of linear RGB -> XYZ, from the primaries and a white of D65."""
    corners = np.array([(x / y, 1, (1 - x - y) / y) for x, y in _XY[primaries]]).T
    x, y = _WHITE_XY
    return corners * np.linalg.solve(corners, np.array([x / y, 1, (1 - x - y) / y]))


def table(encoding: Encoding) -> Array:
    """The Hald picture (512, 512, 3) uint16: red changes fastest, then green, then blue."""
    axis = np.linspace(0, 1, _LEVEL**2)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    shown = to_display(np.stack([red, green, blue], axis=-1), encoding)
    side = _LEVEL**3
    return np.round(shown * 65535).astype(np.uint16).reshape(side, side, 3)


class ToDisplay:
    """Looks pictures of one encoding up in its table; sizes may change."""

    def __init__(self, encoding: Encoding) -> None:
        self._table = table(encoding)
        self._graph: Any = None
        self._size = (0, 0)

    def __call__(self, picture: Any) -> Array:
        """PyAV's picture, rgb48le in the encoding -> (H, W, 3) uint8 RGB."""
        if self._size != (picture.width, picture.height):
            self._build(picture.width, picture.height)
        picture.pts, picture.time_base = self._count, _TICK_S
        self._input.push(picture)
        self._count += 1
        return self._output.pull().to_ndarray()

    def _build(self, width: int, height: int) -> None:
        graph: Any = Graph()
        side = len(self._table)
        layout = {"format": "rgb48le", "time_base": _TICK_S}
        self._input = graph.add_buffer(width=width, height=height, **layout)
        colors = graph.add_buffer(width=side, height=side, **layout)
        look_up = graph.add("haldclut", "interp=tetrahedral")
        rounded = graph.add("format", "rgb24")
        self._output = graph.add("buffersink")
        self._input.link_to(look_up, 0, 0)
        colors.link_to(look_up, 0, 1)
        look_up.link_to(rounded)
        rounded.link_to(self._output)
        graph.configure()
        colors.push(_frame(self._table, 0))
        colors.push(None)
        self._graph, self._size, self._count = graph, (width, height), 0


def _frame(picture: Array, tick: int) -> Any:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb48le")
    frame.pts, frame.time_base = tick, _TICK_S
    return frame
