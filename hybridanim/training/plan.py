"""TrainJob and prepared clips -> TrainConfig: which keypoint sets, what curriculum, which networks.

faces, classical   the renderer on the sets tracked and per_frame, and teacher if there is one
faces, learned     a detector distilled from the set teacher (or per_frame), the renderer on the
                   keypoints that it detects
faces, hybrid      the same, and on the set tracked
objects            detector and renderer together, without any labels
"""

from __future__ import annotations

import dataclasses
import importlib.util
import typing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridanim import paths, schema
from hybridanim.errors import InputError
from hybridanim.face.mesh_network import MESH_FILE
from hybridanim.tracking.registry import TRACKERS

from .data.cache import DETECTED, PER_FRAME, TEACHER, TRACKED
from .job import TrainJob

if TYPE_CHECKING:
    from .config import TrainConfig

SQUEEZENET = "squeezenet_v1.0.safetensors"
DISTILL_SHARE = 0.3  # share of the time budget for the detector, where one is distilled
_RESIDENT = {"cuda": 8192, "cpu": 256}  # pairs of --preset gpu; one takes 5 to 10 ms to choose
_CHECKPOINT_MIB = 16.0  # of --preset gpu
_OWN_OPTIONS = (
    "out", "cache", "validation", "balance", "seed", "threads", "start_from", "perceptual_network",
    "device", "limit_s",
)  # fmt: skip


def renderer_sets(tracker: str, *, has_teacher: bool) -> tuple[str, ...]:
    """The keypoint sets that a face's renderer is trained with."""
    exact = TEACHER if has_teacher else PER_FRAME
    if TRACKERS[tracker].uses_anchors:
        return (DETECTED, TRACKED, exact)
    if TRACKERS[tracker].uses_detector:
        return (DETECTED, exact)
    return (PER_FRAME, TRACKED, TEACHER) if has_teacher else (PER_FRAME, TRACKED)


def validation_sets(tracker: str) -> tuple[str, ...]:
    """The sets that the tracker gives at run time; the first decides which weights are best."""
    return (DETECTED,) if TRACKERS[tracker].uses_detector else (TRACKED, PER_FRAME)


def distilled_set(*, has_teacher: bool) -> str:
    """The keypoint set that a detector is distilled from."""
    return TEACHER if has_teacher else PER_FRAME


def config(
    job: TrainJob, kind: str, tracker: str, sets: tuple[str, ...] | None = None
) -> TrainConfig:
    """The settings of the run without its paths; those of the TOML file override the defaults.

    sets: keypoint sets of packed clips, where the data has no others. Raises InputError for options
    that contradict each other.
    """
    from . import device
    from .config import TrainConfig, face_settings, object_settings

    given = read_settings(job.config)
    chosen: dict[str, Any] = {"steps": job.steps, "time_budget_s": job.budget_s()}
    if kind == "object":
        chosen |= object_settings(job.size)
    else:
        chosen |= face_settings()
        chosen["sets"] = sets or renderer_sets(tracker, has_teacher=job.teacher is not None)
        chosen["validation_sets"] = validation_sets(tracker)
    chosen |= curriculum(job.size)
    if job.preset == "gpu":
        where = device.pick(job.device).type
        chosen |= {"resident": _RESIDENT[where], "checkpoint_mib": _CHECKPOINT_MIB}
    return replace(
        updated(replace(TrainConfig(), **chosen), given, f"--config {job.config}"),
        perceptual_network=perceptual(job),
        start_from=start(job, kind),
        seed=job.seed,
        balance=job.balance,
        device=job.device,
    )


def with_batch(config: TrainConfig, batch: int, *, keeps_rate: bool = False) -> TrainConfig:
    """The settings with that many pairs a step in the last phase, and in proportion in the others.

    The learning rate is multiplied by the square root of the ratio, at most by 4 (Adam's gradients
    have that much less noise; Malladi et al. 2022), unless it is kept.
    """
    ratio = batch / config.phases[-1].batch
    phases = tuple(
        replace(phase, batch=max(1, round(phase.batch * ratio))) for phase in config.phases
    )
    rate = config.learning_rate if keeps_rate else config.learning_rate * min(4.0, ratio**0.5)
    return replace(config, phases=phases, learning_rate=rate)


