"""One clip -> metric values of its reconstruction from its first frame by every method."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.evaluation.metrics import StaticPixels, l1
from hybridanim.evaluation.scores import Evaluators, Score, build_truth, compare
from hybridanim.evaluation.strip import Candidates, face_changes
from hybridanim.prepare import driver_scan, view
from hybridanim.types import Array, Crop, FaceBox

from .job import EvaluateJob
from .methods import MethodRunner
from .results import ClipResult, add_faces, frames_of, select_frame

_SCAN_EVERY = 25  # frames between two searches for the face, in a clip that is not square


def reconstruct(
    clip: Path, job: EvaluateJob, runner: MethodRunner, evaluators: Evaluators
) -> ClipResult:
    """Animate frame 0 by every other frame and compare; InputError for an unusable clip."""
    first = next(frames_of(clip, job), None)
    if first is None:
        raise InputError("expected frames, found none; take the clip out")
    height, width = first.image.shape[:2]
    crop_option = ("none" if height == width else "auto") if job.crop == "fit" else job.crop
    source = runner.set_source(first.image, crop_option)
    square = source.crop if source else Crop(0.0, 0.0, float(max(height, width)))
    still, count, faces = _scan_clip(clip, job, square, height != width)
    runner.set_view(view.view_around_faces(faces, height, width) if faces else None, square)
    copy = _cut(first.image, square, job.size)
    scores = {method.name: Score() for method in runner.methods}
    result = ClipResult(clip.name, 0, scores, Candidates(clip.stem), copy, evaluators.detect(copy))
    for frame in frames_of(clip, job):
        followed = runner.track(frame.image, frame.time_s)
        is_measured, is_neighbour = select_frame(frame.index, job.every)
        if frame.index == 0 or not (is_measured or is_neighbour):
            continue
        image, pictures = _cut(frame.image, square, job.size), runner.render(followed, copy)
        if is_measured:
            result.frames += 1
            _measure(result, frame.index, image, pictures, still, evaluators)
            result.add_times(runner.times_ms)
        elif evaluators.face is not None:
            add_faces(result, frame.index, evaluators.detect(image), pictures, evaluators)
    if not result.frames:
        raise InputError(
            f"expected more than --every {job.every} frames, got {count}; lower it, or take the"
            " clip out"
        )
    return result.finished()


def _measure(
    result: ClipResult,
    index: int,
    image: Array,
    pictures: dict[str, Array],
    still: Array,
    evaluators: Evaluators,
) -> None:
    truth = build_truth(image, still, evaluators)
    values: dict[str, dict[str, float]] = {}
    for name, picture in pictures.items():
        result_face = result.detect(picture, evaluators)
        values[name] = compare(truth, picture, result_face, evaluators)
        score = result.scores[name]
        score.add(values[name])
        score.add_faces(index, result_face, truth.face)
        features = evaluators.perceptual.features(picture)
        if features is not None and truth.features is not None:
            score.features.append((truth.features, features))
    assert result.source is not None
    changes = face_changes(result.source_face, truth.face, l1(result.source, image))
    cells = (result.source, image, *pictures.values())
    result.candidates.add(index, changes, cells, values)


def _scan_clip(
    clip: Path, job: EvaluateJob, square: Crop, has_room: bool
) -> tuple[Array, int, list[FaceBox]]:
    """Static pixels, the number of frames, and (with room round the square) the faces."""
    still, count, faces = StaticPixels(), 0, []
    for frame in frames_of(clip, job):
        still.add(_cut(frame.image, square, job.size))
        count += 1
        if has_room and frame.index % _SCAN_EVERY == 0:
            seen = driver_scan.detect(frame.image, frame.index, frame.time_s, None)
            faces += [seen.face] if seen else []
    return still.mask(), count, faces


def _cut(image: Array, square: Crop, size: int) -> Array:
    if image.shape[:2] == (size, size) and square == Crop(0.0, 0.0, float(size)):
        return np.ascontiguousarray(image)
    return geometry.crop_image(image, square, size)
