"""A clip -> the anchors as the program's own tracker sees them: what a network meets at run time.

Stages 1 and 2 follow the head through every frame of the clip; the anchors are placed in the first
frame with a head and carried (``tracked``), and placed anew in every frame from its landmarks, as
in a source picture (``fitted``). Both are in the coordinates of the whole square frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import geometry, segmentation, sparse_motion, tracking
from ..alignment import MEAN_SHAPE, Aligner
from ..anchors import ANCHORS
from ..config import SegmentConfig, TrackConfig
from ..landmarks.teacher import frames_of
from ..source import SURE
from ..types import Array, Crop, Frame, HeadBox, Keypoints, Tracks
from .data_cache import packed

_NOMINAL_FPS = 25


class ClipTracker:
    """Gives the two keypoint sets of a clip, tracking it once."""

    def __init__(self, aligner: Aligner) -> None:
        self._aligner = aligner
        self._last: tuple[Path, dict[str, Array]] | None = None

    def tracked(self, clip: Path, numbers: Sequence[int], frames: Array) -> Array:
        """(N, K, 7) anchors carried from the first frame; nan while the head is lost."""
        return self._both(clip)["tracked"][list(numbers)]

    def fitted(self, clip: Path, numbers: Sequence[int], frames: Array) -> Array:
        """(N, K, 7) anchors from each frame's own landmarks; nan where they are doubtful."""
        return self._both(clip)["fitted"][list(numbers)]

    def _both(self, clip: Path) -> dict[str, Array]:
        if self._last is None or self._last[0] != clip:
            self._last = clip, self._track(clip)
        return self._last[1]

    def _track(self, clip: Path) -> dict[str, Array]:
        nothing = np.full((len(ANCHORS), 7), np.nan, np.float32)
        out: dict[str, list[Array]] = {"tracked": [], "fitted": []}
        skin, state = segmentation.initial_state(), tracking.initial_state()
        first: tuple[Keypoints, HeadBox] | None = None
        for i, image in enumerate(frames_of(clip)):
            frame, crop = Frame(image, i, i / _NOMINAL_FPS), _square(image)
            skin, mask = segmentation.step(skin, frame, SegmentConfig(), None)
            state, tracks = tracking.step(
                state, frame, mask, TrackConfig(), None, camera=None, aligner=self._aligner
            )
            rest = _rest(tracks, crop)
            if first is None and rest is not None and tracks.head is not None:
                first = rest, tracks.head
            carried = nothing
            if first is not None and tracks:
                carried = packed(sparse_motion.moved(tracks, *first, crop))
            out["tracked"].append(carried)
            out["fitted"].append(nothing if rest is None else packed(rest))
        return {name: np.array(rows) for name, rows in out.items()}


def _square(image: Array) -> Crop:
    """The middle square, as the cache cuts it."""
    height, width = image.shape[:2]
    side = min(height, width)
    crop = Crop((width - side) // 2, (height - side) // 2, float(side))
    return crop if side < max(height, width) else geometry.whole(image)


def _rest(tracks: Tracks, crop: Crop) -> Keypoints | None:
    if not tracks or tracks.head is None or tracks.landmarks_xy_px is None:
        return None
    if tracks.landmarks_confidence < SURE:
        return None
    return sparse_motion.rest(tracks.head, tracks.landmarks_xy_px, MEAN_SHAPE, crop)
