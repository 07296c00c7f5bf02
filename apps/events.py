"""What a run tells while it works: a bar and sentences, nothing, or JSON lines for programs.

JSON lines go to standard output, one object a line, ASCII; errors also to the error stream, as
always. Each has ``event``; the fields are in docs/guide/scripts.md.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from hybridanim.text import printable

from .terminal import progress

Form = Literal["bar", "json", "none"]
STEPS = {  # as the progress of render names them -> for people
    "source": "reading the source",
    "scan": "looking through the driving video",
    "animate": "animating",
    "finish": "completing the files",
}
EVERY_S = 0.5  # between two progress events of a step


class Events(Protocol):
    """Where a run reports to."""

    def step(self, done: int, total: int | None, step: str) -> None:
        """Frames done of all (None = unknown) in one of ``STEPS``."""
        ...

    def note(self, text: str) -> None:
        """A sentence about what was chosen or made."""
        ...

    def warning(self, text: str) -> None:
        """A sentence about what the user should know of the result."""
        ...

    def result(self, text: str, figures: dict[str, Any]) -> None:
        """The end of a run: for people, and for programs."""
        ...


@contextmanager
def opened(form: Form, *, quiet: bool) -> Iterator[Events]:
    """Events of that form; quiet: errors alone."""
    if form == "json":
        yield JsonEvents()
        return
    with ExitStack() as stack:
        yield Sentences(stack, has_bar=form == "bar" and not quiet, is_quiet=quiet)


class Sentences:
    """A bar on the error stream while it works, and sentences on standard output."""

    def __init__(self, stack: ExitStack, *, has_bar: bool, is_quiet: bool) -> None:
        """The bar is closed with the stack, or before a sentence."""
        self._stack, self._has_bar, self._is_quiet = stack, has_bar, is_quiet
        self._show: Callable[[int, int | None, str], None] | None = None

    def step(self, done: int, total: int | None, step: str) -> None:
        """Move the bar; the last step keeps what it shows."""
        if not self._has_bar or step == "finish":
            return
        if self._show is None:
            self._show = self._stack.enter_context(progress(" frames"))
        self._show(done, total, STEPS[step])

    def note(self, text: str) -> None:
        """Print it."""
        self._stack.close()
        self._show = None
        if not self._is_quiet:
            print(text)

    warning = note

    def result(self, text: str, figures: dict[str, Any]) -> None:
        """Print the text."""
        self.note(text)


class JsonEvents:
    """One JSON object a line on standard output.

    A reader that closes its end gets no more; the run goes on, since its result matters more.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._step = ""
        self._start_s = self._last_s = now_s()
        self._is_open = True
        self._waiting: dict[str, Any] | None = None  # progress that came too soon after another

    def step(self, done: int, total: int | None, step: str) -> None:
        """A ``stage`` event when it begins, ``progress`` events while frames are done."""
        now = self._now_s()
        if step != self._step:
            self._flush()
            self._step, self._start_s, self._last_s = step, now, now
            self.put({"event": "stage", "stage": step, "frames_total": total})
        if not done or step != "animate":
            return
        passed = now - self._start_s
        fps = done / passed if passed > 0 else None
        left = None if total is None or not fps else max(0, total - done) / fps
        self._waiting = {
            "event": "progress",
            "stage": step,
            "frames": done,
            "frames_total": total,
            "fps": fps and round(fps, 2),
            "seconds_left": None if left is None else round(left, 1),
        }
        if now - self._last_s >= EVERY_S:
            self._last_s = now
            self._flush()

    def note(self, text: str) -> None:
        """A ``note`` event."""
        self._flush()
        self.put({"event": "note", "text": text})

    def warning(self, text: str) -> None:
        """A ``warning`` event."""
        self._flush()
        self.put({"event": "warning", "text": text})

    def result(self, text: str, figures: dict[str, Any]) -> None:
        """A ``result`` event."""
        self._flush()
        self.put({"event": "result", **figures})

    def error(self, text: str, code: int) -> None:
        """An ``error`` event, the last of a run that fails."""
        self.put({"event": "error", "text": text, "code": code})

    def _flush(self) -> None:
        if self._waiting is not None:
            self.put(self._waiting)
            self._waiting = None

    def put(self, event: dict[str, Any]) -> None:
        """Write an event."""
        if not self._is_open:
            return
        plain = {key: _plain(value) for key, value in event.items()}
        try:
            sys.stdout.write(json.dumps(plain) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._is_open = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plain(value: Any) -> Any:
    return printable(str(value)) if isinstance(value, str | Path) else value


def wants_json(argv: list[str]) -> bool:
    """Whether the last --progress of arguments that are not read yet is json."""
    found = ""
    for index, word in enumerate(argv):
        if word == "--progress":
            found = "".join(argv[index + 1 : index + 2])
        elif word.startswith("--progress="):
            found = word.partition("=")[2]
    return found == "json"
