"""Compiled graphs <-> one file in the user's cache folder, written atomically.

A file holds the graphs of one network as its runtime wrote them, or why there are none. Its name
is a hash of everything that they depend on; a checksum detects damage. Nothing here raises: without
a readable or writable cache a start is only slower.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hybridanim import files

_MAGIC = b"hybridanim networks 1\n"
_SUFFIX = ".networks"
_FAILED = "failed"  # in place of graphs: why there are none
_PART = re.compile(r"\.[a-z]+-[0-9a-f]{20,24}[.a-z]*\.[a-z0-9_]{8}\.part")  # see files.part_file
_OLD_S = 86400.0  # writing takes seconds
_KEPT = 32  # files; older ones probably belong to outdated weights or versions


def file_for(folder: Path, network: str, depends_on: Sequence[str]) -> Path:
    """Path of a network's file; ``depends_on``: texts that the graphs depend on, in order."""
    key = hashlib.sha256("\0".join(depends_on).encode()).hexdigest()[:24]
    return folder / f"{network}-{key}{_SUFFIX}"


def read(file: Path) -> dict[str, bytes] | None:
    """Read graph name -> bytes; None when the file is missing or damaged."""
    try:
        data = memoryview(file.read_bytes())
    except OSError:
        return None
    start = len(_MAGIC) + 32
    if (
        data[: len(_MAGIC)] != _MAGIC
        or hashlib.sha256(data[start:]).digest() != data[start - 32 : start]
    ):
        return None
    size = int.from_bytes(data[start : start + 8], "little")
    at = start + 8 + size
    graphs = {}
    try:
        for name, length in json.loads(bytes(data[start + 8 : at])).items():
            graphs[name] = bytes(data[at : at + length])
            at += length
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # mark as used, so that it is kept
    return graphs


def write(file: Path, graphs: Mapping[str, bytes]) -> bool:
    """Write the graphs; return whether that succeeded."""
    header = json.dumps({name: len(value) for name, value in graphs.items()}).encode()
    body = b"".join([len(header).to_bytes(8, "little"), header, *graphs.values()])
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(file) as opened:
            opened.write(_MAGIC + hashlib.sha256(body).digest() + body)
    except OSError:
        return False
    _prune(file.parent)
    return True


def write_failure(file: Path, reason: str) -> bool:
    """Write that no graphs can be used, so that later starts need not try; see ``write``."""
    return write(file, {_FAILED: reason.encode()})


def failure(graphs: Mapping[str, bytes]) -> str | None:
    """The reason that ``write_failure`` wrote; None for graphs."""
    return graphs[_FAILED].decode(errors="replace") if set(graphs) == {_FAILED} else None


def state(folder: Path) -> tuple[int, int]:
    """Number of cache files in a readable folder, and their total size in bytes."""
    sizes = [file.stat().st_size for file in folder.glob("*" + _SUFFIX)]
    return len(sizes), sum(sizes)


def _prune(folder: Path) -> None:
    """Delete all but the most recently used files, and parts of those that were never whole."""
    with contextlib.suppress(OSError):
        kept = sorted(folder.glob("*" + _SUFFIX), key=lambda file: file.stat().st_mtime)
        for file in kept[:-_KEPT]:
            file.unlink(missing_ok=True)
        for part in folder.iterdir():
            if _PART.fullmatch(part.name) and time.time() - part.stat().st_mtime > _OLD_S:
                part.unlink(missing_ok=True)
