"""Triangles of the face mesh: Delaunay in a cylinder round the head, open at mouth and eyes."""

from __future__ import annotations

import numpy as np
from matplotlib.path import Path
from scipy.spatial import Delaunay

from hybridanim.face import mesh
from hybridanim.types import Array


def triangulate(mean: Array) -> Array:
    """(T, 3) int32 triangles of the mesh's points without the irises, clockwise on the screen.

    mean: (478, 3), x right, y down, z away. Nothing covers the inside of the lips and of the eyes.
    """
    face = mean[:468]
    axis_z = face[:, 2].max() + 0.1 * np.ptp(face[:, 0])  # behind the face: unwraps the cheeks
    angle = np.arctan2(face[:, 0], axis_z - face[:, 2])
    flat = np.column_stack([angle * np.ptp(face[:, 0]), face[:, 1]])
    found = Delaunay(flat).simplices
    centres = flat[found].mean(1)
    keep = Path(flat[list(mesh.OUTLINE)]).contains_points(centres, radius=1e-9)
    for hole in (mesh.INNER_LIPS, *mesh.EYES):
        own = np.isin(found, hole).all(1)
        keep &= ~own
    found = found[keep]
    a, b, c = (flat[found[:, i]] for i in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    found[area < 0] = found[area < 0][:, ::-1]
    return found.astype(np.int32)
