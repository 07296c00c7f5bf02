"""Load of other programs -> number of threads of a live run, with a sentence about it."""

from __future__ import annotations

from hybridanim import processors

_EVERY_S = 1.0  # between two measurements
_SHARE = 0.5  # weight of a new measurement
_WORTH_SAYING = 0.5  # processors


class Sharing:
    """Keeps the number of threads that fits what other programs leave.

    others: processors that they use, smoothed; threads: the number now, of ``most``.
    """

    def __init__(
        self, most: int, watch: processors.Watch | None = None, count: int | None = None
    ) -> None:
        """Measure from now on. most: threads when nothing else runs; count: of processors."""
        self._count = count or processors.count()
        self.most = self.threads = max(1, most)
        self.others = 0.0
        self._watch = watch or processors.Watch()
        self._due_s: float | None = None

    def begin(self) -> None:
        """Take the first measurement, which counts at once."""
        self.others = self._watch.others()
        self._choose()

    def update(self, time_s: float) -> bool:
        """Measure when it is time; whether the number of threads changed. time_s: by any clock."""
        if self._due_s is not None and time_s < self._due_s:
            return False
        is_first, self._due_s = self._due_s is None, time_s + _EVERY_S
        if is_first:
            self._watch.others()  # the start of the run is not what it is about
            return False
        self.others += _SHARE * (self._watch.others() - self.others)
        before = self.threads
        self._choose()
        return self.threads != before

    @property
    def is_lowered(self) -> bool:
        """Whether fewer threads are used than when nothing else runs."""
        return self.threads < self.most

    def _choose(self) -> None:
        free = self._count - self.others
        self.threads = processors.threads_for(free, self.threads, self.most)

    def cause(self) -> str:
        """What other programs use, as text; "" where it is little."""
        if self.others < _WORTH_SAYING:
            return ""
        return f"other programs use {self.others:.1f} of {self._count} processors"
