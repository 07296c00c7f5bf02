"""A folder of clips -> one compact cache: frames in a memory map, keypoints of every frame.

Each clip gives at most ``most`` frames, evenly spread, as (N, S, S, 3) uint8 in one .npy file, and
its keypoints beside it in a .npz: sets of (N, K, 7), x, y, the four numbers of the Jacobian, and
confidence. Work already on disk is kept. The frames are decoded once; training never decodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError

from .. import geometry
from ..errors import InputError
from ..types import Array, Keypoints

VIDEOS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".gif")
Places = Callable[[Path, Sequence[int], Array], "Array | None"]
"""(clip, frame numbers, frames) -> (N, K, 7) keypoints, nan where there are none; None: no use."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One cached clip."""

    name: str
    identity: str
    frames: Array  # (N, S, S, 3) uint8 RGB, memory-mapped
    points: dict[str, Array]  # keypoint set -> (N, K, 7) float32, nan where there are none


def packed(keypoints: Keypoints) -> Array:
    """(K, 7) float32: x, y, Jacobian by rows, confidence."""
    count = len(keypoints.xy_norm)
    parts = [
        keypoints.xy_norm,
        keypoints.jacobian.reshape(count, 4),
        keypoints.confidence[:, None],
    ]
    return np.concatenate(parts, 1).astype(np.float32)


def prepare(
    folder: Path,
    cache: Path,
    sets: dict[str, Places],
    *,
    size: int = 256,
    most: int = 120,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, str]:
    """Cache every clip of a folder; returns those that were left out and why.

    Raises InputError when no clip is of use. What is there already is not made again.
    """
    cache.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in VIDEOS)
    left_out: dict[str, str] = {}
    for i, path in enumerate(files):
        report(f"{i + 1} of {len(files)}: {path.name}")
        try:
            is_used = cache_clip(path, cache, size=size, most=most, sets=sets)
        except (FFmpegError, OSError) as error:
            left_out[path.name] = f"unreadable: {error}"
            continue
        if not is_used:
            left_out[path.name] = "fewer than two different frames"
    if len(left_out) == len(files):
        raise InputError(
            f"{folder}: expected clips that move ({', '.join(VIDEOS)}), found {len(files)} files of"
            " which none is of use; give a folder of videos"
        )
    return left_out


def cache_clip(path: Path, folder: Path, *, size: int, most: int, sets: dict[str, Places]) -> bool:
    """Write one clip's frames and keypoint sets into ``folder``; False when it is of no use.

    Sets that are already there are not computed again.
    """
    frames_file, points_file = folder / f"{path.stem}.npy", folder / f"{path.stem}.npz"
    points = dict(np.load(points_file)) if points_file.is_file() else {}
    missing = {name: places for name, places in sets.items() if name not in points}
    if frames_file.is_file() and not missing:
        return True
    if frames_file.is_file():
        frames = np.load(frames_file, mmap_mode="r")
    else:
        decoded, numbers = _decode(path, size, most)
        if len(decoded) < 2 or (decoded == decoded[:1]).all():
            return False
        points["number"] = np.array(numbers)
        frames = decoded
        _write(frames_file, lambda file: np.save(file, frames))
    for name, places in missing.items():
        found = places(path, points["number"].tolist(), frames)
        if found is not None:
            points[name] = found.astype(np.float32)
    _write(points_file, lambda file: np.savez(file, **points))
    return True


def _write(path: Path, save: Callable) -> None:
    part = path.with_suffix(path.suffix + ".part")
    with part.open("wb") as file:
        save(file)
    part.replace(path)


def _decode(path: Path, size: int, most: int) -> tuple[Array, list[int]]:
    """Evenly spread frames, square and resized with averaging, and their numbers."""
    with av.open(str(path)) as container:
        total = sum(1 for _ in container.decode(video=0))
    wanted = sorted({round(i) for i in np.linspace(0, total - 1, min(most, total))})
    chosen = set(wanted)
    out = []
    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i in chosen:
                out.append(_squared(frame.to_ndarray(format="rgb24"), size))
    return np.array(out, np.uint8), wanted[: len(out)]


def _squared(image: Array, size: int) -> Array:
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    way = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=way)


def read(folder: Path, identities: dict[str, str] | None = None) -> list[Clip]:
    """Every clip of a cache; ``identities``: clip name -> who it is."""
    clips = []
    for file in sorted(folder.glob("*.npz")):
        points = dict(np.load(file))
        points.pop("number", None)
        # a frame counts when every set that the clip has knows it
        points = {name: rows for name, rows in points.items() if np.isfinite(rows).any()}
        frames = np.load(file.with_suffix(".npy"), mmap_mode="r")
        identity = (identities or {}).get(file.stem, file.stem.split("__")[0])
        clips.append(Clip(file.stem, identity, frames, points))
    if not clips:
        raise InputError(
            f"{folder}: expected cached clips (.npy with .npz), found none; prepare the data first"
        )
    return clips


def taught_places(taught: Path) -> Places:
    """Anchors from a landmark teacher's file of each clip (see ``alignment_teacher``)."""
    from ..landmarks.samples import points_from_mesh

    def places(clip: Path, numbers: Sequence[int], frames: Array) -> Array | None:
        file = taught / f"{clip.stem}.npz"
        if not file.is_file():
            return None
        with np.load(file) as data:
            landmarks = points_from_mesh(
                *(data[name].astype(np.float32) for name in ("xyz_px", "lids_xy_px", "iris_xy_px"))
            )
        side = frames.shape[1]
        return np.array([anchors_of(landmarks[i], side) for i in numbers])

    return places


def anchors_of(landmarks_xy_px: Array, side_px: int) -> Array:
    """(K, 7) anchors of one square picture with landmarks (L, 2); nan where they are not finite."""
    from .. import sparse_motion
    from ..alignment import MEAN_SHAPE
    from ..source import landmark_head

    if not np.isfinite(landmarks_xy_px).all():
        return np.full((len(sparse_motion.ANCHORS), 7), np.nan, np.float32)
    crop = geometry.Crop(0.0, 0.0, float(side_px))
    head = landmark_head(landmarks_xy_px)
    return packed(sparse_motion.rest(head, landmarks_xy_px, MEAN_SHAPE, crop))
