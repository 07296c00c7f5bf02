"""PipelineConfig -> stages; the registry of renderers.

``--weights`` names one file with a keypoint detector, a renderer, or both; a part that is missing
comes from the package's own weights. The file's header is read once; only networks that run are
loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from hybridanim import files
from hybridanim.config import PipelineConfig
from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.face.aligner import Aligner
from hybridanim.face.anchors import ANCHORS
from hybridanim.motion.motion_file import MotionHeader
from hybridanim.networks.models import FAST, FIRST_ORDER
from hybridanim.networks.weights import Header, read_header
from hybridanim.profiles import Profiles
from hybridanim.runtime import face_points, matte, painters
from hybridanim.runtime.face_points import FacePoints
from hybridanim.runtime.matte import PersonMatte
from hybridanim.tracking.base import TrackerParts
from hybridanim.tracking.detection import Detector
from hybridanim.tracking.registry import TRACKERS

from .base import Stage
from .s1_segment import NoSkin, Segment
from .s2_track import Track
from .s3_keypoints import Keypoints
from .s4_motion import Dense, LearnedDense
from .s5_generate import Generate, LearnedGenerate, PaintedGenerate

_T = TypeVar("_T")
_FACE_EVERY = 3  # frames between looks at the whole face, of a tracker that goes on by flow


class Renderer(NamedTuple):
    """Stages 4 and 5 of one renderer."""

    dense: Dense
    generate: Generate


@dataclass(frozen=True)
class RendererEntry:
    """Constructor and properties of a renderer."""

    build: Callable[[PipelineConfig, Header | None], Renderer]  # header of ``--weights``
    uses_networks: bool = False  # then two instances in parallel are faster on several processors
    is_more_than_warp: bool = True  # the warp renderer is faster
    model: str = FAST  # ``networks.models``: of the weights that it runs


def warp_renderer(config: PipelineConfig, header: Header | None) -> Renderer:
    """Stages 4 and 5 in closed form."""
    return Renderer(Dense(config.dense), Generate(config.render, config.keypoints.background))


def painted_renderer(config: PipelineConfig, header: Header | None) -> Renderer:
    """Stages 4 and 5 in closed form, with painters for mouth and eyes."""
    networks = painters.load(threads=config.networks.threads)
    generate = PaintedGenerate(config.render, networks, config.keypoints.background)
    return Renderer(Dense(config.dense), generate)


def learned_renderer(config: PipelineConfig, header: Header | None) -> Renderer:
    """Stages 4 and 5 by the dense motion network and the generator of a weights file."""
    from hybridanim.rendering.learned import LearnedRenderer  # loads OpenVINO or torch
    from hybridanim.runtime import networks

    own: Path | None = None
    if header is not None and header.sizes is not None:
        own = config.render.weights
    elif header is not None and header.kind == "object":
        raise InputError(
            f"--weights {config.render.weights}: expected a renderer for this kind of object, got"
            " a detector alone; add --renderer warp, or train the renderer as well"
        )
    nets = networks.animator(own, config.networks, header if own else None)
    renderer = LearnedRenderer(nets)
    windows = painters.load(threads=config.networks.threads)
    generate = LearnedGenerate(config.render, windows, renderer, config.keypoints.background)
    return Renderer(LearnedDense(config.dense, renderer), generate)


def reference_renderer(config: PipelineConfig, header: Header | None) -> Renderer:
    """Stages 4 and 5 by the first-order model of a converted checkpoint."""
    from hybridanim.rendering.learned import LearnedRenderer  # loads OpenVINO or torch
    from hybridanim.runtime import networks

    renderer = LearnedRenderer(networks.animator(config.render.weights, config.networks, header))
    generate = LearnedGenerate(config.render, {}, renderer, config.keypoints.background)
    return Renderer(LearnedDense(config.dense, renderer), generate)


RENDERERS: dict[str, RendererEntry] = {
    "warp": RendererEntry(warp_renderer, is_more_than_warp=False),
    "painted": RendererEntry(painted_renderer),
    "learned": RendererEntry(learned_renderer, uses_networks=True),
    "reference": RendererEntry(reference_renderer, uses_networks=True, model=FIRST_ORDER),
}


class Builder:
    """Builds the stages of one config; reads the header of ``--weights`` once."""

    def __init__(self, config: PipelineConfig) -> None:
        """Raise InputError for an unknown tracker or renderer, or weights that no option uses."""
        self.config = config
        self.tracker = _chosen("--tracker", config.tracker, TRACKERS)
        self._renderer = _chosen("--renderer", config.render.renderer, RENDERERS)
        self._header = self._read_header()

    def detector(self) -> Detector | None:
        """Build the keypoint detector; None for a tracker without; InputError for unfit weights."""
        if not self.tracker.uses_detector:
            return None
        from hybridanim.runtime import networks  # OpenVINO or torch

        own = self._header is not None and self._header.detector is not None
        weights = self.config.render.weights if own else None
        return networks.detector(weights, self.config.networks, self._header if own else None)

    def finder(self, detector: Detector | None) -> FacePoints | None:
        """Load the landmark networks; None for objects, or where they are switched off."""
        is_face = detector is None or detector.window == "head"
        if not self.config.track.face_fit or not is_face:
            return None
        threads = self.config.networks.threads
        return FacePoints(face_points.load(threads=threads), face_model.load())

    def matte(self, detector: Detector | None) -> PersonMatte | None:
        """Load the matting network; None for objects, or where GrabCut is asked for."""
        is_face = detector is None or detector.window == "head"
        if self.config.matte != "network" or not is_face:
            return None
        return matte.load(threads=self.config.networks.threads)

    def front(
        self,
        profiles: Profiles,
        aligner: Aligner,
        detector: Detector | None,
        finder: FacePoints | None = None,
    ) -> tuple[Stage, Track]:
        """Build stages 1 and 2."""
        config, tracker = self.config, self.tracker
        own = replace(config.track, face_fit=finder is not None)
        parts = TrackerParts(own, profiles, aligner, detector)
        is_face = detector is None or detector.window == "head"
        segment: Stage = NoSkin(config.segment, "an object has no skin")
        if is_face:
            segment = Segment(config.segment, profiles.skin)
        moves = config.keypoints.moves_background
        every = config.track.face_every or (_FACE_EVERY if tracker.uses_anchors else 1)
        track = Track(tracker.build(parts), face_every=every, track_background=moves, finder=finder)
        return segment, track

    def keypoints(self, dense: Dense) -> Keypoints:
        """Build stage 3; it computes the driver's optical flow if stage 4 uses it."""
        config = self.config.keypoints
        if not dense.uses_optical_flow:
            config = replace(config, optical_flow="off")
        return Keypoints(config)

    def renderer(self, threads: int | None = None) -> Renderer:
        """Build new stages 4 and 5; threads: of each network, 0 = all; None = as configured."""
        config = self.config
        if threads is not None:
            config = replace(config, networks=replace(config.networks, threads=threads))
        return self._renderer.build(config, self._header)

    def _read_header(self) -> Header | None:
        """Header of ``--weights``; InputError when no other option uses the file."""
        path = self.config.render.weights
        if path is None:
            self._refuse_other_model(FAST)
            return None
        header = read_header(path)
        self._refuse_other_model(header.model)
        self._refuse_unfit(header, f"--weights {path}")
        uses_detector = header.detector is not None and self.tracker.uses_detector
        if not uses_detector and (header.sizes is None or not self._renderer.uses_networks):
            part, option = ("renderer", "--renderer learned")
            if header.detector is not None:
                part, option = ("detector", "--tracker learned")
            raise InputError(
                f"--weights {path}: expected an option that uses its {part}, got none; add {option}"
            )
        return header

    def _refuse_other_model(self, model: str) -> None:
        """Raise InputError where tracker or renderer need weights of another model."""
        names = {"tracker": self.config.tracker, "renderer": self.config.render.renderer}
        own = {option: found.model for option, found in
               (("tracker", self.tracker), ("renderer", self._renderer))}  # fmt: skip
        if FIRST_ORDER in own.values() and model != FIRST_ORDER:
            option = next(option for option, name in own.items() if name == FIRST_ORDER)
            given = "others" if self.config.render.weights else "none"
            raise InputError(
                f"--{option} {names[option]}: expected --weights of the first-order model, got"
                f" {given}; convert a published checkpoint: hybridanim convert FILE.pth.tar"
            )
        is_drawn = not self._renderer.uses_networks or own["renderer"] == FIRST_ORDER
        if model == FIRST_ORDER and (own["tracker"] != FIRST_ORDER or not is_drawn):
            raise InputError(
                f"--weights {self.config.render.weights}: expected --tracker reference --renderer"
                f" reference with the first-order model, got --tracker {names['tracker']}"
                f" --renderer {names['renderer']}; give both"
            )

    def _refuse_unfit(self, header: Header, option: str) -> None:
        if header.kind == "object" and not self.tracker.uses_detector:
            raise InputError(
                f"{option}: expected a learned tracker for weights of an object, got --tracker"
                f" {self.config.tracker}, which follows faces; add --tracker learned or --tracker"
                " hybrid"
            )
        if header.kind == "object" and header.detector is None:
            raise InputError(
                f"{option}: expected a keypoint detector for this kind of object, got a renderer"
                " alone; give the file that the trainer exported with its detector"
            )
        known = header.detector is None or header.detector.get("count") == len(ANCHORS)
        if header.window == "head" and not known:
            raise InputError(
                f"{option}: expected a detector of the {len(ANCHORS)} anchors of a face, got one"
                " of other keypoints; train it on whole frames, as for objects"
            )


