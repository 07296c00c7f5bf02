"""Landmarks by cascaded linear regression: grey picture, face box or last landmarks -> Landmarks.

Each step samples gradient histograms around every landmark in a patch that is normalised for
position, scale and roll by the landmarks themselves, and moves them by a linear map of these
features. Two coarse steps start from the mean shape in a box, three fine ones refine. Every frame
is fitted on its own, so nothing drifts. Xiong and De la Torre 2013 (supervised descent); Tola et
al. 2010 (orientation maps).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.fitting import fit_similarity
from hybridanim.geometry import apply_affine
from hybridanim.resampling import window_of
from hybridanim.types import Array, FaceBox

from .landmarks import GROUPS, MIRROR, POINTS
from .mean_shape import MEAN_SHAPE, MEAN_SHAPE_3D

__all__ = [
    "GROUPS",
    "MEAN_SHAPE",
    "MEAN_SHAPE_3D",
    "MIRROR",
    "POINTS",
    "Aligner",
    "Landmarks",
    "box_from_landmarks",
    "load",
]

WEIGHTS = files.WEIGHTS / "alignment.safetensors"
WEIGHTS_SHA256 = "b5916cf43ee4c9fa01f45b8391b3c96f88d8000eeca80086cfa23505684da34b"

_TURNS_DEG = (0.0, -25.0, 25.0)  # start rolls that a fit tries
BINS = 8  # gradient directions
NO_MAP = np.empty(0, np.float32)  # cv2.remap's second map, where the first holds x and y
CELLS = 4  # cells along each side of a descriptor
_ANGLES = np.arange(BINS) * (2 * np.pi / BINS)
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)]).astype(np.float32)  # (2, BINS)


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The landmarks of one face and their confidence."""

    xy_px: Array  # (L, 2) float32, pixels of the picture; rows as POINTS
    confidence: float  # in [0, 1]; below about 0.5 the points are not on a face


@dataclass(frozen=True, slots=True)
class Level:
    """A patch of the cascade: its points, the face's size in it, and its resolution."""

    side_px: int  # of the square patch
    shrink: int  # patch pixels per map cell
    rows: tuple[int, ...]  # of the points that its steps sample and move
    reference: Array  # (L, 2) float32, the mean shape in patch pixels, its rows in the middle

    def matrix(self, xy: Array) -> Array:
        """(2, 3) similarity, patch from picture: upright face, the level's points in the middle."""
        found = fit_similarity(xy, self.reference)
        rows = list(self.rows)
        found[:, 2] += self.reference[rows].mean(0) - apply_affine(found, xy[rows].mean(0))
        return found


def _level(side_px: int, face_px: float, shrink: int, *groups: str) -> Level:
    rows = tuple(i for group in groups or GROUPS for i in GROUPS[group])
    shape = MEAN_SHAPE * face_px
    middle = (shape[list(rows)].min(0) + shape[list(rows)].max(0)) / 2
    reference = (shape - middle + (side_px - 1) / 2).astype(np.float32)
    return Level(side_px, shrink, rows, reference)


