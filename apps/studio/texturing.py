"""Points of a head put right in its picture, for a page: picture file -> ``Fitted`` -> profile.

``put`` and ``with_camera`` change what is wanted and fit again; nothing here knows of Gradio.
Errors are InputErrors, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from apps.sources import source_picture
from calibration import texture
from hybridanim.config import pipeline_config
from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.face.head_pose import rotation_matrix
from hybridanim.face.named_points import NAMES, vertex_of
from hybridanim.face.texture_fit import TextureFit
from hybridanim.prepare.texture import constraints_of, expect_picture
from hybridanim.profiles import TextureProfile, load_profile, save_profile
from hybridanim.runtime import face_points
from hybridanim.runtime.face_points import FacePoints
from hybridanim.types import Array, Source
from hybridanim.visualization import fitted_face, primitives

Kind = Literal["weak", "perspective"]
HEAD_PX = 360
_PREVIEW_PX = 384
_NAME_OF = {number: name for name, number in NAMES.items()}


@dataclass(frozen=True)
class Fitted:
    """A picture with the automatic fit, and the fit with what has been put right."""

    path: Path
    before: Source
    fit: TextureFit
    points: dict[str, tuple[float, float]] = field(default_factory=dict)  # pixels of the picture
    camera: Kind = "weak"
    view_deg: float = 30.0  # of a perspective camera

    @property
    def profile(self) -> TextureProfile:
        """What has been put right."""
        rows = tuple((name, x, y, 1.0) for name, (x, y) in self.points.items())
        view = self.view_deg if self.camera == "perspective" else None
        made = texture.profile_of(self.before.picture, rows, self.camera, view, self.path)
        left = self.fit.residuals_px(constraints_of(made)) if len(self.fit.numbers) else ()
        return replace(made, largest_residual_px=round(float(max(left, default=0.0)), 3))


@cache
def _finder() -> FacePoints:
    return FacePoints(face_points.load(threads=1), face_model.load())


def load(path: Path) -> Fitted:
    """Fit the largest face of a picture; InputError without one."""
    picture = source_picture(path)
    before = texture.prepared(picture, pipeline_config({"size": _PREVIEW_PX}), _finder())
    if before.turn_deg:
        raise InputError(
            "texture: expected an upright picture, got one whose face lies on its side; turn the"
            " picture first"
        )
    made = texture.profile_of(before.picture, (), "weak", None, path)
    return Fitted(path, before, texture.corrected(before, made, _finder()))


def _again(wanted: Fitted) -> Fitted:
    rows = tuple((name, x, y, 1.0) for name, (x, y) in wanted.points.items())
    view = wanted.view_deg if wanted.camera == "perspective" else None
    made = texture.profile_of(wanted.before.picture, rows, wanted.camera, view, wanted.path)
    return replace(wanted, fit=texture.corrected(wanted.before, made, _finder()))


def put(now: Fitted, name: str, xy_px: tuple[float, float] | None) -> Fitted:
    """With a point at a place in pixels of the picture; None leaves it to the automatic fit.

    name: of a named point, or the number of a vertex. Raises InputError for a place that no point
    of this head can have.
    """
    name = _NAME_OF.get(vertex_of(name), name)
    points = {one: place for one, place in now.points.items() if one != name}
    if xy_px is not None:
        points[name] = (round(xy_px[0], 2), round(xy_px[1], 2))
    return _again(replace(now, points=points))


def with_camera(now: Fitted, camera: Kind, view_deg: float) -> Fitted:
    """Seen by another camera; view_deg: field of view of the picture's width."""
    return _again(replace(now, camera=camera, view_deg=view_deg))


def without_points(now: Fitted) -> Fitted:
    """All points left to the automatic fit."""
    return _again(replace(now, points={}))


def with_profile(now: Fitted, path: Path) -> Fitted:
    """With the points and the camera of a profile of the same picture."""
    profile = load_profile(path)
    if not isinstance(profile, TextureProfile):
        raise InputError(
            f"profile {path.name}: expected a texture profile, got another; give one made here or"
            " by python -m calibration.texture"
        )
    expect_picture(profile, now.before.picture)
    points = {name: (x, y) for name, x, y, _ in profile.points}
    view = profile.field_of_view_deg or now.view_deg
    return _again(replace(now, points=points, camera=profile.camera, view_deg=view))


def saved(now: Fitted, path: Path) -> Path:
    """Write the profile; InputError where that is not possible."""
    return save_profile(now.profile, path, overwrite=False)


def turned(now: Fitted) -> Array:
    """(H, W, 3) uint8 RGB: the head turned both ways, by the automatic and the corrected fit."""
    return texture.preview(now.before, now.fit)


def rows(now: Fitted) -> list[list[str]]:
    """Name, automatic place, place that was given, what is left in pixels; of each point."""
    left = now.fit.residuals_px(constraints_of(now.profile)) if now.points else ()
    out = []
    for (name, place), rest in zip(now.points.items(), left, strict=True):
        automatic = now.fit.automatic_px[vertex_of(name)]
        out.append([name, _pair(automatic), _pair(place), f"{rest:.2f}"])
    return out


def _pair(xy_px: Array | tuple[float, float]) -> str:
    return f"{xy_px[0]:.1f}, {xy_px[1]:.1f}"


def head_points(now: Fitted, yaw_deg: float) -> Array:
    """(478, 3) the vertices of the head in three dimensions, in pixels of ``head_picture``."""
    vertices = face_model.load().vertices_of(now.fit.face).astype(np.float64)
    centred = vertices - (vertices.min(0) + vertices.max(0)) / 2
    shown = centred @ rotation_matrix((yaw_deg, 0.0, 0.0)).T
    shown *= 0.85 * HEAD_PX / np.ptp(centred, axis=0)[:2].max()
    shown[:, :2] += HEAD_PX / 2
    return shown


def head_picture(now: Fitted, yaw_deg: float, chosen: str = "") -> Array:
    """(HEAD_PX, HEAD_PX, 3) uint8 RGB: the head's mesh, its named points, and the chosen one."""
    canvas = np.full((HEAD_PX, HEAD_PX, 3), 24, np.uint8)
    points = head_points(now, yaw_deg)
    fitted_face.put_face(canvas, points)
    for number in NAMES.values():
        primitives.put_dots(canvas, points[number, :2], 3.0, [primitives.SKY])
    for name in now.points:
        primitives.put_dots(canvas, points[vertex_of(name), :2], 4.0, [primitives.ORANGE])
    if chosen:
        at = points[vertex_of(chosen), :2]
        primitives.put_dots(canvas, at, 8.0, [primitives.YELLOW], ring=True)
    return canvas


def nearest(now: Fitted, yaw_deg: float, xy_px: tuple[float, float]) -> str:
    """The point of the head nearest to a place in ``head_picture``; named ones are preferred."""
    points = head_points(now, yaw_deg)
    away = np.linalg.norm(points[:, :2] - xy_px, axis=1)
    away += 0.15 * (points[:, 2] - points[:, 2].min())  # of two at one place, the nearer one
    away[list(NAMES.values())] -= 6.0
    number = int(away.argmin())
    return _NAME_OF.get(number, str(number))
