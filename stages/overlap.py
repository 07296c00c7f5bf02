"""Steps that work on different items at the same time, each in a thread, in the items' order.

``overlapped(frames, follow, draw)`` gives ``draw(follow(frame))`` for one frame after the other, as
a plain loop would, while the next frames are already being followed. A step sees the items in order
and one at a time, so it may keep state. At most ``in_flight`` items are between coming in and going
out, however slow the taker is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import cv2

IN_FLIGHT = 4  # items; one a step, one that is taken, one to even out slow frames


def overlapped(
    items: Iterable[Any], *steps: Callable[[Any], Any], in_flight: int = IN_FLIGHT
) -> Generator[Any]:
    """The results of all steps on each item, in order; ``items`` is read in the taker's thread.

    What a step or ``items`` raises is raised here, after the results of the items before. Closing
    the iterator (contextlib.closing) ends the threads once they are through with what they are at.
    """
    with ExitStack() as stack:
        pools = [ThreadPoolExecutor(1, f"step {n}") for n in range(1, len(steps) + 1)]
        for pool in pools:
            stack.callback(pool.shutdown, cancel_futures=True)
        waiting: deque[Future[Any]] = deque()
        coming = iter(items)
        error: Exception | None = None
        while error is None:
            try:
                item = next(coming)
            except StopIteration:
                break
            except Exception as raised:  # the results of the items before come first
                error = raised
                break
            waiting.append(_through(item, steps, pools))
            if len(waiting) >= in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if error is not None:
            raise error


def _through(
    item: Any, steps: tuple[Callable[[Any], Any], ...], pools: list[ThreadPoolExecutor]
) -> Future[Any]:
    """Queue one item in every step; each step waits for the result of the one before it."""
    before: Future[Any] = Future()
    before.set_result(item)
    for step, pool in zip(steps, pools, strict=True):
        before = pool.submit(_after, before, step)
    return before


def _after(before: Future[Any], step: Callable[[Any], Any]) -> Any:
    return step(before.result())


@contextmanager
def shared_processors() -> Iterator[None]:
    """OpenCV at half its threads, as two steps need processors at the same time.

    Its idle threads wait by spinning: on two processors, a frame at 256x256 costs 21 ms of their
    time like this and 27 ms otherwise, at 512x512 33 and 39 ms.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(max(1, before // 2))
    try:
        yield
    finally:
        cv2.setNumThreads(before)
