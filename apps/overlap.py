"""Steps that process different items at the same time, each in a thread; order is preserved.

``overlapped(frames, [follow], [draw])`` yields ``draw(follow(frame))`` for each frame, like a plain
loop, while the next frames are already being followed. A step with one function gets the items in
order, one at a time, so it may keep state; the functions of a step with several alternate, each in
a thread of its own. At most ``in_flight`` items are processed at a time, however slow the consumer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from typing import Any

IN_FLIGHT = 5  # items: one per thread, one at the consumer, one to even out slow frames
Step = Sequence[Callable[[Any], Any]]


def overlapped(items: Iterable[Any], *steps: Step, in_flight: int = IN_FLIGHT) -> Generator[Any]:
    """Yield the result of all steps for each item; ``items`` is read in the consumer's thread.

    An exception of a step or of ``items`` is raised here, after the results of the items before it.
    Closing the iterator (contextlib.closing) ends the threads after their current items.
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
            except Exception as raised:  # raised after the results of earlier items
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
    """Queue one item in every step; each step waits for the result of the previous one."""
    before: Future[Any] = Future()
    before.set_result(item)
    for step, pools in zip(steps, threads, strict=True):
        which = turn % len(step)
        before = pools[which].submit(_after, before, step[which])
    return before


def _after(before: Future[Any], function: Callable[[Any], Any]) -> Any:
    return function(before.result())
