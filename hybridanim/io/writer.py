"""Videos, GIFs and picture folders out.

Pictures with their times -> a file that is whole or not there: a thread of its own writes it under
a hidden random name in the target's folder, and it is renamed at the end. An interruption by the
user keeps what was done as a playable file; any other error removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import shutil
import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.error import FFmpegError

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.types import Array

from .encoders import (
    FORMATS,
    WITH_ALPHA,
    Encoder,
    FilmEncoder,
    FolderEncoder,
    GifEncoder,
    SinkPlan,
    StillEncoder,
)
from .images import WRITE_SUFFIXES
from .timing import time_base_of

FRAMES_BEHIND = 4


class VideoWriter:
    """Takes pictures one by one; a context manager.

    Leaving the ``with`` block completes the file; leaving it by KeyboardInterrupt too, by any other
    error removes it, unless ``abort_keep`` was called. ``warning`` is a sentence about what
    was left out (sound that cannot be used), or ""; ``count`` how many pictures were taken,
    ``path`` where they go.
    """

    def __init__(self, plan: SinkPlan, part: Path, overwrite: bool = False) -> None:
        self.path = plan.target
        self.count = 0
        self._plan, self._part, self._overwrite = plan, part, overwrite
        self._keeps = False
        self._is_closed = False
        self._error: Exception | None = None
        self._encoder: Encoder | None = None
        self._queue: queue.Queue[Any] = queue.Queue(FRAMES_BEHIND)
        self._thread = threading.Thread(target=self._work, name="write video", daemon=True)
        self._thread.start()

    @property
    def warning(self) -> str:
        """What had to be left out, or ""."""
        return self._encoder.warning if self._encoder else ""

    def write(self, image: Array, time_s: float | None = None) -> None:
        """Append one (H, W, 3) uint8 RGB picture, (H, W, 4) with alpha, shown from ``time_s`` on.

        Times must grow; the first one becomes time 0 of the output. None = one frame after the
        last. The picture is copied. Raises TypeError for another size or type, InputError when the
        disk is full.
        """
        width, height = self._plan.size
        channels = 4 if self._plan.has_alpha else 3
        if image.shape != (height, width, channels) or image.dtype != np.uint8:
            raise TypeError(
                f"write: expected ({height}, {width}, {channels}) uint8, got {image.shape}"
                f" {image.dtype}; "
                "open the sink with the size of the pictures, and convert with io.to_rgb8"
            )
        if time_s is None:
            time_s = float(self.count / self._plan.fps)
        self._put((np.array(image, order="C"), float(time_s)))
        self.count += 1

    def abort_keep(self, path: Path | None = None) -> None:
        """Keep what has been written even if the ``with`` block is left by an error.

        path: its name then, in the same folder and with the same ending; None = as planned.
        """
        self._keeps, self.path = True, path or self.path

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        keeps = kind is None or self._keeps or issubclass(kind, KeyboardInterrupt)
        if keeps and (self.count or kind is None):
            self.close()
        else:
            self.discard()

    def close(self) -> None:
        """Complete the file and give it its name; raises InputError when that fails."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._queue.put(None)
            self._thread.join()
            if self._error is None and self.count == 0:
                self._error = InputError(
                    f"output: expected at least one picture for {self.path.name}, got none; "
                    "check --start and --end"
                )
            if self._error is not None:
                raise self._error
            move_whole(self._part, self.path, self._overwrite)
        except OSError as error:
            raise write_error(self.path, error) from error
        finally:
            remove_part(self._part)

    def discard(self) -> None:
        """Stop and remove what was written."""
        if self._is_closed:
            return
        self._is_closed = True
        self._error = self._error or InputError("output: given up")
        self._queue.put(None)
        self._thread.join()
        remove_part(self._part)

    def _put(self, item: Any) -> None:
        """Hand one picture to the thread, or raise what has stopped it."""
        if self._is_closed:
            raise TypeError("write: expected an open sink, got a closed one; open another")
        self._queue.put(item)  # the thread always takes, even after an error
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        """The thread: pictures from the queue into the encoder until None comes."""
        while (item := self._queue.get()) is not None:
            if self._error is None:
                self._try(self._add, *item)
        if self._encoder is not None and self._error is None:
            self._try(self._encoder.finish)
        if self._encoder is not None and self._error is not None:
            self._encoder.discard()

    def _add(self, image: Array, time_s: float) -> None:
        if self._encoder is None:
            self._encoder = encoder_for(self._plan.target)(self._plan, self._part)
        self._encoder.add(image, time_s)

    def _try(self, action: Any, *arguments: Any) -> None:
        """Run one step; remember its error for the caller's thread."""
        try:
            action(*arguments)
        except InputError as error:
            self._error = error
        except (OSError, FFmpegError, OverflowError) as error:
            self._error = write_error(self.path, error)
        except Exception as error:
            self._error = error


