"""Triangles with values at their vertices -> what each cell of a grid shows, and its depth.

A z-buffer (Catmull 1974), by ``cv2.triangleRasterize``: of the triangles over a cell the nearest
wins, and the values of its corners are interpolated linearly. The projection is orthographic: the
camera is far, and the vertices are scaled by their distance from it.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from hybridanim.types import Array

_CAMERA = 24.0  # distance of the camera from z = 0; vertices have a depth above -_CAMERA
_FAR = 4 * _CAMERA  # depth of cells that show nothing, from the camera


@cache
def _settings() -> cv2.TriangleRasterizeSettings:
    settings = cv2.TriangleRasterizeSettings()
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    return settings


def rasterise(vertices: Array, triangles: Array, values: Array, cells: int) -> tuple[Array, Array]:
    """(cells, cells, 3) float32 values of the nearest surface, and its depth (cells, cells).

    vertices: (N, 3), x and y normalised to the grid, z in the same unit, away from the camera.
    triangles: (T, 3) int32. values: (N, 3). The depth is the z of what is shown; where nothing is,
    it is NaN and the values are 0.
    """
    grow = (_CAMERA + vertices[:, 2:]) / _CAMERA
    world = np.column_stack([vertices[:, :1] * grow, -vertices[:, 1:2] * grow, -vertices[:, 2]])
    camera = np.eye(4, dtype=np.float32)
    camera[2, 3] = -_CAMERA
    shown, depth = cv2.triangleRasterize(
        np.ascontiguousarray(world, np.float32), triangles,
        np.ascontiguousarray(values, np.float32),
        np.zeros((cells, cells, 3), np.float32), np.full((cells, cells), _FAR, np.float32),
        camera, 2 * np.arctan(1 / _CAMERA), 1.0, _FAR, _settings(),
    )  # fmt: skip
    np.copyto(depth, np.nan, where=depth > _FAR / 2)
    depth -= _CAMERA
    return shown, depth
