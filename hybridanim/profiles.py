"""Measured profiles <-> small versioned TOML files: skin, camera, tracker settings, texture.

``calibration`` measures and saves them, ``--profile`` of the command line loads them. A file states
its kind, schema version, date and origin (name and SHA-256). A key that is missing, unknown or out
of range raises InputError.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import files, paths
from .errors import InputError
from .schema import exactly
from .text import encoded, printable

SCHEMA = 1
_LEAST_FOCAL_PX, _MOST_PX = 1e-2, 1e6
UpperTriangle = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Origin:
    """Data that a profile was measured on, and the date."""

    source: str = ""  # file name, or a short text
    source_sha256: str = ""  # of the file's bytes; "" when there was no file
    date: str = ""  # ISO 8601, UTC

    @classmethod
    def of(cls, path: str | Path) -> Origin:
        """Origin of something measured on the file at ``path``, now."""
        path = Path(path)
        digest = files.sha256(path) if path.is_file() else ""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(path.name, digest, now)


@dataclass(frozen=True)
class SkinProfile:
    """A person's skin colour model: a Gaussian mixture over Y, U, V (0 to 255 each)."""

    weights: tuple[float, ...]  # K shares, sum 1
    means_yuv: tuple[tuple[float, float, float], ...]  # K rows
    covariances_yuv: tuple[tuple[float, float, float, float, float, float], ...]  # upper triangle
    white_uv: tuple[float, float] = (
        128.0,
        128.0,
    )  # mean U, V of the whole picture, for its illumination
    origin: Origin = Origin()

    def __post_init__(self) -> None:
        k = len(self.weights)
        if not k or len(self.means_yuv) != k or len(self.covariances_yuv) != k:
            raise InputError(
                f"skin profile: expected as many means and covariances as weights, got {k} weights,"
                f" {len(self.means_yuv)} means, {len(self.covariances_yuv)} covariances;"
                " make it anew with python -m calibration.skin"
            )
        _require("skin", "weights", min(self.weights) >= 0, self.weights, "shares of 0 or more")
        _require("skin", "weights", abs(sum(self.weights) - 1) < 1e-3, self.weights, "sum 1")
        for name, rows in (("means_yuv", self.means_yuv), ("white_uv", (self.white_uv,))):
            values = [value for row in rows for value in row]
            _require("skin", name, _are_within(values, 0, 255), values, "values of 0 to 255")
        for row in self.covariances_yuv:
            _require("skin", "covariances_yuv", _are_within(row, -1e6, 1e6), row, "small numbers")
            is_positive = np.linalg.eigvalsh(symmetric_3x3(row)).min() > 0
            _require("skin", "covariances_yuv", bool(is_positive), row, "positive definite rows")


@dataclass(frozen=True)
class CameraProfile:
    """A pinhole camera with lens distortion in OpenCV's order."""

    fx_px: float
    fy_px: float
    cx_px: float  # principal point, pixel-centre coordinates
    cy_px: float
    picture_size_px: tuple[int, int]  # width, height that the values above refer to
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)  # k1, k2, p1, p2, k3
    reprojection_error_px: float = 0.0  # root mean square; 0 = not measured
    origin: Origin = Origin()

    def __post_init__(self) -> None:
        focal = (self.fx_px, self.fy_px)
        is_right = _are_within(focal, _LEAST_FOCAL_PX, _MOST_PX)
        _require("camera", "fx_px, fy_px", is_right, focal, "focal lengths above 0, in pixels")
        center = (self.cx_px, self.cy_px)
        is_right = _are_within(center, -_MOST_PX, _MOST_PX)
        _require("camera", "cx_px, cy_px", is_right, center, "a place in or near the picture")
        size = self.picture_size_px
        is_right = _are_within(size, 1, _MOST_PX)
        _require("camera", "picture_size_px", is_right, size, "width and height above 0, in pixels")
        is_right = _are_within(self.distortion, -_MOST_PX, _MOST_PX)
        _require("camera", "distortion", is_right, self.distortion, "numbers as OpenCV's")
        lengths = (0, 4, 5, 8, 12, 14)
        n = len(self.distortion)
        _require("camera", "distortion", n in lengths, n, f"one of {lengths} numbers")

    @property
    def matrix(self) -> np.ndarray:
        """3x3 float64 intrinsic matrix."""
        return np.array(
            [[self.fx_px, 0, self.cx_px], [0, self.fy_px, self.cy_px], [0, 0, 1]], np.float64
        )


@dataclass(frozen=True)
class TrackerProfile:
    """Tracker settings chosen for a clip, named as in TrackConfig, and their measurements."""

    corners: Literal["shi-tomasi", "harris", "moravec"]
    max_features: int
    window_px: int
    pyramid_levels: int
    forward_backward_px: float
    median_forward_backward_px: float = 0.0  # measured on the clip; 0 = not measured
    median_life_frames: float = 0.0  # median lifetime of the tracks
    step_ms: float = 0.0  # median time of one tracking step
    origin: Origin = Origin()

    def __post_init__(self) -> None:
        _require("tracker", "max_features", self.max_features > 0, self.max_features, "1 or more")
        _require("tracker", "window_px", self.window_px >= 3, self.window_px, "3 or more")
        levels = self.pyramid_levels
        _require("tracker", "pyramid_levels", levels >= 0, levels, "0 or more")
        limit = self.forward_backward_px
        _require("tracker", "forward_backward_px", 0 < limit <= _MOST_PX, limit, "above 0")


