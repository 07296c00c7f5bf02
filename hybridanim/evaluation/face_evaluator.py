"""Face mesh, head pose and identity of results, by networks that only measure.

The networks lie in a folder or an environment that the user gives; they are not part of the
product. Head pose is
solvePnP of the mean face on the mesh's points (hybridanim.face.head_pose).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hybridanim.errors import InputError
from hybridanim.face import head_pose
from hybridanim.face.landmarks import eye_opening, interocular, mouth_opening
from hybridanim.face.mesh_network import EYE_CORNERS, LIDS, Mesh, Teacher
from hybridanim.fitting import fit_similarity
from hybridanim.prepare.source_head import landmark_head
from hybridanim.types import Array

from . import mesh_signals
from .attention_mesh import STILL, AttentionMesh

IDENTITY_FILE = "mobilefacenet_112x96.onnx"
_NUMBERS = mesh_signals.landmark_numbers()
_FOCAL_SIDES = 4.0  # focal length in picture sides, the same for truth and result
# eyes, nose and mouth corners in the 96x112 picture that the identity network was made for
_FIVE = np.array([[30.29, 51.70], [65.53, 51.50], [48.03, 71.74], [33.55, 92.37], [62.73, 92.20]])


@dataclass(frozen=True, slots=True)
class FaceMeasurement:
    """Points, pose and openings of one face."""

    mesh_xy_px: Array  # (468, 2) float32
    landmarks_xy_px: Array  # (L, 2) float32, see face.landmarks.POINTS
    five_xy_px: Array  # (5, 2), see five_points
    angles_deg: tuple[float, float, float] | None  # yaw, pitch, roll; None when not solvable
    eyes: float  # mean opening of both, 0 = closed
    mouth: float  # opening, 0 = closed
    mesh_xyz_px: Array | None = None  # (478, 3) float32, see mesh_signals

    @property
    def eye_distance_px(self) -> float:
        """Between the centres of the eyes."""
        return float(interocular(self.landmarks_xy_px))


class FaceEvaluator:
    """Measures faces in pictures, (H, W, 3) uint8 RGB.

    Meshes come from the networks of a folder, in OpenVINO, or from MediaPipe's attention mesh in an
    environment of its own; identity from a network of the folder. Raises InputError where one of
    these is missing.
    """

    def __init__(self, networks: Path | None, environment: Path | None = None) -> None:
        """networks: folder, may be None with an environment. environment: see attention_mesh."""
        self._streams: dict[str, int] = {}
        self._attention = None if environment is None else AttentionMesh(environment)
        if self._attention is not None:
            self._attention.wait()
        self._teacher = _load_teacher(networks) if networks and environment is None else None
        self._identity = None
        if networks is not None:
            file = networks / IDENTITY_FILE
            if not file.is_file():
                raise InputError(f"evaluate: expected {file}, found nothing; leave --networks out")
            self._identity = cv2.dnn.readNetFromONNX(str(file))

    def begin_pair(self) -> None:
        """Forget the streams of ``detect``: other clips follow."""
        if self._attention is not None:
            for stream in self._streams.values():
                self._attention.end(stream)
        self._streams = {}

    def detect(self, image: Array, stream: str = "") -> FaceMeasurement | None:
        """The face of one picture; None when there is none.

        stream: name of the clip that the picture is the next frame of, which the attention mesh
        makes use of; without it, nothing is known of earlier pictures.
        """
        if self._attention is not None:
            number = self._streams.setdefault(stream, len(self._streams) + 1) if stream else STILL
            points = self._attention(image, number)
            return None if points is None else measure_attention(points, image)
        assert self._teacher is not None
        self._teacher.reset()
        mesh = self._teacher(image)
        return None if mesh is None else measure_mesh(mesh, image)

    def embedding(self, image: Array, five_xy_px: Array) -> Array | None:
        """(128,) identity of the face, aligned by its five points; None without a network."""
        if self._identity is None:
            return None
        matrix = fit_similarity(five_xy_px, _FIVE)
        face = cv2.warpAffine(image, matrix, (96, 112))
        blob = cv2.dnn.blobFromImage(face, 1 / 128, (96, 112), (127.5,) * 3)
        self._identity.setInput(blob)
        return self._identity.forward().ravel().copy()


def _load_teacher(networks: Path) -> Teacher:
    try:
        return Teacher(networks)
    except ImportError as error:
        raise InputError(
            'evaluate: expected OpenVINO for --networks, found none; pip install "openvino"'
        ) from error


def measure_mesh(mesh: Mesh, image: Array) -> FaceMeasurement:
    """Landmarks, pose and openings from the mesh of a face in this picture."""
    return _measure(attention_layout(mesh), image)


def measure_attention(points: Array, image: Array) -> FaceMeasurement:
    """The same from MediaPipe's (478, 3) points, which count from the first pixel's outer edge."""
    return _measure(points - np.array([0.5, 0.5, 0], np.float32), image)


def attention_layout(mesh: Mesh) -> Array:
    """(478, 3) float32 points in the attention mesh's order from the plain mesh and its eyes.

    The lids' places in the picture are those of the eye network; the irises have the mean depth of
    their eye's corners.
    """
    xyz = mesh.xyz_px.astype(np.float32)
    for side, numbers in enumerate(LIDS):
        xyz[list(numbers), :2] = mesh.lids_xy_px[side]
    depth = [np.full((5, 1), xyz[list(corners), 2].mean()) for corners in EYE_CORNERS]
    irises = np.concatenate([mesh.iris_xy_px, depth], axis=-1).reshape(10, 3)
    return np.concatenate([xyz, irises]).astype(np.float32)


def _measure(xyz: Array, image: Array) -> FaceMeasurement:
    xy = xyz[:, :2]
    points = xy[_NUMBERS]
    return FaceMeasurement(
        mesh_xy_px=xy[:468],
        landmarks_xy_px=points,
        five_xy_px=five_points(xy),
        angles_deg=head_angles_deg(points, image),
        eyes=float(eye_opening(points).mean()),
        mouth=float(mouth_opening(points)),
        mesh_xyz_px=xyz,
    )


def head_angles_deg(landmarks_xy_px: Array, image: Array) -> tuple[float, float, float] | None:
    """Yaw, pitch and roll (see face.head_pose) of (L, 2) landmarks; None when not solvable."""
    height, width = image.shape[:2]
    focal = _FOCAL_SIDES * max(height, width)
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    guess = head_pose.frontal(landmark_head(landmarks_xy_px))
    found = head_pose.solve_landmarks(
        landmarks_xy_px.astype(np.float64), head_pose.Intrinsics(matrix), guess
    )
    return None if found is None else found.angles_deg


def five_points(xy: Array) -> Array:
    """(5, 2) pixels: the picture's left and right eye, nose tip, left and right mouth corner.

    xy: (468 or more, 2) points of a mesh.
    """
    eyes = [xy[[33, 133]].mean(0), xy[[263, 362]].mean(0)]
    return np.array([*eyes, xy[1], xy[61], xy[291]])