def detector_sha256(config: PipelineConfig) -> str:
    """SHA-256 of ``--weights`` if the tracker uses a detector in it, or ""."""
    path = config.render.weights
    if path is None or not TRACKERS[config.tracker].uses_detector:
        return ""
    return "" if read_header(path).detector is None else files.sha256(path)


def expect_same_tracker(config: PipelineConfig, header: MotionHeader) -> None:
    """Raise InputError unless source and motion have keypoints of the same kind."""
    own, theirs = TRACKERS[config.tracker], TRACKERS.get(header.tracker)
    if theirs is None or theirs.uses_detector != own.uses_detector:
        raise InputError(
            f"motion: expected one of --tracker {config.tracker}, got one of {header.tracker!r};"
            " give the tracker that it was saved with"
        )
    known = detector_sha256(config)
    if known != header.weights:
        raise InputError(
            "motion: expected the --weights that it was saved with, got"
            f" {'others' if known else 'none'}; give that file, or save the motion again"
        )


def uses_networks(config: PipelineConfig) -> bool:
    """Whether the config's renderer runs networks, so that two instances in parallel are faster."""
    return _chosen("--renderer", config.render.renderer, RENDERERS).uses_networks


def is_more_than_warp(config: PipelineConfig) -> bool:
    """Whether the warp renderer is faster than the config's."""
    return _chosen("--renderer", config.render.renderer, RENDERERS).is_more_than_warp


def quick_renderer(config: PipelineConfig, name: str) -> Renderer:
    """Stages 4 and 5 of that name, in closed form, that sample the source linearly."""
    render = replace(config.render, renderer=name, interpolation="linear", weights=None)
    return RENDERERS[name].build(replace(config, render=render), None)


def _chosen(option: str, name: str, registry: Mapping[str, _T]) -> _T:
    """Entry of the registry; InputError with all names for an unknown one."""
    if name not in registry:
        raise InputError(
            f"{option}: expected one of {', '.join(registry)}, got {name!r}; correct the name"
        )
    return registry[name]
