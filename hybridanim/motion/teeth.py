"""Teeth and tongue behind the lips, in three dimensions: what an opened mouth shows.

The upper arch is fixed to the head, the lower one and the tongue turn with the jaw about its hinge;
the jaw's angle is read from the chin of the fitted face. Both arches are strips on half an ellipse
behind the lips of the neutral face, in the proportions of adults' teeth; the places in the texture
(``ATLAS_MM``) are millimetres along the arch and in height. Nothing here knows the person's real
teeth: where the source shows them, its own pixels go first.

Proportions: Nelson, *Wheeler's Dental Anatomy*, 2014 (crowns); Vig and Brundo, *The kinetics of
anterior tooth display*, 1978 (how far the upper teeth show below the lip at rest).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridanim.face.face_model import FaceModel
from hybridanim.types import Array, HeadPose

_EYES_MM = 90.0  # distance of the outer corners of the eyes
_MOUTH_MM = 48.0  # width of a mouth at rest
_LEAST_ZOOM, _MOST_ZOOM = 0.85, 1.2  # of the arches by the width of the mouth
_UPPER_ARCH, _LOWER_ARCH = (28.0, 42.0), (25.0, 38.0)  # half axes across and in depth, mm
_SHOW_MM = 1.0  # of the upper teeth below the upper lip at rest
_OVERBITE_MM, _OVERJET_MM = 1.0, 2.5  # of the upper front teeth over, and before, the lower ones
_BEHIND_MM = 5.0  # of the upper front teeth behind the line where the lips meet
_HINGE = (0.0, 0.34)  # y and z of the jaw's hinge, before the ears; heads
_CHIN = [152, 148, 377, 176, 400]
_WITH_LIP, _WITH_CHIN, _WITHOUT_CHIN = 0.97, 2.2, 0.02  # descents of the lower teeth; heads
_WIDEST_RAD = 0.5
_LIPS, _CORNERS, _EYES = (13, 14), (61, 291), (33, 263)
_COLUMNS, _ROWS = 25, 3
WIDTH_MM = 48.0
"""Width of the strips."""
_REACH_MM = WIDTH_MM / 2

UPPER_MM, LOWER_MM, TONGUE_MM = 18.0, 15.0, 34.0
"""Heights of the strips: crowns and gums; the tongue's length."""
ATLAS_MM = (2 * _REACH_MM * 1.7, UPPER_MM + LOWER_MM + TONGUE_MM)
"""Width and height of the texture: upper strip, lower strip, tongue, one below the other.

x is the length along the arch, 0 in the middle; in the upper strip teeth end at its lower edge, in
the lower one at its upper edge; the tongue's tip is above.
"""


@dataclass(frozen=True)
class Teeth:
    """Strips of one source in the face model's frame."""

    fixed: Array  # (A, 3) upper arch
    hinged: Array  # (B, 3) lower arch and tongue, with a shut mouth
    places_mm: Array  # (A + B, 2) in the texture
    triangles: Array  # (T, 3) int32
    hinge: Array  # (3,)
    front_z: float  # of the upper front teeth
    lip_y: float  # where the lips of the neutral face meet
    chin_y: float  # of the neutral face


