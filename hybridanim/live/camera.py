"""Cameras: open, read, close. Devices and streams by OpenCV, files by ``hybridanim.io``.

--camera 0 | /dev/video2 | FILE | FOLDER | URL -> Camera, which gives Shots: RGB pictures with the
moment at which they were taken. Whatever offers these three methods can take a camera's place: the
tests feed cameras that vanish, stall and change their size.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.types import Array, Frame

_OPEN_MS, _READ_MS = 8000, 8000  # how long a stream may keep us waiting
_LONGEST_PX = 1280  # of a file's frames: like a good webcam's
_LATE_S = 0.5  # a file that is this far behind its own rate starts to count anew


class CameraError(Exception):
    """The camera cannot be used now; the message says why."""


class CameraEnd(Exception):
    """There is nothing more to come, as it should be: a file that was to be played once."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a camera."""

    image: Array  # (H, W, 3) uint8 RGB
    time_s: float  # when it was taken, on the clock of time.monotonic
    number: int = 0  # counts those of a run, dropped ones too; set by Capture


class Camera(Protocol):
    """What the live loop asks of a camera; used from one thread."""

    name: str  # for the screen and the report
    rate_hz: float  # nominal pictures a second, 0 = unknown

    def open(self) -> None:
        """Begin; raises CameraError."""

    def read(self) -> Shot | None:
        """Wait for the next picture; None when none came. Raises CameraEnd, CameraError."""

    def close(self) -> None:
        """Let go of the device; safe to call twice, and before ``open``."""


def make_camera(
    text: str, size_px: tuple[int, int] = (640, 480), rate_hz: float = 30, is_loop: bool = True
) -> Camera:
    """The camera that a word of the command line names; opens nothing yet.

    size_px: (width, height) that a device is asked for. is_loop: files start again at their end.
    Raises InputError for a file that does not exist.
    """
    if text.isdecimal():
        return Device(int(text), size_px, rate_hz)
    if "://" in text:
        return Stream(text)
    if text.startswith("/dev/"):
        return Device(text, size_px, rate_hz)
    if not Path(text).exists():
        raise InputError(
            f"--camera: expected a camera's number, a file or a URL, got {text!r} which is not"
            " there; run_pipeline.py live --list-cameras shows what there is"
        )
    return File(Path(text), is_loop)


class _OpenCVCamera:
    """What devices and streams share: decoding a grabbed picture, and closing."""

    _capture: Any = None  # cv2.VideoCapture while open

    def _retrieve(self) -> Shot | None:
        """The picture that was grabbed, stamped before it is decoded; None when decoding fails."""
        time_s = time.monotonic()
        is_read, image = self._capture.retrieve()
        return Shot(_rgb(image), time_s) if is_read and image is not None else None

    def close(self) -> None:
        """Release the device or the connection."""
        if self._capture is not None:
            self._capture.release()
        self._capture = None


class Device(_OpenCVCamera):
    """A camera of this machine, by its number or its path."""

    def __init__(self, place: int | str, size_px: tuple[int, int], rate_hz: float) -> None:
        self.name = f"camera {place}"
        self.rate_hz = rate_hz
        self._place, self._size_px = place, size_px

    def open(self) -> None:
        """Ask for size and rate; the device may give others."""
        with _quiet():
            capture = cv2.VideoCapture(self._place, _device_backend())  # pyright: ignore[reportCallIssue, reportArgumentType]
        if not capture.isOpened():
            capture.release()
            raise CameraError(f"{self.name} cannot be opened (unplugged, or used by a program)")
        width, height = self._size_px
        if width > 640:  # raw pictures of this size do not fit through USB 2 at full rate
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        for what, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, height),
            (cv2.CAP_PROP_FPS, self.rate_hz),
            (cv2.CAP_PROP_BUFFERSIZE, 1),  # what waits in a buffer is old
        ):
            capture.set(what, value)
        self._capture = capture
        self.rate_hz = _given_rate(capture) or self.rate_hz

    def read(self) -> Shot | None:
        """Wait for the next picture."""
        if self._capture is None or not self._capture.grab():
            return None
        return self._retrieve()


