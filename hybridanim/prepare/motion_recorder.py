"""What stages 2 and 3 have seen of a driver -> a motion file.

The faces of the preview scan become possible reference frames: when the frame of one passes, the
corners of body and background are searched in it, as a run does for the reference that it chose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2

from hybridanim.config import PipelineConfig
from hybridanim.face import face_model
from hybridanim.io.timing import time_base_of
from hybridanim.motion.head_transfer import DriverFace
from hybridanim.motion.motion_file import (
    MOST_FACE_STRETCHES,
    MOST_FACES,
    MotionHeader,
    MotionWriter,
    ScannedFace,
)
from hybridanim.motion.reference import Reference, ReferencePose, completed, openings_of
from hybridanim.motion.sparse import Seen
from hybridanim.tracking import scene
from hybridanim.types import Array, Frame, Tracks

from . import driver_scan
from .driver_scan import FaceObservation, Observation
from .view import View


@dataclass
class _Face:
    """A face of the scan whose frame has passed."""

    seen: FaceObservation
    reference: Reference  # in the view's pixels
    grey: Array  # (H, W) uint8, its frame
    poses: list[ReferencePose] = field(default_factory=list)  # one for each stretch


@dataclass(frozen=True)
class _Begun:
    """The first frame of a stretch."""

    first: Reference
    scene: scene.SceneState
    tracks: Tracks


class MotionRecorder:
    """Records one video; a context manager whose end completes the file.

    It is left by KeyboardInterrupt with the frames that there are, by any other error without a
    file. ``is_empty``: no head was tracked, so that there is no file.
    """

    def __init__(
        self,
        path: str | Path,
        config: PipelineConfig,
        weights: str,
        fps: Fraction,
        time_base: Fraction | None = None,
        observations: Sequence[Observation] = (),
        *,
        overwrite: bool = False,
    ) -> None:
        """weights: SHA-256 of a detector of one's own, or "". observations: of the preview scan.

        Raises InputError where the file cannot be written.
        """
        expression = len(face_model.load().expression)
        self._writer = MotionWriter(path, expression, overwrite=overwrite)
        self._config, self._weights, self._fps = config, weights, fps
        self._time_base = time_base or time_base_of(fps)
        self._due = {one.index: one for one in observations if isinstance(one, FaceObservation)}
        self._first: Reference | None = None
        self._begun: list[_Begun] = []
        self._faces: list[_Face] = []
        self._view = (1, 1)
        self.is_open, self.is_empty = True, False

    @property
    def count(self) -> int:
        """Number of frames so far."""
        return self._writer.count

    def add(
        self,
        frame: Frame,
        tracks: Tracks,
        first: Reference | None,
        seen: Seen | None,
        found: scene.SceneState,
        view: View | None,
    ) -> None:
        """Add the next frame; first: the frame that its tracks refer to. found: stage 2's state."""
        self._view = frame.image.shape[1], frame.image.shape[0]
        if first is not None and first is not self._first:
            self._begin(first, found, tracks)
        self._writer.add(frame.time_s, seen)
        due = self._due.pop(frame.index, None)
        if due is not None and due.is_clear and view is not None and len(self._faces) < MOST_FACES:
            grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
            face = _Face(due, driver_scan.as_reference(due, view), grey)
            face.poses += [_pose(face, begun) for begun in self._begun]
            self._faces.append(face)

    def _begin(self, first: Reference, found: scene.SceneState, tracks: Tracks) -> None:
        self._first = first
        face = None if first.face is None else DriverFace.of(first.face, first.crop)
        self._writer.begin(first, face)
        if len(self._begun) < MOST_FACE_STRETCHES:
            self._begun.append(_Begun(first, found, tracks))
            for known in self._faces:
                known.poses.append(_pose(known, self._begun[-1]))

    def close(self) -> None:
        """Complete the file; InputError where it cannot be written."""
        if not self.is_open:
            return
        self.is_open = False
        header = MotionHeader(
            self._fps,
            self._time_base,
            self._view,
            tracker=self._config.tracker,
            weights=self._weights,
            settings=json.dumps({"tracker": self._config.tracker, **asdict(self._config.track)}),
        )
        self.is_empty = not self._writer.close(header, [_scanned(one) for one in self._faces])

    def discard(self) -> None:
        """Leave no file."""
        self.is_open = False
        self._writer.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()
        else:
            self.discard()


def _pose(face: _Face, begun: _Begun) -> ReferencePose:
    """The face as the reference of a stretch, with body and background where they are found."""
    found, here, there = None, begun.first.head, face.reference.head
    if begun.tracks.scene is not None and here is not None and there is not None:
        found = scene.elsewhere(begun.scene, face.grey, there, here)
    tracks = replace(begun.tracks, reference_scene=found)
    return completed(None, face.reference, begun.first, tracks)


def _scanned(face: _Face) -> ScannedFace:
    seen, head = face.seen, face.reference.head
    assert head is not None
    landmarks = seen.landmarks_xy_px
    return ScannedFace(
        seen.index,
        seen.time_s,
        seen.rotation_deg,
        None if landmarks is None else openings_of(landmarks),
        seen.is_whole,
        seen.keypoints is not None,
        head,
        face.poses[0].face if face.poses else None,
        tuple((pose.keypoints, pose.background) for pose in face.poses),
    )
