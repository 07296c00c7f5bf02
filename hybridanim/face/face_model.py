"""Linear model of the face in three dimensions: mean, identity, expression, semantic axes.

vertices = mean + identity coefficients * identity directions + expression coefficients * expression
directions (Blanz and Vetter 1999). Expression zero is the neutral face: lips shut, eyes open. The
directions are scaled so that coefficients have a standard deviation of about one.

Coordinates: x right, y down, z away from the camera, for a face that looks into the camera; unit:
the side of the head box; origin: the centre of the head box, at the mean depth of the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
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
        for coefficients, directions in (identity, self.identity), (expression, self.expression):
            if coefficients is not None:  # matrix products: np.tensordot takes thrice as long
                flat = coefficients @ directions.reshape(len(directions), -1)
                found = found + flat.reshape(found.shape)
        return found

    def quantities(self, identity: Array | None = None, expression: Array | None = None) -> Array:
        """(A,) the quantities of AXES of ``vertices``."""
        return measure(self.vertices(identity, expression))

    @cached_property
    def measured_expression(self) -> Array:
        """(E, R, 3) what each expression direction adds to the vectors of ``measured``."""
        return measured(self.expression)

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
_LIPS, _CORNERS = [0, 17], [61, 291]  # middle of the outer lips, corners of the mouth
# pairs whose distance counts; the last are both lips
_PAIRS = np.concatenate([mesh.OPENINGS, [(0, 13), (14, 17)]])
_FACE, _EYES, _MOUTH, _WIDE, _LEFT, _LEFT_EYE, _RIGHT, _RIGHT_EYE, _UPPER, _LOWER = range(10)
_OFFSETS = (  # vertices whose mean is seen from the mean of others: corners, brows, irises
    *((_LIPS, [corner]) for corner in _CORNERS),
    *((corners, [*brow]) for corners, brow in zip(_EYE_CORNERS, mesh.BROWS, strict=True)),
    *((corners, [iris[0]]) for corners, iris in zip(_EYE_CORNERS, mesh.IRISES, strict=True)),
)


def _weights() -> Array:
    """(R, V) float32: vectors between vertices, of ``_PAIRS`` and ``_OFFSETS``."""
    found = np.zeros((len(_PAIRS) + len(_OFFSETS), mesh.COUNT))
    for row, (start, end) in zip(found, (*_PAIRS[:, :, None], *_OFFSETS), strict=True):
        row[start] -= 1 / len(start)
        row[end] += 1 / len(end)
    return found.astype(np.float32)


_WEIGHTS = _weights()
_ROWS = np.flatnonzero(_WEIGHTS.any(0))  # vertices that are looked at
_WEIGHTS = np.ascontiguousarray(_WEIGHTS[:, _ROWS])


def measured(vertices: Array) -> Array:
    """(..., R, 3) the vectors between vertices (..., 478, 3) that ``measure`` is made of."""
    return _WEIGHTS @ vertices[..., _ROWS, :]


def measure(vertices: Array) -> Array:
    """(..., A) the quantities of AXES, of vertices (..., 478, 3) that look into the camera.

    Openings and width as ``mesh.openings``; heights of corners and brows over the distance of the
    eyes, upwards positive; thickness of both lips over the height of the face; gaze: the irises'
    place between the corners of the eye, over half its width, mean of both eyes, x right, y down.
    """
    return measure_vectors(measured(vertices))


def measure_vectors(vectors: Array) -> Array:
    """(..., A) as ``measure``, of the vectors (..., R, 3) of ``measured``."""
    length = np.sqrt((vectors[..., : len(_PAIRS), :] ** 2).sum(-1))
    up = -vectors[..., len(_PAIRS) : len(_PAIRS) + 4, 1]
    gaze = vectors[..., len(_PAIRS) + 4 :, :2] / length[..., _EYE_WIDTHS, None]
    above = np.concatenate([length, up], -1)[..., _ABOVE]
    found = above / length[..., _BELOW]
    found[..., 4] += length[..., _LOWER] / length[..., _FACE]
    return np.concatenate([found, gaze.sum(-2)], -1)


_EYE_WIDTHS = [_LEFT_EYE, _RIGHT_EYE]
_ABOVE = [_MOUTH, _WIDE, 10, 11, _UPPER, _LEFT, _RIGHT, 12, 13]
_BELOW = [_FACE, _EYES, _EYES, _EYES, _FACE, _LEFT_EYE, _RIGHT_EYE, _EYES, _EYES]
OPENING_VECTORS = [_MOUTH, _LEFT, _RIGHT]
"""Rows of ``measured`` from the upper to the lower edge of mouth, left and right eye."""


def gaze_of(vertices: Array) -> Array:
    """(..., 2) the gaze of vertices (..., 478, 3), as ``measure``."""
    return measure(vertices)[..., -2:]


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
