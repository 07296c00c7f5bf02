"""Driving videos in.

A video file, a folder of pictures or one picture -> VideoReader, which gives ``types.Frame`` in
presentation order. Reading runs in a thread of its own, at most a few frames ahead, so that the
next frame is decoded while the last one is worked on and memory does not grow with the length.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from hybridanim import files, geometry, paths
from hybridanim.errors import InputError
from hybridanim.types import Array, Frame

from .animation import Animation, is_animation
from .decoder import ANSWER, Decoder, SourceInfo
from .images import fit, is_picture, list_pictures, read_picture
from .timing import time_base_of

FRAMES_AHEAD = 4  # a frame of 1080p is 6 MB
LATEST_START_S = 1e7  # 115 days; time stamps count up to so much
MOST_AHEAD_BYTES = 256 << 20  # and fewer frames ahead where they are larger
PICTURE_RATE = Fraction(25)


class VideoReader:
    """Frames of a driving video, read ahead in a thread; a context manager and an iterator.

    The attributes of SourceInfo (width, height, fps, is_variable_rate, time_base, frame_count,
    duration_s, has_audio, rotation) can be read from it directly. ``warning`` is one sentence about
    what could not be read, or ""; it is complete once the frames have run out.
    """

    def __init__(
        self,
        info: SourceInfo,
        frames: Iterator[Frame],
        warning: Callable[[], str],
        close: Callable[[], None],
        turn_deg: int = 0,
    ) -> None:
        """turn_deg: see ``open_source``."""
        self.info = info if turn_deg == 0 else _turned(info, turn_deg)
        self._turn_deg = turn_deg
        self._frames, self._warning, self._close_source = frames, warning, close
        most = MOST_AHEAD_BYTES // max(1, 3 * info.width * info.height)
        self._queue: queue.Queue[Any] = queue.Queue(max(1, min(FRAMES_AHEAD, most)))
        self._stop = threading.Event()
        self._is_done = False
        self._thread = threading.Thread(target=self._read, name="read video", daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        if name != "info" and name in SourceInfo.__dataclass_fields__:
            return getattr(self.info, name)
        raise AttributeError(name)

    @property
    def warning(self) -> str:
        """What could not be read, or ""."""
        return self._warning()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """The next frame; raises what the reading thread raised."""
        if self._is_done:
            raise StopIteration
        item = self._queue.get()
        if isinstance(item, Frame):
            return item
        self._is_done = True
        if isinstance(item, BaseException):
            raise item
        raise StopIteration

    def close(self) -> None:
        """Stop reading and close the file; safe to call early and twice."""
        self._stop.set()
        self._is_done = True
        with contextlib.suppress(queue.Empty):
            while True:  # make room, so that a waiting put returns
                self._queue.get_nowait()
        self._thread.join()

    def _read(self) -> None:
        """The thread: frames into the queue, then None or the error that ended it."""
        last: Any = None
        try:
            for frame in self._frames:
                if self._turn_deg:
                    frame = replace(frame, image=geometry.turned(frame.image, self._turn_deg))
                if not self._put(frame):
                    break
        except BaseException as error:  # handed to the reader's own thread
            last = error
        finally:
            self._close_source()
        self._put(last)

    def _put(self, item: Any) -> bool:
        """Queue one item; False when the reader has been closed meanwhile."""
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=0.1)
                return True
        return False


def open_source(
    path: str | Path,
    start_s: float | None = None,
    end_s: float | None = None,
    *,
    max_side_px: int | None = None,
    picture_rate: Fraction = PICTURE_RATE,
    threads: str = "AUTO",
    turn_deg: int = 0,
) -> VideoReader:
    """Open a driving video: mp4, mov, avi, mkv, webm, gif..., a folder of pictures, or a picture.

    Animated pictures (WebP, APNG, AVIF) are videos, too.

    ``start_s`` and ``end_s`` cut it, end excluded, in seconds from its first frame. Frames have
    their native size, or their longer side is at most ``max_side_px``. Pictures of a folder follow
    each other in natural order at ``picture_rate`` and take the size of the first one.
    ``threads`` is PyAV's thread type: "AUTO", "FRAME", "SLICE" or "NONE". ``turn_deg``: frames are
    turned clockwise by 0, 90, 180 or 270 degrees, beyond what the file itself says.
    Raises InputError when there is nothing to read.
    """
    path = Path(path)
    start = _checked_cut(start_s, end_s)
    pictures: Any = {"max_side_px": max_side_px, "rate": picture_rate, "turn_deg": turn_deg}
    if paths.is_folder(path):
        return _open_pictures(path, list_pictures(path), start, end_s, **pictures)
    _check_file(path)
    if is_picture(path) and is_animation(path):
        film = Animation(path, start, end_s, max_side_px)
        return VideoReader(film.info, film.frames(), lambda: film.warning, lambda: None)
    if is_picture(path):
        return _open_pictures(path, [path], start, end_s, **pictures)
    decoder = Decoder(path, start, end_s, max_side_px, threads)
    return VideoReader(
        decoder.info, decoder.frames(), lambda: decoder.warning, decoder.close, turn_deg
    )


def _turned(info: SourceInfo, turn_deg: int) -> SourceInfo:
    """What is known of a video whose frames are turned."""
    rotation = (info.rotation + turn_deg) % 360
    if turn_deg % 180 == 0:
        return replace(info, rotation=rotation)
    return replace(info, rotation=rotation, width=info.height, height=info.width)


def is_still(path: str | Path) -> bool:
    """Whether a file is one single picture: no video, and no animated picture."""
    return is_picture(path) and not is_animation(Path(path))


def read_source_picture(path: str | Path, time_s: float = 0.0, *, alpha: bool = False) -> Array:
    """The picture to animate: a picture file, or a video's frame at ``time_s`` of it.

    Returns (H, W, 3) uint8 RGB; alpha: see ``read_picture``. Raises InputError when the file cannot
    be read or when the video has no frame there; for a video, the messages are those of
    ``open_source``.
    """
    path = Path(path)
    if is_picture(path) or not paths.is_file(path):
        return read_picture(path, alpha=alpha)
    with open_source(path, time_s or None) as reader:
        frame = next(reader, None)
    if frame is None:
        raise InputError(
            f"source {path.name}: expected a picture or a video, found no frame; give another file"
        )
    return frame.image


def _checked_cut(start_s: float | None, end_s: float | None) -> float:
    """The start in seconds, after refusing cuts that leave nothing."""
    start = 0.0 if start_s is None else float(start_s)
    if not 0 <= start <= LATEST_START_S:
        raise InputError(
            f"start: expected seconds from 0 to {LATEST_START_S:g}, got {start_s}; choose within"
        )
    if end_s is not None and not end_s > start:
        raise InputError(
            f"end: expected a time after the start ({start:g} s), got {end_s} s; choose a later end"
        )
    return start


def _check_file(path: Path) -> None:
    """Raise InputError unless ``path`` is a file with something in it."""
    paths.expect_readable("driving video", path)
    if paths.look(path) is None:
        raise InputError(f"driving video: expected a file, found no {path}; check the name")
    if not path.is_file():
        raise InputError(f"driving video: expected a file, got {path} which is none; {ANSWER}")
    try:
        with open(path, "rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise InputError(
            f"driving video: expected a readable file, got {path} ({error.strerror}); "
            "check its permissions"
        ) from error
    if is_empty:
        raise InputError(
            f"driving video: expected a video, got the empty file {path}; copy it again"
        )
    if files.is_safetensors(path):
        raise InputError(
            f"driving video: expected a video, got {path.name}, a motion file or weights; a motion"
            " file can only be the DRIVING of a render"
        )


class _Pictures:
    """Frames from picture files; those that cannot be read are passed over and counted."""

    def __init__(self, paths: list[Path], rate: Fraction, max_side_px: int | None) -> None:
        self._paths, self._rate, self._max_side_px = paths, rate, max_side_px
        self._unreadable: list[str] = []
        self.native_size = (0, 0)
        self._size = (0, 0)

    @property
    def warning(self) -> str:
        """Which pictures could not be read, or ""."""
        if not self._unreadable:
            return ""
        names = ", ".join(self._unreadable[:3]) + (", ..." if len(self._unreadable) > 3 else "")
        return f"{len(self._unreadable)} pictures could not be read and were left out: {names}"

    def measure(self) -> None:
        """Take the size of the first readable picture; raises InputError when there is none."""
        for path in self._paths:
            with contextlib.suppress(InputError):
                height, width = read_picture(path).shape[:2]
                scale = min(1.0, (self._max_side_px or 1e9) / max(height, width))
                self.native_size = (width, height)
                self._size = max(1, round(width * scale)), max(1, round(height * scale))
                return
        read_picture(self._paths[0])  # says what is wrong with it

    def frames(self, start_s: float, end_s: float | None) -> Iterator[Frame]:
        """Frames whose time lies in [start_s, end_s)."""
        index = 0
        for slot, path in enumerate(self._paths):
            time_s = float(slot / self._rate)
            if time_s < start_s - 1e-6 or (end_s is not None and time_s >= end_s - 1e-6):
                continue
            try:
                image = fit(read_picture(path), self._size)
            except InputError:
                self._unreadable.append(path.name)
                continue
            yield Frame(image, index, time_s)
            index += 1


def _open_pictures(
    path: Path,
    paths: list[Path],
    start_s: float,
    end_s: float | None,
    *,
    max_side_px: int | None,
    rate: Fraction,
    turn_deg: int,
) -> VideoReader:
    """A reader over picture files."""
    if not paths:
        raise InputError(
            f"driving video: expected a folder of pictures, got {path} without any; "
            "put PNG or JPEG files into it, or name a video file"
        )
    duration_s = float(len(paths) / rate)
    if start_s >= duration_s:
        raise InputError(
            f"start: expected a time before the end of {path.name} at {duration_s:.2f} s, got "
            f"{start_s:g} s; choose an earlier start"
        )
    pictures = _Pictures(paths, rate, max_side_px)
    pictures.measure()
    width, height = pictures.native_size
    info = SourceInfo(path, width, height, rate, False, time_base_of(rate), len(paths), duration_s)
    return VideoReader(
        info, pictures.frames(start_s, end_s), lambda: pictures.warning, lambda: None, turn_deg
    )
