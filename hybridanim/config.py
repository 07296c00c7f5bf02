"""All settings of a user, as one frozen dataclass per stage.

The command line, a TOML file (``--config``) and ``Pipeline.load(...)`` build the same objects.
The line below a field is its help text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from PIL import ImageColor

from . import drive as driven
from . import paths, schema
from .errors import InputError

_LATEST_START_S = 1e7  # as hybridanim.io takes it
_OWN_BACKGROUND = ("auto", "still", "follow")
MOST_CROP_PX = 32768  # larger than any picture that can be read


@dataclass(frozen=True)
class SegmentConfig:
    """Stage 1: skin colour model, blobs, region growing."""

    cloud: Literal["adaptive", "fixed"] = "adaptive"
    """adaptive learns the skin colour of the face in view; fixed uses the ranges below."""
    u_range: tuple[int, int] = (84, 127)
    """Fixed cloud: U between these counts as skin (0 to 255)."""
    v_range: tuple[int, int] = (134, 183)
    """Fixed cloud: V between these counts as skin (0 to 255)."""
    coarse_px: int = 160
    """Longer side of the picture in which blobs are searched for, in pixels."""
    learning_rate: float = 0.02
    """Share of each confident frame that the adaptive cloud takes in."""

    def __post_init__(self) -> None:
        for flag, (low, high) in (("--u-range", self.u_range), ("--v-range", self.v_range)):
            if not 0 <= low <= high <= 255:
                raise InputError(
                    f"{flag}: expected two numbers of 0 to 255, the smaller one first, got {low}"
                    f" {high}; choose within"
                )
        _within("--coarse-px", self.coarse_px, 32, 2048)
        _within("--learning-rate", self.learning_rate, 0, 1)


@dataclass(frozen=True)
class TrackConfig:
    """Stage 2: head box, corners, optical flow, head rotation."""

    corners: Literal["shi-tomasi", "harris", "moravec"] = "shi-tomasi"
    """Corner measure that selects the features."""
    max_features: int = 160
    """Largest number of features tracked at once."""
    window_px: int = 15
    """Side of the optical-flow window, in pixels."""
    pyramid_levels: int = 3
    """Optical-flow pyramid levels above the full picture."""
    forward_backward_px: float = 1.0
    """A feature with a larger forward-backward error than this, in pixels, is dropped."""
    least_likeness: float = 0.8
    """A feature with a lower correlation to its first patch than this (0 to 1) is dropped."""
    anchor_every: int = 4
    """With --tracker hybrid: the detector runs at least every so many frames."""
    face_fit: bool = True
    """Fit the face model (pose, expression, openings) in every frame, by landmark networks."""
    face_every: int = 0
    """The whole face is looked at every so many frames, eyes and mouth in each; 0: every frame,
    with --tracker hybrid every third."""

    def __post_init__(self) -> None:
        _within("--max-features", self.max_features, 1, 5000)
        _within("--window-px", self.window_px, 3, 99)
        _within("--pyramid-levels", self.pyramid_levels, 0, 8)
        _within("--forward-backward-px", self.forward_backward_px, 0, float("inf"))
        _within("--least-likeness", self.least_likeness, 0, 1)
        _within("--anchor-every", self.anchor_every, 1, 1000)
        _within("--face-every", self.face_every, 0, 1000)


@dataclass(frozen=True)
class KeypointsConfig:
    """Stage 3: anchors with local affines, smoothing, transfer to the source."""

    motion: Literal["relative", "absolute"] = "relative"
    """relative moves the source by the driver's change; absolute puts it in the driver's pose."""
    scale: float = 1.0
    """Motion strength: 1 = as the driver, 0 = still, 2 = twice as much."""
    drive: str = driven.ALL
    """Parts that the driver moves, each with an optional strength of 0 to 5, times --scale, for
    example lips or pose=0.5,eyes. pose: the head's rotation, size and place; lips: jaw and lips;
    eyes: lids and gaze; expression: the rest of the face. Other parts stay as in the source."""
    neutral: Literal["auto", "off"] = "off"
    """auto relaxes the source's own smile and opens its shut eyes before the driver's motion is
    added; off adds it to the expression in the source."""
    smooth: float = 0.15
    """Smoothing of the motion, 0 = none to 1 = heavy (a One-Euro filter)."""

    background: str = "auto"
    """follow moves the source's background as the driver's camera moves; auto does so with
    --motion absolute while that camera moves, and keeps it still otherwise (still). transparent
    leaves it out; a colour (green, #00ff00) or the name of a picture puts another one there."""

    head_motion: Literal["3d", "2d"] = "3d"
    """3d turns the source's head as a textured surface, by the face model fitted to both faces; 2d
    moves it by keypoints with local affines alone."""

    optical_flow: Literal["auto", "off"] = "auto"
    """auto also follows the whole driver by optical flow, where no face is fitted and the
    renderer uses it (the learned one does); off animates by keypoints alone."""

    def __post_init__(self) -> None:
        _within("--scale", self.scale, 0, 5)
        _within("--smooth", self.smooth, 0, 1)
        _expect_background(self.background)
        is_uniform = driven.parse(self.drive).is_uniform
        if self.head_motion == "2d" and not is_uniform:
            _refuse_parts(self.drive, "--head-motion 2d")

    @property
    def strengths(self) -> driven.Drive:
        """Strength of each part of the motion: ``drive`` times ``scale``."""
        return driven.parse(self.drive).times(self.scale)

    @property
    def strength_of_all(self) -> float:
        """Strength of a motion that has no parts, by keypoints alone."""
        return max(self.strengths) if driven.parse(self.drive).is_uniform else self.scale

    @property
    def moves_background(self) -> bool:
        """Whether the source's background moves like the driver's."""
        if self.background == "auto":
            return self.motion == "absolute"
        return self.background == "follow"


@dataclass(frozen=True)
class DenseConfig:
    """Stage 4: the local maps combined into one backward flow."""

    grid: int = 64
    """Side of the flow grid, in cells."""
    explain: bool = True
    """Compute the occlusion map of a moved head, with reasons and depth. The warp renderer does not
    need them; an animation without --debug, and live, leave them out."""

    def __post_init__(self) -> None:
        _within("--grid", self.grid, 8, 512)


@dataclass(frozen=True)
class RenderConfig:
    """Stage 5: warp the source, paint occluded parts, composite."""

    renderer: str = "painted"
    """painted moves the source's own pixels and paints mouth and eyes; warp paints nothing; learned
    also paints what a turn of the head uncovers, and moves and paints what has no fitted face.
    reference is the published first-order model; goes with --tracker reference and --weights."""
    weights: Path | None = None
    """Weights of one's own, a .safetensors file of the trainer: detector, renderer or both; or one
    that hybridanim convert wrote."""
    interpolation: Literal["linear", "cubic", "lanczos"] = "cubic"
    """How the full-resolution source is sampled."""
    composite: Literal["layers", "sheet"] = "layers"
    """layers moves the person over a separate background; sheet warps the whole picture."""
    paste_back: bool = False
    """Give the whole source picture with the animated part in its place."""
    pin_border: float = 0.06
    """With --paste-back: share of the side over which motion fades where the picture goes on."""

    def __post_init__(self) -> None:
        _within("--pin-border", self.pin_border, 0, 0.5)


@dataclass(frozen=True)
class RuntimeConfig:
    """Where the learned networks run."""

    runtime: Literal["auto", "openvino", "torch"] = "auto"
    """What runs the learned networks; auto is OpenVINO where it is installed, otherwise torch."""
    precision: Literal["auto", "int8", "bf16", "f32"] = "auto"
    """Precision of the networks; auto is the fastest one that is accurate enough here. Torch has
    no int8."""
    cache: Path | None = None
    """Folder that keeps the compiled networks; without it, the system's folder for caches."""
    threads: int = 0
    """Processors that each network uses under OpenVINO; 0 = all, or a share where several run."""

    def __post_init__(self) -> None:
        _within("--threads", self.threads, 0, 256)


@dataclass(frozen=True)
class PipelineConfig:
    """All settings of the pipeline."""

    tracker: str = "classical"
    """classical: skin, corners, landmarks; learned: a network's keypoints; hybrid: these, carried
    by optical flow. Skin, hands and the fitted face are looked at with each of them. reference:
    keypoints of the published first-order model; goes with --renderer reference."""
    face: int = 0
    """Which face of the source when there are several: 0 is the largest, 1 the next."""
    crop: str = "auto"
    """Part of the source that is animated: auto (round the head), none (all), or X,Y,W,H."""
    driving_crop: str = "auto"
    """Part of the driving pictures that --motion absolute takes places and sizes from: auto (round
    the head), none (all, to go with --crop none), or X,Y,W,H."""
    size: int = 0
    """Side of the animated square in pixels; 0 = as many as the source has there, but 512 at most
    with a renderer that paints (2048 with --renderer warp or --paste-back)."""
    matte: Literal["network", "classical"] = "network"
    """What finds the person in the source: a network, or classical (GrabCut)."""
    avatar: Literal["auto", "off"] = "auto"
    """auto paints once what turns of the source's head uncover: back of the hair, nape, neck; off
    stretches what the source shows."""
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    keypoints: KeypointsConfig = field(default_factory=KeypointsConfig)
    dense: DenseConfig = field(default_factory=DenseConfig)
    render: RenderConfig = field(default_factory=RenderConfig)
    networks: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        _within("--face", self.face, 0, 1000)
        if self.size:
            _within("--size", self.size, 64, 4096)
        parse_crop(self.crop)
        if self.render.paste_back and replaces_background(self.keypoints.background):
            raise InputError(
                f"--background {self.keypoints.background}: expected the animated part alone, got"
                " --paste-back, which shows the whole picture; leave one of the two out"
            )
        parse_crop(self.driving_crop, "--driving-crop")
        if not self.track.face_fit and not driven.parse(self.keypoints.drive).is_uniform:
            _refuse_parts(self.keypoints.drive, "--no-face-fit")


@dataclass(frozen=True)
class RenderJob:
    """Settings of one run over a source and a driving video."""

    output: Path = Path("out.mp4")
    """Where the result goes: .mp4, .mov, .mkv, .webm, .gif, or a folder for pictures."""
    reference: str = "auto"
    """Driving frame that means "no motion": auto (posed most like the source), first, a number."""
    start: float = 0.0
    """Driving video from this second on."""
    end: float | None = None
    """Driving video up to this second."""
    source_time: float = 0.0
    """Where SOURCE is a video: the second its picture is taken at."""
    audio: bool = True
    """Keep the driving video's sound."""
    side_by_side: bool = False
    """Show the driving video at the left of the result."""
    mark: bool = True
    """A small visible mark that says the picture is generated."""
    save_motion: Path | None = None
    """Also write the driver's motion into this .safetensors file, which can be given as DRIVING."""
    debug: Path | None = None
    """Write what every stage saw into this folder: videos, frames.csv and report.html."""
    profile: tuple[Path, ...] = ()
    """A profile made by calibration (skin, camera, tracker, texture); repeat it for one of each."""
    overwrite: bool = False
    """Replace the output (and the debug folder) if it exists."""
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        if self.reference not in ("auto", "first") and not self.reference.isdecimal():
            raise InputError(
                f"--reference: expected auto, first or a frame number, got {self.reference!r};"
                " count frames from 0"
            )
        if self.output.name in ("", ".."):
            raise InputError(
                f"--output: expected a file or a new folder, got {str(self.output)!r}; add a name,"
                " for example out.mp4"
            )
        if self.output.name == "-":
            raise InputError(
                "--output: expected the name of a file, got -, the standard output, which takes no"
                " video here; name a file, for example out.mp4"
            )
        if self.save_motion is not None and self.save_motion.suffix != ".safetensors":
            raise InputError(
                f"--save-motion: expected a name that ends in .safetensors, got"
                f" {str(self.save_motion)!r}; add the ending, for example motion.safetensors"
            )
        _within("--start", self.start, 0, _LATEST_START_S)
        _within("--source-time", self.source_time, 0, _LATEST_START_S)
        if self.end is not None and self.end <= self.start:
            raise InputError(
                f"--end: expected more than --start {self.start:g}, got {self.end:g};"
                " give both in seconds"
            )


def replaces_background(background: str) -> bool:
    """Whether a ``background`` option takes the source's own background away."""
    return background not in _OWN_BACKGROUND


def background_color(background: str) -> tuple[int, int, int] | None:
    """RGB of a ``background`` option that is a colour, else None."""
    if background in (*_OWN_BACKGROUND, "transparent"):
        return None
    try:
        return ImageColor.getrgb(background)[:3]
    except ValueError:
        return None


def pipeline_config(options: Mapping[str, Any]) -> PipelineConfig:
    """PipelineConfig from flat keywords, as ``Pipeline.load`` takes them."""
    return schema.from_flat(PipelineConfig, options, "Pipeline.load")


def read_job(path: Path) -> RenderJob:
    """RenderJob from a TOML file of option names, in sections or not."""
    return schema.from_flat(RenderJob, read_options(path), f"--config {path}")


def read_options(path: Path) -> dict[str, Any]:
    """The options of a TOML file, by their names with ``_``, unchecked."""
    table = paths.read_toml(
        f"--config {path}", path, "a TOML file of options", "see docs/guide/config.md"
    )
    return {name.replace("-", "_"): value for name, value in table.items()}


def parse_crop(text: str, option: str = "--crop") -> tuple[float, float, float, float] | None:
    """X, Y, W, H in pixels of an option's value, or None for auto and none."""
    if text in ("auto", "none"):
        return None
    parts = text.split(",")
    try:
        x, y, width, height = (float(part) for part in parts)
    except ValueError:
        x = y = width = height = 0.0
    is_finite = all(abs(number) <= MOST_CROP_PX for number in (x, y, width, height))  # no NaN
    if not is_finite or min(width, height) < 16:
        raise InputError(
            f"{option}: expected auto, none or X,Y,W,H in pixels with W and H of 16 to "
            f"{MOST_CROP_PX}, got {text!r}; for example {option} 100,40,300,300"
        )
    return x, y, width, height


def _refuse_parts(text: str, option: str) -> NoReturn:
    raise InputError(
        f"--drive {text}: expected heads that move in three dimensions, got {option}, where"
        f" keypoints move all parts together; leave out {option}, or use --scale for all of them"
    )


def _expect_background(background: str) -> None:
    """Raise InputError unless it is a keyword, a colour or the name of a file."""
    if not replaces_background(background) or background == "transparent":
        return
    if background_color(background) is None and not paths.is_file(background or "."):
        raise InputError(
            f"--background: expected auto, still, follow, transparent, a colour such as green or"
            f" #00ff00, or a picture, got {background!r}; check the name"
        )


def _within(flag: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InputError(f"{flag}: expected {least} to {most}, got {value}; choose within")
