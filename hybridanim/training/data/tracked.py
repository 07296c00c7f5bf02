"""A clip's square frames -> keypoints as the program itself sees them, for training.

``classical`` runs stages 1 and 2 over every frame: anchors placed in the first frame with a
head and carried (``tracked``), and placed anew in every frame from its landmarks, as in a source
picture (``fitted``). ``detected`` lets a learned detector look at each frame.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hybridanim import geometry
from hybridanim.config import SegmentConfig, TrackConfig
from hybridanim.face.aligner import MEAN_SHAPE, Aligner
from hybridanim.face.anchors import ANCHORS
from hybridanim.motion import body, keypoints
from hybridanim.prepare.source import SURE
from hybridanim.segmentation import video
from hybridanim.tracking import classical as tracking
from hybridanim.tracking import learned, scene
from hybridanim.tracking.detection import Detector
from hybridanim.types import Array, Crop, Frame, HeadBox, Keypoints, Tracks

from .cache import BACKGROUND, FITTED, TRACKED, packed

_NOMINAL_FPS = 25


def classical(moving: Iterable[Array], aligner: Aligner) -> dict[str, Array]:
    """Tracked and fitted anchors of frames (S, S, 3) uint8 that follow each other.

    Each (N, K, 7), in the coordinates of the square frame; nan while the head is lost or its
    landmarks are doubtful. ``background``: (N, 1, 7) in the same form, how what is behind has moved
    since the first frame: x, y where the square's middle went, the linear part.
    """
    nothing = np.full((len(ANCHORS), 7), np.nan, np.float32)
    out: dict[str, list[Array]] = {TRACKED: [], FITTED: [], BACKGROUND: []}
    skin, state = video.initial_state(), tracking.initial_state()
    beside, behind = scene.SceneState(), None
    first: tuple[Keypoints, HeadBox] | None = None
    for i, image in enumerate(moving):
        frame, crop = Frame(image, i, i / _NOMINAL_FPS), geometry.whole(image)
        skin, mask = video.step(skin, frame, SegmentConfig(), None)
        state, tracks = tracking.step(
            state, frame, mask, TrackConfig(), None, camera=None, aligner=aligner
        )
        beside, tracks = scene.observed(beside, frame, tracks)
        rest = _rest(tracks, crop)
        if first is None and rest is not None and tracks.head is not None:
            first = rest, tracks.head
        carried = nothing
        if first is not None and tracks:
            now = keypoints.moved(tracks, *first, crop)
            if tracks.around is not None:
                now = body.with_body(now, *first, tracks.around, crop)
                found = body.background(now, *first, tracks.around, crop)
                behind = behind if found is None else found
            carried = packed(now)
        out[TRACKED].append(carried)
        out[FITTED].append(nothing if rest is None else packed(rest))
        out[BACKGROUND].append(_as_row(behind))
    return {name: np.array(rows) for name, rows in out.items()}


def _as_row(behind: Array | None) -> Array:
    """(1, 7) float32: the background's affine in the form of a keypoint."""
    if behind is None:
        return np.array([[0, 0, 1, 0, 0, 1, 0]], np.float32)
    return np.array([[*behind[:, 2], *behind[:, :2].ravel(), 1]], np.float32)


def detected(frames: Iterable[Array], detector: Detector) -> Array:
    """(N, K, 7) of a learned detector, as its tracker gives them; nan where it sees no head."""
    nothing = np.full((detector.count, 7), np.nan, np.float32)
    rows, state = [], learned.initial_state()
    for i, image in enumerate(frames):
        image = np.ascontiguousarray(image)
        state, tracks = learned.step(state, Frame(image, i, i / _NOMINAL_FPS), detector)
        if tracks and tracks.keypoints is not None and tracks.keypoints_crop is not None:
            whole = geometry.whole(image)
            found = keypoints.in_crop(tracks.keypoints, tracks.keypoints_crop, whole)
            rows.append(packed(found))
        else:
            rows.append(nothing)
    return np.array(rows)


def _rest(tracks: Tracks, crop: Crop) -> Keypoints | None:
    if not tracks or tracks.head is None or tracks.landmarks_xy_px is None:
        return None
    if tracks.landmarks_confidence < SURE:
        return None
    return keypoints.rest(tracks.head, tracks.landmarks_xy_px, MEAN_SHAPE, crop)
