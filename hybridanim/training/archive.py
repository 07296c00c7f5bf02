"""Training data in one small file: pictures as WebP and arrays, to be carried to another machine.

A safetensors file, so nothing in it is run when it is read. Its metadata holds a format, the kind
of data, and a JSON table with the names, sizes and arrays of the parts (clips). What is read is
checked: the file's size, every name, shape and number of bytes before a picture is decoded, and
the size of the sum of all pictures. Frames come in the order in which they matter: where they do
not all fit, each part keeps as many of its first ones as any other.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hybridanim import paths
from hybridanim.errors import InputError
from hybridanim.files import atomic_write
from hybridanim.types import Array

Result = TypeVar("Result")
FORMAT = "training-data-1"
SUFFIX = ".safetensors"
MOST_MIB = 60.0
_MOST_FILE = 2 << 30
_MOST_DECODED = 8 << 30  # bytes of all pictures
_MOST_SIDE, _MOST_PARTS, _MOST_ROWS = 1024, 100_000, 1_000_000
_NAME = re.compile(r"[A-Za-z0-9_~-][\w.~-]{0,200}")
_QUALITIES = ((92, 40), (85, 24), (75, 8), (60, 2))  # of WebP, and the least frames to choose it
_ESTIMATED = 3  # pictures of a part by which the size of the others is estimated
_HEADER = 600  # bytes of the file's header for a part, about
_TYPES = {"float16", "float32", "uint8", "int32", "int64"}


class Chosen:
    """Rows in another order, read where they lie when they are asked for: ``[first:last]``."""

    def __init__(self, read: Callable[[list[int]], Array], order: Sequence[int]) -> None:
        """read: rows of these numbers, (n, H, W, 3) uint8."""
        self._read, self._order = read, list(order)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, rows: slice) -> Array:
        return self._read(self._order[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (len(self), *self[:1].shape[1:])


@dataclass(frozen=True)
class Written:
    """A clip: N rows, each with a picture and a row of every array, the most wanted ones first."""

    name: str
    pictures: Array | Chosen  # (N, H, W, 3) uint8
    arrays: dict[str, Array] = field(default_factory=dict)  # (N, ...)
    about: dict[str, Any] = field(default_factory=dict)  # plain values, for JSON


@dataclass(frozen=True)
class Part(Written):
    """A clip as it is read."""

    pictures: Array  # (N, H, W, 3) uint8


@dataclass(frozen=True)
class Packed:
    """What was packed."""

    rows: int
    of: int
    quality: int
    bytes: int


def encode(picture: Array, quality: int) -> bytes:
    """(H, W, 3) uint8 as WebP."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()


def decode(data: bytes, height: int, width: int) -> Array:
    """(height, width, 3) uint8; ValueError for anything but a WebP picture of that size."""
    with Image.open(io.BytesIO(data), formats=("WEBP",)) as opened:  # reads the header alone
        if opened.size != (width, height) or getattr(opened, "n_frames", 1) != 1:
            raise ValueError(f"a picture of {opened.size}, expected {(width, height)}")
        return np.asarray(opened.convert("RGB"))


def write(
    path: Path, kind: str, parts: Sequence[Written], about: dict[str, Any], most_bytes: int
) -> Packed:
    """Write the parts, with as many rows of each and as good pictures as fit; see ``_QUALITIES``.

    Raises InputError when not even a few rows of each part fit.
    """
    encoded, quality, count = _encoded(parts, most_bytes - 4096 - len(json.dumps(about)), path)
    while True:
        data = _as_bytes(kind, parts, encoded, count, about)
        if len(data) <= most_bytes:
            break
        count -= 1
        if count < 1:
            raise _too_small(path, most_bytes)
    with atomic_write(path) as file:
        file.write(data)
    rows = sum(min(count, len(part.pictures)) for part in parts)
    return Packed(rows, sum(len(part.pictures) for part in parts), quality, len(data))


def read_about(path: Path, kind: str) -> dict[str, Any]:
    """What ``write`` was told about the data; InputError when it is no archive of that kind."""
    table, _ = _read_header(path, kind)
    return table["about"]


