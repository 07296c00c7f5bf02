"""Landmarks, openings and head rotation of a tracker against a teacher's meshes.

A teacher's labels are (N, 478, 3), see ``calibration.face_labels``. A tracker's frame becomes a
Reading by ``read_tracks``, the one place that knows which fields of Tracks hold what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridanim.face import face_model, head_pose
from hybridanim.face.landmarks import GROUPS
from hybridanim.face.mean_shape import MEAN_SHAPE_3D
from hybridanim.face.mesh import COUNT
from hybridanim.types import Array, Tracks

from . import mesh_signals
from .mesh_signals import LEAST_STD, RIGID, SIGNALS

NUMBERS = mesh_signals.landmark_numbers()
ANGLES = ("yaw", "pitch", "roll")
# rows of the landmarks that the teacher's rotation is measured by, and their mesh numbers
_RIGID_ROWS = [row for row, number in enumerate(NUMBERS.tolist()) if number in RIGID]
_RIGID_NUMBERS = NUMBERS[_RIGID_ROWS]


@dataclass(frozen=True)
class Reading:
    """What a tracker says of the face in one frame, in pixels of that frame; NaN = nothing."""

    mesh_xy_px: Array  # (478, 2)
    openings: Array  # (3,), see mesh_signals.openings
    angles_deg: Array  # (3,) yaw, pitch, roll; see face.head_pose


def read_tracks(tracks: Tracks) -> Reading:
    """The face of a tracker's frame: of the fitted face model if there is one, else landmarks.

    What has no confidence counts as none. The rotation is that of the tracks in any case.
    """
    points, angles = np.full((COUNT, 2), np.nan), np.full(3, np.nan)
    face = tracks.face
    if tracks and face is not None and face.confidence > 0:
        vertices = face_model.load().vertices(face.identity, face.expression)
        points = face.pose.project(vertices)[:, :2]
    elif tracks and tracks.landmarks_xy_px is not None and tracks.landmarks_confidence > 0:
        points[NUMBERS] = tracks.landmarks_xy_px
    if tracks and tracks.rotation_confidence > 0:
        angles = np.array(tracks.rotation_deg)
    return Reading(points, mesh_signals.openings(points), angles)


def teacher_angles_deg(label: Array) -> Array:
    """(3,) yaw, pitch, roll of a (478, 3) mesh against the mean face; NaN without a face.

    Procrustes on the landmarks that are among RIGID; angles as in face.head_pose.
    """
    found = mesh_signals.rotation(MEAN_SHAPE_3D[_RIGID_ROWS], label[_RIGID_NUMBERS])
    return np.array(head_pose.angles_deg(found))


@dataclass(frozen=True)
class Comparison:
    """One tracker over one clip, beside the teacher; NaN where either has nothing."""

    point_errors: Array  # (N, L) distance over the teacher's outer eye distance
    is_face: Array  # (N,) bool, the teacher has a face
    is_read: Array  # (N,) bool, the tracker has points
    is_turned: Array  # (N,) bool, the tracker has a rotation
    openings: Array  # (2, N, 3) teacher's, tracker's
    angles_deg: Array  # (2, N, 3) teacher's, tracker's
    turns_deg: Array  # (2, N, 3) the same since the first frame in which both have them


def compare(labels: Array, readings: Sequence[Reading]) -> Comparison:
    """Compare N frames. labels: (N, 478, 3) in the pixels of the readings."""
    meshes = np.array([r.mesh_xy_px for r in readings], np.float64).reshape(-1, COUNT, 2)
    angles = np.array([r.angles_deg for r in readings], np.float64).reshape(-1, 3)
    own = np.array([r.openings for r in readings], np.float64).reshape(-1, 3)
    apart = np.linalg.norm(meshes[:, NUMBERS] - labels[:, NUMBERS, :2], axis=-1)
    is_face = np.isfinite(labels[:, 0, 0])
    both = np.stack([np.array([teacher_angles_deg(label) for label in labels]), angles])
    return Comparison(
        point_errors=apart / mesh_signals.eye_distance(labels)[:, None],
        is_face=is_face,
        is_read=np.asarray(np.isfinite(meshes[:, NUMBERS, 0]).any(1)),
        is_turned=np.isfinite(angles[:, 0]),
        openings=np.stack([mesh_signals.openings(labels), own]),
        angles_deg=both,
        turns_deg=_turns(labels, angles),
    )


def _turns(labels: Array, angles_deg: Array) -> Array:
    """(2, N, 3): change of the teacher's and the tracker's rotation since a common frame."""
    turns = np.full((2, len(labels), 3), np.nan)
    both = np.nonzero(np.isfinite(labels[:, 0, 0]) & np.isfinite(angles_deg[:, 0]))[0]
    if not len(both):
        return turns
    first = both[0]
    turns[0, both] = mesh_signals.turns_deg(labels[both], labels[first])
    start = head_pose.rotation_matrix(tuple(angles_deg[first]))
    for row in both:
        change = head_pose.rotation_matrix(tuple(angles_deg[row])) @ start.T
        turns[1, row] = -np.array(head_pose.angles_deg(change.T))
    return turns


def summary(clips: Sequence[Comparison]) -> dict[str, float]:
    """Figures of one or more clips together; those that nothing was measured for are left out.

    points: mean over points and frames, in % of the outer eye distance; points_GROUP: of the
    groups of face.landmarks. found, turned: share of the teacher's faces for which the tracker has
    points, a rotation; false: share of the frames without a face for which it has points. NAME:
    median absolute error of an opening; NAME_deg and NAME_turn_deg: of an angle and of its change.
    NAME_r, NAME_gain: correlation, and slope over the teacher's, within clips: means over the clips
    in which the teacher's varies (mesh_signals.LEAST_STD), NAME_clips in number; NAME_r_pooled,
    NAME_gain_pooled: over all frames of all clips.
    """
    found = _points(clips)
    series = {name: [c.openings[:, :, i] for c in clips] for i, name in enumerate(SIGNALS)}
    for name, pairs in series.items():
        found[name] = _median(np.concatenate([np.abs(b - a) for a, b in pairs]))
    for i, name in enumerate(ANGLES):
        for kind, values in (("deg", "angles_deg"), ("turn_deg", "turns_deg")):
            apart = [np.subtract(*getattr(c, values)[::-1, :, i]) for c in clips]
            found[f"{name}_{kind}"] = _median(np.abs((np.concatenate(apart) + 180) % 360 - 180))
    series["yaw"] = [c.angles_deg[:, :, 0] for c in clips]
    for name, pairs in series.items():
        found |= _following(name, pairs)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _points(clips: Sequence[Comparison]) -> dict[str, float]:
    errors = 100 * np.concatenate([c.point_errors for c in clips])
    is_face, is_read, is_turned = (
        np.concatenate([getattr(c, name) for c in clips])
        for name in ("is_face", "is_read", "is_turned")
    )
    found = {"frames": float(len(is_face)), "points": _mean(errors)}
    found |= {f"points_{group}": _mean(errors[:, list(rows)]) for group, rows in GROUPS.items()}
    found["found"] = _mean(is_read[is_face].astype(float))
    found["turned"] = _mean(is_turned[is_face].astype(float))
    found["false"] = _mean(is_read[~is_face].astype(float))
    return found


def _following(name: str, pairs: Sequence[Array]) -> dict[str, float]:
    """Correlations and gains of one signal; pairs: (2, N) of each clip, teacher's first."""
    inside = [f for a, b in pairs if (f := mesh_signals.follow(a, b, LEAST_STD[name]))]
    together = mesh_signals.follow(*np.concatenate(pairs, axis=1), least_std=0.0)
    found: dict[str, float] = {f"{name}_clips": float(len(inside))}
    if inside:
        found[f"{name}_r"], found[f"{name}_gain"] = np.mean(inside, axis=0).tolist()
    if together:
        found[f"{name}_r_pooled"], found[f"{name}_gain_pooled"] = together
    return found


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _median(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")
