"""Series over time -> matplotlib figures, and a figure -> inline SVG.

The SVG needs no script, font or picture from outside: its words stay text in the page's own font,
its colours are the page's CSS variables, so that they follow its light or dark theme, and nothing
in it refers to an id. The same series give the same text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridanim.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, RULE, EVENT = "#1c1e22", "#62676f", "#e4e4e0", "#d55e00"
COLOURS = ("#0072b2", "#c47a00", "#b14a86", "#00855f", "#6b5fc7", SOFT)  # of line 0, 1, ...
_VARIABLES = {c: f"var(--c{k})" for k, c in enumerate(COLOURS[:-1])} | {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    RULE: "var(--rule)",
    EVENT: "var(--event)",
}
_SETTINGS: dict[Any, str] = {"svg.fonttype": "none", "svg.hashsalt": "report"}
_WIDTH_PT = 720


def clock(seconds: float, *, fine: bool = False) -> str:
    """Seconds as m:ss, or with tenths: 75.25 -> 1:15 or 1:15.2."""
    tenths = int(10 * max(0.0, seconds) + 1e-6)
    minutes, rest = divmod(tenths, 600)
    return f"{minutes}:{rest // 10:02d}" + (f".{rest % 10}" if fine else "")


def spans_of(flags: Array) -> list[tuple[int, int]]:
    """First and one-past-last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (flags > 0).astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@dataclass(frozen=True)
class Timeline:
    """The horizontal axis that all plots share: times of the bins, and where the head was lost."""

    time_s: Array  # (bins,) start of each bin
    end_s: float
    is_lost: Array  # (bins,) share of the bin's frames

    @property
    def start_s(self) -> float:
        """Time at the left edge."""
        return float(self.time_s[0]) if len(self.time_s) else 0.0

    @property
    def edges_s(self) -> Array:
        """(bins + 1,) left edges of the bins and the right edge of the last."""
        return np.concatenate([self.time_s, [self.end_s]])

    def bands_s(self, flags: Array) -> list[tuple[float, float]]:
        """Start and length of each run of true values, long enough to be seen."""
        least_s, edges = 0.002 * (self.end_s - self.start_s), self.edges_s
        spans = [(float(edges[a]), float(edges[b] - edges[a])) for a, b in spans_of(flags)]
        return [(start_s, max(length_s, least_s)) for start_s, length_s in spans]


def line_figure(
    unit: str,
    columns: Mapping[str, Array],
    time: Timeline,
    *,
    limits: tuple[float, float] | None = None,
    least_span: float = 0.0,
    is_gap: Array | None = None,
) -> Figure:
    """One line a column, (bins,) each; values outside of the axis lie on its edge.

    limits: what the axis holds (None: all values); least_span: it covers at least this much.
    is_gap: (bins,) true where no line is drawn.
    """
    values = np.array([*columns.values()])
    low, high = limits or (float(values.min()), float(values.max()))
    margin = max(0.0, least_span - (high - low)) / 2
    figure, axes = _empty(unit, time, low - margin, high + margin)
    edges, known = time.edges_s, np.ones(values.shape[1], bool) if is_gap is None else is_gap <= 0
    alone = known & (np.convolve(known, (1, 1, 1))[1:-1] == 1)
    x = np.repeat((edges[:-1] + edges[1:]) / 2, 1 + alone)  # a value alone becomes a short line
    x[np.cumsum(1 + alone)[alone] - 1] += 1e-3 * (time.end_s - time.start_s)
    for colour, column in zip(cycle(COLOURS), values, strict=False):
        y = np.where(known, np.clip(column, *axes.get_ylim()), np.nan)
        axes.plot(x, np.repeat(y, 1 + alone), color=colour, linewidth=1.3)
    return figure


def stack_figure(
    unit: str, columns: Mapping[str, Array], time: Timeline, *, limit: tuple[float, str]
) -> Figure:
    """Areas on top of each other, (bins,) each, and a dashed line at ``limit`` (value, label).

    The line is left out where it would make the areas flat.
    """
    layers = np.cumsum([*columns.values()], axis=0)
    # a few slow frames (the first) must not flatten all others: they leave the plot at the top
    most = float(np.quantile(layers[-1], 0.98)) * 1.15
    shows_limit = 0 < limit[0] < 4 * most
    figure, axes = _empty(unit, time, 0, max(most, 1.15 * limit[0] if shows_limit else 0))
    x, below = (time.edges_s[:-1] + time.edges_s[1:]) / 2, np.zeros(layers.shape[1])
    for colour, layer in zip(cycle(COLOURS), np.minimum(layers, axes.get_ylim()[1]), strict=False):
        outline = np.concatenate([x, x[::-1]]), np.concatenate([layer, below[::-1]])
        axes.fill(*outline, facecolor=colour, alpha=0.82, linewidth=0)
        below = layer
    if shows_limit:
        axes.axhline(limit[0], color=INK, linewidth=0.9, linestyle=(0, (5, 4)))
        place = (time.end_s, limit[0])
        axes.annotate(limit[1], place, (0, 3), textcoords="offset points", ha="right", color=INK)
    return figure


