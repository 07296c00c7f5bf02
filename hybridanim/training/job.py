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
from hybridanim.networks.models import FAST
from hybridanim.tracking.registry import TRACKERS

from .data import selection

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LEAST_SIZE, _MOST_SIZE = 32, 1024
_MOST_BATCH = 4096
_BUDGET_S, _LIMIT_SHARE = 7200.0, 0.9  # training time without a limit; share of the limit
GPU_LIMIT_S = 520.0


@dataclass(frozen=True)
class TrainJob:
    """Train networks on a folder of clips."""

    data: Path
    """Folder of videos, or of folders of videos or pictures, one for each person or object. Folders
    named train, val and test are the splits. Or a file that --pack wrote."""
    out: Path = Path("runs/train")
    """Folder for weights, checkpoints, curves and strips. A run that it holds goes on."""
    tracker: str = "auto"
    """Tracker whose keypoints the renderer is trained on. learned and hybrid also train the
    keypoint detector when there is a teacher. auto: classical for faces, learned for all else."""
    kind: Literal["auto", "face", "object"] = "auto"
    """Kind of object in the clips. auto: face when faces are found in most clips."""
    preset: Literal["none", "gpu"] = "none"
    """gpu: for a short sitting on a GPU. Frames and pairs are held there and augmented there
    (resident), --batch auto, --limit-s 520, and files of the checkpoint of at most 16 MiB."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the renderer is trained; auto takes the GPU where there is one."""
    batch: int | Literal["auto", "preset"] = "preset"
    """Pairs a step with the largest pictures, and as many more with smaller ones as the settings
    have; the learning rate grows with the square root. auto: tries which is fastest. preset: as in
    the settings, or as --preset has it."""
    limit_s: float = 0.0
    """Wall time of this sitting in seconds, from the start of the command on: by then all is saved
    and validated, and the command ends with exit code 0. 0: none, or that of --preset."""
    time_budget: str = "auto"
    """Training time, for example 2h, 90m or 45s; earlier sittings of the run are included. auto:
    2h, with a limit nine tenths of it."""
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
    """CSV with the columns file (or clip), and any of identity, label, split and others, such as
    action."""
    layout: Literal["own", "vox", "taichi", "bair", "nemo", "mgif"] = "own"
    """Names and splits in --data: own (docs/guide/training.md), or those of a published data set as
    its authors prepare it; its test split is kept for testing."""
    select: tuple[str, ...] = ()
    """Clips to use, by columns of the table: "action=talking|nodding" or "label!=calm"; all of
    several must hold."""
    balance: str = ""
    """Column of the table whose values are drawn equally often, such as action; without it people
    alone are drawn equally often."""
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
    tune: int = 0
    """Search for settings by so many short trainings (Optuna), each of --time-budget, instead of
    training: tune.csv, importance.png, best.toml for --config. Goes on where it was stopped."""
    pack: Path | None = None
    """Write the prepared clips into one file, for --data on another machine, instead of training:
    the most different frames, as many as fit, as WebP."""
    pack_mib: float = 60.0
    """Largest size of that file."""
    overwrite: bool = False
    """Start anew if --out holds a run; without it, that run goes on. Replace the file of --pack."""

    def __post_init__(self) -> None:
        self.budget_s()
        self._check_sitting()
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
            ("--tune", self.tune, 0),
            ("--seed", self.seed, 0),
        ):
            if value < least:
                raise InputError(f"{flag}: expected {least} or more, got {value}; raise it")
        for text in self.select:
            selection.parse(text)  # raises InputError for one that cannot be read
        if self.tune and (self.pack is not None or self.time_budget == "auto"):
            raise InputError(
                "--tune: expected --time-budget for each training, and no --pack, got others; for"
                " example --tune 20 --time-budget 5m"
            )
        if self.layout != "own" and self.table is not None:
            raise InputError(
                f"--layout {self.layout}: expected names and splits from the layout alone, got"
                " --table, too; leave one out"
            )
        own = [name for name, tracker in TRACKERS.items() if tracker.model == FAST]
        if self.tracker not in ("auto", *own):
            raise InputError(
                f"--tracker: expected auto or one of {', '.join(own)}, got {self.tracker!r};"
                " correct the name"
            )
        if self.kind == "object" and self.tracker not in ("auto", "learned"):
            raise InputError(
                f"--tracker {self.tracker}: expected learned for --kind object, got a tracker that"
                " follows faces; leave --tracker out"
            )

    def _check_sitting(self) -> None:
        """InputError for a limit, a batch or a size of the archive that cannot be."""
        if isinstance(self.batch, int) and not 1 <= self.batch <= _MOST_BATCH:
            raise InputError(
                f"--batch: expected auto, preset or 1 to {_MOST_BATCH}, got {self.batch}; for"
                " example auto"
            )
        for flag, value, least, most in (
            ("--limit-s", self.limit_s, 0.0, 1e7),
            ("--pack-mib", self.pack_mib, 0.1, 2000.0),
        ):
            if not least <= value <= most:
                raise InputError(
                    f"{flag}: expected {least:g} to {most:g}, got {value:g}; choose within"
                )

    def sitting_s(self) -> float:
        """Wall time of this sitting, or 0 without a limit."""
        return self.limit_s or (GPU_LIMIT_S if self.preset == "gpu" else 0.0)

    def budget_s(self) -> float:
        """Training time of all sittings."""
        if self.time_budget != "auto":
            return seconds(self.time_budget)
        return _LIMIT_SHARE * self.sitting_s() or _BUDGET_S

    def tries_batches(self) -> bool:
        """Whether the number of pairs a step is found by trying."""
        return self.batch == "auto" or (self.batch == "preset" and self.preset == "gpu")


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
