"""Folder of clips -> networks: prepares the data, trains, says what was made and how to use it.

A run that is stopped, by Ctrl-C or worse, goes on from its last checkpoint when the same words are
given again. Everything lies in one folder: weights, checkpoint, curves, strips, and which clips
were used or left out.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from tqdm import tqdm

from hybridanim.errors import InputError
from hybridanim.learning import train_data, train_plan
from hybridanim.learning.data_footage import TEST, TRAIN, VALIDATION
from hybridanim.learning.train_data import Gathered
from hybridanim.learning.train_job import TrainJob, seconds

from .terminal import listen, progress

if TYPE_CHECKING:
    from hybridanim.learning.train_config import TrainConfig
    from hybridanim.learning.training_team import Team

Say = Callable[[str], None]
BEST, FACE = "best.safetensors", "face.safetensors"
_RUN_FILES = ("checkpoint.pt", "curves.csv", "train.log", BEST, FACE)
_DETECTOR = "detector"  # folder of the detector's own training


@dataclass(frozen=True)
class Trained:
    """What a run made."""

    out: Path
    weights: Path  # what --weights takes; missing when the run was stopped before any were good
    kind: str
    tracker: str
    test: Path | None = None  # listing of the clips that were kept for testing
    is_complete: bool = True


class _Stopped(KeyboardInterrupt):
    """Ctrl-C between two steps of the training: its state is whole."""


def command(words: list[str]) -> int:
    """The word ``train`` of the command line; the exit code."""
    listen()
    job = tyro.cli(TrainJob, args=words, prog="run_pipeline.py train", description=__doc__)
    try:
        trained = train(job, print)
    except KeyboardInterrupt:
        print("Stopped. What was prepared is kept; the same words go on from there.")
        return 130
    for line in _ending(trained):
        print(line)
    return 0 if trained.is_complete else 130


def train(job: TrainJob, report: Say = lambda line: None) -> Trained:
    """Prepare the data and train until the time is spent, or Ctrl-C.

    Raises InputError for whatever the user gave that cannot be used.
    """
    team = _team()
    leads = team is None or team.leads
    say: Say = report if leads else lambda line: None
    train_plan.check(job)
    data, detector = _gathered(job, say) if leads else (None, None)
    if team is not None:
        team.agreed(0.0)  # the others wait until the data is ready
    data = data or train_data.read(job)
    config = _config(job, data, distils=_distils(job, data))
    is_complete = _run(config, team, say)
    weights = job.out / BEST
    if detector is not None and weights.is_file():
        weights = _joined(weights, detector, job.out / FACE)
    return Trained(job.out, weights, data.kind, data.tracker, data.listings.get(TEST), is_complete)


def _gathered(job: TrainJob, say: Say) -> tuple[Gathered, Path | None]:
    """The prepared data, and the weights of the detector that found keypoints in it."""
    _make_room(job)
    with progress(" clips") as show:
        data = train_data.gather(job, say, show)
    detector = _detector(job, data, say)
    if detector is not None:
        with progress(" clips") as show:
            data = train_data.add_detections(job, data, detector, show)
    return data, detector


def _team() -> Team | None:
    """The processes that torchrun started, or None for one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from hybridanim.learning.training_team import Team

    return Team.from_torchrun()


def _make_room(job: TrainJob) -> None:
    """The folder of the run, empty of an earlier one if asked for."""
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        probe = job.out / ".part"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"--out {job.out}: expected a folder that can be written, got {error.strerror!r};"
            " choose another place"
        ) from error
    if job.overwrite:
        for path in (*(job.out / name for name in _RUN_FILES), *job.out.glob("strip_*.png")):
            path.unlink(missing_ok=True)
        shutil.rmtree(job.out / _DETECTOR, ignore_errors=True)


def _distils(job: TrainJob, data: Gathered) -> bool:
    """Whether a detector of faces is trained before the renderer."""
    return data.kind == "face" and data.tracker != "classical" and job.teacher is not None