def read_parts(path: Path, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Name of every part and what is said about it, without its pictures."""
    table, _ = _read_header(path, kind)
    try:
        return [(_name(row["name"]), dict(row["about"])) for row in table["parts"]]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def read(path: Path, kind: str) -> Iterator[Part]:
    """The parts, decoded one after the other.

    Raises InputError for files that are damaged, too large, or of another program or version.
    """
    table, opened = _read_header(path, kind)
    try:
        decoded = 0
        if len(table["parts"]) > _MOST_PARTS:
            raise ValueError(f"{len(table['parts'])} parts")
        for number, row in enumerate(table["parts"]):
            part = _read_part(opened, number, row)
            decoded += part.pictures.nbytes
            if decoded > _MOST_DECODED:
                raise ValueError("more pictures than would fit in memory")
            yield part
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _encoded(parts: Sequence[Written], room: int, path: Path) -> tuple[list[list[bytes]], int, int]:
    """Pictures of every part, their quality, and how many of each are to be kept at most."""
    most = max((len(part.pictures) for part in parts), default=0)
    for quality, least in _QUALITIES:
        few = [[encode(p, quality) for p in part.pictures[:_ESTIMATED]] for part in parts]
        mean = [float(np.mean([len(data) for data in row])) for row in few]
        expected = [
            [size + _row_bytes(part)] * len(part.pictures)
            for size, part in zip(mean, parts, strict=True)
        ]
        estimate = _most_rows(expected, room)
        if estimate < min(least, most):
            continue
        wide = math.ceil(1.15 * estimate) + 1
        full = [
            row + _in_threads(partial(encode, quality=quality), part.pictures[len(row) : wide])
            for row, part in zip(few, parts, strict=True)
        ]
        costs = [
            [len(data) + _row_bytes(part) for data in row]
            for row, part in zip(full, parts, strict=True)
        ]
        return full, quality, _most_rows(costs, room)
    raise _too_small(path, room)


def _row_bytes(part: Written) -> int:
    """Bytes of a row without its picture, which has a length."""
    return 4 + sum(int(rows[:1].nbytes) for rows in part.arrays.values())


def _most_rows(costs: Sequence[Sequence[float]], room: float) -> int:
    """The largest number of first rows of every part that fit together."""
    room -= _HEADER * len(costs)
    most = max((len(row) for row in costs), default=0)
    total = np.zeros(most)
    for row in costs:
        total[: len(row)] += row
    return int(np.searchsorted(np.cumsum(total), room, side="right"))


def _as_bytes(
    kind: str,
    parts: Sequence[Written],
    encoded: list[list[bytes]],
    count: int,
    about: dict[str, Any],
) -> bytes:
    tensors: dict[str, Array] = {}
    rows = []
    for number, (part, pictures) in enumerate(zip(parts, encoded, strict=True)):
        kept = pictures[:count]
        tensors[f"{number}.sizes"] = np.array([len(data) for data in kept], np.int32)
        tensors[f"{number}.pictures"] = np.frombuffer(b"".join(kept), np.uint8)
        for name, values in part.arrays.items():
            tensors[f"{number}.array.{name}"] = np.ascontiguousarray(values[: len(kept)])
        height, width = part.pictures.shape[1:3]
        rows.append(
            {
                "name": part.name,
                "size": [int(height), int(width)],
                "arrays": list(part.arrays),
                "about": part.about,
            }
        )
    table = json.dumps({"about": about, "parts": rows}, ensure_ascii=True)
    return save(tensors, {"format": FORMAT, "kind": kind, "table": table})


def _read_header(path: Path, kind: str) -> tuple[dict[str, Any], Any]:
    """The table, and the opened file."""
    paths.expect_readable("--data", path)
    if not paths.is_file(path):
        raise InputError(
            f"--data {path}: expected packed training data, found none; check the path"
        )
    size = path.stat().st_size
    if size > _MOST_FILE:
        raise InputError(
            f"--data {path}: expected at most {_MOST_FILE >> 20} MiB, got {size >> 20}; pack fewer"
        )
    try:
        opened = safe_open(path, "numpy")
        found = opened.metadata() or {}
        if found.get("format") != FORMAT:
            raise ValueError(f"the format {found.get('format')!r}, expected {FORMAT!r}")
        if found.get("kind") != kind:
            raise ValueError(f"data for {found.get('kind')!r}, expected for {kind!r}")
        table = json.loads(found["table"])
        if not isinstance(table["about"], dict) or not isinstance(table["parts"], list):
            raise ValueError("no list of parts")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from error
    return table, opened


def _read_part(opened: Any, number: int, row: dict[str, Any]) -> Part:
    """A part; ValueError when anything about it is not as it should be."""
    name = _name(row["name"])
    height, width = (int(side) for side in row["size"])
    if not (1 <= height <= _MOST_SIDE and 1 <= width <= _MOST_SIDE):
        raise ValueError(f"pictures of {height}x{width}")
    sizes, data = (opened.get_tensor(f"{number}.{what}") for what in ("sizes", "pictures"))
    if sizes.dtype != np.int32 or sizes.ndim != 1 or data.dtype != np.uint8 or data.ndim != 1:
        raise ValueError("no pictures")
    is_whole = (sizes > 0).all() and int(sizes.sum(dtype=np.int64)) == len(data)
    if not is_whole or not 1 <= len(sizes) <= _MOST_ROWS:
        raise ValueError("pictures that are cut off")
    if len(sizes) * height * width * 3 > _MOST_DECODED:
        raise ValueError("more pictures than would fit in memory")
    arrays = {}
    for what in row["arrays"]:
        values = opened.get_tensor(f"{number}.array.{_name(what)}")
        if values.dtype.name not in _TYPES or values.shape[:1] != sizes.shape:
            raise ValueError(f"{what} of {values.shape}, {values.dtype}")
        arrays[what] = values
    ends = np.cumsum(sizes, dtype=np.int64)
    whole = data.tobytes()
    places = zip(ends - sizes, ends, strict=True)
    pictures = _in_threads(lambda at: decode(whole[at[0] : at[1]], height, width), places)
    return Part(name, np.stack(pictures), arrays, dict(row["about"]))


def _name(text: Any) -> str:
    """A name that may become one of a file; ValueError for others."""
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise ValueError(f"the name {text!r}")
    return text


def _in_threads(function: Callable[[Any], Result], rows: Iterable[Any]) -> list[Result]:
    """The results in order; pictures are encoded and decoded outside of Python's lock."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(function, rows))


def _damaged(path: Path, error: Exception) -> InputError:
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(
        f"--data {path}: expected training data that this version has packed, got {line}; pack it"
        " again (train --pack FILE)"
    )


def _too_small(path: Path, room: int) -> InputError:
    return InputError(
        f"--pack {path}: expected room for a few frames of every clip, got"
        f" {max(0, room) >> 10} KiB; raise --pack-mib, or give fewer clips"
    )
