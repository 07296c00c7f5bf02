"""A bounded queue between two threads that drops the oldest item when it is full.

``put`` never waits: when there is no room, the oldest item is dropped and counted. So a slow reader
never delays a fast writer, and never gets old items.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most ``capacity`` items; usable from any thread."""

    def __init__(self, capacity: int = 1) -> None:
        self.dropped = 0  # items that were dropped
        self.count = 0  # items that were put
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, item: T) -> None:
        """Add an item, dropping the oldest when there is no room; ignored once closed."""
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
        """Wait for the oldest item; None after the timeout, or when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed, timeout_s)
            return self._items.popleft() if self._items else None

    def clear(self) -> None:
        """Remove all items and reset the counts."""
        with self._changed:
            self._items.clear()
            self.count = self.dropped = 0

    def close(self) -> None:
        """Wake all waiting threads; items inside can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    @property
    def is_over(self) -> bool:
        """Whether it is closed and empty."""
        with self._changed:
            return self._is_closed and not self._items
