"""One source and another person's clip -> metric values of the animation by every method.

As in the product, motion is relative to the driving frame whose pose is nearest to the source's,
unless the first one is asked for. Figures of faces are those of hybridanim.evaluation.judge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from apps.sources import source_picture
from hybridanim.errors import InputError
from hybridanim.evaluation import cross_identity, metrics
from hybridanim.evaluation.face_evaluator import FaceMeasurement
from hybridanim.evaluation.judge import PairRecord, face_sharpness
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
from .results import ClipResult, frames_of, select_frame

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
            self._seen[index] = evaluators.detect(self.cut(image), "driver")
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
    """What is the same for all frames of a pair, and what each method's results were measured."""

    driver: Driver
    source: Source
    still: Array
    source_face: FaceMeasurement | None
    embedding: Array | None
    reference: FaceMeasurement | None  # the driver's face at the reference frame
    records: dict[str, PairRecord]


def animate(
    picture: Path, driver: Driver, job: EvaluateJob, runner: MethodRunner, evaluators: Evaluators
) -> ClipResult:
    """Animate the source by every frame of the driver, and measure the results."""
    source = runner.set_source(source_picture(picture), "none" if job.crop == "none" else "auto")
    if source is None:
        raise InputError("evaluate --cross: expected a method beside copy; add classical+warp")
    runner.set_view(driver.view)
    start = start_frame(source, driver, job)
    if job.reference == "nearest":  # without a call, the first frame is the reference
        runner.set_reference(start)
    names = [method.name for method in runner.methods]
    pair = _prepared(source, driver, start, names, evaluators)
    name, scores = f"{picture.stem} < {driver.path.stem}", {n: Score() for n in names}
    result = ClipResult(name, 0, scores, Candidates(name), source.image, pair.source_face)
    for frame in frames_of(driver.path, job):
        followed = runner.track(frame.image, frame.time_s)
        is_measured, is_neighbour = select_frame(frame.index, job.every)
        if not (is_measured or is_neighbour):
            continue
        pictures = runner.render(followed, source.image)
        now = driver.detect(frame.index, frame.image, evaluators)
        faces = {n: result.detect(p, evaluators, f"result {n}") for n, p in pictures.items()}
        for method, face in faces.items():
            pair.records[method].add(frame.index, _mesh(now), _mesh(face))
        if is_measured:
            result.frames += 1
            _measure(result, frame, now, pictures, faces, pair, evaluators)
            result.add_times(runner.times_ms)
    for method, record in pair.records.items():
        scores[method].judged = record.figures()
    return result.finished()


def start_frame(source: Source, driver: Driver, job: EvaluateJob) -> Frame:
    """The driving frame that means "no motion"."""
    if job.reference == "first":
        return driver.frame(0, job)
    chosen = driver_scan.nearest(driver.observations, source)
    assert chosen is not None  # scan_driver has refused the others
    return driver.frame(chosen.index, job)


def _prepared(
    source: Source, driver: Driver, start: Frame, methods: list[str], evaluators: Evaluators
) -> _Pair:
    sharpness, embedding = float("nan"), None
    if evaluators.face is not None:
        evaluators.face.begin_pair()
    face = evaluators.detect(source.image)
    if face is not None and evaluators.face is not None:
        embedding = evaluators.face.embedding(source.image, face.five_xy_px)
        sharpness = face_sharpness(source.image, face.mesh_xy_px)
    reference = evaluators.detect(driver.cut(start.image))
    still = cross_identity.background(source)
    records = {name: PairRecord(sharpness) for name in methods}
    return _Pair(driver, source, still, face, embedding, reference, records)


def _mesh(face: FaceMeasurement | None) -> Array | None:
    return None if face is None else face.mesh_xyz_px


def _measure(
    result: ClipResult,
    frame: Frame,
    now: FaceMeasurement | None,
    pictures: dict[str, Array],
    faces: dict[str, FaceMeasurement | None],
    pair: _Pair,
    evaluators: Evaluators,
) -> None:
    shown: dict[str, dict[str, float]] = {}
    for name, picture in pictures.items():
        face, record = faces[name], pair.records[name]
        found = cross_identity.compare_background(pair.source.image, picture, pair.still)
        found["sharpness"] = metrics.sharpness(pair.source.image, picture)
        own: dict[str, float] = {}  # for the strip: the means are those of the pair's record
        if pair.embedding is not None:
            own = cross_identity.compare_identity(pair.embedding, picture, face, evaluators)
        if face is not None:
            record.sharpness.append(face_sharpness(picture, face.mesh_xy_px))
        if "csim" in own:
            record.csim.append(own["csim"])
            found["aed"] = own["aed"]
        if pair.source_face is not None and pair.reference is not None and now is not None:
            own |= cross_identity.compare_pose(pair.source_face, face, pair.reference, now)
        result.scores[name].add(found)
        shown[name] = found | own
    cells = (pair.source.image, pair.driver.cut(frame.image), *pictures.values())
    result.candidates.add(frame.index, face_changes(pair.reference, now, 0.0), cells, shown)
