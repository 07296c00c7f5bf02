"""A slot between two threads in which the newest item wins.

put() never waits: when nobody took the item before, it is dropped and counted. So a slow reader
never makes a fast writer late, and never sees anything old.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most ``capacity`` items; usable from any thread."""

    def __init__(self, capacity: int = 1) -> None:
        self.dropped = 0  # items that nobody took
        self.count = 0  # items that came
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, item: T) -> None:
        """Leave an item; the oldest goes when there is no room. Nothing happens once closed."""
        with self._changed:
            if self._is_closed:
                return
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self.count += 1
            self._changed.notify()

    def take(self, timeout_s: float | None = None) -> T | None:
        """The oldest item that is left, waiting for it; None when time is up or it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed, timeout_s)
            return self._items.popleft() if self._items else None

    def clear(self) -> None:
        """Forget what is inside, and the counts: as new, unless it is closed."""
        with self._changed:
            self._items.clear()
            self.count = self.dropped = 0

    def close(self) -> None:
        """Wake whoever waits; what is inside can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    @property
    def is_over(self) -> bool:
        """Closed, and nothing left inside."""
        with self._changed:
            return self._is_closed and not self._items
