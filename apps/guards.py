"""Checks of output paths, and handling of signals and of failing debug outputs.

``render`` uses them around its loop over the frames.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybridanim import files, io, paths
from hybridanim.config import RenderJob, replaces_background
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.io.writer import frames_in
from hybridanim.types import Results
from hybridanim.visualization.debug_writer import FILES, DebugWriter


def refuse_clashes(job: RenderJob, *inputs: Path) -> None:
    """Raise InputError when an output would replace an input, another output, or an older file.

    inputs: what is read besides the files that the job names itself.
    """
    given = [*inputs, *job.profile]
    if job.pipeline.render.weights is not None:
        given.append(job.pipeline.render.weights)
    background = job.pipeline.keypoints.background
    if replaces_background(background) and paths.is_file(background):
        given.append(Path(background))
    if background == "transparent" and not io.holds_alpha(job.output):
        raise InputError(
            f"--background transparent: expected an --output that holds transparency, got"
            f" {job.output.name}; name a .mov, .webm, .gif or .png file, or a folder"
        )
    for path in given:
        paths.expect_readable("input", path)
    for path in (job.output, job.debug, job.save_motion):
        if path is not None:
            paths.look(path)  # refuses names that the system does not take
    if job.debug is not None and os.path.realpath(job.output) == os.path.realpath(job.debug):
        raise InputError(
            f"--output {job.output}: expected another folder than that of --debug, got the same;"
            " choose another one"
        )
    shown = [] if job.debug is None else [("--debug", job.debug / n) for n in FILES]
    motion = [] if job.save_motion is None else [("--save-motion", job.save_motion)]
    paths.refuse_replacing(
        [*shown, *outputs_of(job.output), *motion],
        given,
        overwrite=job.overwrite,
        records=[record_of(job.output)],
        folders=[job.output],
    )


def refuse_swapped(job: RenderJob, source: Path, driving: Path) -> None:
    """Raise InputError for a video as the source and a still picture as the driver.

    Not where a moment of the source's video is chosen, or where the output is a picture.
    """
    is_meant = job.source_time > 0 or io.is_picture(job.output)
    if is_meant or not paths.is_file(source) or not paths.is_file(driving):
        return
    if io.is_still(driving) and not io.is_still(source):
        raise InputError(
            f"SOURCE and DRIVING: expected the picture first and the video second, got the video"
            f" {source.name} first and the picture {driving.name} second; swap the two"
        )


def outputs_of(output: Path) -> list[tuple[str, Path]]:
    """The option and the files that an --output replaces: itself, or the pictures in its folder."""
    if not paths.is_folder(output):
        return [("--output", output)]
    return [("--output", path) for path in (output, *frames_in(output))]


def record_of(output: Path) -> tuple[str, Path]:
    """What the record of an --output is called in messages, and its file."""
    return "--output (its record)", provenance.sidecar_path(output)


def note_remains(*outputs: Path | None) -> list[str]:
    """A sentence about what runs that were killed left beside these outputs, or none."""
    found = {part for path in outputs if path is not None for part in files.remains(path)}
    if not found:
        return []
    names = ", ".join(str(part) for part in sorted(found)[:3])
    return [
        f"Unfinished and unchanged for a day: {names}{', ...' if len(found) > 3 else ''}"
        f" ({len(found)} in all). Runs that were killed left this; it can be deleted."
    ]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C, kill and a closed terminal while a result is being completed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class DebugOutputs:
    """The debug outputs, of which a failure becomes a note and does not end the run.

    writer: None = no debug outputs were asked for.
    """

    def __init__(self, writer: DebugWriter | None) -> None:
        self._writer = writer
        self.failure = ""  # why they were stopped, or ""

    def write(self, results: Results | None) -> None:
        """Add one frame."""
        if self._writer is not None and results is not None:
            self._try(self._writer.write, results)

    def close(self, stopped: str = "") -> None:
        """Complete the files; stopped: why the run ended early."""
        if self._writer is not None:
            self._try(self._writer.close, stopped)

    def leave(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        """As an ExitStack calls it."""
        self.close("" if kind is None else str(error) or kind.__name__)

    def _try(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except InputError as error:
            self.failure = f"No debug outputs: {error}"
            if self._writer is not None:
                self._writer.discard()
            self._writer = None
