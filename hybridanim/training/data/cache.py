"""The cache that training reads: frames in a memory map, keypoints of every frame beside them.

Each clip is (N, S, S, 3) uint8 in a .npy file and its keypoint sets in a .npz of the same name:
(N, K, 7), x, y, the four numbers of the Jacobian, and confidence. A listing (.json) names the clips
of one split and whose they are; without one a whole folder is read. Training never decodes a video.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.types import Array, Keypoints

TAUGHT = "taught"  # placed in every frame by a teacher
TRACKED = "tracked"  # carried through the clip by the program's own tracker
FITTED = "fitted"  # placed in every frame by the program itself, as in a source picture
DETECTED = "detected"  # found in every frame by a learned detector
BACKGROUND = "background"  # (N, 1, 7), beside the sets: see data_tracked.classical
# where a frame's anchors are placed anew, neck and shoulders ride with the head
EXACT = "exact"  # beside the sets: see Clip.is_exact


@dataclass(frozen=True, slots=True)
class Clip:
    """One cached clip."""

    name: str
    identity: str
    frames: Array  # (N, S, S, 3) uint8 RGB, memory-mapped
    points: dict[str, Array]  # keypoint set -> (N, K, 7) float32, nan where there are none
    is_exact: bool = False  # every keypoint moves as the picture does, neck and shoulders too
    background: Array | None = None  # (N, 1, 7) float32, how what is behind has moved


def packed(keypoints: Keypoints) -> Array:
    """(K, 7) float32: x, y, Jacobian by rows, confidence."""
    count = len(keypoints.xy_norm)
    parts = [
        keypoints.xy_norm,
        keypoints.jacobian.reshape(count, 4),
        keypoints.confidence[:, None],
    ]
    return np.concatenate(parts, 1).astype(np.float32)


def read(place: Path, identities: dict[str, str] | None = None) -> list[Clip]:
    """Every clip of a listing, or of a folder; ``identities``: clip name -> who it is.

    Raises InputError when there is none, or a file that the listing names is missing.
    """
    if place.is_file():
        files, known = _listed(place)
    else:
        files, known = sorted(place.glob("*.npz")), {}
    known |= identities or {}
    clips = []
    for file in files:
        beside = read_points(file)
        points = {
            name: rows
            for name, rows in beside.items()
            # what else is there is no set
            if rows.ndim == 3 and name != BACKGROUND and np.isfinite(rows).any()
        }
        frames = np.load(file.with_suffix(".npy"), mmap_mode="r")
        identity = known.get(file.stem, file.stem.split("__")[0])
        behind = beside.get(BACKGROUND)
        clips.append(Clip(file.stem, identity, frames, points, EXACT in beside, behind))
    if not clips:
        raise InputError(
            f"{place}: expected cached clips (.npy with .npz), found none; prepare the data first"
        )
    return clips


def _listed(listing: Path) -> tuple[list[Path], dict[str, str]]:
    """The .npz files that a listing names, and whose they are."""
    try:
        table = json.loads(listing.read_text(encoding="utf-8"))
        folder = listing.parent / table["cache"]
        known = {row["clip"]: row["identity"] for row in table["clips"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{listing}: expected a listing of cached clips, got {error!r}; prepare the data again"
        ) from error
    files = [folder / f"{name}.npz" for name in known]
    missing = [
        file for file in files if not (file.is_file() and file.with_suffix(".npy").is_file())
    ]
    if missing:
        raise InputError(
            f"{listing}: expected {missing[0]} with its frames, found none; prepare the data again"
        )
    return files, known


def write_listing(listing: Path, cache: Path, rows: Sequence[dict[str, str]]) -> None:
    """Name the clips of a split: rows of clip, identity and whatever else is known of it."""
    table = {"cache": str(cache.absolute()), "clips": list(rows)}
    text = json.dumps(table, indent=1, ensure_ascii=False) + "\n"
    write_whole(listing, lambda file: file.write(text.encode()))


def read_points(file: Path) -> dict[str, Array]:
    """Everything in a clip's .npz; empty when there is none."""
    if not file.is_file():
        return {}
    with np.load(file) as data:
        return dict(data)


def write_whole(path: Path, save: Callable[[Any], object]) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(path.suffix + ".part")
    try:
        with part.open("wb") as file:
            save(file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def anchors_of(landmarks_xy_px: Array, side_px: int) -> Array:
    """(K, 7) anchors of one square picture with landmarks (L, 2); nan where they are not finite."""
    from hybridanim.face.aligner import MEAN_SHAPE
    from hybridanim.motion import keypoints as sparse_motion
    from hybridanim.prepare.source import landmark_head

    if not np.isfinite(landmarks_xy_px).all():
        return np.full((len(sparse_motion.ANCHORS), 7), np.nan, np.float32)
    crop = geometry.Crop(0.0, 0.0, float(side_px))
    head = landmark_head(landmarks_xy_px)
    return packed(sparse_motion.rest(head, landmarks_xy_px, MEAN_SHAPE, crop))
