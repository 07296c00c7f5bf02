"""Measured load -> quality level: lowered before pictures are late, raised when the load is low.

A load of 1 means that a picture takes as long as the interval until the next one. ``step`` is a
pure function of state and measurement, so it is tested without a clock; QualityGovernor keeps the
state of a run. The level is lowered within seconds. It is raised only after a time of low load,
which doubles each time that the better level did not last, so that the level does not oscillate.
While it is lowered, the ratio of the loads of two neighbouring levels is measured; it predicts
whether the better one would be too slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hybridanim.config import PipelineConfig

from .camera import Shot
from .sharing import Sharing

LARGE_PX = 384  # side of the animated square; below, rendering is not what takes the time
HIGH, LOW = 0.85, 0.6  # load above which the level is lowered, below which it may be raised
_MOST_LOAD = 4.0  # that one picture counts for
_LOAD_TIME_CONSTANT_S = 0.6  # time constant of the load
_SETTLE_S = 1.5  # after a change, before the next: the first pictures take longer
_LATE = 1.5  # of the latency: beyond it pictures are skipped, by which it falls a little
_MEASURE_S = 3.0  # after a change, before the ratio of the loads is measured
_LOW_S = 5.0  # of low load, before the level is raised
_MOST_LOW_S = 120.0  # bound of the doubling
_UNLIKELY_S = 60.0  # of low load, before a level that the ratio predicts to be too slow
_SHORT_LIVED_S = 15.0  # a raised level that lasts less doubles the time of low load
_MOST_CHANGES = 200  # of the level, kept for the report


@dataclass(frozen=True, slots=True)
class Quality:
    """One quality level."""

    name: str
    anchor_every: int = 1  # factor of the interval between the hybrid tracker's detections
    is_quick: bool = False  # linear sampling
    is_half: bool = False  # half the side is rendered, then enlarged
    is_warp: bool = False  # the warp renderer replaces the learned one
    every: int = 1  # only every n-th picture is animated
    tolerance: float = 1.0  # the load is divided by it while deciding to lower to this level
    threads: int = 0  # of OpenCV and of each network; 0 = all


@dataclass(frozen=True, slots=True)
class GovernorState:
    """The state of ``step``."""

    level: int = 0  # 0 is the best
    load: float = 0.0  # smoothed
    time_s: float | None = None  # of the last measurement
    changed_s: float = 0.0
    low_since_s: float | None = None  # since when the load has been low
    needed_s: float = _LOW_S  # time of low load before the level is raised
    went_up: bool = False  # whether the last change raised the level
    left_load: tuple[float, ...] = ()  # load of each better level, when it was left
    ratios: tuple[float, ...] = ()  # load of each better level as a multiple of the next one's


def quality_levels(
    config: PipelineConfig,
    *,
    uses_anchors: bool = False,
    uses_networks: bool = False,
    is_more_than_warp: bool = False,
) -> tuple[Quality, ...]:
    """The levels of a pipeline, best first; each one takes less time, skipping comes last.

    uses_anchors: of the config's tracker; uses_networks, is_more_than_warp: of its renderer.
    """
    levels = [Quality("full")]

    def add(name: str, **changes: Any) -> None:
        levels.append(replace(levels[-1], name=name, **changes))

    # a smaller working picture is no level: measured, it is not faster, as faces have 150 pixels
    is_large = not config.size or config.size >= LARGE_PX
    if uses_anchors:
        add("detector more seldom", anchor_every=3)
    if is_large and not uses_networks:
        add("quick sampling", is_quick=True)
    if is_large:
        add("half size", is_half=True)
    if is_more_than_warp:
        add("warp renderer", is_warp=True, is_quick=True, tolerance=1.25)
    # late pictures are dropped as well: skipping helps only where less than every second is shown
    add("every second picture", every=2, tolerance=2.2)
    add("every third picture", every=3, tolerance=1.5)
    return tuple(levels)


def step(state: GovernorState, time_s: float, load: float, levels: int) -> GovernorState:
    """The state after the load of one picture.

    time_s: of the measurement, by any clock. levels: number of levels.
    """
    state = _with_load(state, time_s, load)
    since_s = time_s - state.changed_s
    if since_s < _SETTLE_S:
        return state
    if since_s >= _MEASURE_S:
        state = _with_ratio(state)
    if state.went_up and since_s > 4 * _SHORT_LIVED_S:
        state = replace(state, needed_s=_LOW_S)  # the raised level has lasted
    if state.load > HIGH and state.level < levels - 1:
        return _down(state, time_s)
    if state.load > LOW or not state.level or len(state.ratios) < state.level:
        return replace(state, low_since_s=None)
    low_since_s = time_s if state.low_since_s is None else state.low_since_s
    is_likely = state.load * state.ratios[-1] < HIGH
    needed_s = state.needed_s if is_likely else max(_UNLIKELY_S, state.needed_s)
    if time_s - low_since_s >= needed_s:
        return _up(state, time_s)
    return replace(state, low_since_s=low_since_s)


def _with_load(state: GovernorState, time_s: float, load: float) -> GovernorState:
    """Low-pass the load; one very slow picture counts as ``_MOST_LOAD`` at most."""
    if state.time_s is None:
        return replace(state, time_s=time_s, changed_s=time_s, load=min(load, LOW))
    step_s = max(0.0, time_s - state.time_s)
    share = step_s / (step_s + _LOAD_TIME_CONSTANT_S)
    return replace(
        state, time_s=time_s, load=state.load + share * (min(load, _MOST_LOAD) - state.load)
    )


def _with_ratio(state: GovernorState) -> GovernorState:
    """Append the ratio of the loads before and after the last lowering, once."""
    if len(state.ratios) >= state.level:
        return state
    ratio = max(1.0, state.left_load[-1] / max(state.load, 1e-3))
    return replace(state, ratios=(*state.ratios, ratio))


def _down(state: GovernorState, time_s: float) -> GovernorState:
    state = _with_ratio(state)  # in case the level lasted less than _MEASURE_S
    was_short = state.went_up and time_s - state.changed_s < _SHORT_LIVED_S
    return replace(
        state,
        level=state.level + 1,
        changed_s=time_s,
        low_since_s=None,
        needed_s=min(_MOST_LOW_S, 2 * state.needed_s) if was_short else state.needed_s,
        went_up=False,
        left_load=(*state.left_load, state.load),
    )


def _up(state: GovernorState, time_s: float) -> GovernorState:
    return replace(
        state,
        level=state.level - 1,
        changed_s=time_s,
        low_since_s=None,
        went_up=True,
        left_load=state.left_load[:-1],
        ratios=state.ratios[:-1],
    )


class QualityGovernor:
    """Keeps the governor's state in a run, measures the load, and skips pictures."""

    def __init__(
        self, levels: tuple[Quality, ...], latency_ms: float, sharing: Sharing | None = None
    ) -> None:
        """levels: best first; empty = the quality is never lowered. latency_ms: upper bound.

        sharing: chooses the threads; None = their number stays.
        """
        self.state = GovernorState()
        self.left_out = 0
        self._sharing = sharing
        self._levels, self._latency_ms = levels or (Quality("full"),), latency_ms
        self._interval_s = 1 / 30
        self._seen: Shot | None = None
        self._animated = -1  # number of the last shot that was wanted
        self._start_s: float | None = None
        self._changes: list[dict[str, Any]] = []

    @property
    def quality(self) -> Quality:
        """The current level, with the current number of threads."""
        level = self._levels[self.state.level]
        if self._sharing is None or not self._sharing.is_lowered:
            return level
        return replace(level, threads=self._sharing.threads)

    def choose_start(self, measure: Callable[[Quality], float]) -> None:
        """Begin at the best level that is fast enough, without skipping pictures.

        measure: a level -> seconds that one picture takes at it.
        """
        last = sum(level.every == 1 for level in self._levels) - 1
        while True:
            load = measure(self.quality) / (self._interval_s * self._tolerance())
            self.state = replace(self.state, load=min(load, _MOST_LOAD))
            if load <= HIGH or self.state.level == last:
                break
            self.state = _down(self.state, 0.0)
        if self.state.level:
            self._note(0.0)

    def is_wanted(self, shot: Shot) -> bool:
        """Whether this shot is to be animated; also measures the camera's rate."""
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

    def record(self, shot: Shot, start_s: float, end_s: float) -> bool:
        """Take in when a shot was animated; returns whether the level or the threads changed."""
        every, before = self.quality.every, self.state.level
        busy = (end_s - start_s) / (self._interval_s * every * self._tolerance())
        late = 1000 * (end_s - shot.time_s) / self._latency_ms / min(_LATE, self._tolerance())
        self.state = step(self.state, end_s, max(busy, late), len(self._levels))
        self._start_s = start_s if self._start_s is None else self._start_s
        has_other_threads = self._sharing is not None and self._sharing.update(end_s)
        if self.state.level == before and not has_other_threads:
            return False
        self._note(end_s - self._start_s)
        return True

    def _note(self, time_s: float) -> None:
        """Keep the level that was chosen, for the report."""
        change = {
            "at_s": round(time_s, 1),
            "to": self.quality.name,
            "load": round(self.state.load, 2),
            **self._shared(),
        }
        self._changes = [*self._changes, change][-_MOST_CHANGES:]

    def _tolerance(self) -> float:
        """Of the next lower level; above 1 where the step is visible."""
        is_last = self.state.level + 1 >= len(self._levels)
        return 1.0 if is_last else self._levels[self.state.level + 1].tolerance

    def _shared(self) -> dict[str, Any]:
        """Threads, and processors that other programs use, ready for JSON."""
        if self._sharing is None:
            return {}
        return {"threads": self._sharing.threads, "others": round(self._sharing.others, 2)}

    def text(self) -> str:
        """What is lowered, and why; "" at full quality with all threads."""
        lowered, sharing = [self.quality.name] if self.state.level else [], self._sharing
        if sharing is not None and sharing.is_lowered:
            lowered.append(f"{sharing.threads} of {sharing.most} threads")
        if not lowered:
            return ""
        cause = "" if sharing is None else sharing.cause()
        return "; ".join(part for part in (f"lowered: {', '.join(lowered)}", cause) if part)

    def report(self) -> dict[str, Any]:
        """Level, load and changes of the level, ready for JSON."""
        return {
            "now": self.quality.name,
            "load": round(self.state.load, 2),
            "changes": self._changes,
            "said": self.text(),
            **self._shared(),
        }
