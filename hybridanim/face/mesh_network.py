"""Face mesh of a clip or picture by a landmark network, for training and evaluation only.

A face detector gives the first crop; every later crop comes from the mesh of the last frame,
rotated upright by the eyes and re-centred once, as in the network's training. Lids and irises come
from a second network, run on each eye (Ablavatski et al. 2020; mesh: Kartynnik et al. 2019). The
product never runs this file; the networks are not part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from hybridanim import files, quiet
from hybridanim.errors import InputError
from hybridanim.types import Array

from .landmarks import GROUPS, MESH

MESH_FILE, EYE_FILE, DETECTOR_FILE = (
    "face_landmark_fp32.tflite",
    "iris_landmark.tflite",
    "yunet_n_dynamic.onnx",
)
EYE_CORNERS = ((33, 133), (263, 362))  # outer, inner; picture left first
# the mesh numbers of the first 16 points that the eye network gives: lower lid, then upper lid
LIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
)
_MESH_SIDE, _EYE_SIDE = 192, 64
_LEAST_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class Mesh:
    """The networks' output for one face."""

    xyz_px: Array  # (468, 3) float32, picture pixels; z away from the camera, same scale
    lids_xy_px: Array  # (2, 16, 2) float32, the points in LIDS by the eye network
    iris_xy_px: Array  # (2, 5, 2) float32, centre, then four points of the rim; picture left first
    score: float  # in [0, 1]


def expect_networks(folder: Path) -> None:
    """Raise InputError unless the folder holds the networks' files."""
    missing = [f for f in (MESH_FILE, EYE_FILE, DETECTOR_FILE) if not (folder / f).is_file()]
    if missing:
        raise InputError(
            f"networks: expected {', '.join(missing)} in {folder}, found none; "
            "give the folder that holds the landmark networks"
        )


class Teacher:
    """Runs the networks; its state is the last crop of a clip."""

    def __init__(self, networks: Path, threads: int = 1) -> None:
        expect_networks(networks)
        core = quiet.openvino().Core()
        options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self._mesh = core.compile_model(str(networks / MESH_FILE), "CPU", options)
        self._eye = core.compile_model(str(networks / EYE_FILE), "CPU", options)
        path = str(networks / DETECTOR_FILE)
        self._detector = cv2.FaceDetectorYN.create(path, "", (320, 320), 0.5)
        self._last: Array | None = None

    def reset(self) -> None:
        """Forget the last frame; call between clips."""
        self._last = None

    def __call__(self, image: Array) -> Mesh | None:
        """The largest or the followed face of (H, W, 3) uint8 RGB, or None."""
        square = None if self._last is None else square_of(self._last)
        for start in (square, self._detect(image)) if square is not None else (None,):
            mesh = self._read(image, start if start is not None else self._detect(image))
            if mesh is not None:
                self._last = mesh.xyz_px
                return mesh
        self._last = None
        return None

    def _detect(self, image: Array) -> Array | None:
        height, width = image.shape[:2]
        self._detector.setInputSize((width, height))
        _, faces = self._detector.detect(image[..., ::-1])
        if faces is None or not len(faces):
            return None
        face = max(faces, key=lambda row: row[2] * row[3] * row[-1])
        x, y, w, h = face[:4]
        across = face[6:8] - face[4:6]
        return _square((x + w / 2, y + h / 2), 1.4 * max(w, h), np.arctan2(across[1], across[0]))

    def _read(self, image: Array, square: Array | None) -> Mesh | None:
        """Read the mesh twice: the second crop is made from the first mesh."""
        xyz, score = None, 0.0
        for _ in range(2):
            if square is None:
                return None
            xyz, score = self._run_mesh(image, square)
            if score < _LEAST_SCORE:
                return None
            square = square_of(xyz)
        assert xyz is not None
        lids, irises = zip(*(self._run_eye(image, xyz, side) for side in (0, 1)), strict=True)
        return Mesh(
            xyz.astype(np.float32),
            np.array(lids, np.float32),
            np.array(irises, np.float32),
            score,
        )

    def _run_mesh(self, image: Array, square: Array) -> tuple[Array, float]:
        crop = _cut(image, square, _MESH_SIDE)
        out = self._mesh(crop[None].astype(np.float32) / 255)
        points = np.array(out[0]).reshape(468, 3).astype(np.float64)
        score = 1 / (1 + np.exp(-float(np.array(out[1]).ravel()[0])))
        return _to_picture(points, square, _MESH_SIDE), score

    def _run_eye(self, image: Array, xyz: Array, side: int) -> tuple[Array, Array]:
        outer, inner = (xyz[i, :2] for i in EYE_CORNERS[side])
        along = inner - outer if side == 0 else outer - inner
        square = _square((outer + inner) / 2, 2.3 * np.hypot(*along), np.arctan2(*along[::-1]))
        crop = _cut(image, square, _EYE_SIDE)
        crop = crop[:, ::-1] if side else crop  # the network knows one eye only
        out = self._eye(np.ascontiguousarray(crop[None]).astype(np.float32) / 255)
        both = [np.array(out[i]).reshape(-1, 3).astype(np.float64) for i in (0, 1)]
        if side:
            for points in both:
                points[:, 0] = _EYE_SIDE - 1 - points[:, 0]
        lids, iris = (_to_picture(points, square, _EYE_SIDE)[:, :2] for points in both)
        return lids[:16], iris