def _detector(job: TrainJob, data: Gathered, say: Say) -> Path | None:
    """Weights of the faces' detector: distilled from the teacher, or the program's own."""
    if data.kind != "face" or data.tracker == "classical":
        return None
    from hybridanim.models.detector import WEIGHTS

    if not _distils(job, data):
        if not WEIGHTS.is_file():
            raise InputError(
                f"--tracker {data.tracker}: expected the program's detector at {WEIGHTS}, found"
                " none; restore it, or give --teacher DIR to train one"
            )
        say(f"Keypoints come from {WEIGHTS.name}; --teacher DIR would train a detector.")
        return WEIGHTS
    from hybridanim.learning.distill import distill
    from hybridanim.learning.distill_config import DistillConfig

    config = DistillConfig(
        out=job.out / _DETECTOR,
        caches=(data.listings[TRAIN],),
        points=train_plan.teaching_set(has_teacher=True),
        validation=data.listings[VALIDATION],
        time_budget_s=train_plan.DISTILL_SHARE * seconds(job.time_budget),
        seed=job.seed,
        threads=job.threads or DistillConfig.threads,
    )
    say(f"Detector first: {config.time_budget_s / 60:.0f} minutes.")
    return distill(config, say)


def _config(job: TrainJob, data: Gathered, *, distils: bool) -> TrainConfig:
    config = train_plan.config(job, data.kind, data.tracker)
    share = 1 - train_plan.DISTILL_SHARE if distils else 1.0
    return replace(
        config,
        out=job.out,
        cache=data.listings[TRAIN],
        validation=data.listings[VALIDATION],
        time_budget_s=share * config.time_budget_s,
        threads=job.threads or config.threads,
    )


def _run(config: TrainConfig, team: Team | None, say: Say) -> bool:
    """Train; False when Ctrl-C ended it, with everything saved."""
    from hybridanim.learning.training import CHECKPOINT, Trainer

    with _stopping() as is_asked, _bar() as bar, (config.out / "train.log").open("a") as log:

        def report(line: str) -> None:
            log.write(line + "\n")
            log.flush()
            if line.startswith(("  ", "resumed", "starts")):
                tqdm.write(line)

        def watch(done: float, values: dict[str, float]) -> None:
            bar.n = round(100 * done, 2)
            rate, loss = values["samples_per_s"], values.get("loss", float("nan"))
            bar.set_postfix_str(f"loss {loss:.4f}, {rate:.1f} samples/s", refresh=False)
            bar.update(0)
            if is_asked():
                raise _Stopped

        try:
            trainer = Trainer(config, report, team=team, watch=watch)
        except (RuntimeError, KeyError) as error:
            if not (config.out / CHECKPOINT).is_file():
                raise
            raise InputError(
                f"--out {config.out}: expected a run of these networks, found another"
                f" ({str(error).splitlines()[0]}); choose another --out, or --overwrite"
            ) from error
        if trainer.progress() >= 1:
            say("This run had its time: nothing is left to train. A longer --time-budget goes on.")
        try:
            trainer.run()
        except _Stopped:
            trainer.save()
            trainer.validate()
            return False
    return True


@contextmanager
def _bar() -> Iterator[tqdm]:
    """A bar over the share of the run that is done, with the time that is left."""
    shape = "{desc}{percentage:3.0f}%|{bar}| {elapsed} < {remaining}, {postfix}"
    with tqdm(total=100.0, disable=None, bar_format=shape) as bar:
        yield bar


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and the like end the training after the step; a second time at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    taken = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, ask)) for number in taken]
    try:
        yield asked.is_set
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _joined(animator: Path, detector: Path, file: Path) -> Path:
    """Renderer and detector in one file."""
    from hybridanim.models.files import read_weights, write_weights

    seen = read_weights(detector)
    write_weights(
        file,
        animator=read_weights(animator).animator,
        detector=seen.detector,
        detector_sizes=seen.detector_sizes,
    )
    return file


def _ending(trained: Trained) -> list[str]:
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
            f"  python run_pipeline.py SOURCE DRIVING --tracker {trained.tracker}"
            f" --renderer learned --weights {trained.weights}{crop} --output result.mp4",
        ]
    return lines
