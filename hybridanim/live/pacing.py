"""Times of the live loop -> load -> the governor's level; which shots are left out."""

from __future__ import annotations

from typing import Any

from . import quality as governor
from .camera import Shot
from .quality import GovernorState, Quality

_MOST_CHANGES = 200  # kept for the report


class Pacer:
    """Keeps the governor's state and feeds it with what each picture took."""

    def __init__(self, levels: tuple[Quality, ...], latency_ms: float) -> None:
        """levels: best first; none = the quality is never lowered. latency_ms: to stay below."""
        self.state = GovernorState()
        self.left_out = 0
        self._levels, self._latency_ms = levels or (Quality("full"),), latency_ms
        self._interval_s = 1 / 30
        self._seen: Shot | None = None
        self._animated = -1  # number of the last shot that was wanted
        self._start_s: float | None = None
        self._changes: list[dict[str, Any]] = []

    @property
    def quality(self) -> Quality:
        """The level now."""
        return self._levels[self.state.level]

    def is_wanted(self, shot: Shot) -> bool:
        """Whether this shot is to be animated; also learns the camera's rate from it."""
        if self._seen is not None and shot.number > self._seen.number:
            steps = shot.number - self._seen.number
            interval_s = (shot.time_s - self._seen.time_s) / steps
            self._interval_s += 0.1 * (min(1.0, max(0.002, interval_s)) - self._interval_s)
        self._seen = shot
        if shot.number - self._animated < self.quality.every and self._animated >= 0:
            self.left_out += 1
            return False
        self._animated = shot.number
        return True

    def took(self, shot: Shot, start_s: float, end_s: float) -> bool:
        """A shot was animated between these times; whether the level changed."""
        every, before = self.quality.every, self.state.level
        busy = (end_s - start_s) / (self._interval_s * every * self._tolerance())
        late = 1000 * (end_s - shot.time_s) / self._latency_ms
        self.state = governor.step(self.state, end_s, max(busy, late), len(self._levels))
        self._start_s = start_s if self._start_s is None else self._start_s
        if self.state.level == before:
            return False
        change = {
            "at_s": round(end_s - self._start_s, 1),
            "to": self.quality.name,
            "load": round(self.state.load, 2),
        }
        self._changes = [*self._changes, change][-_MOST_CHANGES:]
        return True

    def _tolerance(self) -> float:
        """More than 1 before a step that shows: late pictures are left out by themselves."""
        is_last = self.state.level + 1 >= len(self._levels)
        return 1.0 if is_last else self._levels[self.state.level + 1].reluctance

    def figures(self) -> dict[str, Any]:
        """For the report."""
        return {
            "now": self.quality.name,
            "load": round(self.state.load, 2),
            "changes": self._changes,
        }
