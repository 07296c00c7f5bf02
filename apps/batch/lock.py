"""One batch at a time in an output folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybridanim import paths
from hybridanim.errors import InputError

FOLDER = ".batch"  # in the output folder: the lock, and ranges of clips that are not complete


@contextmanager
def locked(out: Path) -> Iterator[Path]:
    """Make and lock the output folder; yields the folder for what is not complete.

    Raises InputError where another batch runs in it, or it cannot be written.
    """
    inside = out / FOLDER
    paths.look(inside)
    try:
        inside.mkdir(parents=True, exist_ok=True)
        file = os.open(inside / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            f"--out {out}: expected a folder that can be written, got '{error.strerror}'; choose"
            " another place"
        ) from error
    try:
        if not _take(file):
            raise InputError(
                f"--out {out}: expected a folder in which no other batch runs, got one that is in"
                " use; wait for it, or choose another folder"
            )
        yield inside
    finally:
        os.close(file)


def _take(file: int) -> bool:
    """Lock an open file, without waiting; the system unlocks it when it is closed."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # a file system without locks cannot tell, and is none that another batch is known to use
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True
