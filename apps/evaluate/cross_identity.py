"""One source and another person's clip -> metric values of the animation by every method.

As in the product, motion is relative to the driving frame whose pose is nearest to the source's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.evaluation import cross_identity, metrics
from hybridanim.evaluation.face_evaluator import FaceMeasurement
from hybridanim.evaluation.scores import Evaluators, Score
from hybridanim.evaluation.strip import Candidates, face_changes
from hybridanim.face import aligner
from hybridanim.geometry import crop_image
from hybridanim.motion import keypoints
from hybridanim.prepare import driver_scan
from hybridanim.prepare.view import View, view_around_faces
from hybridanim.types import Array, Crop, Frame, HeadBox, Source

from .job import EvaluateJob
from .methods import MethodRunner
from .results import ClipResult, add_faces, frames_of, select_frame

_SCAN_INTERVAL_S = 0.4


@dataclass
class Driver:
    """A driving clip, scanned once for all sources that it moves."""

    path: Path
    observations: list[driver_scan.FaceObservation]
    view: View
    crop: Crop  # framed like a source, round the median place of the head
    size: int  # side in pixels of that square when it is measured
    _seen: dict[int, FaceMeasurement | None] = field(default_factory=dict)
    _frame: Frame | None = None

    def cut(self, image: Array) -> Array:
        """The square round the head, (size, size, 3) uint8."""
        return crop_image(image, self.crop, self.size)

    def detect(self, index: int, image: Array, evaluators: Evaluators) -> FaceMeasurement | None:
        """The face of a frame; it is kept for the next source."""
        if index not in self._seen:
            self._seen[index] = evaluators.detect(self.cut(image))
        return self._seen[index]

    def frame(self, index: int, job: EvaluateJob) -> Frame:
        """One frame of the clip; the last one is kept."""
        if self._frame is None or self._frame.index != index:
            self._frame = next(f for f in frames_of(self.path, job) if f.index == index)
        return self._frame


def scan_driver(path: Path, job: EvaluateJob) -> Driver:
    """Find the head at intervals of _SCAN_INTERVAL_S; InputError when the clip shows no face."""
    found, due, size, loaded = [], 0.0, (1, 1), aligner.load()
    for frame in frames_of(path, job):
        size = frame.image.shape[:2]
        if frame.time_s >= due:
            seen = driver_scan.detect(frame.image, frame.index, frame.time_s, loaded)
            found += [seen] if seen else []
            due = frame.time_s + _SCAN_INTERVAL_S
    clear = [one for one in found if one.landmarks_xy_px is not None]
    if not clear:
        raise InputError(f"driver {path.name}: expected a face, found none; take the clip out")
    x, y, head_px = np.median([(*one.head.center_xy_px, one.head.size_px) for one in clear], axis=0)
    crop = keypoints.crop_around(HeadBox((float(x), float(y)), float(head_px)))
    view = view_around_faces([one.face for one in found], *size)
    return Driver(path, found, view, crop, job.size)


@dataclass(frozen=True)
class _Pair:
    """What is the same for all frames of a pair."""

    driver: Driver
    source: Source
    still: Array
    source_face: FaceMeasurement | None
    embedding: Array | None
    reference: FaceMeasurement | None  # the driver's face at the reference frame


def animate(
    picture: Path, driver: Driver, job: EvaluateJob, runner: MethodRunner, evaluators: Evaluators
) -> ClipResult:
    """Animate the source by every frame of the driver, and measure the results."""
    source = runner.set_source(
        io.read_source_picture(picture), "none" if job.crop == "none" else "auto"
    )
    if source is None:
        raise InputError("evaluate --cross: expected a method beside copy; add classical+warp")
    chosen = driver_scan.nearest(driver.observations, source)
    assert chosen is not None  # scan_driver has refused the others
    runner.set_view(driver.view)
    start = driver.frame(chosen.index, job)
    runner.set_reference(start)
    pair = _prepared(source, driver, start, evaluators)
    name, scores = f"{picture.stem} < {driver.path.stem}", {m.name: Score() for m in runner.methods}
    result = ClipResult(name, 0, scores, Candidates(name), source.image, pair.source_face)
    for frame in frames_of(driver.path, job):
        followed = runner.track(frame.image, frame.time_s)
        is_measured, is_neighbour = select_frame(frame.index, job.every)
        if not (is_measured or is_neighbour):
            continue
        pictures = runner.render(followed, source.image)
        now = driver.detect(frame.index, frame.image, evaluators)
        if is_measured:
            result.frames += 1
            _measure(result, frame, now, pictures, pair, evaluators)
            result.add_times(runner.times_ms)
        else:
            add_faces(result, frame.index, now, pictures, evaluators, _scale(pair))
    return result.finished()


def _prepared(source: Source, driver: Driver, start: Frame, evaluators: Evaluators) -> _Pair:
    face, embedding = evaluators.detect(source.image), None
    if face is not None and evaluators.face is not None:
        embedding = evaluators.face.embedding(source.image, face.five_xy_px)
    reference = driver.detect(start.index, start.image, evaluators)
    still = cross_identity.background(source)
    return _Pair(driver, source, still, face, embedding, reference)


def _measure(
    result: ClipResult,
    frame: Frame,
    now: FaceMeasurement | None,
    pictures: dict[str, Array],
    pair: _Pair,
    evaluators: Evaluators,
) -> None:
    values: dict[str, dict[str, float]] = {}
    for name, picture in pictures.items():
        result_face = result.detect(picture, evaluators)
        found = cross_identity.compare_background(pair.source.image, picture, pair.still)
        found["sharpness"] = metrics.sharpness(pair.source.image, picture)
        if pair.source_face is not None and pair.embedding is not None:
            found |= cross_identity.compare_identity(
                pair.embedding, picture, result_face, evaluators
            )
            if now is not None and pair.reference is not None:
                found |= cross_identity.compare_pose(
                    pair.source_face, result_face, pair.reference, now
                )
        values[name] = found
        result.scores[name].add(found)
        result.scores[name].add_faces(frame.index, result_face, now, _scale(pair))
    cells = (pair.source.image, pair.driver.cut(frame.image), *pictures.values())
    result.candidates.add(frame.index, face_changes(pair.reference, now, 0.0), cells, values)


def _scale(pair: _Pair) -> float:
    """Pixels of the result per pixel of the measured driver, by the distance of the eyes."""
    if pair.source_face is None or pair.reference is None:
        return 1.0
    return pair.source_face.eye_distance_px / pair.reference.eye_distance_px
