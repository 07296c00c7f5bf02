"""Pairs of windows of a cache <-> one archive (``training/archive``), to be trained on elsewhere.

The pairs of each clip are those that look most different: openings, widths or gaze, and turn of the
head. The three windows of a pair are one picture, one below the other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.face import paint_windows
from hybridanim.face.face_windows import WindowKind
from hybridanim.face.paint_windows import KINDS
from hybridanim.training import archive
from hybridanim.training.archive import Chosen, Packed, Part, Written
from hybridanim.training.diversity import most_different
from hybridanim.types import Array

from . import pairs

KIND = "painters"
PARTS = ("train", "val")
_MARK = "packed.txt"
_WINDOWS = ("warped", "own", "true")
_MOST_CANDIDATES = 400  # pairs of a clip among which the most different ones are looked for
_FARTHEST = {"now": 1000.0, "was": 1000.0, "turn": 1.0}  # pixels of the window; sines


def pack(cache: Path, path: Path, most_bytes: int) -> Packed:
    """Write the pairs of ``cache``/train and /val; InputError when they do not fit."""
    parts = [
        _part(kind, rows, split, number)
        for split in PARTS
        for kind in KINDS.values()
        for number, rows in enumerate(pairs.read(cache / split, kind))
    ]
    return archive.write(path, KIND, parts, {}, most_bytes)


def _part(kind: WindowKind, rows: Array, split: str, number: int) -> Written:
    few = np.linspace(0, len(rows) - 1, min(len(rows), _MOST_CANDIDATES)).astype(int)
    arrays = {name: np.array(rows[name])[few] for name in ("now", "was", "turn")}
    looks = paint_windows.quantities(kind, arrays["now"], arrays["was"], arrays["turn"])
    order = most_different(looks, len(few))
    arrays = {name: values[order] for name, values in arrays.items()}

    def pictures(numbers: list[int]) -> Array:
        few_rows = rows[numbers]
        return np.concatenate([few_rows[name] for name in _WINDOWS], 1)  # one below the other

    about = {"split": split, "window": kind.name}
    name = f"{split}-{kind.name}-{number:05d}"
    return Written(name, Chosen(pictures, [int(i) for i in few[order]]), arrays, about)


def unpack(path: Path, cache: Path) -> Path:
    """Write the pairs of an archive into a folder in ``cache``, once; returns that folder.

    Raises InputError for damaged archives and those of other data.
    """
    digest = files.sha256(path)
    folder = cache / f"packed-{digest[:12]}"
    mark = folder / _MARK
    if mark.is_file() and mark.read_text().strip() == digest:
        return folder
    for part in archive.read(path, KIND):
        split, kind = part.about.get("split"), KINDS.get(str(part.about.get("window")))
        if split not in PARTS or kind is None:
            raise InputError(f"--data {path}: expected pairs of windows, got {part.about}")
        rows = _rows(part, kind, path)
        (folder / split).mkdir(parents=True, exist_ok=True)
        with files.atomic_write(folder / split / f"{part.name}.{kind.name}.npy") as file:
            np.save(file, rows, allow_pickle=False)
    folder.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(mark) as file:
        file.write(f"{digest}\n".encode())
    return folder


def _rows(part: Part, kind: WindowKind, path: Path) -> Array:
    """The part's rows of ``pairs.row_type``; InputError for other shapes and numbers."""
    rows = np.zeros(len(part.pictures), pairs.row_type(kind))
    height = kind.height_px
    is_whole = part.pictures.shape[1:] == (3 * height, kind.width_px, 3)
    for name, most in _FARTHEST.items():
        values = part.arrays.get(name)
        if values is None or values.shape != rows[name].shape or not is_whole:
            raise InputError(f"--data {path}: expected pairs of windows in {part.name}")
        if not (np.abs(values) <= most).all():
            raise InputError(
                f"--data {path}: expected {name} of at most {most:g} in {part.name}, got others;"
                " pack the pairs again"
            )
        rows[name] = values
    for place, name in enumerate(_WINDOWS):
        rows[name] = part.pictures[:, place * height : (place + 1) * height]
    return rows