def square_of(xyz: Array) -> Array:
    """The upright square around a mesh, (2, 3): picture from the unit square centred on 0."""
    across = xyz[263, :2] - xyz[33, :2]
    angle = np.arctan2(across[1], across[0])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    level = xyz[:, :2] @ turn.T
    low, high = level.min(0), level.max(0)
    return _square(turn.T @ ((low + high) / 2), 1.5 * float((high - low).max()), angle)


def _square(center: object, side: float, angle: float) -> Array:
    c, s = side * np.cos(angle), side * np.sin(angle)
    x, y = np.asarray(center, float)
    return np.array([[c, -s, x], [s, c, y]])


def _cut(image: Array, square: Array, side: int) -> Array:
    """Resample a square; shrinking is smoothed first so that fine texture does not alias."""
    scale = np.hypot(square[0, 0], square[1, 0]) / side
    if scale > 1.5:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 * scale)
    unit = np.array([[1 / side, 0, 0.5 / side - 0.5], [0, 1 / side, 0.5 / side - 0.5], [0, 0, 1]])
    return cv2.warpAffine(
        image, square @ unit, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )


def _to_picture(points: Array, square: Array, side: int) -> Array:
    unit = points[:, :2] / side + 0.5 / side - 0.5
    xy = unit @ square[:, :2].T + square[:, 2]
    z = points[:, 2:] * (np.hypot(square[0, 0], square[1, 0]) / side)
    return np.concatenate([xy, z], axis=1)


def frames_of(path: Path) -> Iterator[Array]:
    """Every frame of a clip, (H, W, 3) uint8 RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def points_from_mesh(xyz_px: Array, lids_xy_px: Array, iris_xy_px: Array) -> Array:
    """The landmarks of ``landmarks.POINTS``, (..., L, 2) float32 pixels, from a Mesh's arrays.

    xyz_px: (..., 468, 3); lids_xy_px: (..., 2, 16, 2); iris_xy_px: (..., 2, 5, 2). Lids and irises
    come from the eye network, everything else from the mesh.
    """
    xy = xyz_px[..., MESH, :2].astype(np.float32)
    for side, name in enumerate(("left", "right")):
        rows = list(GROUPS[f"{name}_eye"])
        columns = [LIDS[side].index(int(MESH[row])) for row in rows]
        xy[..., rows, :] = lids_xy_px[..., side, columns, :]
        xy[..., GROUPS[f"{name}_iris"][0], :] = iris_xy_px[..., side, 0, :]
    return xy


def teach_clip(teacher: Teacher, clip: Path, output: Path) -> int:
    """Write ``output`` (npz) with the mesh of every frame of ``clip``; returns the frames seen.

    Arrays, all float16: ``xyz_px`` (N, 468, 3), ``lids_xy_px`` (N, 2, 16, 2), ``iris_xy_px``
    (N, 2, 5, 2), ``score`` (N,), which is 0 where no face was found (its rows are nan). Work
    already on disk is kept.
    """
    if output.is_file():
        return 0
    teacher.reset()
    meshes = [teacher(image) for image in frames_of(clip)]
    xyz, lids, iris = (np.full(shape, np.nan) for shape in ((468, 3), (2, 16, 2), (2, 5, 2)))
    nothing = Mesh(xyz, lids, iris, 0.0)
    rows = [mesh or nothing for mesh in meshes]
    with files.atomic_write(output) as file:
        np.savez_compressed(
            file,
            xyz_px=np.array([row.xyz_px for row in rows], np.float16),
            lids_xy_px=np.array([row.lids_xy_px for row in rows], np.float16),
            iris_xy_px=np.array([row.iris_xy_px for row in rows], np.float16),
            score=np.array([row.score for row in rows], np.float16),
        )
    return len(rows)
