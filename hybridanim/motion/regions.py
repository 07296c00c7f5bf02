"""The face model's expression split into regions: the rest of the face, lips, eyes.

Expression directions are global (principal components over all vertices), so they are split where
regions exist, at the vertices: each has soft weights that add to one, and the weighted movement is
projected back to coefficients (least squares). The parts of an expression add up to it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from hybridanim.face import mesh
from hybridanim.face.face_model import FaceModel
from hybridanim.resampling import smoothstep
from hybridanim.types import Array

_NOSE, _UPPER_LIP = 2, 0  # under the nose; edge of the upper lip
_LIPS_FROM, _LIPS_FULL = -0.03, -0.005  # heads below those: where the lips' weight begins, is 1
_EYES_FULL, _EYES_TO = 0.012, 0.07  # heads from the lids' contour: likewise for the eyes
_EYE_WEIGHT, _LIP_WEIGHT, _BROW_WEIGHT = 4.0, 2.0, 2.0  # of the projection: small parts count more


class Parts(NamedTuple):
    """One array of each region, in the order of ``drive.Drive`` without the pose."""

    expression: Array  # brows, cheeks, nose
    lips: Array  # jaw and lips
    eyes: Array  # lids and irises


def weights(model: FaceModel) -> Parts:
    """(V,) share of each region at the vertices; they add to one."""
    mean = np.asarray(model.mean, np.float64)
    below = mean[:, 1]
    start, full = below[_NOSE] + _LIPS_FROM, below[_UPPER_LIP] + _LIPS_FULL
    lips = smoothstep(np.clip((below - start) / (full - start), 0, 1))
    lids = mean[[row for contour in mesh.EYES for row in contour], :2]
    away = np.sqrt(((mean[:, None, :2] - lids) ** 2).sum(-1)).min(1)
    eyes = 1 - smoothstep(np.clip((away - _EYES_FULL) / (_EYES_TO - _EYES_FULL), 0, 1))
    eyes[[row for iris in mesh.IRISES for row in iris]] = 1
    eyes = np.minimum(eyes, 1 - lips)
    return Parts(1 - lips - eyes, lips, eyes)


@cache
def parts(model: FaceModel) -> Parts:
    """(E, E) matrices: expression coefficients -> those of each region; they add to the identity.

    P = (B^T S^2 B)^-1 B^T S^2 W B for directions B, the region's weights W and weights S of the
    vertices, by which lids, lips and brows keep apart.
    """
    basis = np.asarray(model.expression, np.float64)  # (E, V, 3)
    count = np.ones(basis.shape[1])
    count[[row for rows in (*mesh.EYES, *mesh.IRISES) for row in rows]] = _EYE_WEIGHT
    count[[*mesh.OUTER_LIPS, *mesh.INNER_LIPS]] = _LIP_WEIGHT
    count[[row for brow in mesh.BROWS for row in brow]] = _BROW_WEIGHT
    weighted = (basis * count[:, None] ** 2).reshape(len(basis), -1)
    gram = weighted @ basis.reshape(len(basis), -1).T
    lips, eyes = (
        np.linalg.solve(gram, weighted @ (basis * share[:, None]).reshape(len(basis), -1).T)
        for share in weights(model)[1:]
    )
    return Parts(np.eye(len(basis)) - lips - eyes, lips, eyes)
