"""Published data sets as their preparation leaves them -> clips with identities and splits.

Facts of the layouts: the published preparation (video-preprocessing of Siarohin et al.) gives
``train`` and ``test`` with a video, a folder of pictures, or a strip (a picture of all frames, side
by side) for each clip:

vox     IDENTITY#VIDEO#START#END, or IDENTITY/VIDEO/CLIP (VoxCeleb, heads, 256 pixels)
taichi  VIDEO#START#END (TaiChiHD, whole people, 256 pixels)
nemo    NUMBER_..., a person's number first (UvA-Nemo, smiles, 256 pixels)
bair    any names; folders of pictures or strips (BAIR robot pushing, 256 pixels)
mgif    any names; gifs (MGif, sprites, shapes: drawn things that move)

A folder of raw videos with a list of crops (``*-metadata.csv``) in place of the splits is cut by
the list. Strips and cuts are written as pictures into a folder of the caller. Nothing is fetched.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from hybridanim import geometry, io, paths
from hybridanim.errors import InputError
from hybridanim.types import Array, Crop

from .dataset_index import TEST, TRAIN, VIDEOS, DatasetEntry

LayoutName = Literal["vox", "taichi", "bair", "nemo", "mgif"]
SIDE_PX = 256
"""Of the published pictures."""
_ROUNDING_S = 1e-6
_COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height", "partition")
_PART = {TRAIN: TRAIN, TEST: TEST}


@dataclass(frozen=True)
class Layout:
    """How one data set names its clips, and what it shows."""

    identity: Callable[[str], str]  # of a clip's path in its split, with "/"
    shows: Literal["face", "body", "thing"]


def _before_hash(place: str) -> str:
    return place.split("/", 1)[0].split("#", 1)[0]


def _number(place: str) -> str:
    found = re.match(r"\D*(\d+)", place)
    return found[1] if found else _before_hash(place)


LAYOUTS: dict[str, Layout] = {
    "vox": Layout(_before_hash, "face"),
    "taichi": Layout(_before_hash, "body"),
    "bair": Layout(lambda place: place, "thing"),
    "nemo": Layout(_number, "face"),
    "mgif": Layout(lambda place: place, "thing"),
}


def read(name: str, folder: Path, scratch: Path) -> list[DatasetEntry]:
    """Clips of a data set, each in its published split; names are unique.

    scratch: folder for strips and cuts as pictures; what is complete there is used again. Raises
    InputError for a folder of another layout, or a list that cannot be read.
    """
    where = f"--layout {name}, {folder}"
    if not paths.is_folder(folder):
        raise InputError(f"{where}: expected a folder, found none; check the path")
    splits = {split: folder / split for split in (TRAIN, TEST)}
    lists = sorted(folder.glob("*-metadata.csv"))
    if not any(paths.is_folder(place) for place in splits.values()):
        if not lists:
            raise InputError(
                f"{where}: expected the folders train and test, or raw videos beside a list"
                " *-metadata.csv, found neither; prepare the data as its authors publish it"
            )
        _cut(folder, lists[0], scratch / "cut")
        splits = {split: scratch / "cut" / split for split in (TRAIN, TEST)}
    found = [
        replace(one, split=split)
        for split, place in splits.items()
        if paths.is_folder(place)
        for one in _clips(place, LAYOUTS[name], scratch / "strips" / split)
    ]
    if not found:
        raise InputError(
            f"{where}: expected videos, folders of pictures or strips in train and test, found"
            " none; check the folder"
        )
    return _apart(found)


def _clips(place: Path, layout: Layout, scratch: Path) -> Iterator[DatasetEntry]:
    """Videos, folders of pictures and strips below a split's folder."""
    for path in sorted(place.rglob("*")):
        inside = path.relative_to(place).with_suffix("") if path.is_file() else None
        if inside is not None and path.suffix.lower() in VIDEOS:
            yield _entry(path, inside.as_posix(), layout)
        elif inside is not None and io.is_picture(path):
            if path.parent == place:  # by itself: a strip
                name = inside.as_posix()
                yield _entry(_unpacked(path, scratch / name), name, layout)
        elif path.is_dir() and any(io.is_picture(child) for child in path.iterdir()):
            yield _entry(path, path.relative_to(place).as_posix(), layout)


def _entry(path: Path, place: str, layout: Layout) -> DatasetEntry:
    return DatasetEntry(path, re.sub(r"[^\w.~-]+", "_", place), layout.identity(place))


