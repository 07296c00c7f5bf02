"""Train networks on a folder of clips: prepare the data, train, print how to use the result.

A run that was stopped, by Ctrl-C or a crash, goes on from its last checkpoint when it is started
again with the same arguments. Its folder holds everything: weights, checkpoint, curves, strips, and
lists of the clips that were used and left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from apps.terminal import COMMAND, PROGRAM, listen, progress
from hybridanim import extras, files, paths
from hybridanim.errors import InputError
from hybridanim.tracking.registry import TRACKERS
from hybridanim.training import gather, plan
from hybridanim.training.archive import SUFFIX
from hybridanim.training.data.dataset_index import TEST, TRAIN, VALIDATION
from hybridanim.training.gather import PreparedData
from hybridanim.training.job import TrainJob

from .run import run

if TYPE_CHECKING:
    from hybridanim.training.config import TrainConfig
    from hybridanim.training.distributed import ProcessGroup

Report = Callable[[str], None]
BEST, FACE = "best.safetensors", "face.safetensors"
_RUN_FILES = ("checkpoint.pt", "curves.csv", "train.log", BEST, FACE)
_TRIAL_S, _TRIAL_SHARE = 25.0, 0.05  # for the number of pairs a step; of the limit
_DETECTOR = "detector"  # folder of the detector's training, in that of the run
_TUNING = "tune"  # folder of a search for settings
_TUNING_FILES = ("tune.db", "tune.csv", "importance.png", "best.toml")
_DETECTOR_FILES = ("checkpoint.pt", "curves.csv", "detector.safetensors")


@dataclass(frozen=True)
class Trained:
    """The result of a run."""

    out: Path
    weights: Path  # for --weights; does not exist if the run was stopped before a validation
    kind: str
    tracker: str
    test: Path | None = None  # listing of the clips that were kept for testing
    is_complete: bool = True
    is_main: bool = True  # False in the other processes of torchrun


def command(argv: list[str]) -> int:
    """Run the subcommand ``train``; returns the exit code."""
    began_s = time.monotonic()
    listen()
    job = tyro.cli(TrainJob, args=argv, prog=f"{PROGRAM} train", description=__doc__)
    try:
        if job.pack is not None:
            return pack(job, print)
        if job.tune:
            return tune(job, print)
        trained = train(job, print, began_s)
    except KeyboardInterrupt:
        print("Stopped. Prepared clips are kept; start again with the same arguments to go on.")
        return 130
    for line in summary(trained) if trained.is_main else []:
        print(line)
    return 0 if trained.is_complete else 130


def pack(job: TrainJob, report: Report) -> int:
    """Prepare the data and write it into one file; returns the exit code.

    Raises InputError for arguments and data that cannot be used, and where torch is missing.
    """
    extras.expect_torch("train")
    assert job.pack is not None
    plan.check(job)
    _refuse_to_pack(job)
    data, _ = _prepare_data(job, report)
    packed = gather.pack(job, data)
    report(
        f"Packed {packed.rows} of {packed.of} frames (WebP {packed.quality},"
        f" {packed.bytes / 2**20:.1f} MiB): {job.pack}"
    )
    report(f"Train with it: {COMMAND} train --data {job.pack} --preset gpu --out DIR")
    return 0


def tune(job: TrainJob, report: Report) -> int:
    """Search for settings; returns the exit code.

    Raises InputError for arguments and data that cannot be used, and where optuna is missing.
    """
    extras.expect_torch("train")
    extras.optuna()  # before the clips are prepared
    plan.check(job)
    data, _ = _prepare_data(job, report)
    from hybridanim.training import tuning

    folder = job.out / _TUNING
    found = tuning.search(
        _config(job, data, distils=False), job.tune, folder, tuning.train_once, report
    )
    report((folder / tuning.TABLE).read_text(encoding="utf-8").rstrip())
    report(f"Lowest error {found.value:.4f} of {found.trials} trainings: {folder / tuning.BEST}")
    report(f"Train with it: {COMMAND} train --data {job.data} --config {folder / tuning.BEST}")
    return 0


def _refuse_to_pack(job: TrainJob) -> None:
    """Raise InputError when the archive would replace something, or could not be read again."""
    assert job.pack is not None
    if job.pack.suffix != SUFFIX:
        raise InputError(f"--pack {job.pack}: expected a name that ends in {SUFFIX}; add it")
    if not paths.is_folder(job.pack.absolute().parent):
        raise InputError(f"--pack {job.pack}: expected a file in a folder that is there; make it")
    given = [path for path in (job.data, job.config, job.table) if path is not None]
    paths.refuse_replacing([("--pack", job.pack)], given, overwrite=job.overwrite)


def train(
    job: TrainJob, report: Report = lambda line: None, began_s: float | None = None
) -> Trained:
    """Prepare the data and train until the time is spent, or Ctrl-C.

    began_s: time.monotonic() at which the limit of this sitting begins; by default now. Raises
    InputError for arguments and data that cannot be used, and where torch is missing.
    """
    began_s = time.monotonic() if began_s is None else began_s
    extras.expect_torch("train")
    group = _process_group()
    is_main = group is None or group.is_main
    log: Report = report if is_main else lambda line: None
    plan.check(job)
    data, detector = _prepare_data(job, log) if is_main else (None, None)
    if group is not None:
        group.from_main(0.0)  # the others wait until the data is ready
    data = data or gather.read(job)
    config = _config(job, data, distils=trains_detector(job, data))
    if job.tries_batches():
        config = _with_fastest_batch(job, config, log)
    if job.sitting_s():
        rest_s = began_s + job.sitting_s() - time.monotonic()
        config = replace(config, limit_s=max(1.0, rest_s))
    is_complete = run(config, group, log)
    if group is not None:
        _leave(is_complete)
    weights = job.out / BEST
    if detector is not None and weights.is_file():
        weights = join_weights(weights, detector, job.out / FACE)
    test = data.listings.get(TEST)
    return Trained(job.out, weights, data.kind, data.tracker, test, is_complete, is_main)


def _leave(is_complete: bool) -> None:
    """Leave the group after all processes have finished; leaving earlier would break the others."""
    import torch.distributed as distributed

    if is_complete:
        distributed.barrier()
    distributed.destroy_process_group()


def _prepare_data(job: TrainJob, log: Report) -> tuple[PreparedData, Path | None]:
    """The prepared data, and the weights of the detector that found keypoints in it."""
    _refuse_to_remove(job)
    prepare_folder(job.out, overwrite=job.overwrite)
    if gather.is_packed(job):
        return gather.unpack(job, log), None
    with progress(" clips") as show_progress:
        data = gather.gather(job, log, show_progress)
    detector = find_detector(job, data, log)
    if detector is not None:
        with progress(" clips") as show_progress:
            data = gather.add_detections(job, data, detector, show_progress)
    return data, detector


def _process_group() -> ProcessGroup | None:
    """The processes that torchrun started, or None for a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from hybridanim.training.distributed import ProcessGroup

    return ProcessGroup.from_torchrun()


