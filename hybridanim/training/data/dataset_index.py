"""A user's folder -> a list of its clips with their identities and splits.

Videos lie in the folder or one level down in a folder for each identity; a folder of pictures is a
clip. Folders named train, val and test, or a table (CSV), give the split; without them identities
are assigned to splits at random, by a seed. An identity is never in two splits. Files that cannot
be used are listed with the reason.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from hybridanim import io, paths
from hybridanim.errors import InputError

VIDEOS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".gif")
TRAIN, VALIDATION, TEST = SPLITS = ("train", "val", "test")
_SPLIT_NAMES = {"train": TRAIN, "val": VALIDATION, "validation": VALIDATION, "test": TEST}
_LONE = "a picture by itself; frames of a clip belong in a folder of their own, portraits elsewhere"


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A video, a folder of pictures, or a portrait in the user's folder."""

    path: Path
    name: str  # unique in the folder, valid as a file name
    identity: str  # the person or object
    label: str = ""
    split: str = ""  # one of SPLITS, or "" while it is unknown
    is_portrait: bool = False  # a single picture, animated by synthetic motion
    about: tuple[tuple[str, str], ...] = ()  # columns of the table and their values, in its order

    def value(self, column: str) -> str:
        """What is known of it under a column's name; "" where nothing is."""
        own = {"identity": self.identity, "label": self.label, "split": self.split}
        return own.get(column) or dict(self.about).get(column, "")


def find(folder: Path, table: Path | None = None) -> tuple[list[DatasetEntry], dict[str, str]]:
    """Every clip of a folder, and the files that were left out, name -> reason.

    table: CSV with a column file (or clip) and any of identity, label, split and others, such as
    action. Raises InputError
    when the folder holds no clip, or the table contradicts itself.
    """
    if not paths.is_folder(folder):
        raise InputError(
            f"--data {folder}: expected a folder of clips, found none there; check the path"
        )
    found: list[DatasetEntry] = []
    left_out: dict[str, str] = {}
    for path in _visible_paths(folder):
        split = _SPLIT_NAMES.get(path.name.lower(), "") if path.is_dir() else ""
        if split:
            inside = [_found_in(child, left_out) for child in _visible_paths(path)]
            found += [replace(one, split=split) for part in inside for one in part]
        else:
            found += _found_in(path, left_out)
    found = _with_unique_names(found, folder)
    if table is not None:
        found = _from_table(found, read_table(table), folder)
    if not found:
        seen = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:3])
        raise InputError(
            f"--data {folder}: expected videos ({' '.join(VIDEOS)}) or folders of pictures, found"
            f" none{f' ({seen})' if seen else ''}; put clips there"
        )
    return found, left_out


def portraits(folder: Path) -> list[DatasetEntry]:
    """Every picture of a folder, each an identity of its own; InputError when there is none."""
    pictures = io.list_pictures(folder) if paths.is_folder(folder) else []
    if not pictures:
        raise InputError(
            f"--portraits {folder}: expected a folder of pictures, found none; check the path"
        )
    named = [(path, re.sub(r"[^\w.~-]+", "_", path.stem)) for path in pictures]
    found = [
        DatasetEntry(path, f"portrait-{name}", f"portrait {name}", split=TRAIN, is_portrait=True)
        for path, name in named
    ]
    return _with_unique_names(found, folder)


def split_by_identity(
    entries: Iterable[DatasetEntry], held_out: tuple[float, float], seed: int
) -> list[DatasetEntry]:
    """The entries, each with a split.

    held_out: share of the identities that validation and test get; at least one each where the
    share is not zero and an identity is left to train on. Clips whose split is given stay in it
    and take their identity's other clips along.
    """
    entries = list(entries)
    given = _given_splits(entries)
    free = sorted({one.identity for one in entries} - set(given), key=lambda who: _draw(seed, who))
    chosen = dict(given)
    for split, share in zip((VALIDATION, TEST), held_out, strict=True):
        if split in given.values() or not share:
            continue
        count = min(max(1, round(share * (len(free) + len(given)))), len(free) - 1)
        # the test split waits until there are enough people for training and validation
        count = 0 if split == TEST and len(free) < 4 else max(0, count)
        chosen |= dict.fromkeys(free[:count], split)
        free = free[count:]
    return [replace(one, split=chosen.get(one.identity, TRAIN)) for one in entries]


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """File -> its row, by column, of a CSV; InputError when it is none or a value is unknown."""
    where = f"--table {path}"
    paths.expect_readable(where, path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{where}: expected a CSV file, got {error}; save the table as CSV in UTF-8"
        ) from error
    columns = [] if not rows else [name for name in rows[0] if name]
    key = next((name for name in ("file", "clip") if name in columns), None)
    if key is None or len(columns) < 2:
        raise InputError(
            f"{where}: expected the columns file (or clip) and identity, label, split or others,"
            f" got {', '.join(columns) or 'no rows'}; name the columns in the first line"
        )
    for number, row in enumerate(rows, start=2):
        split = row.get("split") or ""
        if split and split not in _SPLIT_NAMES:
            raise InputError(
                f"{where}, line {number}: expected the split train, val or test, got {split!r};"
                " correct it or leave it empty"
            )
    return {row[key]: row for row in rows if row[key]}


