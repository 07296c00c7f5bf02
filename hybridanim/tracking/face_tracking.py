"""Face model over a video: grey frames and the tracker's head box -> a FaceFit for each frame.

step(state, ...) -> (state, FaceFit or None). The landmark networks look where the face was in the
last frame, moved as the head box moved; a face that is lost is searched in the head box. Between
two looks at the whole face, eyes and mouth alone may be looked at, which costs half.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from hybridanim import geometry
from hybridanim.face import face_fit, head_pose, mesh
from hybridanim.face.anchors import ANCHORS, WATCHED, landmark_average
from hybridanim.face.face_fit import Carried, FitState, Observation
from hybridanim.face.face_model import FaceModel
from hybridanim.face.landmarks import GROUPS, MESH
from hybridanim.types import Array, Crop, FaceFit, HeadBox, HeadPose, Keypoints, Tracks

from . import lucas_kanade
from .lucas_kanade import Window

_AVERAGE = landmark_average()
_FORGET_FRAMES = 45  # frames without a face after which it may be another person's
_FLOW_ROWS: Array = np.flatnonzero(
    ~face_fit.IS_FINE & ~np.isin(face_fit.ROWS, mesh.OUTLINE)  # the outline slides over the cheeks
)
_FLOW_PX, _FLOW_LEVELS = 13, 2
_RETURN_PX = 0.6  # largest forward-backward error
_LEAST_CARRIED = 12  # points; fewer say nothing
_SEARCH_FRAMES = 3  # interval of searches in the head box while no face is found


class PointFinder(Protocol):
    """Finds mesh points, see ``runtime.face_points.FacePoints``."""

    model: FaceModel

    def glance(self, grey: Array, head: HeadBox) -> float: ...  # noqa: D102

    def start(self, grey: Array, head: HeadBox) -> Observation | None: ...  # noqa: D102

    def track(self, grey: Array, expected: HeadPose) -> Observation | None: ...  # noqa: D102

    def refine(self, grey: Array, expected: Observation) -> Observation: ...  # noqa: D102


@dataclass(frozen=True)
class View:
    """The part of a picture that optical flow runs in."""

    grey: Array  # (h, w) uint8
    window: Window


@dataclass(frozen=True)
class FaceState:
    """State between frames; positions are pixels of the last frame."""

    fit: FitState | None = None
    head: HeadBox | None = None  # of the frame of ``fit``
    view: View | None = None  # of the frame of ``fit``
    since: int = 0  # frames since the last look at the whole face
    lost: int = 0  # consecutive frames without a face
    misses: int = 0  # of them, consecutive ones with a head


@dataclass(frozen=True)
class FaceStep:
    """The face in one frame."""

    face: FaceFit
    points: Observation  # what the networks saw
    landmarks_xy_px: Array = field(repr=False)  # (L, 2) float32, rows as landmarks.POINTS


def step(
    state: FaceState, grey: Array, head: HeadBox | None, finder: PointFinder, every: int = 1
) -> tuple[FaceState, FaceStep | None]:
    """Fit the face in the next frame of a video, (H, W) uint8 grey.

    head: the tracker's head box, None while no head is tracked. every: the whole face is looked at
    every so many frames, eyes and mouth in each.
    """
    seen = None if head is None else _look(state, grey, head, finder, every)
    if seen is None or head is None:
        lost = state.lost + 1
        fit = None if lost > _FORGET_FRAMES else state.fit
        misses = 0 if head is None else state.misses + 1
        return replace(state, fit=fit, lost=lost, misses=misses, since=0), None
    last = state.fit
    if last is not None and state.lost:  # the same person's face elsewhere
        last = replace(last, pose=face_fit.pose_of(finder.model, seen.xyz_px))
    view = _view(grey, head, state.view)
    carried = None
    if last is not None and not state.lost and state.view is not None:
        carried = _carried(finder.model, last, state.view, view)
    fit, face = face_fit.fit(finder.model, seen, last, carried)
    since = 0 if seen.is_coarse else state.since + 1
    found = FaceStep(face, seen, landmarks_of(finder.model, face))
    return FaceState(fit, head, view, since), found


def _view(grey: Array, head: HeadBox, last: View | None) -> View:
    window = lucas_kanade.window_at(head, grey, None if last is None else last.window)
    return View(window.cut(grey), window)


def _carried(model: FaceModel, last: FitState, before: View, after: View) -> Carried | None:
    """The last fit's points, moved by optical flow; None when too few were found."""
    if before.grey.shape != after.grey.shape or before.window.scale != after.window.scale:
        return None
    vertices = model.vertices(last.identity, last.expression)[face_fit.ROWS[_FLOW_ROWS]]
    start = last.pose.project(vertices)[:, :2]
    inside = before.window.inside(start)
    # both windows are centred on the head, so the expected displacement in them is small
    there, error = lucas_kanade.follow(
        before.grey, after.grey, inside, inside, window_px=_FLOW_PX, levels=_FLOW_LEVELS
    )
    kept = error < _RETURN_PX
    if kept.sum() < _LEAST_CARRIED:
        return None
    return Carried(_FLOW_ROWS[kept], after.window.outside(there[kept]))


