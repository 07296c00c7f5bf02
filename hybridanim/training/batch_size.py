"""How many samples a step has: the smallest number at which a device is nearly at its fastest.

A larger batch than that costs steps and brings little: on a GPU small batches leave most of it
idle, on a processor the time grows with the batch from the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from . import device as devices

CANDIDATES = (8, 16, 32, 64, 128, 256)
_ENOUGH = 0.85  # of the highest rate
_MOST_MEMORY = 0.6  # share of the GPU's memory that a trial may take
_WARM, _TIMED = 2, 3  # steps of a trial


def fastest(
    step: Callable[[int], None],
    device: torch.device,
    candidates: Sequence[int] = CANDIDATES,
    most_s: float = 25.0,
    clock: Callable[[], float] = time.perf_counter,
    report: Callable[[str], None] = lambda line: None,
) -> int:
    """The smallest of the candidates with 85 % of the highest number of samples per second.

    step: does one step with so many samples. Candidates go up until memory ends, until larger ones
    are no faster, or until ``most_s`` are over; the first one is always tried.
    """
    began_s, rates = clock(), dict[int, float]()
    for count in candidates:
        try:
            rates[count] = count / _seconds(step, count, device, clock)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        best = max(rates.values())
        is_slower = len(rates) > 1 and rates[count] < 1.1 * max(list(rates.values())[:-1])
        # the next one takes twice the memory and the time
        took_s = clock() - began_s
        last_s = (_WARM + _TIMED) * count / rates[count]
        if is_slower or took_s + 2 * last_s > most_s or _memory_share(device) > _MOST_MEMORY / 2:
            break
    best = max(rates.values(), default=0.0)
    chosen = next((n for n, rate in rates.items() if rate >= _ENOUGH * best), candidates[0])
    shown = ", ".join(f"{n}: {rate:.1f}/s" for n, rate in rates.items())
    report(f"Batches of {chosen} ({shown} on {device.type})")
    return chosen


def _seconds(
    step: Callable[[int], None], count: int, device: torch.device, clock: Callable[[], float]
) -> float:
    """Time of one step."""
    for _ in range(_WARM):
        step(count)
    devices.synchronise(device)
    began_s = clock()
    for _ in range(_TIMED):
        step(count)
    devices.synchronise(device)
    return max(1e-9, (clock() - began_s) / _TIMED)


def _memory_share(device: torch.device) -> float:
    """Largest share of the GPU's memory so far; 0 on a processor."""
    if device.type != "cuda":
        return 0.0
    whole = torch.cuda.get_device_properties(device).total_memory
    return torch.cuda.max_memory_allocated(device) / whole
