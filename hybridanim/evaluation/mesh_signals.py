"""Openings, widths and rotation of face meshes, and how a series follows another one.

Meshes are (..., 478, 2 or 3) in pixels, numbered as MediaPipe's attention mesh (Grishchenko et al.
2020): z away from the camera, 468 and 473 the irises' centres, picture left first. A row of NaN is
a frame without a face; a NaN point makes the values that need it NaN.
"""

from __future__ import annotations

import numpy as np

from hybridanim.face import head_pose
from hybridanim.face.landmarks import GROUPS, MESH
from hybridanim.types import Array

SIGNALS = ("mouth", "eyes", "width")
LEAST_STD = {"mouth": 0.012, "eyes": 0.02, "width": 0.02, "yaw": 4.0}
"""A clip counts for a signal when the driver's (or teacher's) standard deviation is greater."""
IRISES = (468, 473)
LEAST_FRAMES = 11  # of a clip that counts
_OUTER_EYES, _FACE = (33, 263), (10, 152)
# forehead, bridge and tip of the nose, eye corners, temples, ears, wings, brows' ends
RIGID = (
    *(10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 33, 133, 362, 263, 130, 359, 127, 356, 234, 454),
    *(98, 327, 46, 276),
)


def landmark_numbers() -> Array:
    """(L,) mesh numbers of ``face.landmarks.POINTS``, with the irises' own."""
    numbers = MESH.copy()
    for side, iris in zip(("left", "right"), IRISES, strict=True):
        numbers[list(GROUPS[f"{side}_iris"])] = iris
    return numbers


def distance(points: Array, pair: tuple[int, int]) -> Array:
    """Distance of two points in the picture plane, (..., 478, 2 or 3) -> (...)."""
    return np.linalg.norm(points[..., pair[0], :2] - points[..., pair[1], :2], axis=-1)


def eye_distance(points: Array) -> Array:
    """Distance of the outer corners of the eyes, (...)."""
    return distance(points, _OUTER_EYES)


def face_height(points: Array) -> Array:
    """Distance of forehead and chin, (...)."""
    return distance(points, _FACE)


def openings(points: Array) -> Array:
    """(..., 3): openings of mouth and eyes, and the mouth's width, as in SIGNALS.

    Gap of the inner lips over the face's height; gap of the lids over the eye's width, mean of both
    eyes; distance of the mouth's corners over that of the outer corners of the eyes.
    """
    mouth = distance(points, (13, 14)) / face_height(points)
    left = distance(points, (159, 145)) / distance(points, (33, 133))
    right = distance(points, (386, 374)) / distance(points, (362, 263))
    width = distance(points, (61, 291)) / eye_distance(points)
    return np.stack([mouth, (left + right) / 2, width], axis=-1)


def rotation(before: Array, after: Array) -> Array:
    """(3, 3) rotation that takes points to others best, about their means, at any scale.

    before, after: (P, 3), the same points. Least squares (Kabsch 1976); NaN for points with NaN.
    """
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        return np.full((3, 3), np.nan)
    a, b = (np.asarray(p, np.float64) - np.mean(p, axis=0) for p in (before, after))
    u, _, vt = np.linalg.svd(b.T @ a)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return (u * mirror) @ vt


def turns_deg(meshes: Array, reference: Array) -> Array:
    """(N, 3) yaw, pitch and roll in degrees from the reference mesh to each of (N, 478, 3).

    Signs are those of face.head_pose. The angles are those of the inverse rotation with their signs
    changed: roll is measured about the reference's own axis of sight.
    """
    rigid = list(RIGID)
    found = [rotation(reference[rigid], mesh[rigid]) for mesh in meshes]
    return np.array([-np.array(head_pose.angles_deg(r.T)) for r in found]).reshape(-1, 3)


def follow(driver: Array, result: Array, least_std: float) -> tuple[float, float] | None:
    """Pearson correlation, and slope of result over driver, of two series (N,) with NaN.

    None where fewer than LEAST_FRAMES rows have both, or the driver's standard deviation over them
    is not above ``least_std``. A result that does not move has correlation 0.
    """
    both = np.isfinite(driver) & np.isfinite(result)
    a, b = np.asarray(driver, np.float64)[both], np.asarray(result, np.float64)[both]
    if len(a) < LEAST_FRAMES or not a.std() > least_std:
        return None
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return (float(a @ b) / size if size > 1e-12 else 0.0), float(a @ b / (a @ a))