@dataclass(frozen=True)
class TextureProfile:
    """Points of the head that were put right in one picture, and the camera that saw it."""

    picture_size_px: tuple[int, int]  # width, height of the picture that it applies to
    thumbnail: str  # of that picture: 8x8 grey levels in hexadecimal, see prepare.texture
    camera: Literal["weak", "perspective"] = "weak"
    field_of_view_deg: float = 0.0  # of a perspective camera, over the picture's width
    points: tuple[tuple[str, float, float, float], ...] = ()  # name, x and y in pixels, weight
    largest_residual_px: float = 0.0  # of the points after the fit
    origin: Origin = Origin()

    def __post_init__(self) -> None:
        size = self.picture_size_px
        is_right = _are_within(size, 1, _MOST_PX)
        _require("texture", "picture_size_px", is_right, size, "width and height, in pixels")
        is_right = re.fullmatch("[0-9a-f]{128}", self.thumbnail) is not None
        _require("texture", "thumbnail", is_right, self.thumbnail[:20], "128 hexadecimal digits")
        view = self.field_of_view_deg
        is_right = self.camera == "weak" or _are_within((view,), 1, 150)
        _require("texture", "field_of_view_deg", is_right, view, "1 to 150 degrees")
        for row in self.points:
            is_right = _are_within(row[1:3], -_MOST_PX, _MOST_PX) and 0 < row[3] <= 1
            _require("texture", "points", is_right, row, "a place in pixels, a weight in (0, 1]")
        names = [row[0] for row in self.points]
        is_right = len(set(names)) == len(names)
        _require("texture", "points", is_right, names, "each name once")


Profile = SkinProfile | CameraProfile | TrackerProfile | TextureProfile
_KINDS: dict[str, type[Profile]] = {
    "skin": SkinProfile,
    "camera": CameraProfile,
    "tracker": TrackerProfile,
    "texture": TextureProfile,
}


@dataclass(frozen=True)
class Profiles:
    """At most one profile of each kind."""

    skin: SkinProfile | None = None
    camera: CameraProfile | None = None
    tracker: TrackerProfile | None = None
    texture: TextureProfile | None = None


def symmetric_3x3(upper: Sequence[float]) -> np.ndarray:
    """3x3 float64 matrix from its upper triangle, row by row."""
    a, b, c, d, e, f = upper
    return np.array([[a, b, c], [b, d, e], [c, e, f]], np.float64)


def kind_of(profile: Profile) -> str:
    """Value of ``kind`` in the profile's file."""
    return next(kind for kind, cls in _KINDS.items() if isinstance(profile, cls))


def save_profile(profile: Profile, path: str | Path, *, overwrite: bool = True) -> Path:
    """Write the profile as TOML, atomically.

    Raises InputError where it cannot be written, or exists and ``overwrite`` is off.
    """
    path = Path(path)
    lines = [f'kind = "{kind_of(profile)}"', f"schema = {SCHEMA}"]
    values = {f.name: getattr(profile, f.name) for f in dataclasses.fields(profile)}
    origin = values.pop("origin")
    lines += [f"{name} = {_toml(value)}" for name, value in values.items()]
    lines += ["", "[origin]"]
    lines += [f"{name} = {_toml(value)}" for name, value in dataclasses.asdict(origin).items()]
    try:
        with files.atomic_write(path, overwrite=overwrite) as file:
            file.write(encoded("\n".join(lines) + "\n"))
    except OSError as error:
        raise InputError(
            f"profile {path}: expected a place that can be written, got {error.strerror};"
            " choose another --output"
        ) from error
    return path


def load_profile(path: str | Path) -> Profile:
    """Read one profile file; InputError for other files or another schema version."""
    path = Path(path)
    table = paths.read_toml(
        f"profile {path}",
        path,
        "a TOML file made by calibration",
        "check the path or make it anew",
    )
    kind, schema = table.pop("kind", None), table.pop("schema", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(
            f"profile {path}: expected kind to be one of {', '.join(_KINDS)}, got {kind!r};"
            " give a file made by calibration"
        )
    if schema != SCHEMA:
        raise InputError(
            f"profile {path}: expected schema {SCHEMA}, got {schema!r};"
            f" make it anew with python -m calibration.{kind}"
        )
    return exactly(_KINDS[kind], table, f"profile {path}")


def load_profiles(paths: Sequence[str | Path]) -> Profiles:
    """Read several files, at most one of each kind."""
    found: dict[str, Any] = {}
    for path in paths:
        profile = load_profile(path)
        kind = kind_of(profile)
        if kind in found:
            raise InputError(
                f"profiles: expected at most one {kind} profile, got a second one, {path};"
                " leave one of them out"
            )
        found[kind] = profile
    return Profiles(**found)


def _are_within(values: Sequence[float], least: float, most: float) -> bool:
    return all(least <= value <= most for value in values)  # not-a-number is not


def _require(kind: str, key: str, is_right: bool, got: object, want: str) -> None:
    if not is_right:
        raise InputError(
            f"{kind} profile, {key}: expected {want}, got {got};"
            f" make it anew with python -m calibration.{kind}"
        )


def _toml(value: Any) -> str:
    """Format a value as TOML; floats with enough digits to be read back exactly."""
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = json.dumps(printable(value), ensure_ascii=False)  # TOML's escapes are the same
        return escaped.replace("\x7f", "\\u007f")
    return repr(value.item() if isinstance(value, np.generic) else value)