def event_figure(lanes: Mapping[str, Array], time: Timeline) -> Figure:
    """One row per event type, filled while it lasts; the label gives the share of time."""
    size = {"height_pt": 22 * len(lanes) + 38, "left_pt": 140}
    figure, axes = _empty("", time, len(lanes) - 0.5, -0.5, **size)
    names = [f"{name}   {share_in_words(flags)}" for name, flags in lanes.items()]
    axes.set_yticks(range(len(lanes)), names)
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.grid(visible=False)
    for k, (colour, flags) in enumerate(
        zip(cycle((EVENT, *COLOURS[1:])), lanes.values(), strict=False)
    ):
        axes.barh(k, time.end_s - time.start_s, 0.78, time.start_s, color=SOFT, alpha=0.12)
        for start_s, length_s in time.bands_s(flags):
            axes.barh(k, length_s, 0.78, start_s, color=colour)
    return figure


def share_in_words(flags: Array) -> str:
    """The mean of flags in per cent, or "never"."""
    share = 100 * float(np.mean(flags)) if len(flags) else 0.0
    return "never" if not share else f"{share:.0f} %" if share >= 1 else f"{share:.1f} %"


def _empty(
    unit: str,
    time: Timeline,
    low: float,
    high: float,
    *,
    height_pt: float = 165,
    left_pt: float = 50,
) -> tuple[Figure, Axes]:
    """A plot without lines: an axis with round ticks that hold both values, a grid, labels.

    With a unit, bands show where the head was lost.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure = Figure((_WIDTH_PT / 72, height_pt / 72), dpi=72)
    right, top = 1 - 10 / _WIDTH_PT, 1 - 8 / height_pt
    left, bottom = left_pt / _WIDTH_PT, 30 / height_pt
    axes = figure.add_axes((left, bottom, right - left, top - bottom))
    span_s = max(time.end_s - time.start_s, 1e-6)
    axes.set_xlim(time.start_s, time.start_s + span_s)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 5, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: clock(s, fine=span_s < 6)))
    if not high - low > 1e-9:
        low, high = (low, low + 1) if np.isfinite(low) else (0.0, 1.0)
    axes.set_yticks(ticks := MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    axes.set_ylim(ticks[0], ticks[-1])
    axes.set_xlabel("time, min:s", color=SOFT, labelpad=3)
    axes.set_ylabel(unit, color=SOFT, labelpad=3)
    axes.tick_params(left=False, bottom=False, labelcolor=SOFT)
    axes.spines[:].set_visible(False)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for start_s, length_s in time.bands_s(time.is_lost) if unit else ():
        axes.axvspan(start_s, start_s + length_s, color=EVENT, alpha=0.15, linewidth=0)
    return figure, axes


def inline_svg(figure: Figure, description: str) -> str:
    """The figure as an <svg> element; the description is for those who do not see it."""
    import matplotlib
    from matplotlib.text import Text

    for artist in figure.findobj():
        artist.set_clip_on(False)  # values are clipped already; a clip path would need an id
    for text in figure.findobj(Text):
        text.set_fontsize(8)
        text.set_parse_math(False)
    for part in (figure, *figure.axes):
        part.patch.set_visible(False)
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(file, format="svg", metadata=nothing)
    text = file.getvalue()
    text = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    inside = re.sub(r"(?s)<defs>.*?</defs>|<!--.*?-->", "", text)
    inside = re.sub(r' id="[^"]*"|font-family: [^;"]*; ', "", inside)
    inside = re.sub(r"(\d\.\d\d)\d+", r"\1", re.sub(r"\s+", " ", inside))
    for colour, variable in _VARIABLES.items():
        inside = inside.replace(colour, variable)
    width, height = 72 * figure.get_size_inches()
    start = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(description)}"'
    return f"{start}>{inside}</svg>"
