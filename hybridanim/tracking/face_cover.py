"""Share of the face that something covers: frames and fitted faces -> in [0, 1].

step(state, image, face, model) -> (state, share). The colours at the face model's vertices are
compared with those learned from the frames before, so that turns, nods and speech, which the mesh
follows, change little. Vertices that differ by several times their usual deviation are covered, by
a hand if their colour is that of the person's skin; they are not learned until they have stayed for
seconds. Lids and lips, which show other things when they move, are left out. Needs no skin mask and
no particular tracker.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim.face import mesh
from hybridanim.face.face_model import FaceModel
from hybridanim.resampling import window_of
from hybridanim.types import Array, FaceFit

_CELLS = 48  # along each side of the picture of the face that is sampled
_HALF = 0.95  # half of its side, head sizes
_BEHIND = 0.45  # of the face's middle, where its normals come from, head sizes
_FACING = 0.35  # least cosine between a normal and the view
_NOISE, _UNKNOWN = 4.0, 16.0  # levels added to every deviation; a deviation that is not known yet
_TIMES = 2.6  # a covered vertex differs by more than so many deviations
_RATE, _PATIENCE = 0.05, 90  # least learning rate a frame; frames after which a cover is learned
_START, _STOP = 0.065, 0.025  # shares at which a face counts as covered, and no longer
_SKIN = 26.0  # largest difference of chroma between a hand and the face, levels
_LEAST_SKIN = 0.5  # share of the covered vertices with that colour
_LOST_FRAMES = 45  # a face that was lost while covered counts as covered for so long
_MOVING = (*mesh.EYES[0], *mesh.EYES[1], *mesh.OUTER_LIPS, *mesh.INNER_LIPS, *mesh.OUTLINE)
_ROWS: Array = np.setdiff1d(np.arange(mesh.IRISES[0][0]), _MOVING)  # vertices that are looked at


@dataclass(frozen=True)
class CoverState:
    """State between frames."""

    mean: Array | None = None  # (N, 3) float32 RGB of the uncovered face, at ``_ROWS``
    spread: Array | None = None  # (N,) float32, mean absolute deviation from it
    since: Array | None = None  # (N,) int32, consecutive frames as covered
    steps: int = 0
    is_covered: bool = False
    lost: int = 0  # consecutive frames without a face


def step(
    state: CoverState, image: Array, face: FaceFit | None, model: FaceModel
) -> tuple[CoverState, float]:
    """Take in the next frame, (H, W, 3) uint8 RGB; face: fitted in it, or None.

    Returns the share of the face that a hand covers, in [0, 1]; 0 without one, and 1 where the face
    was lost behind a hand.
    """
    if face is None:
        return _lost(state)
    colours, is_facing = _sampled(image, face, model)
    if state.mean is None or state.spread is None or state.since is None:
        count = len(colours)
        spread, since = np.full(count, _UNKNOWN, np.float32), np.zeros(count, np.int32)
        return CoverState(colours, spread, since, 1), 0.0
    matched = colours * _gain(colours, state.mean, is_facing)
    off = np.abs(matched - state.mean).mean(1)
    differs = (off > _TIMES * (state.spread + _NOISE)) & is_facing
    since = np.where(differs, state.since + 1, np.where(is_facing, 0, state.since))
    new = differs & (since < _PATIENCE)
    share = float(new.sum() / max(1, is_facing.sum()))
    is_hand = share > 0 and _is_skin(matched[new], state.mean)
    is_covered = is_hand and share > (_STOP if state.is_covered else _START)
    rate = np.where(new | ~is_facing, 0, max(_RATE, 1 / (state.steps + 2))).astype(np.float32)
    mean = state.mean + rate[:, None] * (matched - state.mean)
    spread = state.spread + rate * (off - state.spread)
    after = CoverState(mean, spread, since.astype(np.int32), state.steps + 1, is_covered)
    return after, share if is_covered else 0.0


def _lost(state: CoverState) -> tuple[CoverState, float]:
    lost = state.lost + 1
    is_covered = state.is_covered and lost <= _LOST_FRAMES
    mean = None if lost > _LOST_FRAMES else state.mean  # it may be another person's
    after = CoverState(mean, state.spread, state.since, state.steps, is_covered, lost)
    return after, 1.0 if is_covered else 0.0


def _gain(colours: Array, mean: Array, rows: Array) -> Array:
    """(3,) factors that match most of the face to its learned colours."""
    if not rows.any():
        return np.ones(3, np.float32)
    return np.median(mean[rows] / np.maximum(colours[rows], 4.0), axis=0).clip(0.5, 2.0)


def _is_skin(covered: Array, mean: Array) -> bool:
    """Whether most of these colours, (M, 3), are those of the skin of a face, (N, 3)."""
    skin = np.median(mean, axis=0)
    chroma, expected = covered - covered.mean(1, keepdims=True), skin - skin.mean()
    return bool((np.abs(chroma - expected).max(1) < _SKIN).mean() >= _LEAST_SKIN)


def _sampled(image: Array, face: FaceFit, model: FaceModel) -> tuple[Array, Array]:
    """Smoothed colours (N, 3) float32 at the vertices, and (N,) bool whether they face the view."""
    places = face.pose.project(model.vertices_of(face)[_ROWS])[:, :2]
    cell_px = 2 * _HALF * face.pose.scale_px / _CELLS
    middle = (_CELLS - 1) / 2
    shift = middle - face.pose.shift_px / cell_px
    matrix = np.array([[1 / cell_px, 0, shift[0]], [0, 1 / cell_px, shift[1]]])
    small = cv2.blur(window_of(image, matrix, (_CELLS, _CELLS)), (3, 3))
    at = (places / cell_px + shift).astype(np.float32)
    edge = cv2.BORDER_REPLICATE
    found = cv2.remap(small, at[:, 0], at[:, 1], cv2.INTER_LINEAR, borderMode=edge)
    return found.reshape(-1, 3).astype(np.float32), _faces_view(face, places, model, image)


def _faces_view(face: FaceFit, places: Array, model: FaceModel, image: Array) -> Array:
    """(N,) bool: the vertices whose surface faces the camera, in the picture."""
    normals = model.mean[_ROWS] + [0, 0, -_BEHIND]  # z points away from the camera
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    towards = -(normals @ np.asarray(face.pose.rotation).T)[:, 2]
    height, width = image.shape[:2]
    is_in = (places > 0).all(1) & (places < [width - 1, height - 1]).all(1)
    return (towards > _FACING) & is_in