def build(model: FaceModel, identity: Array) -> Teeth:
    """The strips of a person (I,); model: with the person's offset."""
    face = model.vertices(identity).astype(np.float64)
    mm = float(np.linalg.norm(face[_EYES[0]] - face[_EYES[1]])) / _EYES_MM
    wide = np.linalg.norm(face[_CORNERS[0]] - face[_CORNERS[1]]) / (_MOUTH_MM * mm)
    mm *= float(np.clip(wide, _LEAST_ZOOM, _MOST_ZOOM))
    lips = face[list(_LIPS)]
    front = np.array([lips[:, 0].mean(), lips[0, 1] + _SHOW_MM * mm, lips[0, 2] + _BEHIND_MM * mm])
    upper, upper_at = _strip(_UPPER_ARCH, -UPPER_MM, 0.0, mm)
    lower, lower_at = _strip(_LOWER_ARCH, 0.0, LOWER_MM, mm)
    tongue, tongue_at = _tongue(mm)
    behind = front + np.array([0, -_OVERBITE_MM, _OVERJET_MM]) * mm
    upper_at[:, 1] += UPPER_MM
    lower_at[:, 1] += UPPER_MM
    tongue_at[:, 1] += UPPER_MM + LOWER_MM
    places = np.concatenate([upper_at, lower_at, tongue_at])
    places[:, 0] += ATLAS_MM[0] / 2
    grid = _grid_triangles()
    count = _COLUMNS * _ROWS
    triangles = np.concatenate([grid + start for start in (0, count, 2 * count)])
    return Teeth(
        upper + front,
        np.concatenate([lower + behind, tongue + behind]),
        places.astype(np.float32),
        triangles.astype(np.int32),
        np.array([front[0], *_HINGE]),
        float(front[2]),
        float(lips[:, 1].mean()),
        float(face[_CHIN, 1].mean()),
    )


def jaw_angle(teeth: Teeth, face: Array) -> float:
    """Angle in radians by which the jaw of a face (478, 3), in the model's frame, is open.

    The lower lip goes down with the jaw and a little beyond it; where the chin stays up, the lip
    alone moves.
    """
    lip, chin = face[_LIPS[1], 1] - teeth.lip_y, face[_CHIN, 1].mean() - teeth.chin_y
    down = min(_WITH_LIP * lip, _WITH_CHIN * chin + _WITHOUT_CHIN)
    return float(np.clip(down / (teeth.hinge[2] - teeth.front_z), 0, _WIDEST_RAD))


def moved(teeth: Teeth, face: Array, pose: HeadPose) -> Array:
    """(A + B, 3) vertices of the strips, projected; face: (478, 3) in the model's frame."""
    angle = jaw_angle(teeth, face)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])  # the front, at negative z, goes down
    hinged = (teeth.hinged - teeth.hinge) @ turn.T + teeth.hinge
    return pose.project(np.concatenate([teeth.fixed, hinged]))


def _strip(
    arch: tuple[float, float], top_mm: float, bottom_mm: float, mm: float
) -> tuple[Array, Array]:
    """(C R, 3) a strip on half an ellipse, and (C R, 2) its places in millimetres."""
    x = np.linspace(-_REACH_MM, _REACH_MM, _COLUMNS)
    z = arch[1] * (1 - np.sqrt(1 - (x / arch[0]) ** 2))
    steps = np.hypot(np.diff(x), np.diff(z))
    along = np.concatenate([[0], np.cumsum(steps)])
    along -= along[-1] / 2
    y = np.linspace(top_mm, bottom_mm, _ROWS)
    points = np.stack(np.broadcast_arrays(x, y[:, None], z), -1).reshape(-1, 3)
    places = np.stack(np.broadcast_arrays(along, y[:, None]), -1).reshape(-1, 2)
    return points * mm, places


def _tongue(mm: float) -> tuple[Array, Array]:
    """(C R, 3) the back of the tongue, from its tip behind the lower teeth, and (C R, 2) places."""
    x = np.linspace(-20.0, 20.0, _COLUMNS)
    along = np.linspace(0.0, TONGUE_MM, _ROWS)
    y = 2.0 - 0.3 * along[:, None] + 3.0 * (x / 20.0) ** 2
    z = 5.0 + along[:, None] + 8.0 * (x / 20.0) ** 2
    points = np.stack(np.broadcast_arrays(x, y, z), -1).reshape(-1, 3)
    places = np.stack(np.broadcast_arrays(x, along[:, None]), -1).reshape(-1, 2)
    return points * mm, places


def _grid_triangles() -> Array:
    first = np.arange(_COLUMNS - 1) + _COLUMNS * np.arange(_ROWS - 1)[:, None]
    a, b, c, d = (first.ravel() + n for n in (0, 1, _COLUMNS, _COLUMNS + 1))
    return np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)])
