"""Checks of output paths, and handling of signals and of failing debug outputs.

``render`` uses them around its loop over the frames.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.types import Results
from hybridanim.visualization.debug_writer import FILES, DebugWriter


def refuse_clashes(job: RenderJob, *inputs: Path) -> None:
    """InputError when an output would replace an input or another output, or an input is a pipe."""
    output, sidecar = job.output.resolve(), provenance.sidecar_path(job.output).resolve()
    shown = set() if job.debug is None else {job.debug.resolve() / name for name in FILES}
    for path in inputs:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(
                f"{path}: expected a file or a folder, got a pipe or device; save it to a file"
            )
        is_linked = output.exists() and path.exists() and output.samefile(path)
        if is_linked or path.resolve() == output:
            raise InputError(
                f"--output {output}: expected another place than the input {path.name}, got the"
                " same file; choose another name"
            )
        if path.resolve() in shown:
            raise InputError(
                f"--debug {job.debug}: expected another folder than that of the input {path.name},"
                " which it would replace; choose another folder"
            )
    if job.debug is not None and ({output, sidecar} & shown or output == job.debug.resolve()):
        raise InputError(
            f"--output {job.output}: expected another name than those of the debug outputs, got one"
            f" of them; put it outside {job.debug}"
        )


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
