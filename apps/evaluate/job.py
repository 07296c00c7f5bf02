"""What ``evaluate`` may be asked for, and the methods that it compares.

A method is ``copy``, or TRACKER+RENDERER as the two options of those names, with ``@FILE`` behind
it for weights of its own: ``classical+learned@mine.safetensors``.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hybridanim.config import KeypointsConfig, PipelineConfig, RenderConfig, RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.networks.weights import read_header

TRACKERS: tuple[str, ...] = typing.get_args(typing.get_type_hints(PipelineConfig)["tracker"])
RENDERERS: tuple[str, ...] = typing.get_args(typing.get_type_hints(RenderConfig)["renderer"])


@dataclass(frozen=True)
class Method:
    """One way to animate."""

    name: str  # as it was asked for
    tracker: str = ""  # "" = copy the source
    renderer: str = ""
    weights: Path | None = None
    has_own_tracker: bool = False  # whether the weights hold its detector


@dataclass(frozen=True)
class EvaluateJob:
    """Measure how well clips are reconstructed, or pictures animated by other people."""

    folder: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="DIR")] = None
    """Folder of video clips, one person each."""
    json: Path | None = None
    """Write the figures here: settings, versions, means, and each clip's own."""
    strip: Path | None = None
    """Write a picture here: frames that differ most from the source, with each method's result."""
    worst: int = 0
    """Show this many frames with the worst figures in the strip instead."""
    markdown: bool = False
    """Print the tables as Markdown, for a page of documentation."""
    methods: tuple[str, ...] = ()
    """copy, or TRACKER+RENDERER[@WEIGHTS]. Without: copy, each tracker, and classical+warp."""
    networks: Path | None = None
    """Folder with measuring networks: landmarks, head pose, eyes and mouth, identity."""
    backbones: Path | None = None
    """Folder with the networks of LPIPS and FID."""
    weights: Path | None = None
    """Weights of one's own for the learned methods, a .safetensors file of the trainer."""
    cross: bool = False
    """Animate by other people's clips (relative motion) instead of reconstructing."""
    sources: Path | None = None
    """With --cross: folder of pictures (or videos) to animate, instead of DIR's first frames."""
    drivers: Path | None = None
    """With --cross: folder of driving videos, instead of DIR."""
    pairs: int = 24
    """With --cross: how many pairs of a source and a driver are drawn."""
    seed: int = 0
    """With --cross: the same number draws the same pairs."""
    every: int = 1
    """Measure every so many frames; all are followed."""
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
        if self.folder is None and not (self.cross and self.sources and self.drivers):
            raise InputError(
                "evaluate: expected DIR, a folder of clips, got none; name one, or give --cross"
                " --sources DIR --drivers DIR"
            )
        if (self.sources or self.drivers) and not self.cross:
            raise InputError(
                "evaluate: expected --cross with --sources and --drivers, got it left out; add it"
            )
        for name in ("folder", "sources", "drivers", "networks", "backbones"):
            path = getattr(self, name)
            if path is not None and not path.is_dir():
                raise InputError(f"evaluate: expected a folder, got {path}; check the path")
        self.chosen()  # refuses what cannot be

    def chosen(self) -> tuple[Method, ...]:
        """The methods in order: those asked for, or the default ones."""
        names = self.methods or default_methods(self.weights)
        asked = tuple(parse_method(name, self.weights) for name in dict.fromkeys(names))
        short = [replace(m, name=_short(m.name)) for m in asked]
        is_clear = len({method.name for method in short}) == len(asked)
        return tuple(short) if is_clear else asked

    @property
    def is_object(self) -> bool:
        """Whether the weights are for things without a face."""
        return any(m.weights and read_header(m.weights).kind == "object" for m in self.chosen())


def default_methods(weights: Path | None = None) -> tuple[str, ...]:
    """copy, classical+warp, and every tracker with the default renderer and with these weights'.

    For weights of an object: what such weights can do.
    """
    header = None if weights is None else read_header(weights)
    if header is not None and header.kind == "object":
        learned = [f"{tracker}+learned" for tracker in TRACKERS if tracker != "classical"]
        return ("copy", *(learned if header.sizes else ["learned+warp"]))
    usual = [RenderConfig().renderer, *(["learned"] if header and header.sizes else [])]
    ways = [f"{tracker}+{renderer}" for tracker in TRACKERS for renderer in usual]
    return tuple(dict.fromkeys(["copy", "classical+warp", *ways]))


def _short(name: str) -> str:
    """A method's name with its weights' file named without folder and ending."""
    way, at, file = name.partition("@")
    return f"{way}@{Path(file).stem}" if at else name


def parse_method(name: str, weights: Path | None = None) -> Method:
    """``copy`` or TRACKER+RENDERER[@FILE]; a renderer alone goes with the classical tracker.

    weights: used by every method that can, where it names no file of its own.
    """
    if name == "copy":
        return Method(name)
    way, _, file = name.partition("@")
    tracker, plus, renderer = way.partition("+")
    if not plus:
        tracker, renderer = "classical", way
    if tracker not in TRACKERS or renderer not in RENDERERS:
        raise InputError(
            f"--methods: expected copy or TRACKER+RENDERER of {', '.join(TRACKERS)} and"
            f" {', '.join(RENDERERS)}, got {name!r}; for example classical+warp"
        )
    own = Path(file) if file else weights
    if own is None:
        return Method(name, tracker, renderer)
    header = read_header(own)
    leads = header.detector is not None and tracker != "classical"
    is_used = leads or (header.sizes is not None and renderer == "learned")
    return Method(name, tracker, renderer, own if is_used or file else None, leads)