def open_sink(
    path: str | Path,
    fps: Fraction,
    size: tuple[int, int],
    *,
    overwrite: bool = False,
    audio_from: str | Path | None = None,
    audio_start_s: float | None = None,
    audio_end_s: float | None = None,
    metadata: Mapping[str, str] | None = None,
    time_base: Fraction | None = None,
    crf: int = 17,
    has_alpha: bool = False,
) -> VideoWriter:
    """Open an output: .mp4 .m4v .mov .mkv .webm .gif, one picture, or (no ending) a folder of PNG.

    ``size`` is (width, height); odd sides of a film grow by one repeated row or column. ``fps`` and
    ``time_base`` come from the reader; times are kept as whole numbers of ``time_base`` (Matroska
    and WebM round to 1 ms, GIF to 10 ms). The sound of ``audio_from`` is heard from
    ``audio_start_s`` (None = the time of the first picture) to ``audio_end_s`` (None = the last).
    ``metadata`` goes into the file's tags. ``has_alpha``: pictures are (H, W, 4) RGBA, colours not
    multiplied by alpha; for the endings that ``holds_alpha`` knows. Raises InputError when the
    place cannot be written to, or is taken and ``overwrite`` is False.
    """
    target = Path(path)
    plan = SinkPlan(
        target=target,
        fps=Fraction(fps),
        size=(int(size[0]), int(size[1])),
        time_base=time_base or time_base_of(Fraction(fps)),
        audio_from=Path(audio_from) if audio_from is not None else None,
        audio_start_s=audio_start_s,
        audio_end_s=audio_end_s,
        metadata=dict(metadata or {}),
        crf=crf,
        has_alpha=has_alpha,
    )
    _check_kind(target)
    if has_alpha and not holds_alpha(target):
        raise InputError(
            f"output: expected a file that holds transparency, got {target.name}; name a .mov,"
            " .webm, .gif or .png file, or a folder"
        )
    _check_free(target, overwrite)
    return VideoWriter(plan, make_part(target), overwrite)


def holds_alpha(path: str | Path) -> bool:
    """Whether outputs of this name can be transparent."""
    return Path(path).suffix.lower() in WITH_ALPHA


def _check_kind(target: Path) -> None:
    """Raise InputError for an ending that cannot be written, or no name at all."""
    if target.name in ("", ".."):
        raise InputError(
            f"output: expected a name, got the folder {target}; add a name, for example out.mp4"
        )
    if target.name == "-":
        raise InputError(
            "output: expected the name of a file, got -, the standard output, which takes no video"
            " here; name a file, for example out.mp4"
        )
    known = {"", ".gif", *FORMATS, *WRITE_SUFFIXES}
    if target.name.lower() in known:
        raise InputError(
            f"output: expected a name, got the ending {target.name} alone; add a name, for example"
            f" out{target.name.lower()}"
        )
    if target.suffix.lower() not in known:
        listed = " ".join(sorted(known - {""}))
        raise InputError(
            f"output: expected one of {listed} or a folder, got {target.name}; change the ending"
        )


def _check_free(target: Path, overwrite: bool) -> None:
    """Raise InputError when the name is taken, or a link."""
    paths.refuse_link("output", target)
    is_folder = encoder_for(target) is FolderEncoder
    if target.is_dir() and not is_folder:
        raise InputError(f"output: expected a file name, got the folder {target}; choose another")
    if target.exists() and is_folder and not target.is_dir():
        raise InputError(f"output: expected a folder, got the file {target}; choose another name")
    is_taken = any(target.iterdir()) if target.is_dir() else target.exists()
    if is_taken and not overwrite:
        raise InputError(
            f"output: expected a new name, got {target} which exists; add --overwrite to replace "
            "it, or choose another name"
        )


def make_part(target: Path) -> Path:
    """Create the empty temporary file or folder in the target's folder."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise InputError(
            f"output: expected an existing folder, found no {folder}; create it, or choose another"
        )
    try:
        if encoder_for(target) is FolderEncoder:
            return files.part_folder(target)
        return files.part_file(target)
    except OSError as error:
        raise write_error(target, error) from error


def encoder_for(target: Path) -> Callable[[SinkPlan, Path], Encoder]:
    """The kind of encoder that a file name asks for."""
    suffix = target.suffix.lower()
    if suffix in FORMATS:
        return FilmEncoder
    return GifEncoder if suffix == ".gif" else StillEncoder if suffix else FolderEncoder


def write_error(target: Path, error: Exception) -> InputError:
    """One line for a full disk, missing rights and the like."""
    reason = getattr(error, "strerror", None) or str(error)
    number = getattr(error, "errno", None)
    hint = "check the permissions, or choose another folder"
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        hint = f"free some space, {hint}"
    elif isinstance(error, OverflowError | ValueError) or number in (errno.EINVAL, errno.ERANGE):
        hint = "this kind of file does not take these times or this size; choose another ending"
    return InputError(f"output: expected to write {target}, got '{reason}'; {hint}")


def move_whole(part: Path, target: Path, overwrite: bool) -> None:
    """Give the finished file its name; pictures replace those of an earlier run in their folder.

    Raises InputError when the name was taken meanwhile, by another run: both results are kept.
    """
    if not overwrite and not _claim(part, target):
        kept = target.with_name(f"{target.stem}.{os.getpid()}{target.suffix}")
        kept = paths.free_name(kept)
        os.replace(part, kept)
        raise InputError(
            f"output: expected {target} to stay free, got it from another program meanwhile, and it"
            f" was left alone; this result is {kept}"
        )
    if not part.is_dir():
        os.replace(part, target)
        return
    target.mkdir(exist_ok=True)
    for old in frames_in(target):
        old.unlink()
    for new in sorted(part.iterdir()):
        os.replace(new, target / new.name)


def frames_in(folder: Path) -> list[Path]:
    """The pictures of an earlier run in an output folder, which the next run replaces."""
    return sorted(folder.glob("frame_" + "[0-9]" * 6 + ".png"))


def _claim(part: Path, target: Path) -> bool:
    """Take a free name so that nobody else can; False when it is taken."""
    if part.is_dir():
        return not target.exists() or not any(target.iterdir())
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:  # no links on this file system
        return not target.exists()
    return True


def remove_part(part: Path) -> None:
    """Remove the temporary file or folder, if it is still there."""
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)
