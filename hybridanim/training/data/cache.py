"""The cache that training reads: frames in a memory map, keypoints of every frame in another file.

The frames of a clip are (N, S, S, 3) uint8 in a .npy file, its keypoint sets are in a .npz file of
the same name: (N, K, 7), x, y, the four numbers of the Jacobian, and confidence. A listing (.json)
names the clips of one split and their identities; without a listing a whole folder is read.
Training never decodes a video.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hybridanim.errors import InputError
from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.face.anchors import ANCHORS
from hybridanim.files import atomic_write
from hybridanim.motion import keypoints as motion_keypoints
from hybridanim.prepare.source_head import landmark_head
from hybridanim.text import encoded
from hybridanim.types import Array, Crop, Keypoints

TEACHER = "teacher"  # placed in every frame by a landmark network
TRACKED = "tracked"  # followed through the clip by the program's classical tracker
PER_FRAME = "per_frame"  # placed in every frame from the program's landmarks, as in a source
DETECTED = "detected"  # found in every frame by a learned detector
# in all but TRACKED, neck and shoulders follow the head
BACKGROUND = "background"  # no keypoint set: (N, 1, 7), see keypoint_sets.classical
EXACT = "exact"  # no keypoint set: see Clip.is_exact
_OLD_NAMES = {"taught": TEACHER, "fitted": PER_FRAME}  # in caches that older versions wrote


@dataclass(frozen=True, slots=True)
class Clip:
    """One cached clip."""

    name: str
    identity: str
    frames: Array  # (N, S, S, 3) uint8 RGB, memory-mapped
    points: dict[str, Array]  # keypoint set -> (N, K, 7) float32, nan where there are none
    is_exact: bool = False  # every keypoint moves as the picture does, neck and shoulders, too
    background: Array | None = None  # (N, 1, 7) float32, motion of the background
    about: Mapping[str, str] = field(default_factory=dict)  # columns of the listing: label, action


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
    """Every clip of a listing, or of a folder; identities: clip name -> identity.

    Raises InputError when there is none, or a file that the listing names is missing.
    """
    if place.is_file():
        files, rows = _listed(place)
    else:
        files, rows = sorted(place.glob("*.npz")), {}
    known = {name: row["identity"] for name, row in rows.items()} | (identities or {})
    clips = []
    for file in files:
        arrays = read_points(file)
        points = {
            name: rows
            for name, rows in arrays.items()
            # everything else is no keypoint set
            if rows.ndim == 3 and name != BACKGROUND and np.isfinite(rows).any()
        }
        frames = np.load(file.with_suffix(".npy"), mmap_mode="r")
        identity = known.get(file.stem, file.stem.split("__")[0])
        background = arrays.get(BACKGROUND)
        about = rows.get(file.stem, {})
        clips.append(Clip(file.stem, identity, frames, points, EXACT in arrays, background, about))
    if not clips:
        raise InputError(
            f"{place}: expected cached clips (.npy with .npz), found none; prepare the data first"
        )
    return clips


def _listed(listing: Path) -> tuple[list[Path], dict[str, dict[str, str]]]:
    """The .npz files that a listing names, and clip name -> its row."""
    try:
        table = json.loads(listing.read_text(encoding="utf-8"))
        folder = listing.parent / table["cache"]
        known = {row["clip"]: {**row, "identity": row["identity"]} for row in table["clips"]}
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
    """Write the listing of a split; rows have the entries clip, identity and any others."""
    table = {"cache": str(cache.absolute()), "clips": list(rows)}
    text = json.dumps(table, indent=1, ensure_ascii=False) + "\n"
    with atomic_write(listing) as file:
        file.write(encoded(text))


def read_points(file: Path) -> dict[str, Array]:
    """Everything in a clip's .npz; empty when there is none."""
    if not file.is_file():
        return {}
    with np.load(file) as data:
        arrays = dict(data)
    for old, name in _OLD_NAMES.items():
        for before, after in ((old, name), (f"key_{old}", f"key_{name}")):
            if before in arrays:
                arrays.setdefault(after, arrays.pop(before))
    return arrays


def anchors_of(landmarks_xy_px: Array, side_px: int) -> Array:
    """(K, 7) anchors of one square picture with landmarks (L, 2); nan where they are not finite."""
    if not np.isfinite(landmarks_xy_px).all():
        return np.full((len(ANCHORS), 7), np.nan, np.float32)
    crop = Crop(0.0, 0.0, float(side_px))
    head = landmark_head(landmarks_xy_px)
    return packed(motion_keypoints.place_anchors(head, landmarks_xy_px, MEAN_SHAPE, crop))
