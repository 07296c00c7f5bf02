"""How much of the processors other programs use, and how many threads to run beside them.

Read from the system's counters, on Linux. Elsewhere nothing is known, and all processors count as
free. Programs of lower priority do not count, since they give way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_COUNTERS = Path("/proc/stat")
_LEAST_S = 0.1  # the counters have steps of 10 ms
_LOWER, _RAISE = 0.5, 0.75  # processors; apart, so that the number does not change back and forth


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one time."""

    time_s: float
    busy_s: float  # of all programs on all processors, since the machine started
    own_s: float  # of this process


def count() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read() -> Reading | None:
    """The counters now; None where the system has none."""
    try:
        words = _COUNTERS.read_text().split("\n", 1)[0].split()
        user, nice, system, _, _, irq, softirq, steal = (int(word) for word in words[1:9])
    except (OSError, ValueError):
        return None
    ticks = user + system + irq + softirq + steal + (nice if os.nice(0) > 0 else 0)
    return Reading(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time())


def used_by_others(before: Reading | None, after: Reading | None) -> float:
    """Processors that other programs have used between two readings; 0 where that is unknown."""
    if before is None or after is None or after.time_s <= before.time_s:
        return 0.0
    others_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return max(0.0, others_s / (after.time_s - before.time_s))


def threads_for(free: float, now: int, most: int) -> int:
    """Threads to use, of ``most``, on so many free processors; now: the number so far.

    Near a whole number of free processors the number stays as it is.
    """
    while now > 1 and free < now - _LOWER:
        now -= 1
    while now < most and free > now + _RAISE:
        now += 1
    return now


class Watch:
    """Measures what other programs use, from each call to the next."""

    def __init__(
        self,
        read: Callable[[], Reading | None] = read,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin now; read, sleep: replaced by tests."""
        self._read, self._sleep = read, sleep
        self._before = read()

    def others(self) -> float:
        """Processors that other programs have used since the last call; waits for 0.1 s at most."""
        after = self._read()
        if self._before is not None and after is not None:
            missing_s = self._before.time_s + _LEAST_S - after.time_s
            if missing_s > 0:
                self._sleep(missing_s)
                after = self._read()
        found = used_by_others(self._before, after)
        self._before = after
        return found
