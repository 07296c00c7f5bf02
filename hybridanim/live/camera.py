"""Cameras: open, read, close. OpenCV reads devices and streams, ``hybridanim.io`` reads files.

--camera 0 | /dev/video2 | FILE | FOLDER | URL -> Camera, which returns Shots: RGB pictures with the
time at which they were taken. Any object with these three methods can be used as a camera: the
tests use cameras that disappear, stall and change their size.
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

from hybridanim import io, paths
from hybridanim.errors import InputError
from hybridanim.types import Array, Frame

_OPEN_MS, _READ_MS = 8000, 8000  # time-outs of a stream
_LONGEST_PX = 1280  # longest side of a file's frames: that of a good webcam
_MOST_DIGITS = 4  # of a camera's number
_LATE_S = 0.5  # a file this far behind its own rate resets its clock


class CameraError(Exception):
    """The camera cannot be used now; the message says why."""


class CameraEnd(Exception):
    """The normal end: a file that is played once has no more pictures."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a camera."""

    image: Array  # (H, W, 3) uint8 RGB
    time_s: float  # when it was taken, on the clock of time.monotonic
    number: int = 0  # counts those of a run, dropped ones too; set by Capture


class Camera(Protocol):
    """The interface of all cameras; used from one thread."""

    name: str  # shown on the screen and in the report
    rate_hz: float  # nominal pictures a second, 0 = unknown

    def open(self) -> None:
        """Open the camera; raises CameraError."""

    def read(self) -> Shot | None:
        """Wait for the next picture; None when none came. Raises CameraEnd, CameraError."""

    def close(self) -> None:
        """Release the camera; may be called twice, and before ``open``."""


def make_camera(
    text: str, size_px: tuple[int, int] = (640, 480), rate_hz: float = 30, is_loop: bool = True
) -> Camera:
    """The camera named by ``--camera``; it is not opened yet.

    size_px: (width, height) that a device is asked for. is_loop: files restart at their end.
    Raises InputError for a file that does not exist.
    """
    if text.isdecimal() and len(text) > _MOST_DIGITS:
        raise InputError(
            f"--camera: expected a camera's number, got {text[:20]}...;"
            " run_pipeline.py live --list-cameras shows what there is"
        )
    if text.isdecimal():
        return Device(int(text), size_px, rate_hz)
    if "://" in text:
        return Stream(text)
    if text.startswith("/dev/"):
        return Device(text, size_px, rate_hz)
    if paths.look(text) is None:
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
        """Open the device and ask for size and rate; it may choose others."""
        with _silenced_opencv():
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
        self.rate_hz = _reported_rate_hz(capture) or self.rate_hz

    def read(self) -> Shot | None:
        """Wait for the next picture."""
        if self._capture is None or not self._capture.grab():
            return None
        return self._retrieve()


class Stream(_OpenCVCamera):
    """A URL that FFmpeg reads (http, rtsp, udp, ...); a finite one is played at its own rate."""

    def __init__(self, url: str) -> None:
        self.name = f"{url.partition('://')[0]} stream"  # URLs hold passwords
        self.rate_hz = 0.0
        self._url = url
        self._clock = PlaybackClock()
        self._count = 0  # pictures of a finite stream; 0 = endless

    def open(self) -> None:
        """Connect; raises CameraError after a few seconds without an answer."""
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            _OPEN_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            _READ_MS,
        ]
        with _silenced_opencv():
            capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            capture.release()
            raise CameraError(f"the {self.name} does not answer, or is no video")
        self._capture = capture
        self.rate_hz = _reported_rate_hz(capture)
        self._count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def read(self) -> Shot | None:
        """Wait for the next picture; raises CameraEnd after the last one of a finite stream."""
        if self._capture is None:
            return None
        if not self._capture.grab():
            if self._count and self._capture.get(cv2.CAP_PROP_POS_FRAMES) >= self._count - 1:
                raise CameraEnd
            return None
        if self._count:
            self._clock.wait(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        return self._retrieve()


class File:
    """A video file or a folder of pictures at its own rate, in place of a camera."""

    def __init__(self, path: Path, is_loop: bool) -> None:
        self.name = path.name
        self.rate_hz = 0.0
        self._path, self._is_loop = path, is_loop
        self._reader: io.VideoReader | None = None
        self._clock = PlaybackClock()
        self._start_s = 0.0  # of this loop, on the time line of all loops
        self._end_s = 0.0  # of the last frame, on the same time line

    def open(self) -> None:
        """Open the file; raises CameraError when it cannot be read."""
        try:
            self._reader = io.open_source(self._path, max_side_px=_LONGEST_PX)
        except InputError as error:
            raise CameraError(str(error)) from error
        self.rate_hz = float(self._reader.fps)
        self._step_s = 1 / max(self.rate_hz, 1.0)

    def read(self) -> Shot | None:
        """Wait until the next frame is due; raises CameraEnd, CameraError."""
        frame = self._next()
        time_s = self._start_s + frame.time_s
        self._end_s = time_s + self._step_s
        self._clock.wait(time_s)
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


class PlaybackClock:
    """Waits for the presentation times of a video, counted from the first call."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._zero_s: float | None = None

    def wait(self, time_s: float) -> None:
        """Return when presentation time ``time_s`` is due; the clock resets when far behind."""
        now_s = self._clock()
        if self._zero_s is None or now_s - self._zero_s - time_s > _LATE_S:
            self._zero_s = now_s - time_s
        left_s = self._zero_s + time_s - now_s
        if left_s > 0:
            self._sleep(left_s)


def _device_backend() -> int:
    """The OpenCV backend of this system's own camera interface."""
    return {
        "Linux": cv2.CAP_V4L2,
        "Windows": cv2.CAP_DSHOW,
        "Darwin": cv2.CAP_AVFOUNDATION,
    }.get(platform.system(), cv2.CAP_ANY)


def _reported_rate_hz(capture: Any) -> float:
    rate_hz = float(capture.get(cv2.CAP_PROP_FPS))
    return rate_hz if 1 <= rate_hz <= 1000 else 0.0


def _rgb(image: Array) -> Array:
    """OpenCV's BGR or grey as RGB."""
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def _silenced_opencv():
    """Suppress OpenCV's own warnings: CameraError says what is wrong."""
    log: Any = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)
