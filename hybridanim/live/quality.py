"""Measured load -> quality level: down before pictures come late, up again when there is room.

Load 1 means that a picture takes as long as there is until the next one. The governor is pure: its
state goes in with the time of a measurement and comes out changed, so it is tested without a clock.
Going down is quick; going up needs calm, and more of it after each time it did not last, so that
the level does not swing. What each step costs is learned while going down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hybridanim.config import PipelineConfig

from .camera import Shot

LARGE_PX = 384  # of the animated square: below, rendering it is not what takes the time
HIGH, LOW = 0.85, 0.6  # load above which it goes down, below which it may go up
_FOLLOW_S = 0.6  # time constant of the load
_SETTLE_S = 1.5  # after a change, before the next step down: the first pictures cost more
_MEASURE_S = 3.0  # after a change, before what it has gained is known
_CALM_S = 5.0  # low load this long, before a step up
_MOST_CALM_S = 120.0
_UNLIKELY_S = 60.0  # calm before a step up that measured too dear before
_SHORT_S = 15.0  # a level that lasts less was a mistake
_MOST_CHANGES = 200  # kept for the report


@dataclass(frozen=True, slots=True)
class Quality:
    """One level: what is made cheaper."""

    name: str
    anchor_every: int = 1  # the hybrid tracker's detector looks so many times more seldom
    is_quick: bool = False  # the cheapest sampling
    is_half: bool = False  # half the side is rendered, and enlarged
    is_warp: bool = False  # the warp renderer in place of the learned one
    every: int = 1  # only every so many pictures
    reluctance: float = 1.0  # the load is taken for so much less before going down to it


@dataclass(frozen=True, slots=True)
class GovernorState:
    """What the governor remembers."""

    level: int = 0  # 0 is the best
    load: float = 0.0  # smoothed
    time_s: float | None = None  # of the last measurement
    changed_s: float = 0.0
    calm_since_s: float | None = None
    calm_s: float = _CALM_S  # how much calm the next step up needs
    went_up: bool = False  # the last change
    left_load: tuple[float, ...] = ()  # of each better level, when it was left
    ratios: tuple[float, ...] = ()  # load of each better level as a multiple of the next one's


def ladder(config: PipelineConfig) -> tuple[Quality, ...]:
    """The levels of a pipeline, best first, each one cheaper; skipping pictures comes last."""
    levels = [Quality("full")]

    def add(name: str, **changes: Any) -> None:
        levels.append(replace(levels[-1], name=name, **changes))

    # a smaller working picture is none of them: it measured as dear, as faces have 150 pixels in it
    is_large = not config.size or config.size >= LARGE_PX
    is_warp = config.render.renderer == "warp"
    if config.tracker == "hybrid":
        add("detector more seldom", anchor_every=3)
    if is_warp and is_large:
        add("quick sampling", is_quick=True)
    if is_large:
        add("half size", is_half=True)
    if not is_warp:
        add("warp renderer", is_warp=True, is_quick=True, reluctance=1.25)
    add("every second picture", every=2, reluctance=1.6)
    add("every third picture", every=3, reluctance=1.0)
    return tuple(levels)


def step(state: GovernorState, time_s: float, load: float, levels: int) -> GovernorState:
    """Take in the load of one picture; time_s: of any clock. levels: how many there are."""
    state = _followed(state, time_s, load)
    since_s = time_s - state.changed_s
    if since_s < _SETTLE_S:
        return state
    if since_s >= _MEASURE_S:
        state = _measured(state)
    if state.went_up and since_s > 4 * _SHORT_S:
        state = replace(state, calm_s=_CALM_S)  # this level has proven itself
    if state.load > HIGH and state.level < levels - 1:
        return _down(state, time_s)
    if state.load > LOW or not state.level or len(state.ratios) < state.level:
        return replace(state, calm_since_s=None)
    calm_since_s = time_s if state.calm_since_s is None else state.calm_since_s
    is_likely = state.load * state.ratios[-1] < HIGH
    needed_s = state.calm_s if is_likely else max(_UNLIKELY_S, state.calm_s)
    if time_s - calm_since_s >= needed_s:
        return _up(state, time_s)
    return replace(state, calm_since_s=calm_since_s)


def _followed(state: GovernorState, time_s: float, load: float) -> GovernorState:
    """The smoothed load; one very slow picture counts as four."""
    if state.time_s is None:
        return replace(state, time_s=time_s, changed_s=time_s, load=min(load, LOW))
    step_s = max(0.0, time_s - state.time_s)
    share = step_s / (step_s + _FOLLOW_S)
    return replace(state, time_s=time_s, load=state.load + share * (min(load, 4.0) - state.load))


def _measured(state: GovernorState) -> GovernorState:
    """Note what the last step down has gained, once."""
    if len(state.ratios) >= state.level:
        return state
    ratio = max(1.0, state.left_load[-1] / max(state.load, 1e-3))
    return replace(state, ratios=(*state.ratios, ratio))


def _down(state: GovernorState, time_s: float) -> GovernorState:
    state = _measured(state)  # if there was no time for it
    was_short = state.went_up and time_s - state.changed_s < _SHORT_S
    return replace(
        state,
        level=state.level + 1,
        changed_s=time_s,
        calm_since_s=None,
        calm_s=min(_MOST_CALM_S, 2 * state.calm_s) if was_short else state.calm_s,
        went_up=False,
        left_load=(*state.left_load, state.load),
    )


def _up(state: GovernorState, time_s: float) -> GovernorState:
    return replace(
        state,
        level=state.level - 1,
        changed_s=time_s,
        calm_since_s=None,
        went_up=True,
        left_load=state.left_load[:-1],
        ratios=state.ratios[:-1],
    )


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
        self.state = step(self.state, end_s, max(busy, late), len(self._levels))
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
