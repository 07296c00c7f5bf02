"""Linear model of the face in three dimensions: mean, identity, expression, semantic axes.

vertices = mean + identity coefficients * identity directions + expression coefficients * expression
directions (Blanz and Vetter 1999). Expression zero is the neutral face: lips shut, eyes open. The
directions are scaled so that coefficients have a standard deviation of about one.

Coordinates: x right, y down, z away from the camera, for a face that looks into the camera; unit:
the side of the head box; origin: the centre of the head box, at the mean depth of the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.types import Array, FaceFit

from . import mesh

WEIGHTS = files.WEIGHTS / "face_model.safetensors"
WEIGHTS_SHA256 = "77882df6724f68714f727c72244cc72659dd9cf1a9253a06864ce512b34de9a6"
AXES = (
    *("jaw_open", "mouth_wide", "left_corner_up", "right_corner_up", "lips_thick"),
    *("left_lid_open", "right_lid_open", "left_brow_up", "right_brow_up", "gaze_x", "gaze_y"),
)
"""What the semantic axes change; see ``measure``."""
_HALF = ("mean", "identity", "expression")  # stored in half precision
_MOST_BYTES = 8 << 20
_RANGES = {  # least and most; the unit of places is the head box
    "mean": (-2.0, 2.0), "identity": (-2.0, 2.0), "expression": (-2.0, 2.0),
    "identity_sigma": (0.0, 1e3), "expression_sigma": (0.0, 1e3), "axes": (-1e9, 1e9),
}  # fmt: skip


@dataclass(frozen=True, eq=False)  # compared and hashed as an object
class FaceModel:
    """The model's arrays; V = 478 vertices, I identity and E expression directions."""

    mean: Array  # (V, 3) float32
    identity: Array  # (I, V, 3) float32
    expression: Array  # (E, V, 3) float32
    identity_sigma: Array  # (I,) float32, standard deviations relative to the first direction's
    expression_sigma: Array  # (E,) float32
    axes: Array  # (A, E) float32: coefficients that change one quantity of AXES by one
    mirror: Array  # (V,) int32, the vertex that each becomes in a mirror image
    triangles: Array  # (T, 3) int32, clockwise on the screen; open at mouth and eyes

    def vertices(self, identity: Array | None = None, expression: Array | None = None) -> Array:
        """(V, 3) vertices; coefficients (I,) and (E,), or None for zero."""
        found = self.mean
        if identity is not None:
            found = found + np.tensordot(identity, self.identity, 1)
        if expression is not None:
            found = found + np.tensordot(expression, self.expression, 1)
        return found

    def shaped(self, offset: Array | None) -> FaceModel:
        """The model of a person whose face differs by an offset (V, 3), as ``FaceFit.offset``."""
        return self if offset is None else replace(self, mean=self.mean + offset)

    def vertices_of(self, fit: FaceFit) -> Array:
        """(V, 3) vertices of a fitted face."""
        return self.shaped(fit.offset).vertices(fit.identity, fit.expression)

    def along(self, **amounts: float) -> Array:
        """(E,) expression coefficients that change the named quantities of AXES by these amounts.

        Raises InputError for another name.
        """
        for name in amounts:
            if name not in AXES:
                raise InputError(
                    f"expression: expected one of {', '.join(AXES)}, got {name!r}; use these names"
                )
        weights = np.array([amounts.get(name, 0.0) for name in AXES], np.float32)
        return weights @ self.axes


_EYE_CORNERS = np.array([[eye[0], eye[8]] for eye in mesh.EYES])  # (2, 2)
_IRISES = np.array([iris[0] for iris in mesh.IRISES])
_BROWS = np.array(mesh.BROWS)
_ENDS = np.array([(10, 152), (33, 263), (0, 13), (14, 17)])  # face, eyes, both lips


def gaze_of(vertices: Array) -> Array:
    """(..., 2) place of the irises in the eyes, mean of both: x right, y down.

    vertices: (..., 478, 3). Unit: half the width of the eye; 0 is midway between the corners.
    """
    corners = vertices[..., _EYE_CORNERS, :]  # (..., 2 eyes, 2 corners, 3)
    half = np.sqrt(((corners[..., 1, :] - corners[..., 0, :]) ** 2).sum(-1)) / 2
    apart = vertices[..., _IRISES, :2] - corners[..., :2].mean(-2)
    return (apart / half[..., None]).mean(-2)