def fingerprint(path: Path) -> str:
    """Hash of names, sizes and times, by which changes of a file or a folder are detected."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    parts = [
        f"{file.name} {state.st_size} {state.st_mtime_ns}"
        for file in files
        for state in (file.stat(),)
    ]
    return hashlib.sha256(os.fsencode("\n".join([str(path.absolute()), *parts]))).hexdigest()


def _visible_paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _found_in(path: Path, left_out: dict[str, str]) -> list[DatasetEntry]:
    """The clips that one path in the folder is or contains."""
    if path.is_file():
        if path.suffix.lower() in VIDEOS:
            return [_entry(path)]
        if io.is_picture(path):
            left_out[path.name] = _LONE
        return []
    if not os.access(path, os.R_OK | os.X_OK):
        left_out[path.name] = "may not be read; check its permissions"
        return []
    inside = _visible_paths(path)
    videos = [child for child in inside if child.suffix.lower() in VIDEOS and child.is_file()]
    pictures = io.list_pictures(path)
    folders = [child for child in inside if child.is_dir() and io.list_pictures(child)]
    if pictures and not videos:
        return [_entry(path)]
    if pictures:
        left_out[path.name] = f"{len(pictures)} pictures beside videos: {_LONE}"
    if not videos and not folders:
        left_out[path.name] = "no video and no pictures in it"
    return [_entry(child, path.name) for child in (*videos, *folders)]


def _entry(path: Path, identity: str = "") -> DatasetEntry:
    """Entry of a clip; a name ``IDENTITY__CLIP`` holds the identity, else it is the identity."""
    stem = path.stem if path.is_file() else path.name
    name = f"{identity}__{stem}" if identity else stem
    return DatasetEntry(path, re.sub(r"[^\w.~-]+", "_", name), identity or stem.split("__")[0])


def _with_unique_names(found: list[DatasetEntry], folder: Path) -> list[DatasetEntry]:
    """Make names unique (a.mp4 and a.mov) by a few letters of their path's hash."""
    names = [one.name for one in found]
    out = []
    for one in found:
        name = one.name
        if names.count(name) > 1:
            place = one.path.relative_to(folder).as_posix()
            name += "-" + hashlib.sha256(os.fsencode(place)).hexdigest()[:6]
        out.append(replace(one, name=name))
    return out


def _from_table(
    found: list[DatasetEntry], rows: dict[str, dict[str, str]], folder: Path
) -> list[DatasetEntry]:
    """Identity, label and split of each clip from the table, where it has them."""
    out = []
    for one in found:
        place = one.path.relative_to(folder)
        names = (place.as_posix(), one.path.name, place.with_suffix("").as_posix(), one.path.stem)
        row = next((rows[name] for name in names if name in rows), {})
        split = _SPLIT_NAMES.get(row.get("split") or "", one.split)
        identity, label = row.get("identity") or one.identity, row.get("label") or one.label
        kept = tuple((k, v.strip()) for k, v in row.items() if k and isinstance(v, str) and v)
        out.append(replace(one, identity=identity, label=label, split=split, about=kept))
    if found and not any(
        one.path.name in rows
        or one.path.stem in rows
        or one.path.relative_to(folder).as_posix() in rows
        for one in found
    ):
        raise InputError(
            f"--table: expected rows for the clips of {folder}, got none that names one (the first"
            f" names {next(iter(rows), '')!r}); write the files' names as they are"
        )
    return out


def _given_splits(entries: list[DatasetEntry]) -> dict[str, str]:
    given: dict[str, str] = {}
    for one in entries:
        before = given.get(one.identity, one.split)
        if one.split and before != one.split:
            raise InputError(
                f"{one.identity}: expected all clips of an identity in one split, got {before} and"
                f" {one.split} (by folder or table); move them together"
            )
        if one.split:
            given[one.identity] = one.split
    return given


def _draw(seed: int, identity: str) -> str:
    """Sort key of an identity: a random order that does not depend on the other identities."""
    return hashlib.sha256(os.fsencode(f"{seed} {identity}")).hexdigest()
