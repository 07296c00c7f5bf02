"""Cached clips of a run <-> one archive (``training/archive``), for training on another machine.

The frames of each clip are those that look most different: openings of mouth and eyes and places of
the keypoints where there are any, else the pictures themselves. Keypoints are kept as float16,
which is a thirtieth of a pixel of 256.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.networks.size_limits import MOST_KEYPOINTS
from hybridanim.training import archive
from hybridanim.training.archive import Chosen, Packed, Part, Written
from hybridanim.training.diversity import most_different
from hybridanim.types import Array

from . import cache, prepare
from .batch import anchor_layout
from .cache import BACKGROUND, EXACT, Clip
from .dataset_index import SPLITS, TRAIN, VALIDATION
from .pairs import openings

KIND = "clips"
_MARK = "packed.txt"  # in the cache: the archive that it was unpacked from
_OPENING, _PLACE = 0.1, 0.1  # what counts as one difference: of an opening, of keypoints, norm
_SEEN = 8  # side of the pictures that are compared where there are no keypoints
_GREY_LEVELS = 20.0
_FARTHEST = 100.0  # largest number in a keypoint
_SET = re.compile(r"[a-z_]{1,32}")


@dataclass(frozen=True)
class Unpacked:
    """What an archive holds, as listings that training reads."""

    about: dict[str, Any]
    listings: dict[str, Path]


def pack(listings: dict[str, Path], path: Path, about: dict[str, Any], most_bytes: int) -> Packed:
    """Write the clips of the training and the validation split; listings: split -> its file.

    Raises InputError when they do not fit.
    """
    clips = [
        (split, clip)
        for split in (TRAIN, VALIDATION)
        if split in listings
        for clip in cache.read(listings[split])
    ]
    sides = {clip.frames.shape[1] for _, clip in clips}
    if len(sides) != 1:
        raise InputError(f"--pack {path}: expected frames of one size, got {sorted(sides)}")
    parts = [_part(clip, split, number) for number, (split, clip) in enumerate(clips)]
    return archive.write(path, KIND, parts, {**about, "side_px": sides.pop()}, most_bytes)


def _part(clip: Clip, split: str, number: int) -> Written:
    order = _order(clip)
    arrays: dict[str, Array] = {}
    arrays |= {f"set.{name}": rows.astype(np.float16)[order] for name, rows in clip.points.items()}
    if clip.background is not None:
        arrays[BACKGROUND] = clip.background[order]
    arrays["number"] = np.array(order, np.int32)
    name = re.sub(r"[^A-Za-z0-9_-]", "_", clip.name)[:80].lstrip("-") + f"-{number}"
    about = {"identity": clip.identity, "split": split, "is_exact": clip.is_exact}
    about["about"] = dict(clip.about)
    pictures = Chosen(lambda rows: np.asarray(clip.frames[rows]), order)
    return Written(name, pictures, arrays, about)


def _order(clip: Clip) -> list[int]:
    """Frames of the clip, the most different ones first; those without keypoints last."""
    count = len(clip.frames)
    usable = np.arange(count)
    if clip.points:
        known = [np.isfinite(rows).all((1, 2)) for rows in clip.points.values()]
        usable = np.flatnonzero(np.logical_and.reduce(known))
    if not len(usable):
        usable = np.arange(count)
    order = [int(i) for i in usable[most_different(_looks(clip, usable), len(usable))]]
    return order + [i for i in range(count) if i not in set(order)]


def _looks(clip: Clip, usable: Array) -> Array:
    layout = anchor_layout()
    for _, rows in sorted(clip.points.items()):
        xy = rows[usable, :, :2].astype(np.float64)
        if rows.shape[1] == layout.count and np.isfinite(xy).all():
            far = (xy[:, ~layout.watched] / _PLACE).reshape(len(xy), -1)
            far = far / np.sqrt(max(1, far.shape[1] // 2))
            return np.hstack([openings(xy, layout.opening) / _OPENING, far])
    step = max(1, clip.frames.shape[1] // _SEEN)
    small = np.asarray(clip.frames)[usable, step // 2 :: step, step // 2 :: step]
    flat = small.reshape(len(usable), -1).astype(np.float64)
    return flat / (_GREY_LEVELS * np.sqrt(flat.shape[1]))


def unpack(path: Path, folder: Path, listings: Path) -> Unpacked:
    """Decode an archive into the cache at ``folder``, once, with listings in another folder.

    Raises InputError for damaged archives and those of other programs.
    """
    about = archive.read_about(path, KIND)
    digest = files.sha256(path)
    folder = folder / f"packed-{digest[:12]}"
    mark = folder / _MARK
    rows: dict[str, list[dict[str, str]]] = {}
    for name, part in archive.read_parts(path, KIND):
        split, identity = part.get("split"), part.get("identity")
        if split not in SPLITS or not isinstance(identity, str):
            raise InputError(f"--data {path}: expected a split of {name}, got {split!r}")
        own = part.get("about")
        own = own if isinstance(own, dict) else {}
        row = {str(k): str(v) for k, v in own.items() if k != "split"}
        row |= {"clip": name, "identity": identity, "file": path.name}
        rows.setdefault(split, []).append(row)
    if not (mark.is_file() and mark.read_text().strip() == digest):
        folder.mkdir(parents=True, exist_ok=True)
        for part in archive.read(path, KIND):
            _write(part, folder, path)
        with files.atomic_write(mark) as file:
            file.write(f"{digest}\n".encode())
    listings.mkdir(parents=True, exist_ok=True)
    found = {split: listings / f"{split}.json" for split in rows}
    for split, listing in found.items():
        cache.write_listing(listing, folder, rows[split])
    return Unpacked(about, found)


def _write(part: Part, folder: Path, path: Path) -> None:
    """The part as a cached clip, its frames in their order in time."""
    numbers = part.arrays.get("number")
    if numbers is None or numbers.ndim != 1 or part.pictures.shape[1] != part.pictures.shape[2]:
        raise InputError(f"--data {path}: expected square frames with numbers in {part.name}")
    order = np.argsort(numbers, kind="stable")
    points: dict[str, Array] = {"number": numbers[order]}
    for name, rows in part.arrays.items():
        kind, _, what = name.partition(".")
        if kind == "set" or name == BACKGROUND:
            _check(rows, what or name, path)
            points[what or name] = rows[order].astype(np.float32)
    if part.about.get("is_exact"):
        points[EXACT] = np.ones(1)
    prepare.write_frames(folder / f"{part.name}.npy", part.pictures[order])
    prepare.write_points(folder / f"{part.name}.npz", points)


def _check(rows: Array, name: str, path: Path) -> None:
    """InputError for what is no keypoint set: (N, K, 7), nan in rows without keypoints."""
    is_shaped = rows.ndim == 3 and rows.shape[2] == 7 and 1 <= rows.shape[1] <= MOST_KEYPOINTS
    near = rows[np.isfinite(rows)]
    if (
        not is_shaped
        or not _SET.fullmatch(name)
        or np.isinf(rows).any()
        or (np.abs(near) > _FARTHEST).any()
    ):
        raise InputError(
            f"--data {path}: expected keypoints (N, K, 7) of at most {_FARTHEST:.0f}, got"
            f" {name!r} of {rows.shape}; pack the clips again"
        )
