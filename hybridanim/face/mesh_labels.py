"""Files of a teacher's mesh points, as ``python -m calibration.face_labels`` writes them."""

from __future__ import annotations

import tokenize
from pathlib import Path

import numpy as np

from hybridanim import paths
from hybridanim.errors import InputError
from hybridanim.types import Array

from . import mesh

_MAGIC, _ARCHIVE = b"\x93NUMPY", b"PK\3\4"  # how .npy and .npz begin
_MOST_PX = 1e6  # from the frame's corner; frames have at most some ten thousand pixels a side
_LEAST_PX = 0.1  # distance of the eyes, and height of a face
_ENDS = np.array([(33, 263), (10, 152)])  # outer corners of the eyes; forehead and chin


def read(file: Path) -> Array:
    """(N, 478, 3) points of the frames of a clip, NaN where no face was found.

    Pixels from the outer edge of the first one. Raises InputError for anything else, and for points
    that are no face's: some of a frame without a number, far out of any frame, or in one place.
    """
    paths.expect_readable("labels", file)
    try:
        if not paths.is_file(file):
            raise ValueError("no file")
        with open(file, "rb") as opened:
            if opened.read(4) == _ARCHIVE:
                raise ValueError("an archive")
            opened.seek(0)
            if opened.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("another kind of file")
        points = np.load(file, mmap_mode="r", allow_pickle=False)  # the header may lie
        if points.shape[1:] != (mesh.COUNT, 3) or points.dtype.kind != "f":
            raise ValueError(f"{points.shape} {points.dtype}")
        with np.errstate(over="ignore"):
            points = np.array(points, np.float32)
        _expect_faces(points)
        return points
    except (
        *(OSError, ValueError, EOFError, OverflowError, MemoryError, RecursionError),
        *(SyntaxError, tokenize.TokenError),  # of the header, which is a text of Python
    ) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{file}: expected labels (N, {mesh.COUNT}, 3) of float numbers, got {said}; label"
            " the clip again with python -m calibration.face_labels"
        ) from error


def _expect_faces(points: Array) -> None:
    """Raise ValueError for points of a frame that are no face's."""
    if (np.abs(points) > _MOST_PX).any():  # not-a-number is not
        raise ValueError(f"numbers beyond {_MOST_PX:g}")
    is_number = np.isfinite(points)
    is_face = is_number.all((1, 2))
    if (is_number.any((1, 2)) != is_face).any():
        raise ValueError("frames with some of the points")
    with np.errstate(over="ignore"):
        sizes = mesh.distances(points[is_face][..., :2], _ENDS)
    if sizes.size and sizes.min() < _LEAST_PX:
        raise ValueError("a face without extent")


def folders_of(text: str) -> tuple[Path, Path]:
    """The folders of clips and of their labels that CLIPS:LABELS names; InputError for others."""
    media, _, labels = text.rpartition(":")
    found = Path(media), Path(labels)
    for folder in found:
        if not folder.is_dir():
            raise InputError(f"--data {text}: expected CLIPS:LABELS, two folders; got no {folder}")
    return found