COARSE = _level(96, 64.0, 1)
FINE = _level(160, 128.0, 2)
# lids and lips are thin, so they are refined at a larger scale
DETAILS = {
    "left_eye": _level(80, 256.0, 1, "left_eye", "left_iris"),
    "right_eye": _level(80, 256.0, 1, "right_eye", "right_iris"),
    "mouth": _level(96, 176.0, 1, "outer_lips", "inner_lips"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One linear regression step: descriptors of the points -> displacements of the points."""

    spacing_px: float  # between the cells of a descriptor, patch pixels
    mean: Array  # (N, D) float32, of the descriptors of the level's N points
    basis: Array  # (N, D, K) float32, principal directions of each point's descriptor
    weights: Array  # (N * K + 1, R) float32, last row the constant
    shift: Array  # (R, 2 N) float32, R principal displacements of all points


def invert(matrix: Array) -> Array:
    """The inverse 2x3 affine."""
    return cv2.invertAffineTransform(np.asarray(matrix, np.float64))


def cut_patch(grey: Array, patch_from_picture: Array, side_px: int) -> Array:
    """(side, side) float32 patch of a uint8 picture, gain and offset normalised, antialiased."""
    patch = window_of(grey, patch_from_picture, (side_px, side_px))
    mean, deviation = (float(v[0, 0]) for v in cv2.meanStdDev(patch))
    gain = 1 / (deviation + 4.0)  # 4 grey levels of noise: flat patches are not amplified
    patch = np.multiply(patch, np.float32(gain), dtype=np.float32)
    patch -= np.float32(mean * gain)
    return patch


def gradient_maps(patch: Array, level: Level) -> Array:
    """(S / shrink, S / shrink, BINS) float32: gradient component in each of BINS directions."""
    gx = cv2.Sobel(patch, cv2.CV_32F, 1, 0, ksize=3)
    gy = cv2.Sobel(patch, cv2.CV_32F, 0, 1, ksize=3)
    maps = cv2.merge([gx, gy]).reshape(-1, 2) @ _DIRECTIONS
    cv2.threshold(maps, 0, 0, cv2.THRESH_TOZERO, maps)  # half the time of numpy's maximum
    maps = maps.reshape(*patch.shape, BINS)
    if level.shrink > 1:
        side = level.side_px // level.shrink
        maps = cv2.resize(maps, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.blur(maps, (3, 3))


@cache
def cell_offsets(spacing_px: float) -> Array:
    """(CELLS * CELLS, 2) float32 offsets of the cell centres from a landmark, patch pixels."""
    line = (np.arange(CELLS, dtype=np.float32) - (CELLS - 1) / 2) * spacing_px
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


def descriptors(maps: Array, shape: Array, offsets: Array, shrink: int) -> Array:
    """(N, CELLS^2 * BINS) float32 normalised descriptors of the maps around each point (N, 2)."""
    at = (shape[:, None] + offsets + 0.5) / shrink - 0.5
    found = cv2.remap(
        maps, at.astype(np.float32), NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).reshape(len(shape), -1)
    return found / (np.sqrt(np.einsum("ld,ld->l", found, found)) + 0.5)[:, None]


def project(step: Step, found: Array) -> Array:
    """(N * K + 1,) float32: descriptors projected on each point's principal directions, and a 1."""
    projected = np.matmul((found - step.mean)[:, None], step.basis)
    return np.append(projected.ravel(), np.float32(1))


class Aligner:
    """The regression cascade with its weights; no state between calls."""

    def __init__(self, tensors: dict[str, Array]) -> None:
        self._coarse, self._fine = (_read_steps(tensors, name) for name in ("coarse", "fine"))
        self._details = [(DETAILS[name], _read_steps(tensors, name)) for name in DETAILS]
        self._scorers = {
            name: tensors[f"{name}.judge"].astype(np.float32) for name in ("coarse", "fine")
        }

    def fit(self, grey: Array, face: FaceBox) -> Landmarks:
        """Fit landmarks in a detector's box, from an upright and two tilted starts.

        grey: (H, W) uint8. Raises InputError for other arrays.
        """
        _check(grey)
        found = []
        for turn_deg in _TURNS_DEG:
            xy, features = _descend(grey, box_shape(face, turn_deg), COARSE, self._coarse)
            found.append((float(features @ self._scorers["coarse"]), xy))
        best = max(found, key=lambda pair: pair[0])[1]
        return self.track(grey, self._whole_face(grey, best)[0])

    def track(self, grey: Array, previous_xy_px: Array) -> Landmarks:
        """Fit landmarks near those of the last frame, (L, 2) in pixels of this picture.

        Only the position, size and roll of the last face are used, so errors do not accumulate.
        grey: (H, W) uint8.
        """
        _check(grey)
        xy, score = self._whole_face(grey, np.asarray(previous_xy_px, np.float32))
        for level, steps in self._details:
            xy, _ = _descend(grey, xy, level, steps)
        return Landmarks(xy, float(1 / (1 + np.exp(-np.clip(score, -30, 30)))))

    def _whole_face(self, grey: Array, previous_xy_px: Array) -> tuple[Array, float]:
        xy, _ = _descend(grey, box_shape(*box_from_landmarks(previous_xy_px)), COARSE, self._coarse)
        xy, features = _descend(grey, xy, FINE, self._fine)
        return xy, float(features @ self._scorers["fine"])


def _descend(
    grey: Array, start: Array, level: Level, steps: tuple[Step, ...]
) -> tuple[Array, Array]:
    """Run a level's steps: moved points (L, 2) float32, and the features of the last step."""
    matrix = level.matrix(start)
    rows = list(level.rows)
    shape = apply_affine(matrix, start[rows]).astype(np.float32)
    maps = gradient_maps(cut_patch(grey, matrix, level.side_px), level)
    features = np.zeros(0, np.float32)
    for step in steps:
        offsets = cell_offsets(step.spacing_px)
        features = project(step, descriptors(maps, shape, offsets, level.shrink))
        shape = shape + (features @ step.weights @ step.shift).reshape(-1, 2)
    xy = start.copy()
    xy[rows] = apply_affine(invert(matrix), shape)
    return xy, features


def _read_steps(tensors: dict[str, Array], name: str) -> tuple[Step, ...]:
    parts = ("mean", "basis", "weights", "shift")
    return tuple(
        Step(float(spacing), *(tensors[f"{name}.{i}.{part}"].astype(np.float32) for part in parts))
        for i, spacing in enumerate(tensors[f"{name}.spacing_px"])
    )


def _check(grey: Array) -> None:
    if grey.ndim != 2 or grey.dtype != np.uint8 or min(grey.shape) < 8:
        raise InputError(
            f"grey: expected (H, W) uint8 of at least 8x8, got {grey.shape} {grey.dtype}; "
            "convert with cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)"
        )


def box_shape(face: FaceBox, roll_deg: float = 0.0) -> Array:
    """(L, 2) float32: the mean shape in a box, turned clockwise about its centre."""
    angle = np.deg2rad(roll_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    side = (face.width_px + face.height_px) / 2
    return (side * MEAN_SHAPE @ turn.T + np.array(face.center_xy_px)).astype(np.float32)


def box_from_landmarks(xy_px: Array) -> tuple[FaceBox, float]:
    """The box a detector would give for these landmarks, and the roll in degrees (clockwise).

    The box is that of the face rotated upright about its centre.
    """
    matrix = fit_similarity(MEAN_SHAPE, np.asarray(xy_px))
    side = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    x, y = (float(v) for v in matrix[:, 2])  # of the box centre, (0, 0)
    roll_deg = float(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
    return FaceBox(x - side / 2, y - side / 2, side, side), roll_deg


@cache
def load(path: str | Path | None = None) -> Aligner:
    """The aligner with the packaged weights, or those of another file; loaded once.

    Raises InputError when the file is missing, no aligner's or, if packaged, of another version.
    """
    file = Path(path) if path else WEIGHTS
    fix = "reinstall, or train them with python -m calibration.alignment"
    if not file.is_file():
        raise InputError(f"landmark weights: expected {file}, found nothing; {fix}")
    if path is None:
        files.expect_sha256("landmark weights", file, WEIGHTS_SHA256)
    try:
        tensors = load_tensors(file.read_bytes())
        if not all(np.isfinite(value).all() for value in tensors.values()):
            raise ValueError("inf or not-a-number")
        return Aligner(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"landmark weights: expected those of the aligner in {file}, got {error}; {fix}"
        ) from error
