"""The loop of a live run: camera thread -> animating thread -> outputs and keys in this one.

Between the threads are mailboxes in which the newest wins, so that nothing queues up. What it
measured comes out as a report.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

from hybridanim.types import Array

from . import overlay
from .camera import Shot
from .capture import Capture
from .keys import Action, action_of
from .latency import Latency
from .mailbox import Mailbox
from .outputs import Outputs
from .overlay import Screen
from .quality import Pacer, Quality
from .reference import Hint

_WORDS_S = 0.25  # how often the words on the screen change


@dataclass(frozen=True)
class Animated:
    """One result, ready for the outputs."""

    image: Array  # (h, w, 3) uint8 RGB, composed and marked
    shot: Shot
    hint: Hint | None = None
    inset: Array | None = None  # what the tracker sees, when it is wanted
    is_held: bool = False  # nothing was tracked


class Animates(Protocol):
    """What turns shots into pictures; all calls come from one thread."""

    def __call__(self, shot: Shot) -> Animated:
        """Animate the source by one shot."""
        ...

    def act(self, action: Action) -> None:
        """Do what a key asks for."""

    def set_quality(self, quality: Quality) -> None:
        """Make later pictures cheaper, or better."""


class Loop:
    """One run; ``run`` returns when the camera ended, time is up, or somebody quits."""

    def __init__(
        self, animator: Animates, capture: Capture, shots: Mailbox[Shot], pacer: Pacer
    ) -> None:
        """capture: puts into ``shots``, and is stopped at the end; the caller starts it."""
        self.latency = Latency()
        self._animator, self._capture, self._shots, self._pacer = animator, capture, shots, pacer
        self._results: Mailbox[Animated] = Mailbox()
        self._actions: queue.SimpleQueue[Action] = queue.SimpleQueue()
        self._is_paused = self._has_help = self._is_over = False
        self._error: Exception | None = None
        self._held = 0
        self._last: Animated | None = None
        self._screen, self._screen_s = Screen(), 0.0

    def press(self, letter: str) -> None:
        """A hotkey, from any thread."""
        action = action_of(ord(letter)) if len(letter) == 1 else None
        if action is not None and action.verb != "quit":
            self._do(action)

    def run(self, outputs: Outputs, seconds: float = 0.0) -> None:
        """Animate until the end, or so many seconds from the first picture on.

        Raises what went wrong while animating.
        """
        self._shots.clear()  # what came while everything was being made ready
        thread = threading.Thread(target=self._animate, name="animate", daemon=True)
        thread.start()
        try:
            while not (self._is_over or self._results.is_over):
                self._turn(outputs)
                shown_s = self.latency.age_s(time.monotonic())
                if seconds and shown_s >= seconds:
                    break
        finally:
            self._is_over = True
            self._capture.stop()
            self._shots.close()
            thread.join(10)
        if self._error is not None:
            raise self._error

    def _turn(self, outputs: Outputs) -> None:
        """Wait a little for a result, show it, look at the keys."""
        animated = self._results.take(0.005 if outputs.window is not None else 0.05)
        self._capture.watch()
        is_due = self._refresh(outputs)
        if animated is not None:
            self._last = animated
            self._held += animated.is_held
            outputs.write(animated.image, self._view(outputs), animated.shot.time_s)
        elif is_due:
            outputs.show(self._view(outputs))  # the words may have changed
        if outputs.window is not None:
            action = action_of(outputs.window.key())  # also draws the window
            if action is not None:
                self._do(action)
        if animated is not None:
            self.latency.add(animated.shot.time_s, time.monotonic())

    def _view(self, outputs: Outputs) -> Array | None:
        if outputs.window is None or self._last is None:
            return None
        return overlay.view(self._last.image, self._screen, self._last.inset)

    def _refresh(self, outputs: Outputs) -> bool:
        """Bring the words on the screen up to date, a few times a second."""
        now_s = time.monotonic()
        if now_s - self._screen_s < _WORDS_S:
            return False
        self._screen_s, recent = now_s, self.latency.recent()
        level = self._pacer.quality.name if self._pacer.state.level else ""
        self._screen = Screen(
            figures=overlay.figures_of(recent),
            level=f"lowered: {level}" if level else "",
            hint=self._last.hint if self._last else None,
            notice=self._capture.status.notice or outputs.notice,
            has_help=self._has_help,
            is_paused=self._is_paused,
        )
        if outputs.server is not None:
            outputs.server.board.status = overlay.status_of(self._screen)
        return True

    def _do(self, action: Action) -> None:
        if action.verb == "quit":
            self._is_over = True
        elif action.verb == "pause":
            self._is_paused = not self._is_paused
        elif action.verb == "help":
            self._has_help = not self._has_help
        else:
            self._actions.put(action)
        self._screen_s = 0.0

    def _animate(self) -> None:
        """The thread in the middle."""
        try:
            while not (self._is_over or self._shots.is_over):
                self._one(self._shots.take(0.1))
        except Exception as error:  # raised again by run
            self._error, self._is_over = error, True
        finally:
            self._results.close()

    def _one(self, shot: Shot | None) -> None:
        while not self._actions.empty():
            self._animator.act(self._actions.get())
        if shot is None or self._is_paused or not self._pacer.is_wanted(shot):
            return
        start_s = time.monotonic()
        self._results.put(self._animator(shot))
        if self._pacer.took(shot, start_s, time.monotonic()):
            self._animator.set_quality(self._pacer.quality)

    def report(self) -> dict[str, Any]:
        """What was measured, ready for JSON."""
        capture = self._capture
        return {
            "camera": {
                "name": capture.name,
                "nominal_hz": round(capture.rate_hz, 3),
                "pictures": self._shots.count,
                "reopened": capture.reopened,
            },
            **self.latency.figures(),
            "dropped": {
                "waiting_to_be_animated": self._shots.dropped,
                "left_out_to_save_time": self._pacer.left_out,
                "waiting_to_be_shown": self._results.dropped,
            },
            "without_a_face": self._held,
            "levels": self._pacer.figures(),
        }
