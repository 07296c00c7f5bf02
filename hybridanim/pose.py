"""Points of a generic head and where they are in the picture -> how the head is turned.

The generic head is an ellipsoid with a nose, in units of the head box's side: origin at the box
centre, x to the picture's right, y down, z away from the camera, so a frontal head is unrotated.
R = Rz(roll) Ry(yaw) Rx(pitch), angles in degrees: yaw > 0 turns the face to the picture's right,
pitch > 0 looks up, roll > 0 turns clockwise on the screen, all 0 faces the camera, not its
axis. OpenCV's solvePnP, then a One-Euro filter (Casiez et al. 2012).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .profiles import CameraProfile
from .types import Array, HeadBox

Angles = tuple[float, float, float]
_AXES = np.array([0.56, 0.80, 0.62])  # half width, height and depth of the ellipsoid
_NOSE = (0.0, 0.10, 0.13, 0.09, 0.14)  # x, y, how far it stands out, its widths in x and y
_MAX_POINTS = 72
_DEPTH_HEADS = 5.0  # nearer than this nobody films a face; bounds an unknown focal length


@dataclass(frozen=True)
class Pose:
    """A smoothed head rotation and what the filter remembers."""

    angles_deg: Angles = (0.0, 0.0, 0.0)  # yaw, pitch, roll
    speed_deg: Angles = (0.0, 0.0, 0.0)  # per second
    confidence: float = 0.0  # in [0, 1]
    time_s: float = 0.0


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


def lift(xy_px: Array, head: HeadBox, angles: Angles = (0.0, 0.0, 0.0)) -> tuple[Array, Array]:
    """(N, 2) picture points on a head seen so -> (N, 3) points of the generic head, and which hit.

    The view is taken as parallel; a point beside the ellipsoid does not hit it.
    """
    rotation = rotation_matrix((angles[0], angles[1], angles[2]))
    xy = (np.asarray(xy_px, np.float64) - head.center_xy_px) / head.size_px
    # the ray is start + depth * along, both in head axes; the nearer crossing has the smaller depth
    start = np.c_[xy, np.zeros(len(xy))] @ rotation / _AXES
    along = rotation[2] / _AXES
    a, b, c = along @ along, start @ along, (start**2).sum(1) - 1
    inside = b**2 - a * c
    depth = (-b - np.sqrt(np.maximum(inside, 0))) / a
    points = (start + depth[:, None] * along) * _AXES
    x, y, height, wide, tall = _NOSE
    bump = ((points[:, 0] - x) / wide) ** 2 + ((points[:, 1] - y) / tall) ** 2
    points[:, 2] -= height * np.exp(-bump / 2)
    return points, inside > 0.04


def camera_matrix(picture: Array, head: HeadBox, camera: CameraProfile | None) -> Array:
    """3x3 intrinsics: the profile scaled to this picture, or a guess from the head size."""
    height, width = picture.shape[:2]
    if camera is not None:
        scale = width / camera.picture_size_px[0]
        return np.diag([scale, scale, 1.0]) @ camera.matrix
    focal = max(1.1 * max(height, width), _DEPTH_HEADS * head.size_px)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def solve(
    points: Array,
    xy_px: Array,
    matrix: Array,
    head: HeadBox,
    guess_deg: Angles,
    distortion: Array | None = None,
) -> tuple[Angles, float] | None:
    """Rotation that puts (N, 3) head points (units of the box side) at (N, 2) picture points.

    Starts at the head box turned by ``guess_deg``; rows that fit badly are left out of a second
    round. Returns angles and a confidence in [0, 1], or None with fewer than six rows.
    """
    if len(points) < 6:
        return None
    if len(points) > _MAX_POINTS:
        rows = np.linspace(0, len(points) - 1, _MAX_POINTS).astype(int)
        points, xy_px = points[rows], xy_px[rows]
    points = np.ascontiguousarray(points, np.float64)
    xy = np.ascontiguousarray(xy_px, np.float64)
    depth = matrix[0, 0] / head.size_px
    place = (np.array(head.center_xy_px) - matrix[:2, 2]) / matrix[0, 0] * depth
    sight = _sight(place / depth)
    vector = cv2.Rodrigues(sight @ rotation_matrix(guess_deg))[0]
    shift = np.array([[place[0]], [place[1]], [depth]])
    error, keep = np.zeros(len(xy)), np.ones(len(xy), bool)
    for _ in range(2):
        if keep.sum() < 6:
            return None
        found, vector, shift = cv2.solvePnP(
            points[keep], xy[keep], matrix, distortion, vector, shift, useExtrinsicGuess=True
        )
        if not found or not np.isfinite(vector).all():
            return None
        seen = cv2.projectPoints(points, vector, shift, matrix, distortion)[0][:, 0]
        error = np.linalg.norm(seen - xy, axis=1)
        keep = error < 2.5 * max(float(np.median(error)), 0.005 * head.size_px)
    fit = float(np.median(error)) / head.size_px
    confidence = max(0.0, 1 - fit / 0.08) * min(1.0, keep.sum() / 20)
    return angles_deg(sight.T @ cv2.Rodrigues(vector)[0]), float(confidence)


def _sight(slope: Array) -> Array:
    """Rotation that takes the optical axis to the ray (x, y, 1), the shortest way."""
    axis = np.array([-slope[1], slope[0], 0.0])
    length = float(np.hypot(slope[0], slope[1]))
    return cv2.Rodrigues(axis * (np.arctan(length) / max(length, 1e-9)))[0]


def smoothed(
    pose: Pose, angles: Angles, confidence: float, time_s: float, *, least_hz: float = 1.5
) -> Pose:
    """One-Euro step: slow turns are smoothed to ``least_hz``, fast ones follow at once."""
    if pose.confidence == 0 or time_s <= pose.time_s or time_s - pose.time_s > 0.5:
        return Pose(angles, (0.0, 0.0, 0.0), confidence, time_s)
    dt = time_s - pose.time_s
    old, speed, new = (np.array(v) for v in (pose.angles_deg, pose.speed_deg, angles))
    speed = speed + _gain(1.0, dt) * ((new - old) / dt - speed)
    # an unsure measurement moves the filter less
    cutoff = (least_hz + 0.08 * np.abs(speed)) * (0.25 + 0.75 * confidence)
    result = old + _gain(cutoff, dt) * (new - old)
    return Pose(tuple(result.tolist()), tuple(speed.tolist()), confidence, time_s)


def _gain(cutoff_hz: Array | float, dt_s: float) -> Array | float:
    """Share of the new value that a first-order low-pass takes in."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff_hz * dt_s))
