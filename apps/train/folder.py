"""The folder of a training run: made, emptied of an earlier run, and told about at the end."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from apps.terminal import COMMAND
from hybridanim.errors import InputError

from . import detector

BEST, FACE = "best.safetensors", "face.safetensors"
_RUN_FILES = ("checkpoint.pt", "curves.csv", "train.log", BEST, FACE)


@dataclass(frozen=True)
class Trained:
    """What a run made."""

    out: Path
    weights: Path  # what --weights takes; missing when the run was stopped before any were good
    kind: str
    tracker: str
    test: Path | None = None  # listing of the clips that were kept for testing
    is_complete: bool = True
    is_main: bool = True  # False in the further processes of torchrun


def make_room(out: Path, *, overwrite: bool) -> None:
    """The folder of the run, empty of an earlier one if asked for."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".part"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"--out {out}: expected a folder that can be written, got {error.strerror!r};"
            " choose another place"
        ) from error
    if overwrite:
        for path in (*(out / name for name in _RUN_FILES), *out.glob("strip_*.png")):
            path.unlink(missing_ok=True)
        shutil.rmtree(out / detector.FOLDER, ignore_errors=True)


def ending(trained: Trained) -> list[str]:
    """What was made, and the words that animate with it."""
    out = trained.out
    lines = [] if trained.is_complete else ["Stopped and saved; the same words go on."]
    if trained.weights.is_file():
        lines.append(f"Weights: {trained.weights}")
    lines.append(f"Curves:  {out / 'curves.csv'}")
    strips = sorted(out.glob("strip_*.png"))
    if strips:
        lines.append(f"Strips:  {out / 'strip_*.png'}, the last one {strips[-1].name}")
    lines.append(f"Clips:   {out / 'data'}")
    if trained.test is not None:
        lines.append(f"Kept for testing: {trained.test}")
    if trained.weights.is_file():
        crop = " --crop none" if trained.kind == "object" else ""
        lines += [
            "Animate with it:",
            f"  {COMMAND} SOURCE DRIVING --tracker {trained.tracker}"
            f" --renderer learned --weights {trained.weights}{crop} --output result.mp4",
        ]
    return lines
