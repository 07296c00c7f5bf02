"""Clips and their labels -> each tracker's face beside the teacher's, frame by frame.

Each tracker runs stages 1 and 2 as in a run, on the view round the clip's faces.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim import io
from hybridanim.config import pipeline_config
from hybridanim.errors import InputError
from hybridanim.evaluation import landmark_errors
from hybridanim.evaluation.landmark_errors import Comparison, Reading
from hybridanim.face import mesh_labels
from hybridanim.prepare import driver_scan
from hybridanim.prepare.view import View, view_around_faces
from hybridanim.types import Array
from stages.pipeline import build

from .landmarks_job import LandmarksJob

_SCAN_INTERVAL_S = 0.4


@dataclass(frozen=True)
class LabelledClip:
    """A clip and its labels."""

    clip: Path
    labels: Path

    @property
    def name(self) -> str:
        """As in the results."""
        return self.clip.name


@dataclass(frozen=True)
class ClipErrors:
    """What was measured on one clip, by tracker; or why it was left out."""

    name: str
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    failure: str = ""


class LandmarksWorker:
    """Measures clips with pipelines that are loaded once."""

    def __init__(self, job: LandmarksJob) -> None:
        self._frames = job.frames
        options: dict[str, Any] = {"renderer": "warp", "networks": asdict(job.networks_run)}
        if job.weights is not None:
            options["weights"] = job.weights
        self._pipelines = {
            name: build(pipeline_config(options | {"tracker": name})) for name in job.trackers
        }

    def __call__(self, task: LabelledClip) -> ClipErrors:
        """Measure one clip; the result of an unusable one holds the reason."""
        try:
            labels = mesh_labels.read(task.labels)
            return ClipErrors(task.name, self._compare(task.clip, labels))
        except InputError as error:
            return ClipErrors(task.name, failure=str(error))

    def _compare(self, clip: Path, labels: Array) -> dict[str, Comparison]:
        view = self._view(clip)
        for pipeline in self._pipelines.values():
            pipeline.reset()
            pipeline.set_view(view)
        readings: dict[str, list[Reading]] = {name: [] for name in self._pipelines}
        count = 0
        with io.open_source(clip) as reader:
            for frame in reader:
                if frame.index == self._frames:
                    break
                count += 1
                for name, pipeline in self._pipelines.items():
                    tracks = pipeline.observe(frame.image, frame.time_s)
                    readings[name].append(landmark_errors.read_tracks(tracks))
        if count != min(len(labels), self._frames):
            raise InputError(
                f"labels: expected those of its {count} frames, got {len(labels)}; label it again"
            )
        seen = labels_in_view(labels[:count], view)
        return {name: landmark_errors.compare(seen, found) for name, found in readings.items()}

    def _view(self, clip: Path) -> View:
        """The view round the clip's faces, as a run would choose it."""
        found, due, size = [], 0.0, (1, 1)
        with io.open_source(clip) as reader:
            for frame in reader:
                if frame.index == self._frames:
                    break
                size = frame.image.shape[:2]
                if frame.time_s >= due:
                    due = frame.time_s + _SCAN_INTERVAL_S
                    seen = driver_scan.detect(frame.image, frame.index, frame.time_s, None)
                    found += [seen.face] if seen else []
        return view_around_faces(found, *size)


def labels_in_view(labels: Array, view: View) -> Array:
    """Labels, which count from the outer edge of the first pixel, as ``_px`` of the view."""
    corner = np.array([view.x_px, view.y_px, 0.0])
    return (labels - corner) * view.scale - np.array([0.5, 0.5, 0.0])
