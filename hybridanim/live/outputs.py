"""Outputs of a live run: a file, a virtual camera; and all outputs of a run together.

An output that may be slow has a thread of its own behind a mailbox: it misses pictures instead of
delaying the others. The browser's stream is in server.py, the window in window.py.
"""

from __future__ import annotations

import platform
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.types import Array
from hybridanim.visualization import sheet

from .latency import Latency
from .mailbox import Mailbox
from .server import Server
from .window import Window

_TICKS_S = Fraction(1, 1000)
_FILE_RATE = Fraction(30)  # nominal: the pictures have time stamps of their own


class Output(Protocol):
    """The interface of a slow output; used from one thread."""

    name: str

    def write(self, image: Array, time_s: float) -> None:
        """Write (H, W, 3) uint8 RGB, taken at time_s; times increase."""

    def close(self) -> None:
        """Complete the output."""


class FileOutput:
    """A video file by ``io.open_sink``: complete at the end, or absent."""

    name = "file"

    def __init__(
        self, path: Path, size: tuple[int, int], *, overwrite: bool, tags: dict[str, str]
    ) -> None:
        """size: (width, height)."""
        self._sink = io.open_sink(
            path, _FILE_RATE, size, overwrite=overwrite, metadata=tags, time_base=_TICKS_S
        )

    def write(self, image: Array, time_s: float) -> None:
        """Append a picture; the first one's time becomes 0."""
        self._sink.write(image, time_s)

    def close(self) -> None:
        """Complete the file; it is removed when no picture came."""
        if self._sink.count:
            self._sink.close()
        else:
            self._sink.discard()


class VirtualCamera:
    """A camera for other programs, by pyvirtualcam."""

    name = "virtual camera"

    def __init__(self, size: tuple[int, int], rate_hz: float) -> None:
        """size: (width, height). Raises InputError when the package or the driver is missing."""
        try:
            import pyvirtualcam  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise InputError(
                "--virtual-camera: expected the package pyvirtualcam, got none;"
                ' pip install "hybridanim[live]", or pip install pyvirtualcam'
            ) from error
        try:
            self._camera: Any = pyvirtualcam.Camera(*size, rate_hz or 30)
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"--virtual-camera: expected a virtual camera driver, got {str(error).strip()!r};"
                f" {_driver_advice()}"
            ) from error
        self.device = str(self._camera.device)

    def write(self, image: Array, time_s: float) -> None:
        """Send a picture to the programs that read the camera."""
        self._camera.send(image)

    def close(self) -> None:
        """Remove the camera."""
        self._camera.close()


def _driver_advice() -> str:
    return {
        "Linux": "load one: sudo modprobe v4l2loopback devices=1 exclusive_caps=1",
        "Darwin": "install OBS and start its virtual camera once",
        "Windows": "install OBS, which brings one",
    }.get(platform.system(), "see pyvirtualcam's documentation")


class ThreadedOutput:
    """Runs an output in its own thread: ``write`` never waits, pictures are dropped instead."""

    def __init__(self, output: Output, size: tuple[int, int], capacity: int) -> None:
        """size: (width, height) that pictures are fitted into. capacity: pictures that may wait."""
        self.name, self.failure = output.name, ""
        self.latency = Latency()
        self._output, self._size = output, size
        self._mailbox: Mailbox[tuple[Array, float]] = Mailbox(capacity)
        self._thread = threading.Thread(target=self._work, name=output.name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Number of pictures that the output missed."""
        return self._mailbox.dropped

    def write(self, image: Array, time_s: float) -> None:
        """Put a picture into the thread's mailbox; ignored after a failure."""
        if not self.failure:
            self._mailbox.put((image, time_s))

    def close(self) -> None:
        """Write the waiting pictures and complete the output; raises InputError if it failed."""
        self._mailbox.close()
        self._thread.join()
        self._output.close()
        if self.failure:
            raise InputError(self.failure)

    def _work(self) -> None:
        while not self._mailbox.is_over:
            item = self._mailbox.take()
            if item is None or self.failure:
                continue
            image, time_s = item
            try:
                self._output.write(sheet.fit(image, *self._size), time_s)
            except (InputError, RuntimeError) as error:
                self.failure = str(error)
            self.latency.add(time_s, time.monotonic())


@dataclass
class Outputs:
    """The open outputs of a run."""

    window: Window | None = None
    server: Server | None = None
    threaded: list[ThreadedOutput] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # messages for the user
    failures: list[str] = field(default_factory=list)  # messages of outputs that failed

    @property
    def notice(self) -> str:
        """A message about an output that failed, or ""."""
        failed = next((output for output in self.threaded if output.failure), None)
        return f"{failed.name}: stopped, see the message at the end" if failed else ""

    def write(self, image: Array, view: Array | None, time_s: float) -> None:
        """Write the result to all outputs; the window shows ``view``, with the overlay."""
        for output in (*self.threaded, *([self.server] if self.server else [])):
            output.write(image, time_s)
        self.show(view)

    def show(self, view: Array | None) -> None:
        """Update the window alone, when the text of the overlay has changed."""
        if self.window is not None and view is not None:
            self.window.write(view)

    def close(self) -> None:
        """Complete all outputs; failures are collected, so that each one is completed."""
        with ExitStack() as stack:
            for output in (self.window, self.server):
                if output is not None:
                    stack.callback(output.close)
            for output in self.threaded:
                try:
                    output.close()
                except InputError as error:
                    self.failures.append(str(error))

    def report(self) -> dict[str, Any]:
        """Latency and dropped pictures of each threaded output, ready for JSON."""
        return {
            output.name: {"dropped": output.dropped, **output.latency.report()}
            for output in self.threaded
        }
