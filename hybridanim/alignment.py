"""Grey picture + face box or last landmarks -> face landmarks, by cascaded linear regression.

Each step samples gradient histograms round every landmark in a patch that is levelled and scaled by
the landmarks themselves, and moves them by a linear map of those features. Two coarse steps start
from the mean shape in a box, three fine ones polish or follow. No drift: every frame is fitted on
its own. Xiong and De la Torre 2013 (supervised descent); Tola et al. 2010 (sampled maps).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import load as load_tensors

from .alignment_points import GROUPS, MIRROR, POINTS
from .alignment_shape import MEAN_SHAPE, MEAN_SHAPE_3D
from .errors import InputError
from .types import Array, FaceBox

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

WEIGHTS = Path(__file__).parent.parent / "weights" / "alignment.safetensors"
WEIGHTS_SHA256 = "df886807eaaedb48fde4ec8b5771bece6e9bcaab16d79ccf132fb2c2bda4875c"

BINS = 8  # gradient directions
CELLS = 4  # cells along each side of a descriptor
_ANGLES = np.arange(BINS) * (2 * np.pi / BINS)
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)]).astype(np.float32)  # (2, BINS)


@dataclass(frozen=True, slots=True)
class Landmarks:
    """One face: where its points are, and how sure that is."""

    xy_px: Array  # (L, 2) float32, pixels of the picture; rows as POINTS
    confidence: float  # in [0, 1]; below about 0.5 the points are not on a face


@dataclass(frozen=True, slots=True)
class Level:
    """A patch: how large the face is in it, and how its gradient maps are made."""

    side_px: int  # of the square patch
    face_px: float  # the side of the face box in the patch
    shrink: int  # patch pixels per map cell

    reference: Array  # (L, 2) float32, the mean shape in patch pixels, its bounding box centred


def _level(side_px: int, face_px: float, shrink: int) -> Level:
    shape = MEAN_SHAPE * face_px
    middle = (shape.min(0) + shape.max(0)) / 2
    reference = (shape - middle + (side_px - 1) / 2).astype(np.float32)
    return Level(side_px, face_px, shrink, reference)


COARSE = _level(side_px=96, face_px=64.0, shrink=1)
FINE = _level(side_px=160, face_px=128.0, shrink=2)


@dataclass(frozen=True, slots=True)
class Step:
    """One linear step: features of the points' surroundings -> how to move the points."""

    spacing_px: float  # between the cells of a descriptor, patch pixels
    mean: Array  # (L, D) float32
    basis: Array  # (L, D, K) float32, principal directions of each landmark's descriptor
    weights: Array  # (L * K + 1, 2 L) float32, last row the constant


def similarity_between(source: Array, target: Array) -> Array:
    """(2, 3) float64: least-squares similarity target from source, points (N, 2) (Umeyama 1991)."""
    source_mean, target_mean = source.mean(0, dtype=float), target.mean(0, dtype=float)
    a, b = source - source_mean, target - target_mean
    norm = max(float((a * a).sum()), 1e-12)
    c = float((a * b).sum()) / norm
    s = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / norm
    turn = np.array([[c, -s], [s, c]])
    return np.column_stack([turn, target_mean - turn @ source_mean])


def apply(matrix: Array, xy: Array) -> Array:
    """2x3 affine on points (N, 2)."""
    return xy @ matrix[:, :2].T + matrix[:, 2]


