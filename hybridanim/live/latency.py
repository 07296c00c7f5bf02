"""Times of capture and output -> percentiles, rate and growth of the latency. Constant memory.

Latency is the time from the capture of a picture until every output has it. The whole run is kept
as a histogram of half milliseconds and as medians of short spans, whose slope says whether latency
grows; the values of the last two seconds are kept for the screen.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

_BIN_MS, _BINS = 0.5, 20000  # up to ten seconds
_RECENT_S = 2.0
_SPAN_S = 5.0
_MOST_SPANS = 240  # then pairs of them are merged


@dataclass(frozen=True, slots=True)
class RecentLatency:
    """Rate and latency of the last two seconds; zeros before there are two pictures."""

    rate_hz: float = 0.0
    median_ms: float = 0.0
    p95_ms: float = 0.0


class Latency:
    """Collects capture and output time of each picture; statistics are available at any time."""

    def __init__(self) -> None:
        self.count = 0
        self._bins = np.zeros(_BINS, np.int64)
        self._largest_ms = 0.0
        self._first_s = self._last_s = 0.0
        self._recent: deque[tuple[float, float]] = deque()
        self._span: list[float] = []
        self._span_start_s, self._span_s = 0.0, _SPAN_S
        self._spans: list[tuple[float, float, float]] = []  # start s, median ms, p95 ms

    def add(self, taken_s: float, shown_s: float) -> float:
        """Add one picture; returns its latency in milliseconds."""
        value_ms = 1000 * (shown_s - taken_s)
        if not self.count:
            self._first_s = self._span_start_s = shown_s
        if shown_s - self._span_start_s >= self._span_s:
            self._end_span()
            self._span_start_s = shown_s
        self.count += 1
        self._last_s = shown_s
        self._largest_ms = max(self._largest_ms, value_ms)
        self._bins[max(0, min(_BINS - 1, int(value_ms / _BIN_MS)))] += 1
        self._span.append(value_ms)
        self._recent.append((shown_s, value_ms))
        while self._recent[0][0] < shown_s - _RECENT_S:
            self._recent.popleft()
        return value_ms

    def age_s(self, now_s: float) -> float:
        """Time since the first picture was shown; 0 before it."""
        return now_s - self._first_s if self.count else 0.0

    def _end_span(self) -> None:
        if self._span:
            median, high = np.percentile(self._span, [50, 95])
            start_s = self._span_start_s - self._first_s
            self._spans.append((start_s, float(median), float(high)))
        self._span = []
        if len(self._spans) >= _MOST_SPANS:
            pairs = zip(self._spans[::2], self._spans[1::2], strict=False)
            self._spans = [(a[0], (a[1] + b[1]) / 2, max(a[2], b[2])) for a, b in pairs]
            self._span_s *= 2

    def recent(self) -> RecentLatency:
        """Rate and latency of the last two seconds."""
        if len(self._recent) < 2:
            return RecentLatency()
        span_s = self._recent[-1][0] - self._recent[0][0]
        median, high = np.percentile([value for _, value in self._recent], [50, 95])
        rate_hz = (len(self._recent) - 1) / span_s if span_s > 0 else 0.0
        return RecentLatency(rate_hz, float(median), float(high))

    def percentile_ms(self, share: float) -> float:
        """Percentile of the whole run, to half a millisecond; share in [0, 100]."""
        if not self.count:
            return 0.0
        upto = np.cumsum(self._bins)
        row = int(np.searchsorted(upto, share / 100 * self.count))
        return min(self._largest_ms, (min(row, _BINS - 1) + 0.5) * _BIN_MS)

    def growth_ms_per_minute(self) -> float:
        """Theil-Sen slope of the spans' medians; 0 with fewer than two spans."""
        times = np.array([start for start, _, _ in self._spans])
        values = np.array([median for _, median, _ in self._spans])
        first, second = np.triu_indices(len(times), 1)
        if not len(first):
            return 0.0
        return float(
            60 * np.median((values[second] - values[first]) / (times[second] - times[first]))
        )

    def report(self) -> dict[str, Any]:
        """All statistics, ready for JSON."""
        length_s = self._last_s - self._first_s
        return {
            "pictures": self.count,
            "seconds": round(length_s, 2),
            "pictures_per_s": round((self.count - 1) / length_s, 2) if length_s > 0 else 0.0,
            "latency_ms": {
                "p50": round(self.percentile_ms(50), 1),
                "p95": round(self.percentile_ms(95), 1),
                "p99": round(self.percentile_ms(99), 1),
                "largest": round(self._largest_ms, 1),
                "growth_per_minute": round(self.growth_ms_per_minute(), 2),
            },
            "spans": [
                {"from_s": round(s, 1), "p50_ms": round(m, 1), "p95_ms": round(h, 1)}
                for s, m, h in self._spans
            ],
        }
