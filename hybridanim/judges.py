"""Networks that look at results, for measuring only: face mesh and face identity.

They are given by a folder and are not part of the product; they need the extra ``eval``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .alignment import similarity_between
from .errors import InputError
from .landmarks.samples import points_from_mesh
from .landmarks.teacher import Mesh, Teacher
from .types import Array

IDENTITY_FILE = "mobilefacenet_112x96.onnx"
# eyes, nose and mouth corners in the 96x112 picture that the identity network was made for
_FIVE = np.array([[30.29, 51.70], [65.53, 51.50], [48.03, 71.74], [33.55, 92.37], [62.73, 92.20]])


class Judge:
    """Face mesh points and identity of pictures, (H, W, 3) uint8 RGB."""

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

    def mesh(self, image: Array) -> Mesh | None:
        """The face of one picture on its own, or None when there is none."""
        self._teacher.reset()
        return self._teacher(image)

    def embedding(self, image: Array, mesh: Mesh) -> Array:
        """(128,) identity of the face, aligned by the five points of ``mesh``."""
        matrix = similarity_between(five_points(mesh), _FIVE)
        face = cv2.warpAffine(image, matrix, (96, 112))
        blob = cv2.dnn.blobFromImage(face, 1 / 128, (96, 112), (127.5,) * 3)
        self._identity.setInput(blob)
        return self._identity.forward().ravel().copy()


def five_points(mesh: Mesh) -> Array:
    """(5, 2): picture-left eye, right eye, nose tip, mouth corners."""
    xy = mesh.xyz_px[:, :2]
    eyes = [xy[[33, 133]].mean(0), xy[[263, 362]].mean(0)]
    return np.array([*eyes, xy[1], xy[61], xy[291]])


def landmarks(mesh: Mesh) -> Array:
    """(L, 2) points as alignment.POINTS."""
    return points_from_mesh(mesh.xyz_px[None], mesh.lids_xy_px[None], mesh.iris_xy_px[None])[0]
