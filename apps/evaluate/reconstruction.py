"""One clip -> its figures: reconstruction from its first frame, by every method at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.evaluation.metrics import Stillness, l1
from hybridanim.evaluation.scores import Judges, Score, compare, truth_of
from hybridanim.evaluation.strip import Gallery, amounts
from hybridanim.prepare import driver_scan, view
from hybridanim.types import Array, Crop, FaceBox

from .job import EvaluateJob
from .methods import Ways
from .results import ClipResult, beside, frames_of, wanted

_GLANCES = 25  # of a clip whose part has to be chosen: frames between looks for the face


def reconstruct(clip: Path, job: EvaluateJob, ways: Ways, judges: Judges) -> ClipResult:
    """Animate frame 0 by every other frame, and compare; InputError where that cannot be done."""
    first = next(frames_of(clip, job), None)
    if first is None:
        raise InputError("expected frames, found none; take the clip out")
    height, width = first.image.shape[:2]
    crop_option = ("none" if height == width else "auto") if job.crop == "fit" else job.crop
    source = ways.start(first.image, crop_option)
    square = source.crop if source else Crop(0.0, 0.0, float(max(height, width)))
    still, count, faces = _looked_through(clip, job, square, height != width)
    ways.frame(view.view_around_faces(faces, height, width) if faces else None, square)
    copy = _cut(first.image, square, job.size)
    scores = {method.name: Score() for method in ways.methods}
    result = ClipResult(clip.name, 0, scores, Gallery(clip.stem), copy, judges.look(copy))
    for frame in frames_of(clip, job):
        followed = ways.follow(frame.image, frame.time_s)
        is_measured, is_beside = wanted(frame.index, job.every)
        if frame.index == 0 or not (is_measured or is_beside):
            continue
        image, pictures = _cut(frame.image, square, job.size), ways.render(followed, copy)
        if is_measured:
            result.frames += 1
            _measure(result, frame.index, image, pictures, still, judges)
            result.put_times(ways.times_ms)
        elif judges.face is not None:
            beside(result, frame.index, judges.look(image), pictures, judges)
    if not result.frames:
        raise InputError(
            f"expected more than --every {job.every} frames, got {count}; lower it, or take the"
            " clip out"
        )
    return result.closed()


def _measure(
    result: ClipResult,
    index: int,
    image: Array,
    pictures: dict[str, Array],
    still: Array,
    judges: Judges,
) -> None:
    truth = truth_of(image, still, judges)
    figures: dict[str, dict[str, float]] = {}
    for name, picture in pictures.items():
        own = result.look(picture, judges)
        figures[name] = compare(truth, picture, own, judges)
        score = result.scores[name]
        score.put(figures[name])
        score.follow(index, own, truth.seen)
        features = judges.perceptual.features(picture)
        if features is not None and truth.features is not None:
            score.features.append((truth.features, features))
    assert result.source is not None
    apart = amounts(result.source_seen, truth.seen, l1(result.source, image))
    cells = (result.source, image, *pictures.values())
    result.gallery.offer(index, apart, cells, figures)


def _looked_through(
    clip: Path, job: EvaluateJob, square: Crop, has_room: bool
) -> tuple[Array, int, list[FaceBox]]:
    """Pixels that stay still, the number of frames, and (with room round the square) faces."""
    still, count, faces = Stillness(), 0, []
    for frame in frames_of(clip, job):
        still.add(_cut(frame.image, square, job.size))
        count += 1
        if has_room and frame.index % _GLANCES == 0:
            seen = driver_scan.detect(frame.image, frame.index, frame.time_s, None)
            faces += [seen.face] if seen else []
    return still.mask(), count, faces


def _cut(image: Array, square: Crop, size: int) -> Array:
    if image.shape[:2] == (size, size) and square == Crop(0.0, 0.0, float(size)):
        return np.ascontiguousarray(image)
    return geometry.crop_image(image, square, size)
