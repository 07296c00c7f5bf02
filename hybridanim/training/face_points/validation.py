"""Landmark network and labelled footage of other people -> errors and openings.

The windows are misplaced as in tracking, by the same amounts in every run.
"""

from __future__ import annotations

import numpy as np
import torch

from hybridanim.face import face_fit, face_windows, mesh
from hybridanim.face.face_model import FaceModel
from hybridanim.face.face_windows import EYE, FACE, MOUTH, WindowKind
from hybridanim.face.head_pose import angles_deg
from hybridanim.networks.face_points import PointNetwork
from hybridanim.types import Array

from .samples import Footage, in_window, true_window

_STEP = 3  # every so many frames
_VARIES = {"eye": 0.02, "mouth": 0.012, "face": 0.012}  # least deviation within a clip


def _rows(kind: WindowKind, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    place = {number: row for row, number in enumerate(kind.points)}
    return [(place[a], place[b]) for a, b in pairs]


_LIDS = [(160, 144), (159, 145), (158, 153)]
_LIPS = [(13, 14), (82, 87), (312, 317), (61, 291)]
_WIDTHS = [(78, 308), (0, 17)]  # of the inner contour; height of the lips
PAIRS = {
    "eye": _rows(EYE, [*_LIDS, (468, 33), (468, 133), (468, 159), (468, 145)]),
    "mouth": _rows(MOUTH, [*_LIPS, *_WIDTHS]),
    "face": _rows(FACE, [*_LIDS, (387, 373), (386, 374), (385, 380), *_LIPS]),
}
"""Rows of the points whose distances the loss weighs."""


def validate(
    net: PointNetwork, held: Footage, kind: WindowKind, model: FaceModel
) -> dict[str, float]:
    """Mean error in percent of the distance of the outer eye corners, openings, pose."""
    rng = np.random.default_rng(5)
    rows = list(range(0, len(held.greys), _STEP))
    windows, matrices = [], []
    for row in rows:
        matrix = true_window(kind, held.points[row], held.poses[row])
        angle, zoom = np.deg2rad(rng.normal(0, 4)), np.exp(rng.normal(0, 0.05))
        shift = rng.normal(0, 0.01, 2) / kind.width_heads * kind.width_px
        turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array([kind.width_px - 1, kind.height_px - 1]) / 2
        matrix = turn @ matrix + np.column_stack([np.zeros((2, 2)), middle + shift - turn @ middle])
        windows.append(face_windows.cut(held.greys[row], matrix, kind))
        matrices.append(matrix)
    found = _run(net, np.array(windows))
    truth = np.array(
        [in_window(held.points[r], m, kind, None) for r, m in zip(rows, matrices, strict=True)]
    )
    eyes = np.linalg.norm(held.points[rows, 33, :2] - held.points[rows, 263, :2], axis=-1)
    zoom = np.array([np.hypot(*m[:, 0]) for m in matrices]) / kind.width_px
    error = np.linalg.norm(found[..., :2] - truth[..., :2], axis=-1).mean(1) / (eyes * zoom)
    out = {"error_percent": 100 * float(error.mean())}
    clips = held.clips[rows]
    if kind is EYE:
        out |= _agreement("eye", _eye(found), _eye(truth), clips)
    elif kind is MOUTH:
        out |= _agreement("mouth", _mouth(found), _mouth(truth), clips)
    else:
        seen, true = mesh.openings(found[..., :2]), mesh.openings(truth[..., :2])
        out |= _agreement("mouth", seen[:, 0], true[:, 0], clips)
        out |= _agreement("eye", seen[:, 4], true[:, 4], clips)
        out |= _pose_errors(found, truth, model)
    return out


def _run(net: PointNetwork, windows: Array) -> Array:
    with torch.inference_mode():
        parts = [
            net(torch.from_numpy(face_windows.normalised(windows[i : i + 128])))[0]
            for i in range(0, len(windows), 128)
        ]
    return torch.cat(parts).numpy()


def _eye(points: Array) -> Array:
    gap = [np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in PAIRS["eye"][:3]]
    width = np.linalg.norm(points[:, 0] - points[:, 8], axis=-1)
    return gap[1] / width


def _mouth(points: Array) -> Array:
    """Opening in window widths, which are proportional to the head's size."""
    a, b = PAIRS["mouth"][0]
    return np.linalg.norm(points[:, a] - points[:, b], axis=-1) * MOUTH.width_heads


def _correlation(first: Array, second: Array) -> float:
    """NaN where one of them does not vary."""
    if len(first) < 2 or not (first.std() > 0 and second.std() > 0):
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _agreement(name: str, seen: Array, true: Array, clips: Array) -> dict[str, float]:
    """Correlation over all frames; mean correlation and slope within clips that vary."""
    within, slope = [], []
    for clip in np.unique(clips):
        a, b = true[clips == clip], seen[clips == clip]
        if len(a) > 10 and a.std() > _VARIES[name]:
            within.append(_correlation(a, b))
            slope.append(np.cov(a, b)[0, 1] / a.var(ddof=1))
    return {
        f"{name}_r": _correlation(true, seen),
        f"{name}_r_within": float(np.mean(within)) if within else float("nan"),
        f"{name}_gain": float(np.mean(slope)) if slope else float("nan"),
    }


def _pose_errors(found: Array, truth: Array, model: FaceModel) -> dict[str, float]:
    apart = []
    for pair in zip(found, truth, strict=True):
        seen, true = (angles_deg(face_fit.pose_of(model, one).rotation) for one in pair)
        apart.append(np.subtract(seen, true))
    median = np.median(np.abs(apart), 0)
    return dict(zip(("yaw_deg", "pitch_deg", "roll_deg"), map(float, median), strict=True))
