"""Options of the subcommand ``train``: a folder of clips, a tracker, a time, and a few others.

Settings of losses, curriculum and augmentation are fields of TrainConfig and are set in a TOML file
(``--config``), so that an ablation is a file. This module does not import torch.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hybridanim.errors import InputError
from hybridanim.tracking.registry import TRACKERS

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LEAST_SIZE, _MOST_SIZE = 32, 1024


@dataclass(frozen=True)
class TrainJob:
    """Train networks on a folder of clips."""

    data: Path
    """Folder of videos, or of folders of videos or pictures, one for each person or object. Folders
    named train, val and test are the splits."""
    out: Path = Path("runs/train")
    """Folder for weights, checkpoints, curves and strips. A run that it holds goes on."""
    tracker: str = "auto"
    """Tracker whose keypoints the renderer is trained on. learned and hybrid also train the
    keypoint detector when there is a teacher. auto: classical for faces, learned for all else."""
    kind: Literal["auto", "face", "object"] = "auto"
    """Kind of object in the clips. auto: face when faces are found in most clips."""
    time_budget: str = "2h"
    """Training time, for example 2h, 90m or 45s; earlier sittings of the run are included."""
    steps: int = 0
    """Number of steps, instead of a time; the result then depends on the seed alone."""
    size: int = 256
    """Side of the training pictures in pixels; in the first part of the run half of it."""
    start_from: str = "none"
    """Weights to start from: none, fast (the shipped ones), or a file."""
    teacher: Path | None = None
    """Folder of landmark networks: their points become further keypoints of faces, and the detector
    is trained on them."""
    perceptual: str = "auto"
    """Perceptual loss: a SqueezeNet file, vgg19 (needs torchvision), none; auto takes SqueezeNet
    from --teacher if it is there."""
    validation: Path | None = None
    """Folder of other clips to validate on; without it a part of the identities is held out."""
    held_out: tuple[float, float] = (0.1, 0.1)
    """Shares of the identities that are held out for validation and for testing."""
    table: Path | None = None
    """CSV with the columns file (or clip), and any of identity, label and split."""
    portraits: Path | None = None
    """Folder of pictures: further identities, animated by smooth synthetic motion."""
    cache: Path | None = None
    """Folder for the prepared frames; without it, a folder in --out."""
    frames: int = 120
    """Largest number of frames that are kept of each part of a clip."""
    square: Literal["auto", "face", "middle", "whole"] = "auto"
    """Square of the picture: round the face, the middle one, or all of it with its border repeated.
    auto: face for faces, middle for all else."""
    config: Path | None = None
    """TOML file of further settings: loss weights, curriculum, augmentation
    (docs/guide/training.md)."""
    seed: int = 1
    """Random seed of the splits, the batches and the networks."""
    threads: int = 0
    """CPU threads of the networks; 0 takes all."""
    workers: int = 0
    """Processes that prepare the clips; 0 takes one for each CPU core."""
    overwrite: bool = False
    """Start anew if --out holds a run; without it, that run goes on."""

    def __post_init__(self) -> None:
        seconds(self.time_budget)
        if self.size % 32 or not _LEAST_SIZE <= self.size <= _MOST_SIZE:
            raise InputError(
                f"--size: expected a multiple of 32 from {_LEAST_SIZE} to {_MOST_SIZE}, got"
                f" {self.size}; for example 256"
            )
        if not all(0 <= share <= 0.5 for share in self.held_out):
            raise InputError(
                f"--held-out: expected two shares of 0 to 0.5, got {self.held_out}; for example"
                " 0.1 0.1"
            )
        for flag, value, least in (
            ("--steps", self.steps, 0),
            ("--frames", self.frames, 2),
            ("--threads", self.threads, 0),
            ("--workers", self.workers, 0),
            ("--seed", self.seed, 0),
        ):
            if value < least:
                raise InputError(f"{flag}: expected {least} or more, got {value}; raise it")
        if self.tracker not in ("auto", *TRACKERS):
            raise InputError(
                f"--tracker: expected auto or one of {', '.join(TRACKERS)}, got {self.tracker!r};"
                " correct the name"
            )
        if self.kind == "object" and self.tracker not in ("auto", "learned"):
            raise InputError(
                f"--tracker {self.tracker}: expected learned for --kind object, got a tracker that"
                " follows faces; leave --tracker out"
            )


def seconds(text: str) -> float:
    """``2h``, ``1h30m``, ``90m``, ``45s`` or plain seconds; InputError otherwise."""
    compact = text.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)([a-z]*)", compact)
    is_whole = "".join(number + unit for number, unit in parts) == compact
    if not parts or not is_whole or any(unit not in _UNITS_S for _, unit in parts):
        raise InputError(
            f"--time-budget: expected a length of time, got {text!r}; for example 2h, 90m or 45s"
        )
    total = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if not (total > 0 and math.isfinite(total)):
        raise InputError(f"--time-budget: expected more than nothing, got {text!r}; for example 2h")
    return total
