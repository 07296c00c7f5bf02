"""Progress bar, signals and folders for the command line, and the example's source picture."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from hybridanim import paths
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
    paths.look(folder)  # raises for a name that cannot be one
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"expected to make the folder {folder.absolute()}, got {error.strerror!r}; go to a"
            " folder that can be written"
        ) from error
