"""Animations one after the other: submitted, waiting, running, ended; with progress and cancel.

One thread runs them, since one animation uses all processors; the others wait in their order.
Nothing here knows of a page: Gradio, the request API and a notebook share it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from apps.events import STEPS
from apps.render import Summary, render
from hybridanim.config import RenderJob
from hybridanim.errors import InputError

State = Literal["waiting", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
_KEPT = 200  # ended animations whose state can still be asked for
_SMOOTH_S = 2.0  # frames a second are those of the last seconds


@dataclass(frozen=True)
class Progress:
    """How far an animation is."""

    step: str = ""  # one of ``apps.events.STEPS``, "" before the first
    done: int = 0  # frames
    total: int | None = None  # frames; None = unknown
    fps: float | None = None  # frames a second, of the last seconds
    left_s: float | None = None  # None = unknown

    @property
    def share(self) -> float:
        """Of the frames that are done, in [0, 1]; 0 where their number is unknown."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    def __str__(self) -> str:
        text = STEPS.get(self.step, "starting")
        if self.step != "animate":
            return text
        of = "" if self.total is None else f" of {self.total}"
        rate = "" if self.fps is None else f", {self.fps:.1f} frames a second"
        left = "" if self.left_s is None else f", {self.left_s:.0f} s left"
        return f"{text}: frame {self.done}{of}{rate}{left}"


class Cancelled(KeyboardInterrupt):
    """Raised inside a run that is to end; ``render`` keeps what is done, as after Ctrl-C."""


@dataclass
class Animation:
    """One animation; its fields are changed by the queue's thread only."""

    job: RenderJob
    source: Path
    driving: Path
    most_s: float = float("inf")  # seconds that it may run
    created_s: float = field(default_factory=time.time)  # of the clock
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "waiting"
    progress: Progress = Progress()
    summary: Summary | None = None  # of one that is done, or cancelled with frames
    error: str = ""  # why it failed, one line
    is_late: bool = False  # stopped after ``most_s``
    at_end: Callable[[], None] = lambda: None  # called once, however it ends
    _stop: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Ask it to end; frames that are done are kept."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; whether it came in time."""
        return self._ended.wait(timeout_s)

    def __call__(self) -> None:
        """Run to the end; errors are stored."""
        if self._stop.is_set():
            self.state = "cancelled"
            return
        self.state = "running"
        meter = _Meter(self)
        try:
            self.summary = render(self.job, self.source, self.driving, meter)
            is_whole = not self.summary.is_interrupted
            self.state = "done" if is_whole else "cancelled"
        except KeyboardInterrupt:
            self.state = "cancelled"
        except (InputError, OSError) as error:
            self.state, self.error = "failed", str(error)
        except Exception as error:  # a fault of the program must not end the queue
            self.state, self.error = "failed", f"a fault of the program: {error!r}"

    def end(self) -> None:
        """Wake those that wait."""
        self.at_end()
        self._ended.set()


class _Meter:
    """The progress of ``render`` -> that of an animation; ends the run when it is asked to."""

    def __init__(self, animation: Animation) -> None:
        self._animation = animation
        self._start_s = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque()  # time, frames done

    def __call__(self, done: int, total: int | None, step: str) -> None:
        now, animation = time.monotonic(), self._animation
        if step != "finish":
            animation.is_late = now - self._start_s > animation.most_s
            if animation._stop.is_set() or animation.is_late:
                raise Cancelled
        if step != "animate":
            animation.progress = replace(animation.progress, step=step)
            return
        self._marks.append((now, done))
        while now - self._marks[0][0] > _SMOOTH_S:
            self._marks.popleft()
        first_s, first = self._marks[0]
        fps = (done - first) / (now - first_s) if done > first else animation.progress.fps
        left_s = None if total is None or not fps else max(0, total - done) / fps
        animation.progress = Progress(step, done, total, fps, left_s)


class QueueFull(InputError):
    """Too many animations wait."""


class Queue:
    """Runs animations in the order in which they were submitted."""

    def __init__(self, most_waiting: int = 8) -> None:
        self._most_waiting = most_waiting
        self._waiting: deque[Animation] = deque()
        self._known: dict[str, Animation] = {}
        self._changed = threading.Condition()
        self._running: Animation | None = None
        self._is_open = True
        self._thread = threading.Thread(target=self._work, name="animations", daemon=True)
        self._thread.start()

    def submit(self, animation: Animation) -> Animation:
        """Add one; InputError where too many wait."""
        with self._changed:
            if not self._is_open:
                raise InputError("queue: expected a running studio, got one that ends; start again")
            if len(self._waiting) + (self._running is not None) > self._most_waiting:
                raise QueueFull(
                    f"queue: expected at most {self._most_waiting} animations that wait, got one"
                    " more; wait for one to end, or cancel one"
                )
            self._waiting.append(animation)
            self._known[animation.id] = animation
            self._forget()
            self._changed.notify_all()
        return animation

    def get(self, id: str) -> Animation | None:
        """The animation of that id, or None."""
        return self._known.get(id)

    def place(self, animation: Animation) -> int:
        """How many come before it; 0 for one that does not wait."""
        with self._changed:
            if animation not in self._waiting:
                return 0
            return self._waiting.index(animation) + (self._running is not None)

    def cancel(self, animation: Animation) -> None:
        """End it; one that waits never starts."""
        animation.cancel()
        with self._changed:
            if animation in self._waiting:
                self._waiting.remove(animation)
                animation.state = "cancelled"
                animation.end()

    def close(self) -> None:
        """Cancel all and wait for the one that runs."""
        with self._changed:
            self._is_open = False
            waiting, running = list(self._waiting), self._running
            self._changed.notify_all()
        for animation in waiting:
            self.cancel(animation)
        if running is not None:
            running.cancel()
        self._thread.join()

    def _forget(self) -> None:
        """Drop the oldest ended animations beyond those that are kept."""
        ended = [id for id, one in self._known.items() if one.state in ENDED]
        for id in ended[: max(0, len(ended) - _KEPT)]:
            del self._known[id]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._running = None
                self._changed.wait_for(lambda: self._waiting or not self._is_open)
                if not self._waiting:
                    return
                animation = self._running = self._waiting.popleft()
            animation()
            animation.end()
