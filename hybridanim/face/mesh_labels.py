"""Files of a teacher's mesh points, as ``python -m calibration.face_labels`` writes them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from hybridanim import paths
from hybridanim.errors import InputError
from hybridanim.types import Array

from . import mesh


def read(file: Path) -> Array:
    """(N, 478, 3) points of the frames of a clip, NaN where no face was found.

    Pixels from the outer edge of the first one. Raises InputError for anything else.
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
        return np.array(points, np.float32)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{file}: expected labels (N, {mesh.COUNT}, 3) of float numbers, got {error}; label"
            " the clip again with python -m calibration.face_labels"
        ) from error
