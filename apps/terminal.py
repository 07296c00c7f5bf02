"""Progress bar, signals and folders for the command line, and the example's source picture."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hybridanim.errors import InputError

PROGRAM = "hybridanim" if Path(sys.argv[0]).stem == "hybridanim" else "run_pipeline.py"
COMMAND = PROGRAM if PROGRAM == "hybridanim" else f"python {PROGRAM}"


@contextmanager
def progress(unit: str) -> Iterator[Callable[[int, int | None, str], None]]:
    """A progress bar on the error stream.

    Yields a function that takes the number done, the number in all (None = unknown) and a text.
    """
    with tqdm(unit=unit, disable=None) as bar:

        def progress(done: int, total: int | None, what: str) -> None:
            bar.total = total
            bar.set_description(what, refresh=False)
            bar.update(done - bar.n)

        yield progress


class _Output:
    """A text stream that gives up when it cannot be written, with one line on the error stream.

    What a run has made matters more than what it prints. A closed pipe still raises.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.is_lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As that of a stream."""
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """As that of a stream."""
        self._try(self._stream.flush)

    def _try(self, action: Callable[..., Any], *arguments: Any) -> None:
        try:
            action(*arguments)
        except BrokenPipeError:
            raise
        except OSError as error:
            if self.is_lost:
                return
            self.is_lost = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            print(
                f"{PROGRAM}: expected a standard output that can be written, got"
                f" '{error.strerror}'; the result is not affected",
                file=sys.stderr,
            )


@contextmanager
def standard_output() -> Iterator[_Output]:
    """Standard output as one that may fail. Streams that were closed lead nowhere."""
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:  # else the next file that is opened gets its number
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    before, output = sys.stdout, _Output(sys.stdout)
    sys.stdout = output
    try:
        yield output
    finally:
        sys.stdout = before


def example_source() -> Path:
    """scikit-image's astronaut photograph (NASA, public domain), from the package."""
    from skimage import data

    return Path(data.__file__).parent / "astronaut.png"


def listen() -> None:
    """Make Ctrl-C, kill and a closed terminal raise KeyboardInterrupt, unless they are ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def make_folder(folder: Path) -> None:
    """Make a folder if it is missing; raises InputError where that is not possible."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"expected to make the folder {folder.absolute()}, got {error.strerror!r}; go to a"
            " folder that can be written"
        ) from error
