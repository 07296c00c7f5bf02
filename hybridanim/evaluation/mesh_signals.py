"""Openings, widths and rotation of face meshes, and how a series follows another one.

Meshes are (..., 478, 2 or 3) in pixels, numbered as MediaPipe's attention mesh (Grishchenko et al.
2020): z away from the camera, 468 and 473 the irises' centres, picture left first. A row of NaN is
a frame without a face; a NaN point makes the values that need it NaN.
"""

from __future__ import annotations

import numpy as np

from hybridanim.face import head_pose, mesh
from hybridanim.face.landmarks import GROUPS, MESH
from hybridanim.types import Array

SIGNALS = ("mouth", "eyes", "width")
LEAST_STD = {"mouth": 0.012, "eyes": 0.02, "width": 0.02, "yaw": 4.0}
"""A clip counts for a signal when the driver's (or teacher's) standard deviation is greater."""
IRISES = tuple(rim[0] for rim in mesh.IRISES)  # their centres
LEAST_FRAMES = 11  # of a clip that counts
_OUTER_EYES = (33, 263)
_ORDER = [0, 4, 1]  # of mesh.openings, as in SIGNALS
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


def eye_distance(points: Array) -> Array:
    """Distance of the outer corners of the eyes in the picture, (..., 478, 2 or 3) -> (...)."""
    left, right = (points[..., corner, :2] for corner in _OUTER_EYES)
    return np.linalg.norm(right - left, axis=-1)


def openings(points: Array) -> Array:
    """(..., 3): openings of mouth and eyes, and the mouth's width, in the picture; as in SIGNALS.

    Gap of the inner lips over the face's height; gap of the lids over the eye's width, mean of both
    eyes; distance of the mouth's corners over that of the outer corners of the eyes.
    """
    return mesh.openings(points[..., :2])[..., _ORDER]


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
    found = [rotation(reference[rigid], points[rigid]) for points in meshes]
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
