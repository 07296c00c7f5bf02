"""Still pictures -> clips of one frame in the cache, with a teacher's keypoints.

They bring faces that no clip has: paintings, drawings, sculpture, other people. Each picture is cut
to a square round its head and kept as a clip of one frame, named after its file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hybridanim import geometry
from hybridanim.io import read_picture
from hybridanim.motion import keypoints
from hybridanim.prepare.source import landmark_head
from hybridanim.training.data.cache import anchors_of
from hybridanim.types import Array, Crop

Landmarks = Callable[[Array], "Array | None"]
"""(H, W, 3) uint8 RGB -> landmarks (L, 2) in its pixels as alignment.POINTS has them, or None."""
_ROOM = 1.2  # side of the square kept, in windows


def cache_stills(
    files: Sequence[Path],
    cache: Path,
    landmarks: Landmarks,
    *,
    name: str = "taught",
    size: int = 320,
) -> list[str]:
    """Write every picture whose face the teacher finds; returns the names of the others."""
    cache.mkdir(parents=True, exist_ok=True)
    left_out = []
    for file in files:
        image = read_picture(file)
        xy_px = landmarks(image)
        if xy_px is None:
            left_out.append(file.name)
            continue
        frame, rows = still(image, xy_px, size)
        path = cache / f"{file.stem}.npy"
        np.save(path, frame[None])
        points = {"number": np.array([0]), name: rows[None]}
        np.savez(path.with_suffix(".npz"), **points)  # pyright: ignore[reportArgumentType]
    return left_out


def still(image: Array, xy_px: Array, size: int) -> tuple[Array, Array]:
    """The square round the head, (size, size, 3) uint8, and its anchors (K, 7)."""
    window = keypoints.crop_around(landmark_head(xy_px))
    side = _ROOM * window.side_px
    margin = (side - window.side_px) / 2
    square = Crop(window.x_px - margin, window.y_px - margin, side)
    found = (geometry.norm_from_px(xy_px, square) + 1) * (size / 2) - 0.5
    return geometry.crop_image(image, square, size), anchors_of(found, size)
