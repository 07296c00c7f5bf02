"""Where live pictures go: a file, a virtual camera; and all outputs of a run together.

Those that may be slow run aside, in a thread of their own behind a mailbox: they lose pictures
instead of delaying the others. The browser's stream is in server.py, the window in window.py.
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
_FILE_RATE = Fraction(30)  # players expect some; the times of the pictures are what counts


class Output(Protocol):
    """Something that takes pictures."""

    name: str

    def write(self, image: Array, time_s: float) -> None:
        """(H, W, 3) uint8 RGB, taken at time_s; times grow."""

    def close(self) -> None:
        """Complete it."""


class FileOutput:
    """A video file by ``io.open_sink``: whole at the end, or not there."""

    name = "file"

    def __init__(
        self, path: Path, size: tuple[int, int], *, overwrite: bool, tags: dict[str, str]
    ) -> None:
        """size: (width, height)."""
        self._sink = io.open_sink(
            path, _FILE_RATE, size, overwrite=overwrite, metadata=tags, time_base=_TICKS_S
        )

    def write(self, image: Array, time_s: float) -> None:
        """Append it; the first one's time becomes 0."""
        self._sink.write(image, time_s)

    def close(self) -> None:
        """Give the file its name; nothing is left when no picture came."""
        if self._sink.count:
            self._sink.close()
        else:
            self._sink.discard()


class VirtualCamera:
    """A camera that other programs can choose, by pyvirtualcam."""

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
        """Send it to whoever looks."""
        self._camera.send(image)

    def close(self) -> None:
        """Take the camera away."""
        self._camera.close()


def _driver_advice() -> str:
    return {
        "Linux": "load one: sudo modprobe v4l2loopback devices=1 exclusive_caps=1",
        "Darwin": "install OBS and start its virtual camera once",
        "Windows": "install OBS, which brings one",
    }.get(platform.system(), "see pyvirtualcam's documentation")


class Aside:
    """An output in a thread of its own: ``write`` never waits, pictures are dropped instead."""

    def __init__(self, output: Output, size: tuple[int, int], capacity: int) -> None:
        """size: (width, height) that every picture is fitted into."""
        self.name, self.failure = output.name, ""
        self.latency = Latency()
        self._output, self._size = output, size
        self._mailbox: Mailbox[tuple[Array, float]] = Mailbox(capacity)
        self._thread = threading.Thread(target=self._work, name=output.name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Pictures that it was too slow for."""
        return self._mailbox.dropped

    def write(self, image: Array, time_s: float) -> None:
        """Leave it for the thread."""
        if not self.failure:
            self._mailbox.put((image, time_s))

    def close(self) -> None:
        """Write what is left, and complete it; raises the InputError that ended it."""
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
    asides: list[Aside] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # sentences that the user should read
    failures: list[str] = field(default_factory=list)

    @property
    def notice(self) -> str:
        """What has gone wrong with one of them, or ""."""
        failed = next((aside for aside in self.asides if aside.failure), None)
        return f"{failed.name}: given up, see the words at the end" if failed else ""

    def write(self, image: Array, view: Array | None, time_s: float) -> None:
        """The result to everybody; the window gets ``view``, which has words on it."""
        for output in (*self.asides, *([self.server] if self.server else [])):
            output.write(image, time_s)
        self.show(view)

    def show(self, view: Array | None) -> None:
        """The preview alone, when its words have changed."""
        if self.window is not None and view is not None:
            self.window.write(view)

    def close(self) -> None:
        """Complete all of them; what goes wrong with one is told after the others."""
        with ExitStack() as stack:
            for output in (self.window, self.server):
                if output is not None:
                    stack.callback(output.close)
            for aside in self.asides:
                try:
                    aside.close()
                except InputError as error:
                    self.failures.append(str(error))

    def figures(self) -> dict[str, Any]:
        """Of those that run aside: until they had the picture, and what they were too slow for."""
        return {
            aside.name: {"dropped": aside.dropped, **aside.latency.figures()}
            for aside in self.asides
        }