def invert(matrix: Array) -> Array:
    """The inverse 2x3 affine."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def cut_patch(grey: Array, patch_from_picture: Array, side_px: int) -> Array:
    """(side, side) float32 patch of a uint8 picture; averaged first where the picture is finer."""
    scale = float(np.hypot(patch_from_picture[0, 0], patch_from_picture[1, 0]))
    if scale < 0.67:
        grey, patch_from_picture = _shrink(grey, patch_from_picture, scale, side_px)
    patch = cv2.warpAffine(
        grey, patch_from_picture, (side_px, side_px), borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32)
    mean, deviation = cv2.meanStdDev(patch)
    patch -= mean[0, 0]
    patch /= deviation[0, 0] + 4.0  # grey levels; keeps flat patches from blowing up
    return patch


def _shrink(
    grey: Array, patch_from_picture: Array, scale: float, side_px: int
) -> tuple[Array, Array]:
    """The part of the picture under the patch, averaged down to about the patch's resolution."""
    corners = np.array([[0, 0], [side_px, 0], [0, side_px], [side_px, side_px]], float)
    found = apply(invert(patch_from_picture), corners)
    height, width = grey.shape
    x0, y0 = np.clip(np.floor(found.min(0)).astype(int) - 2, 0, [width - 2, height - 2])
    x1, y1 = np.clip(np.ceil(found.max(0)).astype(int) + 3, [x0 + 2, y0 + 2], [width, height])
    part = grey[y0:y1, x0:x1]
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    sx, sy = part.shape[1] / size[0], part.shape[0] / size[1]
    picture_from_small = np.array([[sx, 0, x0 + sx / 2 - 0.5], [0, sy, y0 + sy / 2 - 0.5]])
    turn = patch_from_picture[:, :2] @ picture_from_small[:, :2]
    return small, np.column_stack([turn, apply(patch_from_picture, picture_from_small[:, 2])])


