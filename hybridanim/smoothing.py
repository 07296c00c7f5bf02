"""One-Euro filter on arrays: steady when things rest, quick when they move.

step(state, x) -> (state, y). Casiez, Roussel, Vogel, "1 Euro Filter", CHI 2012, algorithm 1: a
low-pass whose cutoff grows with the (itself low-passed) speed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .types import Array

_SPEED_CUTOFF_HZ = 1.0  # the paper's value for the derivative


@dataclass(frozen=True, slots=True)
class OneEuroState:
    """What the filter remembers: the last output, its speed and when that was."""

    value: Array
    speed: Array
    time_s: float


def one_euro_step(
    state: OneEuroState | None,
    value: Array,
    time_s: float,
    *,
    min_cutoff_hz: float,
    beta: float,
) -> tuple[OneEuroState, Array]:
    """Filter one sample of any shape; every element has its own cutoff.

    min_cutoff_hz: cutoff at rest (lower = steadier). beta: cutoff per unit of speed, in
    hertz per (unit / second) (higher = less lag). A time that does not advance keeps the state.
    """
    if state is None or state.value.shape != value.shape:
        return OneEuroState(value, np.zeros_like(value), time_s), value
    step_s = time_s - state.time_s
    if step_s <= 0:
        return state, state.value
    raw_speed = (value - state.value) / step_s
    speed = state.speed + low_pass_gain(_SPEED_CUTOFF_HZ, step_s) * (raw_speed - state.speed)
    gain = low_pass_gain(min_cutoff_hz + beta * np.abs(speed), step_s)
    smooth = (state.value + gain * (value - state.value)).astype(value.dtype)
    return OneEuroState(smooth, speed.astype(value.dtype), time_s), smooth


def cutoff_hz(amount: float) -> float:
    """Cutoff at rest of a user's amount of smoothing in [0, 1]: 2.5 Hz at 0.5, 0.3 Hz at 1."""
    return 20 * 0.0156**amount


def low_pass_gain(cutoff_hz: Array | float, step_s: float) -> Array | float:
    """Share of the new sample in a first-order low-pass of that cutoff, over one time step."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff_hz * step_s))
