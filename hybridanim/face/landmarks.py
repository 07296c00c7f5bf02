"""The L face landmarks: names, groups, mirrored pairs, and vertices of the teacher's face mesh.

Left and right are as seen in the picture. The numbers are vertices of the 468-point mesh that the
aligner is trained on (Kartynnik et al. 2019); the two irises come from its eye network (-1).
"""

from __future__ import annotations

import numpy as np

from hybridanim.types import Array

# group -> mesh numbers of the picture's left half and of the right half, in mirrored order
_PAIRED: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "brow": ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336)),  # outer end first
    # outer corner, upper lid, inner corner, lower lid
    "eye": ((33, 160, 159, 158, 133, 153, 145, 144), (263, 387, 386, 385, 362, 380, 374, 373)),
    "iris": ((-1,), (-1,)),
}
# group -> mesh numbers, symmetric when read backwards or about the middle (see _MIRRORED)
_WHOLE: dict[str, tuple[int, ...]] = {
    "nose": (168, 6, 197, 195, 4, 2, 129, 358),  # bridge down to tip, base, wings
    "outer_lips": (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),  # clockwise from the left
    "inner_lips": (78, 81, 13, 311, 308, 402, 14, 178),
    "jaw": (234, 132, 172, 150, 176, 152, 400, 379, 397, 361, 454),  # left ear, chin, right ear
    "forehead": (67, 10, 297),
    "temples": (21, 251),
    "cheeks": (50, 280),
}
_MIRRORED = {
    "nose": (0, 1, 2, 3, 4, 5, 7, 6),
    "outer_lips": (6, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7),
    "inner_lips": (4, 3, 2, 1, 0, 7, 6, 5),
}


def _tables() -> tuple[tuple[str, ...], dict[str, tuple[int, ...]], Array, Array]:
    names: list[str] = []
    groups: dict[str, tuple[int, ...]] = {}
    mesh: list[int] = []
    mirror: list[int] = []
    for group, (left, right) in _PAIRED.items():
        n, first = len(left), len(names)
        for side, numbers in (("left", left), ("right", right)):
            groups[f"{side}_{group}"] = tuple(range(len(names), len(names) + n))
            names += [f"{side}_{group}_{i}" for i in range(n)]
            mesh += numbers
        mirror += [*range(first + n, first + 2 * n), *range(first, first + n)]
    for group, numbers in _WHOLE.items():
        first = len(names)
        groups[group] = tuple(range(first, first + len(numbers)))
        names += [f"{group}_{i}" for i in range(len(numbers))]
        mesh += numbers
        order = _MIRRORED.get(group, tuple(reversed(range(len(numbers)))))
        mirror += [first + i for i in order]
    return tuple(names), groups, np.array(mesh), np.array(mirror)


POINTS, GROUPS, MESH, MIRROR = _tables()
"""POINTS: L names. GROUPS: group -> rows. MESH: (L,) mesh numbers. MIRROR: (L,) row of the same
point in the mirrored picture."""


def eye_centers(xy: Array) -> tuple[Array, Array]:
    """Middle of the lids of the picture's left and right eye, (..., L, 2) -> (..., 2) each."""
    left, right = (xy[..., list(GROUPS[f"{side}_eye"]), :].mean(-2) for side in ("left", "right"))
    return left, right


def interocular(xy: Array) -> Array:
    """Distance between the two eye centres, (..., L, 2) -> (...)."""
    left, right = eye_centers(xy)
    return np.linalg.norm(right - left, axis=-1)


def eye_opening(xy: Array) -> Array:
    """Lid gap over eye width of the left and right eye, (..., L, 2) -> (..., 2); 0 = closed."""
    found = []
    for side in ("left", "right"):
        eye = xy[..., list(GROUPS[f"{side}_eye"]), :]
        gap = np.linalg.norm(eye[..., 1:4, :] - eye[..., [7, 6, 5], :], axis=-1).mean(-1)
        found.append(gap / np.linalg.norm(eye[..., 0, :] - eye[..., 4, :], axis=-1))
    return np.stack(found, axis=-1)


def mouth_opening(xy: Array) -> Array:
    """Gap of the inner lips over the mouth's width, (..., L, 2) -> (...); 0 = closed."""
    lips = xy[..., list(GROUPS["inner_lips"]), :]
    gap = np.linalg.norm(lips[..., 1:4, :] - lips[..., [7, 6, 5], :], axis=-1).mean(-1)
    return gap / np.linalg.norm(lips[..., 0, :] - lips[..., 4, :], axis=-1)
