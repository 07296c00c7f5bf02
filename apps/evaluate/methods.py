"""Several methods over the same frames: each tracker follows once, each renderer draws from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hybridanim.config import pipeline_config
from hybridanim.prepare import view as views
from hybridanim.types import Array, Crop, Frame, Source
from stages.pipeline import Followed, Pipeline, build

from .job import EvaluateJob, Method


class Ways:
    """The methods' pipelines, kept from clip to clip."""

    def __init__(self, job: EvaluateJob, motion: str) -> None:
        """Load them; InputError when weights are missing or unfit."""
        self._options: dict[str, Any] = {"motion": motion, "smooth": job.smooth, "size": job.size}
        self._options["networks"] = asdict(job.networks_run)
        self.methods = job.chosen()
        self._pipelines = self._load()
        self.source: Source | None = None
        self.times_ms: dict[str, dict[str, float]] = {}  # each method's last frame

    def start(self, picture: Array, crop: str) -> Source | None:
        """Prepare a source, (H, W, 3) uint8; None when every method copies.

        crop: as the option of that name. Raises InputError where a method finds nothing in it.
        """
        self.source = None
        for group in self._pipelines.values():
            leader, *others = group.values()
            leader.reset()
            source = leader.set_source(picture, crop=crop)
            for pipeline in others:
                pipeline.use_source(source)
            if self.source is None:
                self.source = source
                square = source.crop  # the same part for every tracker's eyes
                crop = f"{square.x_px},{square.y_px},{square.side_px},{square.side_px}"
        return self.source

    def frame(self, view: views.View | None = None, crop: Crop | None = None) -> None:
        """Before the first frame: which part of it to work on; its square of coordinates, or None.

        crop: in the driver's own pixels, as the view.
        """
        for leader in self._leaders():
            leader.set_view(view)
            if crop is not None:
                leader.set_driving_crop(_in_view(crop, view))

    def refer_to(self, start: Frame) -> None:
        """Measure relative motion from this driving frame; after ``frame``.

        Each tracker sees it with its own eyes; one that sees no face there takes its first frame.
        """
        for leader in self._leaders():
            leader.set_reference(start.image)

    def follow(self, image: Array, time_s: float) -> dict[str, Followed]:
        """What each tracker says of the next driving frame."""
        found: dict[str, Followed] = {}
        for group in self._pipelines.values():
            leader = next(iter(group.values()))
            followed = leader.follow(leader.frame(image, time_s))
            found |= {method.name: followed for method in group}
        return found

    def render(self, followed: dict[str, Followed], copy: Array) -> dict[str, Array]:
        """Each method's picture of a followed frame; ``copy`` is the source itself."""
        found = {method.name: copy for method in self.methods if not method.tracker}
        for group in self._pipelines.values():
            for method, pipeline in group.items():
                results = pipeline.render(followed[method.name])
                found[method.name] = results.picture.image
                times = [*results.times_ms.values()]  # of stages 1 to 5
                self.times_ms[method.name] = {
                    "_follow_ms": sum(times[:3]),
                    "_render_ms": sum(times[3:]),
                }
        return {method.name: found[method.name] for method in self.methods}

    def _leaders(self) -> list[Pipeline]:
        return [next(iter(group.values())) for group in self._pipelines.values()]

    def _load(self) -> dict[tuple[str, str], dict[Method, Pipeline]]:
        groups: dict[tuple[str, str], dict[Method, Pipeline]] = {}
        for method in self.methods:
            if not method.tracker:
                continue
            options: dict[str, Any] = {"tracker": method.tracker, "renderer": method.renderer}
            options |= self._options
            if method.weights is not None:
                options["weights"] = method.weights
            key = (method.tracker, str(method.weights) if method.has_own_tracker else "")
            groups.setdefault(key, {})[method] = build(pipeline_config(options))
        for group in groups.values():  # the first one follows for all
            leader = next(iter(group.values()))
            leader.follow_optical_flow(
                any(pipeline.renderer.dense.uses_optical_flow for pipeline in group.values())
            )
        return groups


def _in_view(crop: Crop, view: views.View | None) -> Crop:
    if view is None:
        return crop
    x_px, y_px = crop.x_px - view.x_px, crop.y_px - view.y_px
    return Crop(x_px * view.scale, y_px * view.scale, crop.side_px * view.scale)
