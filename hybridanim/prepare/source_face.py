"""The source's face, fitted closely: its mesh lies on the picture's lids and lips.

A source is looked at once and moved for long, so it is looked at from several windows, whose points
are averaged. What the face model's coefficients leave over becomes the fit's ``offset``: lids that
the mesh misses by a few pixels could not close.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from scipy.spatial.distance import cdist

from hybridanim.face import face_fit, mesh
from hybridanim.face.face_fit import Observation
from hybridanim.face.face_model import FaceModel, measure
from hybridanim.tracking.face_tracking import PointFinder
from hybridanim.types import Array, FaceFit, HeadPose

_LOOKS = 12
_TURN_DEG, _ZOOM, _SHIFT = 5.0, 0.05, 0.03  # deviations of a look's window; shift in head sizes
_CLOSE = np.array([*mesh.EYES[0], *mesh.EYES[1], *mesh.OUTER_LIPS, *mesh.INNER_LIPS])
_IRISES = np.array([row for iris in mesh.IRISES for row in iris])
_REACH = 0.08  # over which the offsets of neighbouring points are averaged, head sizes
_WEIGHT_CLOSE = 12.0  # of a point of lids or lips in that average
_MOST = 0.05  # largest offset, head sizes


def looked_closely(grey: Array, face: FaceFit, finder: PointFinder) -> FaceFit:
    """The fit of a still face, of several looks, with the offset of its vertices.

    grey: (H, W) uint8. face: a fit in it. The vertices of lids, lips and irises lie where they are
    seen; others follow their neighbours.
    """
    points = [look.xyz_px for pose in poses_around(face.pose) if (look := finder.track(grey, pose))]
    if len(points) < _LOOKS // 2:
        return face
    seen = Observation(np.median(points, axis=0), face.confidence)
    model = finder.model
    _, fitted = face_fit.fit(model, seen)
    offset = _offset(model, fitted, seen)
    person = model.shaped(offset)
    return replace(
        fitted,
        quantities=measure(person.vertices(fitted.identity, fitted.expression)).astype(np.float32),
        neutral=measure(person.vertices(fitted.identity)).astype(np.float32),
        offset=offset,
    )


def poses_around(pose: HeadPose) -> list[HeadPose]:
    """Twelve poses round that of a fit, itself first; always the same ones."""
    rng = np.random.default_rng(0)
    out = [pose]
    for turn, zoom, x, y in rng.normal(size=(_LOOKS - 1, 4)).clip(-2, 2):
        roll = cv2.Rodrigues(np.array([0, 0, np.deg2rad(_TURN_DEG * turn)]))[0]
        shift = _SHIFT * pose.scale_px * np.array([x, y])
        scale = pose.scale_px * float(np.exp(_ZOOM * zoom))
        out.append(HeadPose(roll @ pose.rotation, scale, pose.shift_px + shift))
    return out


def _offset(model: FaceModel, fit: FaceFit, seen: Observation) -> Array:
    """(V, 3) float32 in the picture plane: from the fitted vertices to the points that are seen."""
    vertices = model.vertices_of(fit).astype(np.float64)
    gap = (seen.xyz_px - fit.pose.project(vertices))[:, :2] / fit.pose.scale_px
    weight = np.ones(len(vertices))
    weight[_CLOSE] = _WEIGHT_CLOSE
    weight[_IRISES] = 0  # they move in the eyes
    kernel = np.exp(-0.5 * (cdist(vertices, vertices) / _REACH) ** 2) * weight
    smooth = kernel @ gap / kernel.sum(1, keepdims=True)
    for rows in (_CLOSE, _IRISES):
        smooth[rows] = gap[rows]
    length = np.linalg.norm(smooth, axis=1, keepdims=True)
    smooth *= np.minimum(1, _MOST / np.maximum(length, 1e-9))
    flat = np.column_stack([smooth, np.zeros(len(smooth))])
    return (flat @ fit.pose.rotation).astype(np.float32)
