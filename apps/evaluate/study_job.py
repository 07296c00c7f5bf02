"""The options of ``evaluate study`` and ``evaluate tally``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hybridanim import paths
from hybridanim.errors import InputError

from .job import EvaluateJob, split_method


@dataclass(frozen=True)
class StudyJob:
    """Make a page on which people compare methods blindly, side by side."""

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """New folder for the page and its clips, to be given to the voters as it is."""
    methods: tuple[str, ...] = ()
    """Two or more, TRACKER+RENDERER[@WEIGHTS] or copy, separated by spaces or commas."""
    clips: tuple[Path, ...] = ()
    """Instead of --methods: two or more folders of finished clips, alike in their names."""
    sources: Path | None = None
    """Folder of pictures (or videos) to animate; with --clips, those that the clips animate."""
    drivers: Path | None = None
    """Folder of driving videos; with --clips, those that drive them."""
    key: Path | None = None
    """Where the key goes, which says what was what; without it, FOLDER.key.json."""
    pairs: int = 40
    """Number of pairs of a source and a driver."""
    seed: int = 0
    """The same number gives the same pairs, order and sides."""
    frames: int = 100
    """At most so many frames of each clip."""
    size: int = 320
    """Side of the clips in pixels."""
    reference: Literal["nearest", "first"] = "nearest"
    """The driver's frame without motion: posed most like the source, or its first."""

    def __post_init__(self) -> None:
        limits = {"pairs": (1, 10**4), "frames": (2, 10**5), "size": (64, 2048)}
        for name, (least, most) in limits.items():
            if not least <= (value := getattr(self, name)) <= most:
                raise InputError(
                    f"--{name}: expected {least} to {most}, got {value}; choose within"
                )
        names = self.names
        if bool(names) == bool(self.clips) or len(names or self.clips) < 2:
            raise InputError(
                "evaluate study: expected two or more of --methods, or of --clips, got"
                f" {len(names)} and {len(self.clips)}; for example --methods"
                " classical+warp,classical+painted"
            )
        if len(set(names)) < len(names) or len({p.name for p in self.clips}) < len(self.clips):
            raise InputError(
                "evaluate study: expected methods or folders of different names, got one twice;"
                " rename it"
            )
        for name in names:
            split_method(name)  # raises InputError for an unknown one
        for option in ("sources", "drivers"):
            if getattr(self, option) is None:
                raise InputError(f"evaluate study: expected --{option} DIR, got none; add it")
        for path in (self.sources, self.drivers, *self.clips):
            if path is not None and not paths.is_folder(path):
                raise InputError(f"evaluate study: expected a folder, got {path}; check the path")

    @property
    def names(self) -> tuple[str, ...]:
        """The methods one by one."""
        return tuple(part for name in self.methods for part in name.split(",") if part)

    @property
    def key_path(self) -> Path:
        """Where the key goes."""
        return self.key or self.out.with_name(f"{self.out.name}.key.json")

    def evaluated(self) -> EvaluateJob:
        """The same run as a cross-identity evaluation."""
        return EvaluateJob(
            cross=True,
            sources=self.sources,
            drivers=self.drivers,
            methods=self.names,
            pairs=self.pairs,
            seed=self.seed,
            frames=self.frames,
            size=self.size,
            reference=self.reference,
        )


@dataclass(frozen=True)
class TallyJob:
    """Count the votes of a study."""

    votes: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="VOTES")]
    """Files that voters have saved, JSON or CSV; of two votes on the same the later file's counts.
    """
    key: Path
    """The key that evaluate study wrote."""
    json: Path | None = None
    """Write all figures here as JSON."""
    overwrite: bool = False
    """Replace the file of --json if it exists."""
    markdown: bool = False
    """Print the tables as Markdown."""

    def __post_init__(self) -> None:
        if not self.votes:
            raise InputError("evaluate tally: expected files of votes, got none; name them")
