"""PipelineConfig -> the parts that its options choose: detector, stages 1 and 2, stages 4 and 5.

``--weights`` names one file that may hold a keypoint detector, a renderer, or both; what it does
not hold comes from the repository's own weights. Networks are loaded only where they run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hybridanim.config import PipelineConfig
from hybridanim.errors import InputError
from hybridanim.face.aligner import Aligner
from hybridanim.face.anchors import ANCHORS
from hybridanim.networks.weights import Header, read_header
from hybridanim.profiles import Profiles
from hybridanim.tracking.detection import Detector

from .base import Stage
from .s1_segment import NoSkin, Segment
from .s2_track import HeadTrack, HybridTrack, LearnedTrack, Track
from .s4_motion import Dense, LearnedDense
from .s5_generate import Generate, LearnedGenerate

if TYPE_CHECKING:
    from hybridanim.runtime.networks import About


def detector_of(config: PipelineConfig) -> Detector | None:
    """The keypoint detector, or None for the classical tracker; InputError for unfit weights."""
    header = _header(config)
    if config.tracker == "classical":
        return None
    from hybridanim.runtime import networks  # where they run, they import OpenVINO or torch

    own = header is not None and header.detector is not None
    return networks.detector(config.render.weights if own else None, config.networks)


def trackers(
    config: PipelineConfig, profiles: Profiles, aligner: Aligner, detector: Detector | None
) -> tuple[Stage, HeadTrack]:
    """Stages 1 and 2."""
    track: HeadTrack
    if detector is None or config.tracker == "classical":
        segment = Segment(config.segment, profiles.skin)
        track = Track(config.track, profiles, aligner)
    elif config.tracker == "hybrid":
        segment, track = NoSkin(config.tracker), HybridTrack(detector, config.track, profiles)
    else:
        segment, track = NoSkin(config.tracker), LearnedTrack(detector, profiles)
    track.has_behind = config.keypoints.moves_background
    return segment, track


def renderers(config: PipelineConfig) -> tuple[Stage, Stage]:
    """Stages 4 and 5: in closed form, or the two halves of the learned renderer."""
    if config.render.renderer == "warp":
        return Dense(config.dense), Generate(config.render)
    from hybridanim.rendering import learned as learned_rendering  # the warp does without networks

    header = _header(config)
    own: Path | None = None
    if header is not None and header.sizes is not None:
        own = config.render.weights
    elif header is not None and header.kind == "object":
        raise InputError(
            f"--weights {config.render.weights}: expected a renderer for this kind of object, got"
            " a detector alone; add --renderer warp, or train the renderer as well"
        )
    pin_border = config.render.pin_border if config.render.paste_back else 0.0
    learned = learned_rendering.load(own, runtime=config.networks, pin_border=pin_border)
    return LearnedDense(learned), LearnedGenerate(learned)


def sees_optical(config: PipelineConfig, dense: Stage) -> bool:
    """Whether stage 4 looks at the driver's optical flow, and may."""
    return config.keypoints.optical_flow == "auto" and getattr(dense, "has_optical", False)


def networks_of(*parts: object) -> list[About]:
    """What runs the learned networks among a pipeline's parts, and why not something else."""
    found = [getattr(part, "about", None) for part in parts]
    return [about for about in found if about is not None]


def _header(config: PipelineConfig) -> Header | None:
    """What ``--weights`` holds; InputError when the other options leave it no use."""
    path = config.render.weights
    if path is None:
        return None
    header = read_header(path)
    if header.kind == "object" and config.tracker == "classical":
        raise InputError(
            f"--weights {path}: expected a learned tracker for weights of an object, got --tracker"
            " classical, which follows faces; add --tracker learned or --tracker hybrid"
        )
    if header.kind == "object" and header.detector is None:
        raise InputError(
            f"--weights {path}: expected a keypoint detector for this kind of object, got a"
            " renderer alone; give the file that the trainer exported with its detector"
        )
    known = header.detector is None or header.detector.get("count") == len(ANCHORS)
    if header.window == "head" and not known:
        raise InputError(
            f"--weights {path}: expected a detector of the {len(ANCHORS)} anchors of a face, got"
            " one of other keypoints; train it on whole frames, as for objects"
        )
    is_used = (header.detector is not None and config.tracker != "classical") or (
        header.sizes is not None and config.render.renderer == "learned"
    )
    if not is_used:
        part, option = ("renderer", "--renderer learned")
        if header.detector is not None:
            part, option = ("detector", "--tracker learned")
        raise InputError(
            f"--weights {path}: expected an option that uses its {part}, got none; add {option}"
        )
    return header