def _config(job: TrainJob, data: PreparedData, *, distils: bool) -> TrainConfig:
    config = plan.config(job, data.kind, data.tracker, data.packed_sets)
    if isinstance(job.batch, int):
        config = plan.with_batch(config, job.batch, keeps_rate=_gives_rate(job))
    share = 1 - plan.DISTILL_SHARE if distils else 1.0
    return replace(
        config,
        out=job.out,
        cache=data.listings[TRAIN],
        validation=data.listings[VALIDATION],
        time_budget_s=share * config.time_budget_s,
        threads=job.threads or config.threads,
    )


def _gives_rate(job: TrainJob) -> bool:
    return "learning_rate" in plan.read_settings(job.config)


def _with_fastest_batch(job: TrainJob, config: TrainConfig, log: Report) -> TrainConfig:
    """The settings with the number of pairs that the device learns from fastest."""
    from hybridanim.training.animator import trial

    limit_s = job.sitting_s()
    most_s = min(_TRIAL_S, _TRIAL_SHARE * limit_s) if limit_s else _TRIAL_S
    batch = trial.fastest(config, most_s, log)
    return plan.with_batch(config, batch, keeps_rate=_gives_rate(job))


def trains_detector(job: TrainJob, data: PreparedData) -> bool:
    """Whether a detector of faces is trained before the renderer."""
    if data.kind != "face" or data.packed_sets is not None:
        return False  # packed clips bring what a detector has found
    return TRACKERS[data.tracker].uses_detector and job.teacher is not None


