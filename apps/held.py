"""Frames whose motion was held, by time -> sentences for the end of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hybridanim.types import Results
from hybridanim.visualization.run_statistics import IMPLAUSIBLE

_MOST_LINES = 6


@dataclass
class Stretch:
    """Frames in a row whose motion was held."""

    start_s: float
    end_s: float
    reasons: Counter[str] = field(default_factory=Counter)  # of its frames

    @property
    def length_s(self) -> float:
        """From its first frame to the first one after it."""
        return self.end_s - self.start_s

    def __str__(self) -> str:
        why = self.reasons.most_common(1)[0][0]
        return f"{clock(self.start_s)} to {clock(self.end_s)}: {why}; held"


class HeldStretches:
    """Collects the stretches of a run, frame by frame."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self._is_open = False
        self._last_s = 0.0

    def add(self, results: Results) -> None:
        """Take in the next frame."""
        time_s, is_held = results.frame.time_s, results.points.is_frozen
        if self._is_open:
            self.stretches[-1].end_s = time_s
        if is_held and not self._is_open:
            self.stretches.append(Stretch(time_s, time_s))
        if is_held:
            self.stretches[-1].reasons[results.tracks.lost or IMPLAUSIBLE] += 1
        self._is_open, self._last_s = is_held, time_s

    def finish(self, frame_s: float) -> None:
        """End the run; frame_s: the length of its last frame."""
        if self._is_open:
            self.stretches[-1].end_s = self._last_s + frame_s
        self._is_open = False

    def sentences(self) -> list[str]:
        """The longest stretches in the order of time, and how much more there is."""
        by_length = sorted(self.stretches, key=lambda one: -one.length_s)
        rest_s = sum(one.length_s for one in by_length[_MOST_LINES:])
        shown = sorted(by_length[:_MOST_LINES], key=lambda one: one.start_s)
        lines = [str(one) for one in shown]
        if len(by_length) > _MOST_LINES:
            more = len(by_length) - _MOST_LINES
            lines.append(f"{more} shorter ones, {rest_s:.1f} s in all: held.")
        return lines


def clock(time_s: float) -> str:
    """Seconds as m:ss, with tenths where they are not 0: 61.8 -> 1:01.8."""
    tenths = round(10 * max(0.0, time_s))
    minutes, rest = divmod(tenths, 600)
    return f"{minutes}:{rest // 10:02d}" + (f".{rest % 10}" if rest % 10 else "")
