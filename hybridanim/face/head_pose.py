"""Head rotation from points of a generic head and their positions in the picture.

The generic head is the surface through the mean landmarks, in units of the head box's side: origin
at the box centre, x to the picture's right, y down, z away from the camera; frontal = unrotated.
R = Rz(roll) Ry(yaw) Rx(pitch), angles in degrees: yaw > 0 turns the face to the picture's right,
pitch > 0 looks up, roll > 0 turns clockwise on the screen. Angles are relative to the ray through
the head, so 0 faces the camera wherever the head is. OpenCV's solvePnP, then a One-Euro filter
(Casiez et al. 2012).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from hybridanim.fitting import upper_median
from hybridanim.profiles import CameraProfile
from hybridanim.smoothing import low_pass_gain
from hybridanim.types import Array, HeadBox

from .landmarks import GROUPS
from .mean_shape import MEAN_SHAPE_3D

Angles = tuple[float, float, float]
_TABLE, _TABLE_HALF = 64, 0.6  # cells a side of the depth table, box sides to its edge
_RIGID_GROUPS = (
    "left_eye",
    "right_eye",
    "nose",
    "forehead",
    "temples",
    "cheeks",
    "outer_lips",
    "jaw",
)
_RIGID = [row for group in _RIGID_GROUPS for row in GROUPS[group]]
_OFFSET_RATE = 0.12  # least gain of the offset in ``fuse``
_MAX_POINTS = 64
_LEAST_POINTS = 8
_DEPTH_HEADS = 5.0  # least distance from the camera; bounds an unknown focal length


@dataclass(frozen=True)
class Pose:
    """Rotation, position and size of a head, and the state of the filter."""

    angles_deg: Angles = (0.0, 0.0, 0.0)  # yaw, pitch, roll
    centre_xy_px: tuple[float, float] = (0.0, 0.0)  # of the generic head's origin
    size_px: float = 1.0  # of its unit there
    speed_deg: Angles = (0.0, 0.0, 0.0)  # per second
    confidence: float = 0.0  # in [0, 1]
    time_s: float = 0.0


@dataclass(frozen=True)
class Intrinsics:
    """Intrinsics for one picture size."""

    matrix: Array  # (3, 3) float64
    distortion: Array | None = None  # in OpenCV's order


def rotation_matrix(angles_deg: Angles) -> Array:
    """3x3 float64 rotation, head -> camera, of (yaw, pitch, roll)."""
    yaw, pitch, roll = np.deg2rad(angles_deg)
    turn_x = _turn(-pitch, 1, 2)  # z points away, so looking up is a negative turn about x
    turn_y = _turn(-yaw, 2, 0)
    return _turn(roll, 0, 1) @ turn_y @ turn_x


def angles_deg(rotation: Array) -> Angles:
    """(yaw, pitch, roll) of a 3x3 rotation; inverse of ``rotation_matrix`` for |yaw| < 90."""
    yaw = np.arcsin(np.clip(rotation[2, 0], -1, 1))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    pitch = -np.arctan2(rotation[2, 1], rotation[2, 2])
    return tuple(float(np.rad2deg(a)) for a in (yaw, pitch, roll))  # type: ignore[return-value]


def _turn(angle_rad: float, first: int, second: int) -> Array:
    """Rotation that takes axis ``first`` towards axis ``second``."""
    turn = np.eye(3)
    turn[first, first] = turn[second, second] = np.cos(angle_rad)
    turn[second, first] = np.sin(angle_rad)
    turn[first, second] = -np.sin(angle_rad)
    return turn


@cache
def _depth_table() -> Array:
    """(T, T) float32: depth of the mean face at the cells of a square about its centre."""
    axis = (np.arange(_TABLE) + 0.5) / _TABLE * 2 * _TABLE_HALF - _TABLE_HALF
    places = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    shape = MEAN_SHAPE_3D.astype(np.float64)
    spline = RBFInterpolator(shape[:, :2], shape[:, 2], smoothing=1e-3)
    return spline(places).reshape(_TABLE, _TABLE).astype(np.float32)


def _depth(x: Array, y: Array) -> Array:
    """(N,) depth of the generic head's surface at (N,) x and y."""
    columns, rows = ((v + _TABLE_HALF) / (2 * _TABLE_HALF) * _TABLE - 0.5 for v in (x, y))
    found = cv2.remap(
        _depth_table(),
        columns.astype(np.float32).reshape(1, -1),
        rows.astype(np.float32).reshape(1, -1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return found[0]


def lift(xy_px: Array, pose: Pose) -> Array:
    """(N, 2) pixels of a head with that pose -> (N, 3) float32 points of the generic head.

    Assumes parallel projection. Points outside the face, and where its surface is seen at too
    oblique an angle, become NaN.
    """
    if not len(xy_px):
        return np.zeros((0, 3), np.float32)
    rotation = rotation_matrix(pose.angles_deg)
    xy = (np.asarray(xy_px, np.float64) - pose.centre_xy_px) / pose.size_px
    start = np.column_stack([xy, np.zeros(len(xy))]) @ rotation  # rays in head axes
    along = rotation[2]
    reach = np.zeros(len(xy))
    points, gap = start, np.zeros(len(xy))
    for _ in range(8):  # fixed-point iteration along the rays
        points = start + reach[:, None] * along
        gap = _depth(points[:, 0], points[:, 1]) - points[:, 2]
        reach = reach + 0.7 * gap / along[2]
    points[:, 2] += gap
    x, y = points[:, 0] / 0.43, (points[:, 1] - 0.02) / 0.58
    points[(x**2 + y**2 > 1) | (np.abs(gap) > 0.02)] = np.nan
    return points.astype(np.float32)


def camera_matrix(picture: Array, head: HeadBox, camera: CameraProfile | None) -> Array:
    """(3, 3) intrinsics: the profile's scaled to this picture, or a guess from the head size."""
    height, width = picture.shape[:2]
    if camera is not None:
        scale = width / camera.picture_size_px[0]
        return np.diag([scale, scale, 1.0]) @ camera.matrix
    focal = max(1.1 * max(height, width), _DEPTH_HEADS * head.size_px)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def frontal(head: HeadBox) -> Pose:
    """The pose of a head that faces the camera, with the box's roll."""
    return Pose((0.0, 0.0, head.roll_deg), head.center_xy_px, head.size_px)


def solve_landmarks(xy_px: Array, intrinsics: Intrinsics, guess: Pose) -> Pose | None:
    """Pose from (L, 2) landmarks on the mean face, without brows, irises and inner lips."""
    return solve(MEAN_SHAPE_3D[_RIGID], xy_px[_RIGID], intrinsics, guess)


def fuse(
    steady: Pose | None, absolute: Pose | None, offset_deg: Angles
) -> tuple[Pose | None, Angles]:
    """Fuse a smooth pose that may have a constant bias with an unbiased one that jitters.

    offset_deg: slowly learned difference, absolute minus steady; the updated one is returned.
    """
    if steady is None:
        return absolute, offset_deg
    offset = np.array(offset_deg)
    if absolute is not None:
        apart = np.subtract(absolute.angles_deg, steady.angles_deg) - offset
        # a large difference is the smooth pose's error: features were placed at a wrong pose
        excess = np.clip(np.abs(apart) / 6.0 - 1, 0, 1)
        offset = offset + (_OFFSET_RATE + 0.3 * excess) * apart
    angles = tuple((np.array(steady.angles_deg) + offset).tolist())
    return replace(steady, angles_deg=angles), tuple(offset.tolist())


def solve(points: Array, xy_px: Array, intrinsics: Intrinsics, guess: Pose) -> Pose | None:
    """PnP: the pose that projects (N, 3) head points (units of the box side) to (N, 2) pixels.

    Starts at ``guess``. Uses the first 64 rows without NaN; a second round excludes outliers. None
    with fewer than eight rows, or when the solver fails.
    """
    points, xy = _some(points, xy_px)
    matrix = intrinsics.matrix
    depth = matrix[0, 0] / guess.size_px
    place = (np.array(guess.centre_xy_px) - matrix[:2, 2]) / matrix[0, 0] * depth
    vector = cv2.Rodrigues(_ray_rotation(place / depth) @ rotation_matrix(guess.angles_deg))[0]
    shift = np.array([[place[0]], [place[1]], [depth]])
    error, keep = np.zeros(len(xy)), np.ones(len(xy), bool)
    for _ in range(2):
        if keep.sum() < _LEAST_POINTS:
            return None
        found, vector, shift = cv2.solvePnP(
            points[keep],
            xy[keep],
            matrix,
            intrinsics.distortion,
            vector,
            shift,
            useExtrinsicGuess=True,
        )
        if not found or not np.isfinite(vector).all() or shift[2, 0] <= 0:
            return None
        seen = cv2.projectPoints(points, vector, shift, matrix, intrinsics.distortion)[0][:, 0]
        error = np.hypot(*(seen - xy).T)
        keep = error < 2.5 * max(upper_median(error), 0.005 * guess.size_px)
        if keep.all():
            break
    fit = upper_median(error) / guess.size_px
    confidence = max(0.0, 1 - fit / 0.08) * min(1.0, keep.sum() / 20)
    slope = shift[:2, 0] / shift[2, 0]
    angles = angles_deg(_ray_rotation(slope).T @ cv2.Rodrigues(vector)[0])
    x, y = matrix[:2, 2] + matrix[0, 0] * slope
    size = float(matrix[0, 0] / shift[2, 0])
    return Pose(angles, (float(x), float(y)), size, confidence=float(confidence))


def _some(points: Array, xy_px: Array) -> tuple[Array, Array]:
    """The first _MAX_POINTS rows without NaN, float64."""
    rows = np.nonzero(np.isfinite(points).all(1))[0][:_MAX_POINTS]
    return (
        np.ascontiguousarray(points[rows], np.float64),
        np.ascontiguousarray(xy_px[rows], np.float64),
    )


def _ray_rotation(slope: Array) -> Array:
    """Smallest rotation, (3, 3), from the optical axis to the ray (x, y, 1); slope: (2,)."""
    axis = np.array([-slope[1], slope[0], 0.0])
    length = float(np.hypot(slope[0], slope[1]))
    return cv2.Rodrigues(axis * (np.arctan(length) / max(length, 1e-9)))[0]


def extrapolate(last: Pose, time_s: float) -> Pose:
    """The pose at ``time_s``, extrapolated at its angular velocity for at most 0.1 s."""
    dt = time_s - last.time_s
    if last.confidence == 0 or not 0 < dt < 0.5:
        return last
    angles = np.add(last.angles_deg, np.multiply(min(dt, 0.1), last.speed_deg))
    return replace(last, angles_deg=tuple(angles.tolist()), time_s=time_s)


def smooth(last: Pose, now: Pose, time_s: float, *, least_hz: float = 1.5) -> Pose:
    """One-Euro step on the angles: cutoff ``least_hz`` at rest, higher for fast rotations.

    Only the angles are smoothed; centre and size are those of ``now``.
    """
    dt = time_s - last.time_s
    if last.confidence == 0 or not 0 < dt < 0.5:
        return replace(now, time_s=time_s)
    old, speed, new = (np.array(v) for v in (last.angles_deg, last.speed_deg, now.angles_deg))
    speed = speed + low_pass_gain(1.0, dt) * ((new - old) / dt - speed)
    # a low confidence lowers the cutoff
    cutoff = (least_hz + 0.08 * np.abs(speed)) * (0.25 + 0.75 * now.confidence)
    result = old + low_pass_gain(cutoff, dt) * (new - old)
    return replace(
        now, angles_deg=tuple(result.tolist()), speed_deg=tuple(speed.tolist()), time_s=time_s
    )
