"""What the studio does with files, without a page: sources, faces, previews, the command line.

A notebook shares it. Errors are InputErrors, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apps.sources import source_picture
from hybridanim.types import Array, FaceBox


@dataclass(frozen=True)
class LoadedSource:
    """A source file, read."""

    path: Path
    picture: Array  # (H, W, 3) uint8 RGB
    faces: tuple[FaceBox, ...] = ()  # the number of ``--face`` is their index


def load_source(path: Path, time_s: float = 0.0) -> LoadedSource:
    """Read a source; raises InputError for what is neither a picture nor a video."""
    return LoadedSource(path, source_picture(path, time_s))