class Stream(_OpenCVCamera):
    """A URL: http, rtsp, udp and what else FFmpeg reads. A finite one is played at its own rate."""

    def __init__(self, url: str) -> None:
        self.name = f"{url.partition('://')[0]} stream"  # URLs hold passwords
        self.rate_hz = 0.0
        self._url = url
        self._pace = Pace()
        self._count = 0  # pictures of a finite stream, which is played at its own rate

    def open(self) -> None:
        """Connect; raises CameraError after a few seconds without an answer."""
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            _OPEN_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            _READ_MS,
        ]
        with _quiet():
            capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            capture.release()
            raise CameraError(f"the {self.name} does not answer, or is no video")
        self._capture = capture
        self.rate_hz = _given_rate(capture)
        self._count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def read(self) -> Shot | None:
        """The next picture as it arrives."""
        if self._capture is None:
            return None
        if not self._capture.grab():
            if self._count and self._capture.get(cv2.CAP_PROP_POS_FRAMES) >= self._count - 1:
                raise CameraEnd
            return None
        if self._count:
            self._pace.wait(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        return self._retrieve()


class File:
    """A video file or a folder of pictures at its own rate, in place of a camera."""

    def __init__(self, path: Path, is_loop: bool) -> None:
        self.name = path.name
        self.rate_hz = 0.0
        self._path, self._is_loop = path, is_loop
        self._reader: io.VideoReader | None = None
        self._pace = Pace()
        self._start_s = 0.0  # of this round, on the time line of all rounds
        self._end_s = 0.0

    def open(self) -> None:
        """Open the file; raises CameraError when it cannot be read."""
        try:
            self._reader = io.open_source(self._path, max_side_px=_LONGEST_PX)
        except InputError as error:
            raise CameraError(str(error)) from error
        self.rate_hz = float(self._reader.fps)
        self._step_s = 1 / max(self.rate_hz, 1.0)

    def read(self) -> Shot | None:
        """The next frame, when its time has come."""
        frame = self._next()
        time_s = self._start_s + frame.time_s
        self._end_s = time_s + self._step_s
        self._pace.wait(time_s)
        return Shot(frame.image, time.monotonic())

    def _next(self) -> Frame:
        if self._reader is None:
            raise CameraEnd
        try:
            frame = next(self._reader, None)
            if frame is None and self._is_loop:
                self.close()
                self.open()
                self._start_s = self._end_s
                frame = next(self._reader, None)
        except InputError as error:
            raise CameraError(str(error)) from error
        if frame is None:
            raise CameraEnd
        return frame

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None


class Pace:
    """Waits until a film's own time has come, counted from the first call."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._zero_s: float | None = None

    def wait(self, time_s: float) -> None:
        """Return when ``time_s`` of the film has come; far behind, the count starts anew."""
        now_s = self._clock()
        if self._zero_s is None or now_s - self._zero_s - time_s > _LATE_S:
            self._zero_s = now_s - time_s
        left_s = self._zero_s + time_s - now_s
        if left_s > 0:
            self._sleep(left_s)


def _device_backend() -> int:
    """The backend that opens fastest and gives names, per system."""
    return {
        "Linux": cv2.CAP_V4L2,
        "Windows": cv2.CAP_DSHOW,
        "Darwin": cv2.CAP_AVFOUNDATION,
    }.get(platform.system(), cv2.CAP_ANY)


def _given_rate(capture: Any) -> float:
    rate_hz = float(capture.get(cv2.CAP_PROP_FPS))
    return rate_hz if 1 <= rate_hz <= 1000 else 0.0


def _rgb(image: Array) -> Array:
    """OpenCV's BGR or grey as RGB."""
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def _quiet():
    """OpenCV's own warnings about a device that is not there are not for the user."""
    log: Any = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)
