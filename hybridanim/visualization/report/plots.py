"""Series over time -> plots as inline SVG in HTML figures; no script, font or picture from outside.

The SVG is stretched to the page's width, its strokes and all words are not: labels are HTML, so
that they stay readable on a phone. Line k has the style class ``line-k``; colours are the page's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from hybridanim.types import Array

WIDTH, HEIGHT = 1000, 200  # of the drawing's own coordinates


@dataclass(frozen=True)
class Axis:
    """What a plot's vertical axis covers."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def y(self, values: Array | float) -> Array:
        """Values to drawing coordinates, clipped to the plot."""
        share = (np.asarray(values, float) - self.low) / (self.high - self.low)
        return HEIGHT * (1 - np.clip(share, 0, 1))


def nice_axis(low: float, high: float, *, wanted: int = 4) -> Axis:
    """Round limits that hold both values, and about ``wanted`` round ticks."""
    if not (np.isfinite(low) and np.isfinite(high)) or high - low < 1e-9:
        low, high = (0.0, 1.0) if not np.isfinite(low) else (low, low + 1)
    rough = (high - low) / wanted
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if rough <= m * power * 1.0001)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    ticks = tuple(float(step * k) for k in np.arange(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def clock(seconds: float, *, fine: bool = False) -> str:
    """Seconds as m:ss, with one more digit where wanted: 75.25 -> 1:15 or 1:15.2."""
    minutes, rest = divmod(max(0.0, seconds), 60)
    if fine:
        tenths = int(rest * 10)
        return f"{int(minutes)}:{tenths // 10:02d}.{tenths % 10}"
    return f"{int(minutes)}:{int(rest):02d}"


def time_ticks(start_s: float, end_s: float, wanted: int = 5) -> list[float]:
    """Round times within the span."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
    span = max(end_s - start_s, 0.1)
    step = next((s for s in steps if span / s <= wanted + 1), steps[-1] * np.ceil(span / 3e4))
    first = np.ceil(start_s / step - 1e-9)
    return [float(step * k) for k in np.arange(first, np.floor(end_s / step + 1e-9) + 1)]


def broken_path(x: Array, y: Array, is_gap: Array) -> str:
    """SVG path through the points, with nothing drawn where there is a gap."""
    runs = spans_of(~np.asarray(is_gap, bool))
    # a run of one point gets a tiny line, which would not be seen otherwise
    parts = [(x[a:b], y[a:b]) if b - a > 1 else (x[a] + [-0.5, 0.5], y[[a, a]]) for a, b in runs]
    return "".join(path_of(*part) for part in parts)


def path_of(x: Array, y: Array, *, close_at: Array | None = None) -> str:
    """SVG path through the points, closed back along ``close_at`` (its y) for an area."""
    points = [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)]
    if close_at is not None:
        points += [f"{a:.1f},{b:.1f}" for a, b in zip(x[::-1], close_at[::-1], strict=True)]
    return "M" + "L".join(points) + ("Z" if close_at is not None else "")


def spans_of(flags: Array) -> list[tuple[int, int]]:
    """First and one-past-last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (flags > 0).astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@dataclass(frozen=True)
class Timeline:
    """The common horizontal axis: bin times, and where the head was lost."""

    time_s: Array  # (bins,) start of each bin
    end_s: float
    is_lost: Array  # (bins,) share of the bin's frames

    @property
    def start_s(self) -> float:
        """Time at the left edge."""
        return float(self.time_s[0]) if len(self.time_s) else 0.0

    def x(self, time_s: Array | float) -> Array:
        """Times to drawing coordinates."""
        span = max(self.end_s - self.start_s, 1e-6)
        return WIDTH * np.clip((np.asarray(time_s, float) - self.start_s) / span, 0, 1)

    def edges(self) -> Array:
        """(bins + 1,) left edges of the bins and the right edge of the last."""
        return np.concatenate([self.x(self.time_s), [WIDTH]])

    def bands(self, flags: Array, style: str, top: float = 0, height: float = HEIGHT) -> str:
        """Rectangles where the flags are set, at least two units wide so that none is missed."""
        edges = self.edges()
        return "".join(
            f'<rect class="{style}" x="{edges[a]:.1f}" y="{top:g}" height="{height:g}" '
            f'width="{max(edges[b] - edges[a], 2):.1f}"/>'
            for a, b in spans_of(flags)
        )


def _is_round(value: float, digits: int) -> bool:
    return abs(value - round(value, digits)) < 1e-9


def _frame(
    axis: Axis, marks: str, *, title: str, unit: str, names: Sequence[str], time: Timeline, alt: str
) -> str:
    """The figure around the marks: caption with legend, grid, labels of both axes."""
    lines = "".join(
        f'<line class="rule" x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y in axis.y(np.array(axis.ticks))
    )
    digits = next((d for d in (0, 1, 2) if all(_is_round(t, d) for t in axis.ticks)), 3)
    labels = "".join(
        f'<span style="top:{100 * float(axis.y(t)) / HEIGHT:.1f}%">{t:.{digits}f}</span>'
        for t in axis.ticks
    )
    chips = "".join(
        f'<li><i class="chip line-{k}"></i>{escape(name)} <b data-line="{k}"></b></li>'
        for k, name in enumerate(names)
    )
    return (
        f'<figure class="plot"><figcaption><strong>{escape(title)}</strong> '
        f'<span class="unit">{escape(unit)}</span><ul class="legend">{chips}</ul></figcaption>'
        f'<div class="area"><div class="y" aria-hidden="true">{labels}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(alt)}">{time.bands(time.is_lost, "lost")}{lines}{marks}</svg>'
        f'<div class="cursor" hidden></div></div>{time_labels(time)}</figure>'
    )


def time_labels(time: Timeline) -> str:
    """The row of times below a plot."""
    ticks = time_ticks(time.start_s, time.end_s)
    is_fine = len(ticks) > 1 and ticks[1] - ticks[0] < 1
    words = "".join(
        f'<span style="left:{float(time.x(t)) / WIDTH * 100:.1f}%">{clock(t, fine=is_fine)}</span>'
        for t in ticks
    )
    return f'<div class="x" aria-hidden="true">{words}</div>'


def line_plot(
    title: str,
    unit: str,
    columns: Mapping[str, Array],
    time: Timeline,
    *,
    limits: tuple[float, float] | None = None,
    least_span: float = 0.0,
    is_gap: Array | None = None,
) -> str:
    """Lines over time with a legend.

    least_span: the axis covers at least this much. is_gap: (bins,) where nothing is known.
    """
    everything = np.concatenate([np.ravel(v) for v in columns.values()] or [np.zeros(1)])
    low, high = limits or (float(everything.min()), float(everything.max()))
    if high - low < least_span:
        middle = (low + high) / 2
        low, high = middle - least_span / 2, middle + least_span / 2
    axis = nice_axis(low, high)
    x = (time.edges()[:-1] + time.edges()[1:]) / 2
    gaps = np.zeros(len(x), bool) if is_gap is None else np.asarray(is_gap) > 0
    marks = "".join(
        f'<path class="line line-{k}" d="{broken_path(x, axis.y(values), gaps)}"/>'
        for k, values in enumerate(columns.values())
        if len(values)
    )
    alt = f"{title}: " + "; ".join(
        f"{name} from {values.min():.4g} to {values.max():.4g}"
        for name, values in columns.items()
        if len(values)
    )
    return _frame(axis, marks, title=title, unit=unit, names=[*columns], time=time, alt=alt)


def stack_plot(
    title: str,
    unit: str,
    columns: Mapping[str, Array],
    time: Timeline,
    *,
    limit: tuple[float, str] | None = None,
) -> str:
    """Areas on top of each other, and a dashed line at ``limit`` (value, words)."""
    layers = np.cumsum([*columns.values()], axis=0) if columns else np.zeros((0, 0))
    # a few slow frames (the first) must not flatten all others: they leave the plot at the top
    most = float(np.quantile(layers[-1], 0.98)) * 1.15 if layers.size else 1.0
    shows_limit = limit is not None and limit[0] < 4 * most
    axis = nice_axis(0, max(most, limit[0] * 1.05 if limit and shows_limit else 0))
    x = (time.edges()[:-1] + time.edges()[1:]) / 2
    marks, below = "", np.zeros_like(x)
    for k, layer in enumerate(layers):
        d = path_of(x, axis.y(layer), close_at=axis.y(below))
        marks += f'<path class="fill line-{k}" d="{d}"/>'
        below = layer
    note = ""
    if limit and shows_limit:
        y = float(axis.y(limit[0]))
        marks += f'<line class="limit" x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        note = f"; dashed: {limit[1]}"
    means = {name: float(np.mean(v)) if len(v) else 0.0 for name, v in columns.items()}
    alt = f"{title}, mean: " + "; ".join(f"{name} {v:.3g} {unit}" for name, v in means.items())
    return _frame(axis, marks, title=title, unit=unit + note, names=[*columns], time=time, alt=alt)


def event_plot(title: str, lanes: Mapping[str, Array], time: Timeline) -> str:
    """One lane a kind of event, filled while it lasts."""
    rows = ""
    for k, (name, flags) in enumerate(lanes.items()):
        share = 100 * float(np.mean(flags)) if len(flags) else 0.0
        bands = time.bands(flags, f"event event-{k}", 0, 20)
        words = "never" if not share else f"{share:.0f} %" if share >= 1 else f"{share:.1f} %"
        rows += (
            f'<div class="lane"><span>{escape(name)} <em>{words}</em></span>'
            f'<svg viewBox="0 0 {WIDTH} 20" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(name)}: {words} of the time">{bands}</svg></div>'
        )
    return (
        f'<figure class="plot events"><figcaption><strong>{escape(title)}</strong></figcaption>'
        f'<div class="area">{rows}<div class="cursor" hidden></div></div>'
        f"{time_labels(time)}</figure>"
    )