def _look(
    state: FaceState, grey: Array, head: HeadBox, finder: PointFinder, every: int
) -> Observation | None:
    if state.fit is None or state.head is None or state.lost:
        is_due = state.misses % _SEARCH_FRAMES == 0
        return finder.start(grey, head) if is_due else None
    expected = moved(state.fit.pose, state.head, head)
    if state.since + 1 < every:
        points = expected.project(finder.model.vertices(state.fit.identity, state.fit.expression))
        return finder.refine(grey, Observation(points, 1.0))
    return finder.track(grey, expected) or finder.start(grey, head)


def moved(pose: HeadPose, before: HeadBox, after: HeadBox) -> HeadPose:
    """The pose moved by the similarity from one head box to another."""
    angle = np.deg2rad(after.roll_deg - before.roll_deg)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    zoom = after.size_px / before.size_px
    shift = np.subtract(pose.shift_px, before.center_xy_px)
    place = zoom * turn[:2, :2] @ shift + np.array(after.center_xy_px)
    return HeadPose(turn @ pose.rotation, pose.scale_px * zoom, place)


def landmarks_of(model: FaceModel, face: FaceFit) -> Array:
    """(L, 2) float32 landmarks: the fitted model's points."""
    points = face.pose.project(model.vertices_of(face))[:, :2]
    out = points[MESH].astype(np.float32)  # the irises' rows follow
    for side, iris in (("left", 468), ("right", 473)):
        out[GROUPS[f"{side}_iris"][0]] = points[iris]
    return out


def is_reference(tracks: Tracks) -> bool:
    """Whether this frame is the one that the tracks refer to."""
    if tracks.keypoints is not None or len(tracks.xy_px) == 0:
        return True
    return bool((tracks.age == 0).all()) or np.array_equal(tracks.xy_px, tracks.reference_xy_px)


def with_face(tracks: Tracks, found: FaceStep, reference_landmarks: Array | None) -> Tracks:
    """The tracks with the fitted face, its rotation, and its landmarks where they fit.

    reference_landmarks: (L, 2) of the reference frame, or None when no face was fitted in it; then
    the tracker's own landmarks stay. A learned tracker's keypoints on lids and lips are moved to
    the landmarks.
    """
    face = found.face
    tracks = replace(
        tracks,
        face=face,
        rotation_deg=head_pose.angles_deg(face.pose.rotation),
        rotation_confidence=face.confidence,
    )
    points = with_landmarks(tracks.keypoints, tracks.keypoints_crop, found.landmarks_xy_px)
    tracks = replace(tracks, keypoints=points)
    if reference_landmarks is None:
        return tracks
    return replace(
        tracks,
        landmarks_xy_px=found.landmarks_xy_px,
        reference_landmarks_xy_px=reference_landmarks,
        landmarks_confidence=face.confidence,
    )


def with_landmarks(
    points: Keypoints | None, crop: Crop | None, landmarks_xy_px: Array
) -> Keypoints | None:
    """A learned tracker's keypoints with lids and lips at the landmarks (L, 2), in pixels."""
    if points is None or crop is None or len(points.xy_norm) != len(ANCHORS):
        return points
    own = geometry.norm_from_px(_AVERAGE @ landmarks_xy_px, crop)
    xy = np.where(WATCHED[:, None], own, points.xy_norm).astype(np.float32)
    return Keypoints(xy, points.jacobian, points.confidence)


def still_face(grey: Array, head: HeadBox, finder: PointFinder) -> tuple[FaceFit, Array] | None:
    """The fitted face in one picture, (H, W) uint8 grey, and its landmarks (L, 2) float32."""
    _, found = step(FaceState(), grey, head, finder)
    return None if found is None else (found.face, found.landmarks_xy_px)
