"""What every program of the command line shares: streams that may fail, and errors as one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from . import text as texts
from .errors import InputError
from .extras import TRAIN


def run(program: str, action: Callable[[], int]) -> int:
    """Do what a program does; returns the exit code, without a traceback for foreseeable errors.

    program: its name at the beginning of a message. action returns 0, or another exit code. An
    InputError, an error of the system, and torch where it is missing give one line on the error
    stream and 2; Ctrl-C gives 130; a standard output that cannot be written gives 1, after the
    action has run to its end.
    """
    try:
        with standard_output(program) as output:
            code = _guarded(program, action)
            sys.stdout.flush()
        return code or int(output.is_lost)
    except BrokenPipeError:  # as in --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _guarded(program: str, action: Callable[[], int]) -> int:
    try:
        return action()
    except InputError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        print(f"{program}: expected the package torch, found none; {TRAIN}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:  # of a path that nothing above has looked at
        place = "" if error.filename is None else f" for {error.filename}"
        print(
            f"{program}: expected files and folders that can be used, got"
            f" '{error.strerror or error}'{place}; check names, permissions and free space",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped; nothing was written", file=sys.stderr)
        return 130


class _Output:
    """A text stream that gives up when it cannot be written, with one line on the error stream.

    What a run has made matters more than what it prints. A closed pipe still raises.
    """

    def __init__(self, stream: Any, program: str) -> None:
        self._stream, self._program = stream, program
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
                f"{self._program}: expected a standard output that can be written, got"
                f" '{error.strerror}'; the result is not affected",
                file=sys.stderr,
            )


@contextmanager
def standard_output(program: str) -> Iterator[_Output]:
    """Standard output as one that may fail. Streams that were closed lead nowhere.

    It and the error stream show what their encoding lacks as escapes.
    """
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:  # else the next file that is opened gets its number
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    for stream in (sys.stdout, sys.stderr):
        texts.escape(stream)
    before, output = sys.stdout, _Output(sys.stdout, program)
    sys.stdout = output
    try:
        yield output
    finally:
        sys.stdout = before