def measure(vertices: Array) -> Array:
    """(..., A) the quantities of AXES, of vertices (..., 478, 3) that look into the camera.

    Openings and width as ``mesh.openings``; heights of corners and brows over the distance of the
    eyes, upwards positive; thickness of both lips over the height of the face; gaze as ``gaze_of``.
    """
    mouth, wide, left, right, _ = np.moveaxis(mesh.openings(vertices), -1, 0)
    face, eyes, upper, lower = mesh.distances(vertices, _ENDS)
    y = vertices[..., 1]
    lips = (y[..., 0] + y[..., 17]) / 2
    brows = y[..., _EYE_CORNERS].mean(-1) - y[..., _BROWS].mean(-1)
    gaze = gaze_of(vertices)
    return np.stack(
        [
            mouth, wide, (lips - y[..., 61]) / eyes, (lips - y[..., 291]) / eyes,
            (upper + lower) / face, left, right,
            brows[..., 0] / eyes, brows[..., 1] / eyes, gaze[..., 0], gaze[..., 1],
        ],
        -1,
    )  # fmt: skip


def write(model: FaceModel, path: str | Path) -> None:
    """Write the model as safetensors; directions and mean in half precision."""
    tensors = {field.name: getattr(model, field.name) for field in fields(model)}
    small = {k: v.astype(np.float16) if k in _HALF else v for k, v in tensors.items()}
    small |= {k: v.astype(np.int16) for k, v in tensors.items() if k in ("mirror", "triangles")}
    with files.atomic_write(path) as file:
        file.write(save({k: np.ascontiguousarray(v) for k, v in small.items()}))


@cache
def load(path: str | Path | None = None) -> FaceModel:
    """The packaged model, or that of another file; loaded once.

    Raises InputError when the file is missing, damaged, or no face model.
    """
    file = Path(path) if path else WEIGHTS
    paths.expect_readable("face model", file)
    fix = "reinstall, or learn it with python -m calibration.face_model"
    if not paths.is_file(file) or file.stat().st_size > _MOST_BYTES:
        raise InputError(f"face model: expected a file of at most 8 MB at {file}; {fix}")
    if path is None:
        files.expect_sha256("face model", file, WEIGHTS_SHA256)
    try:
        tensors = load_tensors(file.read_bytes())
        with np.errstate(over="ignore", invalid="ignore"):
            model = FaceModel(
                **{
                    field.name: tensors[field.name].astype(
                        np.int32 if field.name in ("mirror", "triangles") else np.float32
                    )
                    for field in fields(FaceModel)
                }
            )
        check(model)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"face model: expected the arrays of a face model in {file}, got {error}; {fix}"
        ) from error
    return model


def check(model: FaceModel) -> None:
    """Raise ValueError for shapes that do not fit together, or values that no face has."""
    count, i, e = mesh.COUNT, len(model.identity), len(model.expression)
    shapes = {
        "mean": (count, 3), "identity": (i, count, 3), "expression": (e, count, 3),
        "identity_sigma": (i,), "expression_sigma": (e,), "axes": (len(AXES), e),
        "mirror": (count,), "triangles": (len(model.triangles), 3),
    }  # fmt: skip
    for name, shape in shapes.items():
        found = getattr(model, name)
        if found.shape != shape:
            raise ValueError(f"{name} of shape {found.shape} instead of {shape}")
        least, most = _RANGES.get(name, (0, count))
        if not ((found >= least) & (found <= most)).all():  # not-a-number is not, either
            raise ValueError(f"{name} not finite, or not from {least:g} to {most:g}")
    if model.triangles.min() < 0 or model.triangles.max() >= count:
        raise ValueError("triangles that name vertices which do not exist")
    if sorted(model.mirror) != list(range(count)):
        raise ValueError("a mirror that does not pair all vertices")
    if np.ptp(model.mean, 0).min() < 0.1:
        raise ValueError("a mean face without extent")