def gradient_maps(patch: Array, level: Level) -> Array:
    """(S / shrink, S / shrink, BINS) float32: how much gradient points in each direction."""
    gx = cv2.Sobel(patch, cv2.CV_32F, 1, 0, ksize=3)
    gy = cv2.Sobel(patch, cv2.CV_32F, 0, 1, ksize=3)
    maps = np.dstack([gx, gy]).reshape(-1, 2) @ _DIRECTIONS
    np.maximum(maps, 0, out=maps)
    maps = maps.reshape(*patch.shape, BINS)
    if level.shrink > 1:
        side = level.side_px // level.shrink
        maps = cv2.resize(maps, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.blur(maps, (3, 3))


def settle(
    xy: Array, modes: Array, deviations: Array, *, trust: float = 1.0, noise: Array | float = 0.0
) -> Array:
    """(L, 2): the mean face laid over ``xy`` and bent by a few modes, to start the next fit from.

    Whatever else the last frame got wrong is forgotten, so errors cannot grow from frame to frame.
    modes: (2 L, M) orthonormal, of a levelled face in FINE pixels; deviations: (M,), each weight
    is kept within two of them. trust and noise disturb the weights (in training).
    """
    matrix = similarity_between(xy, FINE.reference)
    lean = modes.T @ (apply(matrix, xy) - FINE.reference).ravel()
    lean = np.clip(trust * lean + noise, -2 * deviations, 2 * deviations)
    level = FINE.reference + (modes @ lean).reshape(-1, 2)
    return apply(invert(matrix), level).astype(np.float32)


def cell_offsets(spacing_px: float) -> Array:
    """(CELLS * CELLS, 2) float32 offsets of the cell centres from a landmark, patch pixels."""
    line = (np.arange(CELLS, dtype=np.float32) - (CELLS - 1) / 2) * spacing_px
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


def descriptors(maps: Array, shape: Array, offsets: Array, shrink: int) -> Array:
    """(L, CELLS^2 * BINS) float32 unit descriptors of the maps round each point (L, 2)."""
    at = (shape[:, None] + offsets + 0.5) / shrink - 0.5
    found = cv2.remap(
        maps, at.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).reshape(len(shape), -1)
    return found / (np.sqrt(np.einsum("ld,ld->l", found, found)) + 0.5)[:, None]


def project(step: Step, found: Array) -> Array:
    """(L * K + 1,) float32: descriptors on each landmark's principal directions, then a 1."""
    lean = np.matmul((found - step.mean)[:, None], step.basis)
    return np.append(lean.ravel(), np.float32(1))


class Aligner:
    """The cascade with its weights; holds no state between calls."""

    def __init__(self, tensors: dict[str, Array]) -> None:
        self._coarse = _read_steps(tensors, "coarse")
        self._fine = _read_steps(tensors, "fine")
        self._coarse_judge = tensors["coarse.judge"].astype(np.float32)
        self._fine_judge = tensors["fine.judge"].astype(np.float32)
        self._modes, self._deviations = tensors["shape.modes"], tensors["shape.deviations"]
        self._turns_deg = (0.0, -25.0, 25.0)

    def fit(self, grey: Array, face: FaceBox) -> Landmarks:
        """Landmarks of the face in a detector's box, starting upright and leaning either way.

        grey: (H, W) uint8.
        """
        _check(grey)
        starts = [box_shape(face, turn) for turn in self._turns_deg]
        found = [self._coarsely(grey, start) for start in starts]
        best = max(found, key=lambda landmarks: landmarks.confidence)
        return self.track(grey, self.track(grey, best.xy_px).xy_px)

    def track(self, grey: Array, previous_xy_px: Array) -> Landmarks:
        """Landmarks near where they were in the frame before, (L, 2) pixels of this picture.

        grey: (H, W) uint8.
        """
        _check(grey)
        face, roll_deg = box_from_landmarks(np.asarray(previous_xy_px))
        near = self._coarsely(grey, box_shape(face, roll_deg))
        start = settle(near.xy_px, self._modes, self._deviations)
        return self._run(grey, start, FINE, self._fine, self._fine_judge)

    def _coarsely(self, grey: Array, start: Array) -> Landmarks:
        return self._run(grey, start, COARSE, self._coarse, self._coarse_judge)

    def _run(
        self, grey: Array, start: Array, level: Level, steps: tuple[Step, ...], judge: Array
    ) -> Landmarks:
        patch_from_picture = similarity_between(start, level.reference)
        shape = apply(patch_from_picture, start).astype(np.float32)
        maps = gradient_maps(cut_patch(grey, patch_from_picture, level.side_px), level)
        features = np.zeros(0, np.float32)
        for step in steps:
            offsets = cell_offsets(step.spacing_px)
            features = project(step, descriptors(maps, shape, offsets, level.shrink))
            shape = shape + (features @ step.weights).reshape(-1, 2)
        confidence = float(1 / (1 + np.exp(-float(features @ judge))))
        xy_px = apply(invert(patch_from_picture), shape).astype(np.float32)
        return Landmarks(xy_px, confidence)


def _read_steps(tensors: dict[str, Array], name: str) -> tuple[Step, ...]:
    spacings = tensors[f"{name}.spacing_px"]
    parts = ("mean", "basis", "weights")
    return tuple(
        Step(float(spacing), *(tensors[f"{name}.{i}.{part}"].astype(np.float32) for part in parts))
        for i, spacing in enumerate(spacings)
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

    The box is that of the face levelled about its own centre.
    """
    matrix = similarity_between(MEAN_SHAPE, np.asarray(xy_px))
    side = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    x, y = (float(v) for v in matrix[:, 2])  # where the box centre, (0, 0), goes
    roll_deg = float(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
    return FaceBox(x - side / 2, y - side / 2, side, side), roll_deg


@cache
def load(path: str | Path | None = None) -> Aligner:
    """The aligner with the weights of the repository, or of another file.

    Raises InputError when the file is missing or not the one that this version was made with.
    """
    file = Path(path) if path else WEIGHTS
    if not file.is_file():
        raise InputError(
            f"landmark weights: expected {file}, found nothing; reinstall, or train them with "
            "python -m calibration.alignment"
        )
    data = file.read_bytes()
    if path is None and (found := hashlib.sha256(data).hexdigest()) != WEIGHTS_SHA256:
        raise InputError(
            f"landmark weights: expected sha256 {WEIGHTS_SHA256[:12]}, got {found[:12]}; "
            "fetch the file again, it is damaged or of another version"
        )
    return Aligner(load_tensors(data))
