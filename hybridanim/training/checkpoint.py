"""State of a run <-> its checkpoint, replaced as a whole, in one file or in several smaller ones.

Where a largest size of files is given, for places that accept no larger ones, a checkpoint that is
larger is cut into parts, ``checkpoint.pt.DIGEST.1`` and so on, and ``checkpoint.pt`` is a text that
names them with the SHA-256 of the whole. It is written last, and parts that it does not name are
removed after it, so that a kill at any moment leaves the old checkpoint or the new one. Nothing is
rounded: the parts put together are the bytes that one file would hold. Files are read without
running code (``weights_only``).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import torch

from hybridanim.errors import InputError
from hybridanim.files import atomic_write

CHECKPOINT = "checkpoint.pt"
_FORMAT = "checkpoint-parts-1"
_PART = r"\.[0-9a-f]{12}\.[0-9]{1,3}"
_MOST_TEXT = 1 << 16


def write(state: dict[str, Any], path: Path, most_bytes: int = 0) -> None:
    """Replace the checkpoint as a whole: after a kill it is the old one or the new one.

    most_bytes: of each file; 0: any number, in one file.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getbuffer()
    parts: list[str] = []
    if most_bytes and len(data) > most_bytes:
        digest = hashlib.sha256(data).hexdigest()
        starts = range(0, len(data), most_bytes)
        parts = [f"{path.name}.{digest[:12]}.{i + 1}" for i in range(len(starts))]
        for name, start in zip(parts, starts, strict=True):
            _replace(path.with_name(name), data[start : start + most_bytes])
        table = {"format": _FORMAT, "sha256": digest, "parts": parts}
        data = memoryview(json.dumps(table, indent=1).encode())
    _replace(path, data)
    for file in _parts_beside(path):
        if file.name not in parts:
            file.unlink(missing_ok=True)


def read(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state that ``write`` was given, on the device.

    Raises InputError when parts are missing or are not those that belong together.
    """
    with path.open("rb") as file:
        is_whole = file.read(2) == b"PK"  # torch's files are zip archives
    if is_whole:
        return torch.load(path, weights_only=True, map_location=device)
    data = io.BytesIO(_joined(path))
    return torch.load(data, weights_only=True, map_location=device)


def remove(path: Path) -> None:
    """Remove a checkpoint with its parts, if there is one."""
    for file in (path, *_parts_beside(path)):
        file.unlink(missing_ok=True)


def _replace(path: Path, data: memoryview) -> None:
    with atomic_write(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _parts_beside(path: Path) -> list[Path]:
    name = re.compile(re.escape(path.name) + _PART)
    return [file for file in path.parent.glob(f"{path.name}.*") if name.fullmatch(file.name)]


def _joined(path: Path) -> bytes:
    """The bytes of all parts that the checkpoint names."""
    try:
        with path.open("rb") as file:
            table = json.loads(file.read(_MOST_TEXT))
        if table["format"] != _FORMAT:
            raise ValueError(f"format {table['format']!r}")
        names = [str(name) for name in table["parts"]]
        if not all(re.fullmatch(re.escape(path.name) + _PART, name) for name in names):
            raise ValueError("names of other files")
        data = b"".join(path.with_name(name).read_bytes() for name in names)
        if hashlib.sha256(data).hexdigest() != table["sha256"]:
            raise ValueError("parts that do not belong together")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected a checkpoint with all of its parts, got {error}; copy the whole"
            f" folder of the run, {path.name}.* included"
        ) from error
    return data
