"""The options of ``evaluate``, and how its methods are named.

A method is ``copy`` or TRACKER+RENDERER, as the two options of those names, with ``@FILE`` after it
for weights of its own: ``classical+learned@mine.safetensors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
import tyro

from hybridanim import paths
from hybridanim.config import KeypointsConfig, RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.tracking.registry import TRACKERS
from hybridanim.training.data import published
from stages.build import RENDERERS

VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif"}
T = TypeVar("T")


@dataclass(frozen=True)
class EvaluateJob:
    """Measure how well clips are reconstructed, or pictures animated by other people."""

    folder: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="DIR")] = None
    """Folder of video clips, one person each."""
    json: Path | None = None
    """Write the results here as JSON: settings, versions, means, and values of each clip."""
    strip: Path | None = None
    """Write a picture here: frames that differ most from the source, with each method's result."""
    overwrite: bool = False
    """Replace the files of --json and --strip if they exist."""
    worst: int = 0
    """Show this many frames with the worst metric values in the strip instead."""
    markdown: bool = False
    """Print the tables as Markdown, for a page of documentation."""
    methods: tuple[str, ...] = ()
    """copy, or TRACKER+RENDERER[@WEIGHTS]. Without: copy, each tracker, and classical+warp."""
    networks: Path | None = None
    """Folder with the networks that measure landmarks, head pose, eyes, mouth and identity."""
    mesh_environment: Path | None = None
    """Virtual environment with mediapipe, whose mesh measures instead of those of --networks."""
    bodies: bool = False
    """Measure whole people (AKD and MKR of 33 joints) in place of faces; by --mesh-environment."""
    backbones: Path | None = None
    """Folder with the weights of LPIPS's and FID's networks."""
    weights: Path | None = None
    """Your own weights for the learned methods, a .safetensors file of the trainer."""
    protocol: Literal["none", "vox", "taichi", "bair", "nemo", "mgif"] = "none"
    """DIR is that published data set, as its authors prepare it: its test split is reconstructed as
    in the first-order model's paper (whole frames, 256 pixels, no smoothing, every frame)."""
    cross: bool = False
    """Animate by other people's clips (relative motion) instead of reconstructing."""
    sources: Path | None = None
    """With --cross: folder of pictures (or videos) to animate, instead of DIR's first frames."""
    drivers: Path | None = None
    """With --cross: folder of driving videos, instead of DIR."""
    reference: Literal["nearest", "first"] = "nearest"
    """With --cross: the driver's frame without motion: posed most like the source, or its first."""
    pairs: int = 24
    """With --cross: number of pairs of a source and a driver."""
    seed: int = 0
    """With --cross: the same number gives the same pairs."""
    every: int = 1
    """Measure one frame in so many; all are tracked."""
    clips: int = 100000
    """At most so many clips, evenly chosen from the folder."""
    frames: int = 100000
    """At most so many frames of each clip."""
    jobs: int = 1
    """Clips measured at the same time, each in a process of its own."""
    crop: Literal["fit", "auto", "none"] = "fit"
    """Part that is animated: auto (round the head), none (all); fit: none for square clips."""
    size: int = 256
    """Side of the measured square in pixels."""
    smooth: float = KeypointsConfig().smooth
    """Smoothing of the motion, 0 to 1."""

    networks_run: Annotated[RuntimeConfig, tyro.conf.arg(name="")] = field(
        default_factory=RuntimeConfig
    )

    def __post_init__(self) -> None:
        limits = {"every": (1, 10000), "clips": (1, 10**6), "frames": (2, 10**6), "jobs": (1, 64)}
        limits |= {"pairs": (1, 10**5), "worst": (0, 1000), "size": (64, 2048), "smooth": (0, 1)}
        for name, (least, most) in limits.items():
            if not least <= (value := getattr(self, name)) <= most:
                raise InputError(
                    f"--{name}: expected {least} to {most}, got {value}; choose within"
                )
        if self.bodies and self.cross:
            raise InputError("--bodies: expected reconstruction, got --cross; leave one out")
        if self.protocol != "none" and self.cross:
            raise InputError(
                f"--protocol {self.protocol}: expected reconstruction, got --cross; leave one out"
            )
        if self.folder is None and not (self.cross and self.sources and self.drivers):
            raise InputError(
                "evaluate: expected DIR, a folder of clips, got none; name one, or give --cross"
                " --sources DIR --drivers DIR"
            )
        if (self.sources or self.drivers) and not self.cross:
            raise InputError(
                "evaluate: expected --cross with --sources and --drivers, got it left out; add it"
            )
        for name in ("folder", "sources", "drivers", "networks", "mesh_environment", "backbones"):
            path = getattr(self, name)
            if path is not None and not paths.is_folder(path):
                raise InputError(f"evaluate: expected a folder, got {path}; check the path")
        for name in self.methods:
            split_method(name)  # raises InputError for an unknown one


def with_protocol(job: EvaluateJob) -> EvaluateJob:
    """The job with the settings that its protocol fixes."""
    if job.protocol == "none":
        return job
    bodies = published.LAYOUTS[job.protocol].shows == "body"
    return replace(
        job, crop="none", size=published.SIDE_PX, smooth=0.0, every=1, bodies=bodies or job.bodies
    )


def measures_faces(job: EvaluateJob) -> bool:
    """Whether its clips show faces: not those of people as a whole, or of things."""
    return not job.bodies and (
        job.protocol == "none" or published.LAYOUTS[job.protocol].shows == "face"
    )


def split_method(name: str) -> tuple[str, str, Path | None]:
    """Tracker, renderer and weights file of a method's name; empty strings and None for ``copy``.

    A renderer alone goes with the classical tracker. Raises InputError for unknown names; no file
    is opened.
    """
    if name == "copy":
        return "", "", None
    method, _, file = name.partition("@")
    tracker, plus, renderer = method.partition("+")
    if not plus:
        tracker, renderer = "classical", method
    if tracker not in TRACKERS or renderer not in RENDERERS:
        raise InputError(
            f"--methods: expected copy or TRACKER+RENDERER of {', '.join(TRACKERS)} and"
            f" {', '.join(RENDERERS)}, got {name!r}; for example classical+warp"
        )
    return tracker, renderer, Path(file) if file else None


def select_evenly(found: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of them, evenly spread."""
    at = np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)
    return [found[i] for i in at]
