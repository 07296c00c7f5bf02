"""The result of a clip or pair; all results -> JSON, with what is worth knowing about the run."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from hybridanim import __version__, files, io, paths
from hybridanim.evaluation.face_evaluator import FaceMeasurement
from hybridanim.evaluation.scores import Evaluators, Score, pooled
from hybridanim.evaluation.strip import Candidates
from hybridanim.io import provenance
from hybridanim.text import encoded
from hybridanim.types import Array, Frame

from .job import EvaluateJob, measures_faces
from .methods import Method

SCHEMA = 3
DEFINITIONS = {
    False: "source = frame 0, absolute motion, every frame the truth of its result",
    True: "source and driver are different people; relative motion from a reference frame",
}
_NEIGHBOURS_EVERY = 3  # jitter: both neighbours of every third measured frame are measured too


@dataclass
class ClipResult:
    """The result of one clip or pair, as a worker process returns it."""

    name: str
    frames: int = 0  # measured
    scores: dict[str, Score] = field(default_factory=dict)
    candidates: Candidates = field(default_factory=Candidates)
    source: Array | None = None  # in the square that is measured
    source_face: FaceMeasurement | None = None
    failure: str = ""  # why it was left out, or ""

    def detect(
        self, picture: Array, evaluators: Evaluators, stream: str = ""
    ) -> FaceMeasurement | None:
        """The face of a result; the source's own is not measured again.

        stream: see FaceEvaluator.detect.
        """
        return self.source_face if picture is self.source else evaluators.detect(picture, stream)

    def add_times(self, times_ms: dict[str, dict[str, float]]) -> None:
        """Add the times of this frame by method, in ms."""
        for name, times in times_ms.items():
            self.scores[name].add(times)

    def finished(self) -> ClipResult:
        """The same without what only a running clip needs; small enough to send."""
        self.scores = {name: score.finished() for name, score in self.scores.items()}
        self.source = self.source_face = None
        return self


def frames_of(clip: Path, job: EvaluateJob) -> Iterator[Frame]:
    """The frames of a clip, at most ``job.frames``."""
    with io.open_source(clip) as reader:
        for frame in reader:
            if frame.index >= job.frames:
                return
            yield frame


def select_frame(index: int, every: int) -> tuple[bool, bool]:
    """Whether a frame is measured, and whether only its landmarks are (for the jitter)."""
    if index % every == 0:
        return True, False
    step = every * _NEIGHBOURS_EVERY if every > 2 else every
    return False, (index + 1) % step == 0 or (index - 1) % step == 0


def add_faces(
    result: ClipResult,
    index: int,
    driver: FaceMeasurement | None,
    pictures: dict[str, Array],
    evaluators: Evaluators,
) -> None:
    """Add the faces of a frame of which nothing else is measured."""
    for name, picture in pictures.items():
        result.scores[name].add_faces(index, result.detect(picture, evaluators), driver)


def to_json(
    job: EvaluateJob,
    methods: tuple[Method, ...],
    results: list[ClipResult],
    is_interrupted: bool,
    notes: list[str],
) -> dict[str, Any]:
    """All metric values and the settings of the run, as plain JSON values."""
    whole = [r for r in results if not r.failure]
    names = [method.name for method in methods]
    has_judge = job.networks is not None or job.mesh_environment is not None
    has_judge = has_judge and measures_faces(job)
    return {
        "schema": SCHEMA,
        "kind": "cross-identity" if job.cross else "reconstruction",
        "definition": DEFINITIONS[job.cross],
        "clips": len(whole),
        "frames": sum(r.frames for r in whole),
        "interrupted": is_interrupted,
        "methods": {n: pooled([r.scores[n] for r in whole]) for n in names} if whole else {},
        "per_clip": {
            r.name: {"frames": r.frames} | {n: pooled([r.scores[n]]) for n in names} for r in whole
        },
        "skipped": [f"{r.name}: {r.failure}" for r in results if r.failure],
        "not_measured": notes + (_faceless(methods, whole) if has_judge else []),
        "settings": provenance.to_json(job),
        "weights": weights_used(methods),
        "versions": versions(),
    }


def _faceless(methods: tuple[Method, ...], results: list[ClipResult]) -> list[str]:
    """One line that names the clips in which no face was found."""
    if any(method.is_object for method in methods):
        return []
    names = [
        r.name for r in results if not any(s.driver_faces or s.judged for s in r.scores.values())
    ]
    return [f"face metrics not measured, no face found: {', '.join(names)}"] if names else []


def write_json(path: Path, result: dict[str, Any], *, overwrite: bool = False) -> None:
    """Write the JSON file completely or not at all; InputError where it cannot be written."""
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    paths.write_whole("--json", path, encoded(text), overwrite=overwrite)


def weights_used(methods: tuple[Method, ...]) -> dict[str, str]:
    """sha256 of every weights file that the methods read, by name."""
    own = {method.weights for method in methods if method.weights}
    own |= set(files.WEIGHTS.glob("*.safetensors"))
    return {file.name: files.sha256(file) for file in sorted(own)}


def versions() -> dict[str, str | None]:
    """Versions of this package and of those that compute."""
    names = ("numpy", "opencv-contrib-python", "torch", "openvino", "lpips", "torchmetrics")
    found: dict[str, str | None] = {"hybridanim": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found | {"commit": provenance.git_commit()}
