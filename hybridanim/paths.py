"""Paths that the user names: what lies there, and outputs that replace nothing by accident.

What the operating system says of a path (OSError), and a NUL in it (ValueError), become InputError
here, so that the others need not expect them.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import atomic_write

MOST_TEXT_BYTES = 128 << 10  # of a file of settings; the largest have a few kB
_MOST_DEPTH = 64  # parts of a dotted key


def look(path: str | Path) -> os.stat_result | None:
    """What lies at a path, links followed; None for nothing.

    Raises InputError where that cannot be found out: a folder that may not be entered, a name that
    is too long, links in a circle.
    """
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise unusable(path, error) from error


def unusable(path: str | Path, error: Exception) -> InputError:
    """The error for a path that the operating system refuses."""
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(
        f"{_printable(path)}: expected a path that can be used, got '{reason}'; check the name and"
        " the permissions of its folders"
    )


def is_file(path: str | Path) -> bool:
    """Whether a regular file lies there; raises InputError as ``look`` does."""
    found = look(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_folder(path: str | Path) -> bool:
    """Whether a folder lies there; raises InputError as ``look`` does."""
    found = look(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def expect_readable(what: str, path: str | Path) -> None:
    """Raise InputError for what would be waited for or never ends: a pipe, a device, a socket.

    what: the input's name in the message. Files, folders and nothing at all pass.
    """
    found = look(path)
    if found is not None and not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise InputError(
            f"{what}: expected a file or a folder, got {path}, a pipe or device; save it to a file"
        )


def read_text(path: str | Path, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """The text of a file of settings, UTF-8.

    Raises OSError, UnicodeDecodeError, and InputError for no regular file, or more than
    ``most_bytes``.
    """
    expect_readable("settings", path)
    with open(path, "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise InputError(
            f"{path}: expected at most {most_bytes >> 10} kB of text, got more; check the name"
        )
    return data.decode("utf-8")


def read_toml(
    where: str, path: str | Path, want: str, hint: str, most_bytes: int = MOST_TEXT_BYTES
) -> dict[str, Any]:
    """The table of a TOML file of at most ``most_bytes``.

    where, want, hint: how the message of an InputError begins, what it says is expected, and what
    it says to do.
    """
    try:
        text = read_text(path, most_bytes)
        for line in text.splitlines():  # the parser's memory grows with the square of the depth
            if line.partition("=")[0].count(".") > _MOST_DEPTH:
                raise ValueError(f"a key of more than {_MOST_DEPTH} parts")
        return tomllib.loads(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected {want}, got {error}; {hint}") from error


def refuse_replacing(
    outputs: Sequence[tuple[str, Path]],
    inputs: Iterable[Path],
    *,
    overwrite: bool,
    records: Sequence[tuple[str, Path]] = (),
    folders: Sequence[Path] = (),
    is_deep: bool = False,
) -> None:
    """Raise InputError when writing the outputs would replace something that must stay.

    outputs: option and file, for each file that will be written. An input is never replaced, nor a
    file in a folder that is an input (``is_deep``: nor in the folders in it), nor one output by
    another, nor a link, pipe, device or folder; any other file only with ``overwrite``, except
    ``records``, which an earlier run made for the same output. folders: outputs that may be a
    folder.
    """
    given = [(path, look(path), Path(os.path.realpath(path))) for path in inputs]
    options: dict[Path, str] = {}
    for option, path in (*outputs, *records):
        there, place = look(path), Path(os.path.realpath(path))
        for other, found, real in given:
            is_linked = there is not None and found is not None and os.path.samestat(there, found)
            if place == real or is_linked:
                raise InputError(
                    f"{option} {path}: expected another place than the input {other.name}, got the"
                    " same file; choose another name"
                )
            if there is not None and real in (place.parents if is_deep else (place.parent,)):
                raise InputError(
                    f"{option} {path}: expected another place than in the input folder {other}, got"
                    " a file of it; choose another folder"
                )
        if place in options:
            raise InputError(
                f"{option} {path}: expected another name than that of {options[place]}, got the"
                " same file; choose another name"
            )
        options[place] = option
        if (option, path) not in records:
            _expect_replaceable(option, path, there, is_folder=path in folders)
        is_taken = is_file(path) or (there is None and path.is_symlink())
        if is_taken and not overwrite and (option, path) not in records:
            raise InputError(
                f"{option} {path}: expected a new name, got a file that exists; add --overwrite to"
                " replace it, or choose another name"
            )


def _expect_replaceable(
    option: str, path: Path, there: os.stat_result | None, *, is_folder: bool
) -> None:
    """Raise InputError for what no output may take the place of, whatever the options: a device.

    is_folder: whether a folder may be there.
    """
    if there is None or stat.S_ISREG(there.st_mode):
        refuse_link(option, path)
        return
    if not stat.S_ISDIR(there.st_mode):
        raise InputError(
            f"{option} {path}: expected a new name or a file, got a pipe or device; choose another"
            " name"
        )
    if not is_folder:
        raise InputError(
            f"{option} {path}: expected a new name or a file, got a folder; move it, or choose"
            " another name"
        )


def refuse_link(option: str, path: Path) -> None:
    """Raise InputError for a symbolic link: replacing it or following it may not be what is meant.

    A link to a folder passes. option: how the message begins.
    """
    if not path.is_symlink() or is_folder(path):
        return
    target = os.path.realpath(path)
    raise InputError(
        f"{option} {_printable(path)}: expected a new name or a file, got a link to"
        f" {_printable(target)}; name that file itself, or remove the link"
    )


def write_whole(option: str, path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write a file whole or not at all; option: its name in the message of an InputError.

    Raises InputError where it cannot be written, or exists and ``overwrite`` is off.
    """
    try:
        with atomic_write(path, overwrite=overwrite) as file:
            file.write(data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{option}: expected to write {_printable(path)}, got '{reason}'; choose another place"
        ) from error


def free_name(path: Path) -> Path:
    """The path itself, or the first of NAME.2, NAME.3, ... (before the ending) with nothing there.

    Raises InputError as ``look`` does.
    """
    number, free = 1, path
    while look(free) is not None or free.is_symlink():
        number += 1
        free = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return free


def _printable(path: str | Path) -> str:
    text = str(path).encode("unicode_escape", "backslashreplace").decode()
    return text if len(text) <= 100 else f"{text[:60]}...{text[-30:]}"
