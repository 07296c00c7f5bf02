"""Face mesh, head pose and identity of results, by networks that only measure.

The networks lie in a folder that the user gives; they are not part of the product. Head pose is
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
from hybridanim.face.mesh_network import Mesh, Teacher, points_from_mesh
from hybridanim.fitting import fit_similarity
from hybridanim.prepare.source import landmark_head
from hybridanim.types import Array

IDENTITY_FILE = "mobilefacenet_112x96.onnx"
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

    @property
    def eye_distance_px(self) -> float:
        """Between the centres of the eyes."""
        return float(interocular(self.landmarks_xy_px))


class FaceEvaluator:
    """Measures faces in pictures, (H, W, 3) uint8 RGB.

    Raises InputError where OpenVINO or a network is missing.
    """

    def __init__(self, networks: Path) -> None:
        try:
            self._teacher = Teacher(networks)
        except ImportError as error:
            raise InputError(
                'evaluate: expected OpenVINO for --networks, found none; pip install "openvino"'
            ) from error
        file = networks / IDENTITY_FILE
        if not file.is_file():
            raise InputError(f"evaluate: expected {file}, found nothing; leave --networks out")
        self._identity = cv2.dnn.readNetFromONNX(str(file))

    def detect(self, image: Array) -> FaceMeasurement | None:
        """The face of one picture, without knowledge of earlier ones; None when there is none."""
        self._teacher.reset()
        mesh = self._teacher(image)
        return None if mesh is None else measure_mesh(mesh, image)

    def embedding(self, image: Array, five_xy_px: Array) -> Array:
        """(128,) identity of the face, aligned by its five points (``five_points``)."""
        matrix = fit_similarity(five_xy_px, _FIVE)
        face = cv2.warpAffine(image, matrix, (96, 112))
        blob = cv2.dnn.blobFromImage(face, 1 / 128, (96, 112), (127.5,) * 3)
        self._identity.setInput(blob)
        return self._identity.forward().ravel().copy()


def measure_mesh(mesh: Mesh, image: Array) -> FaceMeasurement:
    """Landmarks, pose and openings from the mesh of a face in this picture."""
    points = points_from_mesh(mesh.xyz_px[None], mesh.lids_xy_px[None], mesh.iris_xy_px[None])[0]
    return FaceMeasurement(
        mesh_xy_px=mesh.xyz_px[:, :2],
        landmarks_xy_px=points,
        five_xy_px=five_points(mesh),
        angles_deg=head_angles_deg(points, image),
        eyes=float(eye_opening(points).mean()),
        mouth=float(mouth_opening(points)),
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


def five_points(mesh: Mesh) -> Array:
    """(5, 2) pixels: the picture's left and right eye, nose tip, left and right mouth corner."""
    xy = mesh.xyz_px[:, :2]
    eyes = [xy[[33, 133]].mean(0), xy[[263, 362]].mean(0)]
    return np.array([*eyes, xy[1], xy[61], xy[291]])
