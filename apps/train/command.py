"""Folder of clips -> networks: prepares the data, trains, says what was made and how to use it.

A run that is stopped, by Ctrl-C or worse, goes on from its last checkpoint when the same words are
given again. Everything lies in one folder: weights, checkpoint, curves, strips, and which clips
were used or left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from apps.terminal import PROGRAM, listen, progress
from hybridanim.training import gather, plan
from hybridanim.training.data.dataset_index import TEST, TRAIN, VALIDATION
from hybridanim.training.gather import Gathered
from hybridanim.training.job import TrainJob

from . import detector as train_detector
from .folder import BEST, FACE, Trained, ending, make_room
from .run import run

if TYPE_CHECKING:
    from hybridanim.training.config import TrainConfig
    from hybridanim.training.distributed import ProcessGroup

Say = Callable[[str], None]


def command(words: list[str]) -> int:
    """The word ``train`` of the command line; the exit code."""
    listen()
    job = tyro.cli(TrainJob, args=words, prog=f"{PROGRAM} train", description=__doc__)
    try:
        trained = train(job, print)
    except KeyboardInterrupt:
        print("Stopped. What was prepared is kept; the same words go on from there.")
        return 130
    for line in ending(trained) if trained.is_main else []:
        print(line)
    return 0 if trained.is_complete else 130


def train(job: TrainJob, report: Say = lambda line: None) -> Trained:
    """Prepare the data and train until the time is spent, or Ctrl-C.

    Raises InputError for whatever the user gave that cannot be used.
    """
    group = _process_group()
    is_main = group is None or group.is_main
    say: Say = report if is_main else lambda line: None
    plan.check(job)
    data, detector = _gathered(job, say) if is_main else (None, None)
    if group is not None:
        group.from_main(0.0)  # the others wait until the data is ready
    data = data or gather.read(job)
    config = _config(job, data, distils=train_detector.distils(job, data))
    is_complete = run(config, group, say)
    if group is not None:
        _part(is_complete)
    weights = job.out / BEST
    if detector is not None and weights.is_file():
        weights = train_detector.joined(weights, detector, job.out / FACE)
    test = data.listings.get(TEST)
    return Trained(job.out, weights, data.kind, data.tracker, test, is_complete, is_main)


def _part(is_complete: bool) -> None:
    """Leave the group after all processes have finished; leaving earlier would break the others."""
    import torch.distributed as distributed

    if is_complete:
        distributed.barrier()
    distributed.destroy_process_group()


def _gathered(job: TrainJob, say: Say) -> tuple[Gathered, Path | None]:
    """The prepared data, and the weights of the detector that found keypoints in it."""
    make_room(job.out, overwrite=job.overwrite)
    with progress(" clips") as show:
        data = gather.gather(job, say, show)
    detector = train_detector.detector_of(job, data, say)
    if detector is not None:
        with progress(" clips") as show:
            data = gather.add_detections(job, data, detector, show)
    return data, detector


def _process_group() -> ProcessGroup | None:
    """The processes that torchrun started, or None for one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from hybridanim.training.distributed import ProcessGroup

    return ProcessGroup.from_torchrun()


def _config(job: TrainJob, data: Gathered, *, distils: bool) -> TrainConfig:
    config = plan.config(job, data.kind, data.tracker)
    share = 1 - plan.DISTILL_SHARE if distils else 1.0
    return replace(
        config,
        out=job.out,
        cache=data.listings[TRAIN],
        validation=data.listings[VALIDATION],
        time_budget_s=share * config.time_budget_s,
        threads=job.threads or config.threads,
    )
