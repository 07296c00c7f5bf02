"""The loop of a live run: camera thread -> animation thread -> outputs and keys in the main thread.

Mailboxes between the threads keep the newest picture alone, so that nothing queues up. What the
loop measured is available as a report.
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
from .keys import Action, parse_key
from .latency import Latency
from .mailbox import Mailbox
from .outputs import Outputs
from .overlay import OverlayText
from .quality import Quality, QualityGovernor
from .reference import Hint

_TEXT_INTERVAL_S = 0.25  # how often the text on the screen changes


@dataclass(frozen=True)
class Animated:
    """One result, ready for the outputs."""

    image: Array  # (h, w, 3) uint8 RGB, composed and marked
    shot: Shot
    hint: Hint | None = None
    inset: Array | None = None  # (h, w, 3), what the tracker sees, when it is shown
    is_frozen: bool = False  # nothing was tracked


class ShotAnimator(Protocol):
    """The interface of what animates; all calls come from one thread."""

    def __call__(self, shot: Shot) -> Animated:
        """Animate the source by one shot."""
        ...

    def act(self, action: Action) -> None:
        """Do what a key asks for."""

    def set_quality(self, quality: Quality) -> None:
        """Render later pictures at another quality level."""


class Loop:
    """One run; ``run`` returns when the camera ends, after the set time, or on the quit key."""

    def __init__(
        self,
        animator: ShotAnimator,
        capture: Capture,
        shots: Mailbox[Shot],
        governor: QualityGovernor,
    ) -> None:
        """capture: puts into ``shots``; started by the caller, stopped by ``run``."""
        self.latency = Latency()
        self._animator, self._capture = animator, capture
        self._shots, self._governor = shots, governor
        self._results: Mailbox[Animated] = Mailbox()
        self._actions: queue.SimpleQueue[Action] = queue.SimpleQueue()
        self._is_paused = self._has_help = self._is_over = False
        self._error: Exception | None = None
        self._frozen = 0
        self._last: Animated | None = None
        self._text, self._text_s = OverlayText(), 0.0

    def press(self, letter: str) -> None:
        """Handle a hotkey other than quit; may be called from any thread."""
        action = parse_key(ord(letter)) if len(letter) == 1 else None
        if action is not None and action.verb != "quit":
            self._handle(action)

    def run(self, outputs: Outputs, seconds: float = 0.0) -> None:
        """Animate until the end, or for so many seconds from the first picture on (0 = no limit).

        Raises the exception that ended the animation thread.
        """
        self._shots.clear()  # shots from before the pipeline was ready
        thread = threading.Thread(target=self._animate, name="animate", daemon=True)
        thread.start()
        try:
            while not (self._is_over or self._results.is_over):
                self._step(outputs)
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

    def _step(self, outputs: Outputs) -> None:
        """Wait briefly for a result, show it, handle the keys."""
        animated = self._results.take(0.005 if outputs.window is not None else 0.05)
        self._capture.watch()
        is_due = self._refresh(outputs)
        if animated is not None:
            self._last = animated
            self._frozen += animated.is_frozen
            outputs.write(animated.image, self._view(outputs), animated.shot.time_s)
        elif is_due:
            outputs.show(self._view(outputs))  # the text may have changed
        if outputs.window is not None:
            action = parse_key(outputs.window.key())  # also draws the window
            if action is not None:
                self._handle(action)
        if animated is not None:
            self.latency.add(animated.shot.time_s, time.monotonic())

    def _view(self, outputs: Outputs) -> Array | None:
        if outputs.window is None or self._last is None:
            return None
        return overlay.draw_overlay(self._last.image, self._text, self._last.inset)

    def _refresh(self, outputs: Outputs) -> bool:
        """Update the text on the screen a few times a second; whether it was updated."""
        now_s = time.monotonic()
        if now_s - self._text_s < _TEXT_INTERVAL_S:
            return False
        self._text_s, recent = now_s, self.latency.recent()
        self._text = OverlayText(
            figures=overlay.latency_text(recent),
            level=self._governor.text(),
            hint=self._last.hint if self._last else None,
            notice=self._capture.status.notice or outputs.notice,
            has_help=self._has_help,
            is_paused=self._is_paused,
        )
        if outputs.server is not None:
            outputs.server.broadcaster.status = overlay.to_status(self._text)
        return True

    def _handle(self, action: Action) -> None:
        if action.verb == "quit":
            self._is_over = True
        elif action.verb == "pause":
            self._is_paused = not self._is_paused
        elif action.verb == "help":
            self._has_help = not self._has_help
        else:
            self._actions.put(action)
        self._text_s = 0.0

    def _animate(self) -> None:
        """The animation thread."""
        try:
            while not (self._is_over or self._shots.is_over):
                self._animate_one(self._shots.take(0.1))
        except Exception as error:  # raised again by run
            self._error, self._is_over = error, True
        finally:
            self._results.close()

    def _animate_one(self, shot: Shot | None) -> None:
        while not self._actions.empty():
            self._animator.act(self._actions.get())
        if shot is None or self._is_paused or not self._governor.is_wanted(shot):
            return
        start_s = time.monotonic()
        self._results.put(self._animator(shot))
        if self._governor.record(shot, start_s, time.monotonic()):
            self._animator.set_quality(self._governor.quality)

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
            **self.latency.report(),
            "dropped": {
                "waiting_to_be_animated": self._shots.dropped,
                "left_out_to_save_time": self._governor.left_out,
                "waiting_to_be_shown": self._results.dropped,
            },
            "without_a_face": self._frozen,
            "levels": self._governor.report(),
        }