def find_detector(job: TrainJob, data: PreparedData, log: Report) -> Path | None:
    """Weights of the detector of faces: distilled or shipped; None where none is needed."""
    if data.kind != "face" or not TRACKERS[data.tracker].uses_detector:
        return None
    if data.packed_sets is not None:
        return None
    from hybridanim.networks.weights import DETECTOR

    if not trains_detector(job, data):
        if not DETECTOR.path.is_file():
            raise InputError(
                f"--tracker {data.tracker}: expected the shipped detector at {DETECTOR.path},"
                " found none; restore it, or give --teacher DIR to train one"
            )
        log(f"Keypoints come from {DETECTOR.path.name}; --teacher DIR would train a detector.")
        return DETECTOR.path
    from hybridanim.training.config import DistillConfig
    from hybridanim.training.detector.trainer import distill

    config = DistillConfig(
        out=job.out / _DETECTOR,
        caches=(data.listings[TRAIN],),
        points=plan.distilled_set(has_teacher=True),
        validation=data.listings[VALIDATION],
        time_budget_s=plan.DISTILL_SHARE * job.budget_s(),
        seed=job.seed,
        threads=job.threads or DistillConfig.threads,
    )
    log(f"Detector first: {config.time_budget_s / 60:.1f} minutes.")
    return distill(config, log)


def join_weights(animator: Path, detector: Path, file: Path) -> Path:
    """Write renderer and detector into one file; returns its path."""
    from hybridanim.networks.weights import read_weights, write_weights

    seen = read_weights(detector)
    write_weights(
        file,
        animator=read_weights(animator).animator,
        detector=seen.detector,
        detector_sizes=seen.detector_sizes,
    )
    return file


def _refuse_to_remove(job: TrainJob) -> None:
    """Raise InputError when the run would remove something that is read, or weights of no run."""
    if not paths.is_folder(job.out):
        return
    inputs = [job.table, job.config]
    inputs += [Path(text) for text in (job.start_from, job.perceptual) if paths.is_file(text)]
    if job.overwrite:  # else a run that lies in one of these goes on
        inputs += [job.data, job.teacher, job.validation, job.portraits]
    given = [path for path in inputs if path is not None]
    outputs = [("--out", path) for path in _files_of_run(job.out)]
    paths.refuse_replacing(outputs, given, overwrite=True, is_deep=True)
    if not paths.is_file(job.out / _RUN_FILES[0]):
        weights = [("--out", job.out / name) for name in (BEST, FACE)]
        paths.refuse_replacing(weights, (), overwrite=job.overwrite)


def _files_of_run(out: Path) -> list[Path]:
    own = [out / name for name in _RUN_FILES]
    own += [out / _DETECTOR / name for name in _DETECTOR_FILES]
    own += [out / _TUNING / name for name in _TUNING_FILES]
    parts = [*out.glob("checkpoint.pt.*.*"), *(out / _DETECTOR).glob("checkpoint.pt.*.*")]
    return [*own, *parts, *out.glob("strip_*.png")]


def prepare_folder(out: Path, *, overwrite: bool) -> None:
    """Make the folder of the run; with ``overwrite`` remove an earlier run from it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        files.part_file(out / "probe").unlink()
    except OSError as error:
        raise InputError(
            f"--out {out}: expected a folder that can be written, got {error.strerror!r};"
            " choose another place"
        ) from error
    if overwrite:
        for path in _files_of_run(out):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # where other files are in it, it stays
            (out / _DETECTOR).rmdir()


def summary(trained: Trained) -> list[str]:
    """Lines that say what was made, and the command that animates with it."""
    out = trained.out
    lines = (
        []
        if trained.is_complete
        else ["Stopped and saved; start again with the same arguments to go on."]
    )
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
