"""Clips, a teacher's masks of some of their frames and its meshes -> labelled frames.

Masks of a clip NAME: NAME.npz with ``masks`` (N, H, W) uint8, 255 = the person, and ``rows`` (N,)
int, their frames' numbers in the clip. Meshes as ``python -m calibration.face_labels`` writes them.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hybridanim import io, paths
from hybridanim.errors import InputError
from hybridanim.face import mesh_labels
from hybridanim.face.aligner import box_from_landmarks
from hybridanim.face.landmarks import MESH
from hybridanim.prepare.background import inpaint_background
from hybridanim.types import Array

_LABEL_CORNER = 0.5  # labels count from the outer edge of the first pixel
_GUIDE_PX, _GUIDE = 3, 12.0  # guided filter that moves the masks' edges onto the pictures'
_MOST_BYTES = 4 << 30


class Folders(NamedTuple):
    """Where the footage of one set lies."""

    clips: Path
    masks: Path
    meshes: Path


@dataclass(frozen=True)
class Footage:
    """Frames with masks; one row a frame."""

    images: list[Array]  # (H, W, 3) uint8 RGB
    masks: list[Array]  # (H, W) uint8
    outlines: list[Array]  # (L, 2) float32 landmarks, pixels
    heads: Array  # (N, 3) head box: centre x, y and side, pixels
    clips: Array  # (N,) int, number of the clip
    walls: list[Array]  # backgrounds of the clips without their person, (H, W, 3) uint8


def read(folders: Sequence[Folders], every: int = 1) -> Footage:
    """Read every so many of the labelled frames.

    Raises InputError when there is none, or the labels do not belong to the frames.
    """
    out = Footage([], [], [], np.zeros((0, 3)), np.zeros(0, int), [])
    heads: list[tuple[float, float, float]] = []
    clips: list[int] = []
    files = [(one, file) for one in folders for file in sorted(one.masks.glob("*.npz"))]
    for number, (one, file) in enumerate(files):
        points = mesh_labels.read(one.meshes / f"{file.stem}.npy")
        rows, masks = _masks(file, len(points))
        places = list(range(0, len(rows), every))
        wanted = {int(rows[i]): masks[i] for i in places if np.isfinite(points[rows[i]]).all()}
        for row, image in _frames(_clip(one.clips, file.stem), wanted, max(wanted, default=-1)):
            if image.shape[:2] != wanted[row].shape:
                raise InputError(
                    f"{file}: expected masks of {image.shape[:2]}, got {wanted[row].shape};"
                    " label the clip again"
                )
            xy = points[row][MESH, :2] - np.float32(_LABEL_CORNER)
            box, _ = box_from_landmarks(xy)
            heads.append((*box.center_xy_px, box.width_px))
            clips.append(number)
            out.images.append(image)
            out.masks.append(sharpened(image, wanted[row]))
            out.outlines.append(xy)
            if number not in clips[:-1]:  # the first of its clip
                out.walls.append(inpaint_background(image, wanted[row] / np.float32(255)))
    if not heads:
        shown = ", ".join(str(one.masks) for one in folders)
        raise InputError(f"masks: expected labelled frames in {shown}, found none; label some")
    return Footage(out.images, out.masks, out.outlines, np.array(heads), np.array(clips), out.walls)


def sharpened(image: Array, mask: Array) -> Array:
    """A teacher's soft mask (H, W) uint8 with its edge on the edges of the picture, uint8."""
    steep = np.clip((mask.astype(np.float32) / 255 - 0.5) * 1.8 + 0.5, 0, 1)
    found = cv2.ximgproc.guidedFilter(image.astype(np.float32), steep, _GUIDE_PX, _GUIDE**2)
    return np.rint(np.clip((found - 0.06) / 0.88, 0, 1) * 255).astype(np.uint8)


def _masks(file: Path, frames: int) -> tuple[Array, Array]:
    """Frame numbers and masks of one file, sorted; InputError for anything else."""
    paths.expect_readable("masks", file)
    try:
        if not paths.is_file(file):
            raise ValueError("no file")
        with zipfile.ZipFile(file) as archive:
            if sum(part.file_size for part in archive.infolist()) > _MOST_BYTES:
                raise ValueError("more than 4 GB")
        with np.load(file, allow_pickle=False) as opened:
            rows, masks = np.array(opened["rows"]), np.array(opened["masks"])
        if masks.ndim != 3 or masks.dtype != np.uint8 or rows.shape != masks.shape[:1]:
            raise ValueError(f"masks {masks.shape} {masks.dtype}, rows {rows.shape}")
        if rows.dtype.kind not in "iu" or (rows < 0).any() or (rows >= frames).any():
            raise ValueError(f"rows beyond the {frames} labelled frames")
    except (
        *(OSError, KeyError, ValueError, EOFError, OverflowError, MemoryError, RecursionError),
        *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),  # of the archive
        *(SyntaxError, tokenize.TokenError),  # of an array's header, which is a text of Python
    ) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{file}: expected masks (N, H, W) uint8 and rows (N,), got {said}; label the clip"
            " again"
        ) from error
    order = np.argsort(rows)
    return rows[order], masks[order]


def _clip(folder: Path, stem: str) -> Path:
    found = sorted(file for file in folder.glob(f"{stem}.*") if file.is_file())
    if not found:
        raise InputError(f"{folder}: expected a clip {stem}.*, found none; check the folder")
    return found[0]


def _frames(file: Path, wanted: Container[int], last: int) -> Iterator[tuple[int, Array]]:
    """The wanted frames of a clip, up to the last one, with their numbers; a picture is frame 0."""
    if io.is_picture(file):
        if 0 in wanted:
            yield 0, io.read_picture(file)
        return
    with io.open_source(file) as clip:
        for row, frame in enumerate(clip):
            if row > last:
                return
            if row in wanted:
                yield row, frame.image
