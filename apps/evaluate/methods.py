"""Several methods over the same frames: each tracker runs once for all of its renderers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hybridanim.config import RenderConfig, pipeline_config
from hybridanim.networks.models import FAST, FIRST_ORDER
from hybridanim.networks.weights import read_header
from hybridanim.prepare.view import View
from hybridanim.tracking.registry import TRACKERS
from hybridanim.types import Array, Crop, Frame, Source
from stages.build import RENDERERS
from stages.pipeline import Followed, Pipeline, build

from .job import EvaluateJob, split_method


@dataclass(frozen=True)
class Method:
    """A tracker and a renderer with their weights, or a copy of the source."""

    name: str  # as the user gave it
    tracker: str = ""  # "" = copy the source
    renderer: str = ""
    weights: Path | None = None
    has_own_detector: bool = False  # whether the weights hold its detector
    is_object: bool = False  # whether the weights are for things without a face


def chosen_methods(job: EvaluateJob) -> tuple[Method, ...]:
    """The methods in order: those of ``--methods``, or the default ones; reads weights' headers.

    Weights are named by their file's stem where that keeps all names apart.
    """
    names = job.methods or default_methods(job.weights)
    methods = tuple(parse_method(name, job.weights) for name in dict.fromkeys(names))
    short = tuple(replace(method, name=_short(method.name)) for method in methods)
    return short if len({method.name for method in short}) == len(methods) else methods


def default_methods(weights: Path | None = None) -> tuple[str, ...]:
    """copy, classical+warp, and every tracker with the default renderer and with these weights'.

    For weights of an object: copy, and every tracker that such weights can serve.
    """
    header = None if weights is None else read_header(weights)
    own = [name for name, tracker in TRACKERS.items() if tracker.model == FAST]
    if header is not None and header.model == FIRST_ORDER:
        return ("copy", "reference+reference")
    if header is not None and header.kind == "object":
        learned = [f"{name}+learned" for name in own if TRACKERS[name].uses_detector]
        return ("copy", *(learned if header.sizes else ["learned+warp"]))
    renderers = [RenderConfig().renderer, *(["learned"] if header and header.sizes else [])]
    names = [f"{tracker}+{renderer}" for tracker in own for renderer in renderers]
    return tuple(dict.fromkeys(["copy", "classical+warp", *names]))


def parse_method(name: str, weights: Path | None = None) -> Method:
    """The method of that name; reads the header of its weights, or raises InputError.

    weights: used by every method that can, where its name gives no file.
    """
    tracker, renderer, file = split_method(name)
    own = file or weights
    if own is None or not tracker:
        return Method(name, tracker, renderer)
    header = read_header(own)
    tracks = header.detector is not None and TRACKERS[tracker].uses_detector
    is_used = tracks or (header.sizes is not None and RENDERERS[renderer].uses_networks)
    if not (is_used or file):
        return Method(name, tracker, renderer)
    return Method(name, tracker, renderer, own, tracks, header.kind == "object")


def _short(name: str) -> str:
    """A method's name with its weights' file named without folder and ending."""
    method, at, file = name.partition("@")
    return f"{method}@{Path(file).stem}" if at else name


class MethodRunner:
    """Runs the methods' pipelines, which are kept from clip to clip."""

    def __init__(self, job: EvaluateJob, methods: tuple[Method, ...], motion: str) -> None:
        """Load the pipelines; InputError when weights are missing or do not fit.

        motion: "absolute" or "relative".
        """
        self._options: dict[str, Any] = {"motion": motion, "smooth": job.smooth, "size": job.size}
        self._options["networks"] = asdict(job.networks_run)
        self.methods = methods
        self._pipelines = self._load()
        self.source: Source | None = None
        self.times_ms: dict[str, dict[str, float]] = {}  # each method's last frame

    def set_source(self, picture: Array, crop: str) -> Source | None:
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
                square = source.crop  # every tracker receives the same part
                picture = source.picture  # upright
                crop = f"{square.x_px},{square.y_px},{square.side_px},{square.side_px}"
        return self.source

    def set_view(self, view: View | None = None, crop: Crop | None = None) -> None:
        """Set the part of the driver to work on, and the square of its coordinates, or None.

        Called before the first frame. Both are in the driver's own pixels.
        """
        for leader in self._leaders():
            leader.set_view(view)
            if crop is not None:
                leader.set_driving_crop(crop if view is None else view.crop_inside(crop))

    def set_reference(self, start: Frame) -> None:
        """Make this driving frame the reference of relative motion; called after ``set_view``.

        Each tracker measures it itself; one that finds no face in it takes its first frame.
        """
        for leader in self._leaders():
            leader.set_reference(start.image)

    def track(self, image: Array, time_s: float) -> dict[str, Followed]:
        """The output of each method's tracker for the next driving frame."""
        found: dict[str, Followed] = {}
        for group in self._pipelines.values():
            leader = next(iter(group.values()))
            followed = leader.follow(leader.frame(image, time_s))
            found |= {method.name: followed for method in group}
        return found

    def render(self, followed: dict[str, Followed], copy: Array) -> dict[str, Array]:
        """Each method's picture of a tracked frame; ``copy`` is the source itself."""
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
            key = (method.tracker, str(method.weights) if method.has_own_detector else "")
            groups.setdefault(key, {})[method] = build(pipeline_config(options))
        for group in groups.values():  # the first one tracks for all
            leader = next(iter(group.values()))
            leader.follow_optical_flow(
                any(pipeline.renderer.dense.uses_optical_flow for pipeline in group.values())
            )
        return groups