def _apart(found: list[DatasetEntry]) -> list[DatasetEntry]:
    """Unique names; an identity that is published in both splits counts as two."""
    names = [one.name for one in found]
    known = {split: {one.identity for one in found if one.split == split} for split in _PART}
    both = known[TRAIN] & known[TEST]
    return [
        replace(
            one,
            name=f"{one.split}_{one.name}" if names.count(one.name) > 1 else one.name,
            identity=f"{one.identity} ({one.split})" if one.identity in both else one.identity,
        )
        for one in found
    ]


def _unpacked(strip: Path, folder: Path) -> Path:
    """Write the frames of a strip, squares side by side, as pictures; returns their folder."""
    picture = io.read_picture(strip)
    side, width = picture.shape[:2]
    if width % side or width < 2 * side:
        raise InputError(
            f"--layout: expected a strip of two or more square frames in {strip}, got"
            f" {width}x{side} pixels; take it out, or put frames into a folder of their own"
        )
    frames = [picture[:, x : x + side] for x in range(0, width, side)]
    _write(frames, folder)
    return folder


def _write(frames: list[Array], folder: Path) -> None:
    """Write frames that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        path = folder / f"{index:06d}.png"
        if not path.is_file():
            io.write_picture(path, np.ascontiguousarray(frame))


@dataclass(frozen=True)
class _Cut:
    """A row of a list of crops."""

    video: str
    name: str
    split: str
    start_s: Fraction
    end_s: Fraction
    box: tuple[float, float, float, float]  # left, top, right, bottom, shares of the picture


def _rows(table: Path) -> list[_Cut]:
    """The cuts of a list; InputError where it is none."""
    paths.expect_readable("--layout", table)
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return [_row(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, csv.Error) as error:
        raise InputError(
            f"--layout: expected the columns {', '.join(_COLUMNS)} in {table}, got {error!r};"
            " fetch the list again"
        ) from error


def _row(row: dict[str, str]) -> _Cut:
    fps, width, height = (float(row[name]) for name in ("fps", "width", "height"))
    left, top, right, bottom = (float(part) for part in row["bbox"].split("-"))
    if not (0 <= left < right and 0 <= top < bottom and min(fps, width, height) > 0):
        raise ValueError(f"bbox {row['bbox']}")
    person, video = row.get("person_id") or "", row["video_id"].split("#")[0]
    start, end = int(row["start"]), int(row["end"])
    parts = [*([person] if person else []), *row["video_id"].split("#")[::-1]]
    name = "#".join([*parts, f"{start:06d}", f"{end:06d}"])
    box = (left / width, top / height, right / width, bottom / height)
    rate = Fraction(fps).limit_denominator(1001)
    return _Cut(video, name, _PART[row["partition"]], start / rate, end / rate, box)


def _cut(folder: Path, table: Path, out: Path) -> None:
    """Cut the raw videos beside a list: SIDE_PX pictures of each row's box and time."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)
    videos = {path.stem: path for path in files}
    wanted = [one for one in _rows(table) if one.video in videos]
    if not wanted:
        raise InputError(
            f"--layout: expected videos named as in {table} beside it, found none; the list's"
            " first column is their name"
        )
    for one in wanted:
        place = out / one.split / one.name.replace("/", "_")
        if not paths.is_folder(place):
            frames = _frames_of(videos[one.video], one)
            if frames:
                part = place.with_name(f".{place.name}")  # complete, or not there
                _write(frames, part)
                part.rename(place)


def _frames_of(video: Path, one: _Cut) -> list[Array]:
    """The frames of a cut, (SIDE_PX, SIDE_PX, 3)."""
    found = []
    with io.open_source(video) as reader:
        for frame in reader:
            if frame.time_s >= one.end_s - _ROUNDING_S:
                break
            if frame.time_s >= one.start_s - _ROUNDING_S:
                height, width = frame.image.shape[:2]
                x0, y0, x1, y1 = (
                    int(share * length)
                    for share, length in zip(one.box, (width, height) * 2, strict=True)
                )
                found.append(_square(frame.image[y0:y1, x0:x1]))
    return found


def _square(part: Array) -> Array:
    """Resize to SIDE_PX; boxes of the lists are square but for rounding."""
    side = max(part.shape[:2])
    filled = np.pad(part, ((0, side - part.shape[0]), (0, side - part.shape[1]), (0, 0)), "edge")
    return geometry.crop_image(filled, Crop(0.0, 0.0, float(side)), SIDE_PX)
