"""The options of ``evaluate landmarks``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from hybridanim import paths
from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.tracking.registry import TRACKERS


@dataclass(frozen=True)
class LandmarksJob:
    """Measure the face that trackers see against a teacher's labels of the same clips."""

    clips: Path
    """Folder of video clips, one face each."""
    labels: Path
    """Folder of their labels, NAME.npy, by python -m calibration.face_labels."""
    tracker: str = "classical"
    """Trackers, separated by commas."""
    weights: Path | None = None
    """Your own weights with a detector, for the trackers that use one."""
    json: Path | None = None
    """Write the results here as JSON: settings, versions, figures of all clips and of each."""
    csv: Path | None = None
    """Write a table here: a row per clip and tracker."""
    overwrite: bool = False
    """Replace the files of --json and --csv if they exist."""
    markdown: bool = False
    """Print the tables as Markdown."""
    limit: int = 100000
    """At most so many clips, evenly chosen from the folder."""
    frames: int = 100000
    """At most so many frames of each clip."""
    jobs: int = 1
    """Clips measured at the same time, each in a process of its own."""

    networks_run: Annotated[RuntimeConfig, tyro.conf.arg(name="")] = field(
        default_factory=RuntimeConfig
    )

    def __post_init__(self) -> None:
        for name, most in (("limit", 10**6), ("frames", 10**6), ("jobs", 64)):
            if not 1 <= (value := getattr(self, name)) <= most:
                raise InputError(f"--{name}: expected 1 to {most}, got {value}; choose within")
        for name in ("clips", "labels"):
            if not paths.is_folder(path := getattr(self, name)):
                raise InputError(f"--{name}: expected a folder, got {path}; check the path")
        if not self.trackers or not set(self.trackers) <= set(TRACKERS):
            raise InputError(
                f"--tracker: expected some of {','.join(TRACKERS)}, got {self.tracker!r}; separate"
                " them by commas"
            )

    @property
    def trackers(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(dict.fromkeys(name for name in self.tracker.split(",") if name))
