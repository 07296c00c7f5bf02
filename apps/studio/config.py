"""The settings of the studio, parsed by tyro like those of ``hybridanim.config``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hybridanim import schema
from hybridanim.config import PipelineConfig, RenderJob, read_options
from hybridanim.errors import InputError

PORT = 7860  # Gradio's own


@dataclass(frozen=True)
class StudioJob:
    """Animate in a page of your browser; other programs can send requests to the same server."""

    port: int = PORT
    """Port of the page; 0 takes a free one."""
    address: str = "127.0.0.1"
    """0.0.0.0 lets other machines of your network open the page, with a token."""
    results: Path = Path("out") / "studio"
    """Folder for the results, made if missing."""
    browser: bool = True
    """Open the page in the browser."""
    most_mb: int = 500
    """Largest file that is taken, in megabytes."""
    most_seconds: float = 3600.0
    """An animation is stopped after this many seconds; what is done is kept."""
    most_waiting: int = 8
    """Number of animations that may wait while one runs."""
    mark: bool = True
    """A small visible mark that says the picture is generated."""
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        _within("--port", self.port, 0, 65535)
        _within("--most-mb", self.most_mb, 1, 100_000)
        _within("--most-seconds", self.most_seconds, 1, 1e6)
        _within("--most-waiting", self.most_waiting, 0, 1000)

    @property
    def animation(self) -> RenderJob:
        """What an animation of the page has unless its user chooses otherwise."""
        return RenderJob(mark=self.mark, pipeline=self.pipeline)


def read_studio_job(path: Path) -> StudioJob:
    """Read a StudioJob from a TOML file of option names, like that of a RenderJob."""
    return schema.from_flat(StudioJob, read_options(path), f"--config {path}")


def _within(flag: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InputError(f"{flag}: expected {least:g} to {most:g}, got {value}; choose within")
