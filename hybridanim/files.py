"""The package's own files, its cache folder, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import InputError

PACKAGE = Path(__file__).resolve().parent
WEIGHTS = PACKAGE / "weights"
EXAMPLE_DRIVING = PACKAGE / "assets" / "driving.mp4"

_RANDOM = "[a-z0-9_]{8}"  # in a part's name, by tempfile
_OLD_S = 86400.0  # a part that nothing has changed for so long has no writer any more
_MOST_NAME = 32  # characters of the target's name in that of its part, so that it is never too long


@contextmanager
def atomic_write(path: str | Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """An open binary file that takes the place of ``path`` when the block ends without an error.

    Until then it lies in the same folder under a random name that no other file has; after an error
    it is removed and ``path`` is unchanged. Raises OSError where the folder cannot be written, and
    FileExistsError when something is at ``path`` at the end and ``overwrite`` is off.
    """
    part = part_file(path)
    try:
        with open(part, "wb") as file:
            yield file
        if overwrite:
            os.replace(part, path)
        else:
            _link(part, Path(path))
    finally:
        part.unlink(missing_ok=True)


def part_file(path: str | Path, suffix: str = ".part") -> Path:
    """A new empty file in the folder of ``path``, with the usual permissions and a random name."""
    folder, prefix = _beside(path)
    number, name = tempfile.mkstemp(suffix, prefix, folder)
    os.close(number)
    os.chmod(name, 0o666 & ~_umask())
    return Path(name)


def part_folder(path: str | Path, suffix: str = ".part") -> Path:
    """A new empty folder in that of ``path``, with the usual permissions and a random name."""
    folder, prefix = _beside(path)
    name = tempfile.mkdtemp(suffix, prefix, folder)
    os.chmod(name, 0o777 & ~_umask())
    return Path(name)


def remains(path: str | Path, older_s: float = _OLD_S) -> list[Path]:
    """Parts of this path, files and folders, that nothing has changed for a day, or ``older_s``.

    Writers that were killed left them. Their names are recognised, but another program's may look
    alike, so they are for the user to delete. Empty where the folder cannot be read.
    """
    folder, prefix = _beside(path)
    part = re.compile(rf"{re.escape(prefix)}{_RANDOM}\.(part|partial)")
    try:
        found = [folder / name for name in os.listdir(folder) if part.fullmatch(name)]
        newest = time.time() - older_s
        return sorted(one for one in found if _changed_s(one) < newest)
    except (OSError, ValueError):
        return []


def _changed_s(path: Path) -> float:
    """When a file, or what is in a folder, was changed last; links are not followed."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return found.st_mtime
    return max([found.st_mtime, *(_changed_s(inside) for inside in path.iterdir())])


def sha256(*paths: str | Path) -> str:
    """Hex digest of the bytes of one file, or of several files one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def is_safetensors(path: str | Path) -> bool:
    """Whether a regular file is named, or begins, as a safetensors file, which no video does."""
    path = Path(path)
    if not path.is_file():
        return False
    if path.suffix.lower() == ".safetensors":
        return True
    try:
        with open(path, "rb") as file:
            start = file.read(10)
    except OSError:
        return False
    return start[4:8] == bytes(4) and start[8:] == b'{"'  # a short length, and JSON


def expect_sha256(what: str, path: Path, expected: str) -> None:
    """Raise InputError when the file of the package has another SHA-256 than this hex digest."""
    if (found := sha256(path)) != expected:
        raise InputError(
            f"{what}: expected sha256 {expected[:12]}, got {found[:12]}; fetch the file again, it"
            " is damaged or of another version"
        )


def cache_folder() -> Path | None:
    """The folder for files that can be made again, as this operating system names it.

    It need not exist. None where the system names none: a user without a home folder, as in many
    containers.
    """
    try:
        if os.name == "nt":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return None
    return base / "hybridanim"


def _link(part: Path, path: Path) -> None:
    """Give the part a second name, which nothing may have; its first one goes with the block."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(part, path)


def _beside(path: str | Path) -> tuple[Path, str]:
    """Folder of a path, and how the names of its parts begin."""
    path = Path(path).absolute()
    return path.parent, f".{path.name[:_MOST_NAME]}."


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