def updated(settings: Any, table: dict[str, Any], where: str) -> Any:
    """The dataclass with its values replaced by those of the table, section by section."""
    hints = typing.get_type_hints(type(settings))
    out: dict[str, Any] = {}
    for name, value in table.items():
        name = name.replace("-", "_")
        if name not in hints:
            schema.refuse_unknown(name, list(hints), where)
        before = getattr(settings, name)
        if dataclasses.is_dataclass(before) and isinstance(value, dict):
            out[name] = updated(before, value, f"{where} [{name}]")
        else:
            out[name] = schema.fit(value, hints[name], f"{where}: {name}")
    return replace(settings, **out)


def check(job: TrainJob) -> None:
    """InputError for wrong options that can be detected before the data is read."""
    check_teacher(job.teacher)
    perceptual(job)
    start(job, None if job.kind == "auto" else job.kind)
    if job.device == "cuda":
        from . import device

        device.pick(job.device)
    if job.config is not None:
        from .config import TrainConfig

        updated(TrainConfig(), read_settings(job.config), f"--config {job.config}")


def curriculum(size: int) -> dict[str, Any]:
    """Phases: half the size first, in larger batches; small pictures in a single phase."""
    from .config import Phase

    if size < 128:
        phases = (Phase(size, 32, 1.0),)
    else:
        phases = (Phase(size // 64 * 32, 16, 0.65), Phase(size, 8, 0.35))
    return {"phases": phases, "validation_sizes": (phases[0].size, size)}


def read_settings(path: Path | None) -> dict[str, Any]:
    """The table of a TOML file; InputError if it is none or sets what has an option of its own."""
    if path is None:
        return {}
    table = paths.read_toml(
        f"--config {path}", path, "a TOML file of training settings", "see docs/guide/training.md"
    )
    table = {name.replace("-", "_"): value for name, value in table.items()}
    clash = next((name for name in _OWN_OPTIONS if name in table), None)
    if clash is not None:
        flag = "perceptual" if clash == "perceptual_network" else clash.replace("_", "-")
        raise InputError(
            f"--config {path}: expected settings that have no option, got {clash!r}; give --{flag}"
        )
    return table


def perceptual(job: TrainJob) -> Path | None:
    """The network of the perceptual loss, or None."""
    if job.perceptual == "auto":
        file = None if job.teacher is None else job.teacher / SQUEEZENET
        return file if file is not None and paths.is_file(file) else None
    if job.perceptual == "none":
        return None
    file = Path(job.perceptual)
    if job.perceptual != "vgg19" and not paths.is_file(file):
        raise InputError(
            f"--perceptual: expected a file, vgg19, none or auto, got {job.perceptual}; check the"
            " path"
        )
    return file


def start(job: TrainJob, kind: str | None) -> Path | None:
    """The weights to start from, or None; kind: the kind that they must have, if it is known."""
    if job.start_from == "none":
        return None
    from hybridanim.networks.weights import RENDERER, read_header

    file = Path(job.start_from)
    if job.start_from == "fast":
        file = RENDERER.path
    if not paths.is_file(file):
        raise InputError(
            f"--start-from: expected none, fast or a weights file, got {job.start_from}; check the"
            " path"
        )
    found = read_header(file).kind
    if kind not in (None, found):
        raise InputError(
            f"--start-from {file.name}: expected weights for --kind {kind}, got some for {found};"
            " give others, or none"
        )
    return file


def check_teacher(folder: Path | None) -> None:
    """InputError when there is no landmark network in the folder, or nothing to run it."""
    if folder is None:
        return
    if not paths.is_file(folder / MESH_FILE):
        raise InputError(
            f"--teacher {folder}: expected a folder with {MESH_FILE}, found none; give the folder"
            " of the landmark networks"
        )
    if importlib.util.find_spec("openvino") is None:
        raise InputError(
            "--teacher: expected the package openvino to run its networks, found none; pip install"
            " openvino"
        )
