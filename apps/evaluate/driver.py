"""A driving clip for cross-identity animation: where its face is, and what the judge sees of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hybridanim.errors import InputError
from hybridanim.evaluation.face_evaluator import Seen
from hybridanim.evaluation.scores import Judges
from hybridanim.face import aligner as alignment
from hybridanim.geometry import crop_image
from hybridanim.motion import keypoints
from hybridanim.prepare import driver_scan
from hybridanim.prepare import view as views
from hybridanim.types import Array, Crop, Frame, HeadBox

from .job import EvaluateJob
from .results import frames_of

_GLANCE_S = 0.4  # time between looks


@dataclass
class Driver:
    """A driving clip, looked through once however many sources it moves."""

    path: Path
    glances: list[driver_scan.FaceObservation]
    view: views.View
    crop: Crop  # framed like a source, about where the head mostly is
    size: int  # side of that square when it is judged
    _seen: dict[int, Seen | None] = field(default_factory=dict)
    _frame: Frame | None = None

    def cut(self, image: Array) -> Array:
        """The square round the head, (size, size, 3) uint8."""
        return crop_image(image, self.crop, self.size)

    def look(self, index: int, image: Array, judges: Judges) -> Seen | None:
        """The face of a frame, kept for the next source."""
        if index not in self._seen:
            self._seen[index] = judges.look(self.cut(image))
        return self._seen[index]

    def frame(self, index: int, job: EvaluateJob) -> Frame:
        """One frame, read again unless it was the last one asked for."""
        if self._frame is None or self._frame.index != index:
            self._frame = next(f for f in frames_of(self.path, job) if f.index == index)
        return self._frame


def look_through(path: Path, job: EvaluateJob) -> Driver:
    """Glances at a driver; InputError when no face is found in it."""
    found, due, size, aligner = [], 0.0, (1, 1), alignment.load()
    for frame in frames_of(path, job):
        size = frame.image.shape[:2]
        if frame.time_s >= due:
            seen = driver_scan.detect(frame.image, frame.index, frame.time_s, aligner)
            found += [seen] if seen else []
            due = frame.time_s + _GLANCE_S
    clear = [one for one in found if one.landmarks_xy_px is not None]
    if not clear:
        raise InputError(f"driver {path.name}: expected a face, found none; take the clip out")
    x, y, head_px = np.median([(*one.head.center_xy_px, one.head.size_px) for one in clear], axis=0)
    crop = keypoints.crop_around(HeadBox((float(x), float(y)), float(head_px)))
    view = views.view_around_faces([one.face for one in found], *size)
    return Driver(path, found, view, crop, job.size)
