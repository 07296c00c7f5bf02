"""Files of a teacher's mesh points, as ``python -m calibration.face_labels`` writes them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from hybridanim import paths
from hybridanim.errors import InputError
from hybridanim.types import Array

from . import mesh

_MOST_PX = 1e6  # from the frame's corner; frames have at most some ten thousand pixels a side
_LEAST_PX = 0.1  # width and height of a face


def read(file: Path) -> Array:
    """(N, 478, 3) points of the frames of a clip, NaN where no face was found.

    Pixels from the outer edge of the first one. Raises InputError for anything else, and for points
    that are no face's: infinite, far out of any frame, or all in one place.
    """
    paths.expect_readable("labels", file)
    try:
        if not paths.is_file(file):
            raise ValueError("no file")
        points = np.load(file, mmap_mode="r", allow_pickle=False)  # the header may lie
        if not isinstance(points, np.ndarray):
            raise ValueError("an archive")
        if points.shape[1:] != (mesh.COUNT, 3) or points.dtype.kind != "f":
            raise ValueError(f"{points.shape} {points.dtype}")
        with np.errstate(over="ignore"):
            points = np.array(points, np.float32)
        _expect_faces(points)
        return points
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{file}: expected labels (N, {mesh.COUNT}, 3) of float numbers, got {error}; label"
            " the clip again with python -m calibration.face_labels"
        ) from error


def _expect_faces(points: Array) -> None:
    """Raise ValueError for points of a frame that are no face's."""
    if (np.abs(points) > _MOST_PX).any():  # not-a-number is not
        raise ValueError(f"numbers beyond {_MOST_PX:g}")
    whole = points[np.isfinite(points).all((1, 2))]
    if len(whole) and np.ptp(whole[..., :2], 1).min() < _LEAST_PX:
        raise ValueError("a face without extent")
