"""The settings of a live run, parsed by tyro like those of ``hybridanim.config``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from hybridanim import schema
from hybridanim.config import PipelineConfig, RenderJob, read_options
from hybridanim.errors import InputError

SIZE_PX = 256  # default side of the animated square


@dataclass(frozen=True)
class LiveJob:
    """Animate pictures by a camera, live."""

    camera: str = "0"
    """A camera's number, /dev/video*, a video file, a folder of pictures, or a URL."""
    list_cameras: bool = False
    """List the cameras of this machine, and end."""
    window: Literal["auto", "yes", "no"] = "auto"
    """A window with the result and hotkeys; auto: where there is a display."""
    serve: int | None = None
    """Show the result in a browser at http://127.0.0.1:PORT/ (0 takes a free port)."""
    serve_address: str = "127.0.0.1"
    """With --serve: 0.0.0.0 lets other machines of your network open the page, with a token."""
    virtual_camera: bool = False
    """Offer the result as a camera to other programs (pip install "hybridanim[live]")."""
    output: Path | None = None
    """Write the result into this file, with the times at which the pictures were taken."""
    overwrite: bool = False
    """Replace the output and the report if they exist."""
    seconds: float = 0.0
    """End after this many seconds; 0 = run until you quit."""
    report: Path | None = None
    """Write latency, rate and what happened into this JSON file."""
    camera_size: tuple[int, int] = (640, 480)
    """Width and height that the camera is asked for."""
    camera_rate: float = 30.0
    """Pictures a second that the camera is asked for."""
    loop: bool = True
    """With a file as the camera: restart at its end."""
    reference: Literal["auto", "first"] = "auto"
    """Pose that means no motion: the first; or auto: of 3 s, the one most similar to the source."""
    mirror: bool = False
    """Take the camera's picture as in a mirror."""
    adapt: bool = True
    """Lower the quality before pictures come late, and raise it again when there is room."""
    latency: float = 80.0
    """Milliseconds from camera to output; --adapt keeps the latency below."""
    side_by_side: bool = False
    """Show the camera's picture at the left of the result, in every output."""
    mark: bool = True
    """A small visible mark that says the picture is generated."""
    debug: bool = False
    """Start with what the tracker sees on the screen (key d)."""
    profile: tuple[Path, ...] = ()
    """A profile made by calibration: skin, camera or tracker; repeat it for one of each."""
    pipeline: PipelineConfig = field(default_factory=lambda: PipelineConfig(size=SIZE_PX))

    def __post_init__(self) -> None:
        _within("--seconds", self.seconds, 0, float("inf"))
        _within("--camera-rate", self.camera_rate, 1, 1000)
        _within("--camera-size", min(self.camera_size), 16, 16384)
        _within("--camera-size", max(self.camera_size), 16, 16384)
        _within("--latency", self.latency, 10, 10000)
        if self.serve is not None:
            _within("--serve", self.serve, 0, 65535)

    @property
    def composing(self) -> RenderJob:
        """The fields of a render job that a Composer reads."""
        return RenderJob(mark=self.mark, side_by_side=self.side_by_side, pipeline=self.pipeline)


def read_live_job(path: Path) -> LiveJob:
    """Read a LiveJob from a TOML file of option names, like that of a RenderJob."""
    job = schema.from_flat(LiveJob, read_options(path), f"--config {path}")
    if job.pipeline.size:
        return job
    return replace(job, pipeline=replace(job.pipeline, size=SIZE_PX))


def _within(flag: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InputError(f"{flag}: expected {least} to {most}, got {value}; choose within")
