"""The thread that reads a camera into a mailbox, and opens it again whenever it fails.

A camera that disappears is opened again, after a delay that doubles each time. A call into the
camera that never returns cannot be interrupted: its thread is abandoned, and another thread opens
the camera. No other thread ever waits for either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from hybridanim.types import Array

from .camera import Camera, CameraEnd, CameraError, Shot
from .mailbox import Mailbox

Kind = Literal["opening", "live", "stalled", "lost", "ended"]
_DARK_S = 2.0  # webcams start with black frames: they are skipped for so long, then shown
_MOST_ABANDONED = 3  # threads left behind


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the camera."""

    kind: Kind = "opening"
    reason: str = ""  # a text, for kinds other than live
    is_dark: bool = False  # it gives black pictures

    @property
    def notice(self) -> str:
        """A text for the user, or ""."""
        if self.kind == "live":
            return "the camera shows black: is its cover open?" if self.is_dark else ""
        texts = {
            "opening": "opening the camera",
            "stalled": "the camera stalls, this is its last picture",
            "lost": f"{self.reason or 'no picture came'}; trying again",
            "ended": "the end",
        }
        return texts[self.kind]


def backoff_s(failures: int, least_s: float = 0.25, most_s: float = 5.0) -> float:
    """Delay after that many failures in a row (1 or more): doubles, from least_s up to most_s."""
    return min(most_s, least_s * 2.0 ** min(failures - 1, 30))


def is_black(image: Array) -> bool:
    """Whether a picture (H, W, 3) uint8 is black, judged by a few hundred of its pixels."""
    step = max(1, min(image.shape[:2]) // 24)
    few = image[::step, ::step]
    return bool(np.mean(few) < 12 and np.percentile(few, 99) < 32)


@dataclass
class _Session:
    """One thread that reads the camera, until it is abandoned."""

    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    camera: Camera | None = None


class Capture:
    """Reads ``make()``'s camera in a thread until ``stop``; call ``watch`` a few times a second."""

    def __init__(
        self,
        make: Callable[[], Camera],
        mailbox: Mailbox[Shot],
        *,
        stall_s: float = 2.5,
        abandon_s: float = 10.0,
        backoff: Callable[[int], float] = backoff_s,
    ) -> None:
        """stall_s: time without a picture until the status is "stalled"; abandon_s: until another
        thread opens the camera. backoff: failures in a row -> delay in seconds.
        """
        self.status = Status()
        self.name, self.rate_hz = "", 0.0
        self.reopened = 0  # how often the camera came back
        self._make, self._mailbox, self._backoff = make, mailbox, backoff
        self._stall_s, self._abandon_s = stall_s, abandon_s
        self._last_s = time.monotonic()  # when the camera last gave a picture
        self._abandoned: list[threading.Thread] = []
        self._is_first, self._is_ready = True, threading.Event()
        self._may_read = threading.Event()
        self._failure = ""
        self._was_live = False
        self._count = 0
        self._session = _Session()

    def start(self) -> None:
        """Open the camera in its thread; it is read once ``wait`` is called."""
        self._begin()

    def wait(self, timeout_s: float = 20.0) -> None:
        """Start to read; return when a picture has come. Raises CameraError when none comes."""
        self._may_read.set()
        if not self._is_ready.wait(timeout_s):
            self.stop()
            raise CameraError("the camera does not answer")
        if self._failure:
            raise CameraError(self._failure)

    def watch(self) -> Status:
        """Detect a stall; open the camera in another thread when the stall lasts."""
        silent_s = time.monotonic() - self._last_s
        if self.status.kind in ("live", "stalled") and silent_s > self._stall_s:
            self.status = Status("stalled")
            if silent_s > self._abandon_s:
                self._abandon()
        return self.status

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread; one that hangs in its camera is abandoned."""
        session = self._session
        session.stop.set()
        self._may_read.set()
        if session.thread is not None and session.thread is not threading.current_thread():
            session.thread.join(timeout_s)
        self._mailbox.close()

    def _begin(self) -> None:
        session = self._session = _Session()
        self._last_s = time.monotonic()
        session.thread = threading.Thread(
            target=self._work, args=(session,), name="camera", daemon=True
        )
        session.thread.start()

    def _abandon(self) -> None:
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        self._last_s = time.monotonic()  # so that the next attempt waits as long
        if len(self._abandoned) >= _MOST_ABANDONED:
            return
        self._session.stop.set()
        if self._session.thread is not None:
            self._abandoned.append(self._session.thread)
        self._begin()

    def _work(self, session: _Session) -> None:
        """The thread's loop: open, read until it fails, wait, repeat."""
        failures = 0
        while not session.stop.is_set():
            before = self._last_s
            try:
                reason = self._read_until_failure(session)
            except CameraEnd:
                self._set_status(session, Status("ended"))
                self._mailbox.close()
                return
            except CameraError as error:
                reason = str(error)
            if self._is_first:
                self._failure = reason
                self._is_ready.set()
                return
            failures = 1 if self._last_s != before else failures + 1
            self._set_status(session, Status("lost", reason))
            session.stop.wait(self._backoff(failures))

    def _read_until_failure(self, session: _Session) -> str:
        """Open the camera and read until no picture comes; returns why it ended."""
        camera = self._make()
        try:
            camera.open()
            self.name, self.rate_hz = camera.name, camera.rate_hz
            self._may_read.wait()
            opened_s, is_light = time.monotonic(), False
            while not session.stop.is_set():
                shot = camera.read()
                if shot is None:
                    return f"{camera.name} gives no picture"
                if session.stop.is_set():  # abandoned meanwhile
                    return ""
                is_dark = is_black(shot.image)
                is_light = is_light or not is_dark
                self._on_shot(session, is_dark)
                if is_light or time.monotonic() - opened_s > _DARK_S:
                    self._count += 1
                    self._mailbox.put(replace(shot, number=self._count))
        finally:
            camera.close()
        return ""

    def _on_shot(self, session: _Session, is_dark: bool) -> None:
        self._last_s = time.monotonic()
        if self._was_live and self.status.kind != "live":
            self.reopened += 1
        self._set_status(session, Status("live", is_dark=is_dark))
        self._was_live = True
        self._is_first = False
        self._is_ready.set()

    def _set_status(self, session: _Session, status: Status) -> None:
        if session is self._session and not session.stop.is_set() and status != self.status:
            self.status = status
