"""One source and another person's clip -> figures of the animation, by every method at once.

As the product runs: relative motion, measured from the driving frame posed most like the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.evaluation import cross_identity, metrics
from hybridanim.evaluation.face_evaluator import Seen
from hybridanim.evaluation.scores import Judges, Score
from hybridanim.evaluation.strip import Gallery, amounts
from hybridanim.face import aligner as alignment
from hybridanim.geometry import crop_image
from hybridanim.motion import keypoints
from hybridanim.prepare import driver_scan
from hybridanim.prepare import view as views
from hybridanim.types import Array, Crop, Frame, HeadBox, Source

from .job import EvaluateJob
from .methods import Ways
from .results import ClipResult, beside, frames_of, wanted

_GLANCE_S = 0.4  # time between looks


@dataclass
class Driver:
    """A driving clip, looked through once however many sources it moves."""

    path: Path
    glances: list[driver_scan.Glance]
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
            seen = driver_scan.glance(frame.image, frame.index, frame.time_s, aligner)
            found += [seen] if seen else []
            due = frame.time_s + _GLANCE_S
    clear = [one for one in found if one.landmarks_xy_px is not None]
    if not clear:
        raise InputError(f"driver {path.name}: expected a face, found none; take the clip out")
    x, y, head_px = np.median([(*one.head.center_xy_px, one.head.size_px) for one in clear], axis=0)
    crop = keypoints.crop_around(HeadBox((float(x), float(y)), float(head_px)))
    view = views.view_of_faces([one.face for one in found], *size)
    return Driver(path, found, view, crop, job.size)


@dataclass(frozen=True)
class _Pair:
    """What stays the same over a pair's frames."""

    driver: Driver
    source: Source
    still: Array
    seen: Seen | None  # the source
    embedding: Array | None
    reference: Seen | None  # the driver at the reference frame


def animate(
    picture: Path, driver: Driver, job: EvaluateJob, ways: Ways, judges: Judges
) -> ClipResult:
    """Move the source by every frame of the driver, and measure."""
    source = ways.start(_picture(picture), "none" if job.crop == "none" else "auto")
    if source is None:
        raise InputError("evaluate --cross: expected a method beside copy; add classical+warp")
    chosen = driver_scan.nearest(driver.glances, source)
    assert chosen is not None  # look_through has refused the others
    ways.frame(driver.view)
    start = driver.frame(chosen.index, job)
    ways.refer_to(start)
    pair = _prepared(source, driver, start, judges)
    name, scores = f"{picture.stem} < {driver.path.stem}", {m.name: Score() for m in ways.methods}
    result = ClipResult(name, 0, scores, Gallery(name), source.image, pair.seen)
    for frame in frames_of(driver.path, job):
        followed = ways.follow(frame.image, frame.time_s)
        is_measured, is_beside = wanted(frame.index, job.every)
        if not (is_measured or is_beside):
            continue
        pictures = ways.render(followed, source.image)
        now = driver.look(frame.index, frame.image, judges)
        if is_measured:
            result.frames += 1
            _measure(result, frame, now, pictures, pair, judges)
            result.put_times(ways.times_ms)
        else:
            beside(result, frame.index, now, pictures, judges, _scale(pair))
    return result.closed()


def _prepared(source: Source, driver: Driver, start: Frame, judges: Judges) -> _Pair:
    seen, embedding = judges.look(source.image), None
    if seen is not None and judges.face is not None:
        embedding = judges.face.embedding(source.image, seen.five_xy_px)
    reference = driver.look(start.index, start.image, judges)
    still = cross_identity.background(source)
    return _Pair(driver, source, still, seen, embedding, reference)


def _measure(
    result: ClipResult,
    frame: Frame,
    now: Seen | None,
    pictures: dict[str, Array],
    pair: _Pair,
    judges: Judges,
) -> None:
    figures: dict[str, dict[str, float]] = {}
    for name, picture in pictures.items():
        own = result.look(picture, judges)
        found = cross_identity.compare_background(pair.source.image, picture, pair.still)
        found["sharpness"] = metrics.sharpness(pair.source.image, picture)
        if pair.seen is not None and pair.embedding is not None:
            found |= cross_identity.compare(pair.embedding, picture, own, judges)
            if now is not None and pair.reference is not None:
                found |= cross_identity.compare_pose(pair.seen, own, pair.reference, now)
        figures[name] = found
        result.scores[name].put(found)
        result.scores[name].follow(frame.index, own, now, _scale(pair))
    cells = (pair.source.image, pair.driver.cut(frame.image), *pictures.values())
    result.gallery.offer(frame.index, amounts(pair.reference, now, 0.0), cells, figures)


def _scale(pair: _Pair) -> float:
    """Pixels of the result per pixel of the judged driver, by the distance of the eyes."""
    if pair.seen is None or pair.reference is None:
        return 1.0
    return pair.seen.eye_distance_px / pair.reference.eye_distance_px


def _picture(path: Path) -> Array:
    """A picture, or the first frame of a video."""
    if io.is_picture(path):
        return io.read_picture(path)
    with io.open_source(path) as reader:
        for frame in reader:
            return frame.image
    raise InputError(f"source {path.name}: expected a picture or a video, found no frame")
