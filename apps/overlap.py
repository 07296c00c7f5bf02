"""Steps that work on different items at the same time, each in a thread, in the items' order.

``overlapped(frames, [follow], [draw])`` gives ``draw(follow(frame))`` for one frame after another,
as a plain loop would, while the next frames are already being followed. A step with one function
sees the items in order and one at a time, so it may keep state; the functions of a step with
several take turns, each in a thread of its own. At most ``in_flight`` items are between coming in
and going out, however slow the taker is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from typing import Any

IN_FLIGHT = 5  # items: one a thread, one that is taken, one to even out slow frames
Step = Sequence[Callable[[Any], Any]]


def overlapped(items: Iterable[Any], *steps: Step, in_flight: int = IN_FLIGHT) -> Generator[Any]:
    """The results of all steps on each item, in order; ``items`` is read in the taker's thread.

    What a step or ``items`` raises is raised here, after the results of the items before. Closing
    the iterator (contextlib.closing) ends the threads once they are through with what they are at.
    """
    with ExitStack() as stack:
        threads = [[_thread(stack) for _ in step] for step in steps]
        waiting: deque[Future[Any]] = deque()
        coming = iter(items)
        error: Exception | None = None
        for turn in count():
            try:
                item = next(coming)
            except StopIteration:
                break
            except Exception as raised:  # the results of the items before come first
                error = raised
                break
            waiting.append(_through(item, turn, steps, threads))
            if len(waiting) >= in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if error is not None:
            raise error


def _thread(stack: ExitStack) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(1, "step")
    stack.callback(pool.shutdown, cancel_futures=True)
    return pool


def _through(
    item: Any, turn: int, steps: tuple[Step, ...], threads: list[list[ThreadPoolExecutor]]
) -> Future[Any]:
    """Queue one item in every step; each step waits for the result of the one before it."""
    before: Future[Any] = Future()
    before.set_result(item)
    for step, pools in zip(steps, threads, strict=True):
        which = turn % len(step)
        before = pools[which].submit(_after, before, step[which])
    return before


def _after(before: Future[Any], function: Callable[[Any], Any]) -> Any:
    return function(before.result())
