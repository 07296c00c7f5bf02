"""Clips or pairs, one after the other or several at a time in processes -> their results in order.

Ctrl-C ends the run; what was whole by then is given back.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2

from hybridanim import perceptual
from hybridanim.config_evaluate import EvaluateJob
from hybridanim.errors import InputError
from hybridanim.judges import Judge
from hybridanim.reconstruction import Judges

from .evaluate_clip import reconstruct
from .evaluate_cross import animate
from .evaluate_driver import Driver, look_through
from .evaluate_methods import Ways
from .evaluate_result import ClipResult

Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class Task:
    """A clip to reconstruct, or a source and the driver that moves it."""

    source: Path
    driver: Path | None = None

    @property
    def name(self) -> str:
        """As it stands in the results."""
        return f"{self.source.stem} < {self.driver.stem}" if self.driver else self.source.name


class Worker:
    """Holds the methods' pipelines and the judges, which are loaded once."""

    def __init__(self, job: EvaluateJob) -> None:
        self._job = job
        self._ways = Ways(job, "relative" if job.cross else "absolute")
        alexnet, inception, _ = perceptual.find(job.backbones)
        face = Judge(job.networks) if job.networks else None
        self._judges = Judges(face, perceptual.Perceptual(alexnet, inception))
        self._drivers: dict[Path, Driver] = {}

    def __call__(self, task: Task) -> ClipResult:
        """Measure one clip; one that cannot be used comes back with the reason."""
        try:
            if task.driver is None:
                return reconstruct(task.source, self._job, self._ways, self._judges)
            if task.driver not in self._drivers:
                self._drivers[task.driver] = look_through(task.driver, self._job)
            driver = self._drivers[task.driver]
            return animate(task.source, driver, self._job, self._ways, self._judges)
        except InputError as error:
            return ClipResult(task.name, failure=str(error))


def run(tasks: list[Task], job: EvaluateJob, report: Progress) -> tuple[list[ClipResult], bool]:
    """All tasks' results, and whether they were interrupted."""
    results: dict[int, ClipResult] = {}
    is_interrupted = False
    report(0, len(tasks), "measuring")
    try:
        several = job.jobs > 1 and len(tasks) > 1
        (_in_processes if several else _in_turn)(tasks, job, results, report)
    except KeyboardInterrupt:
        is_interrupted = True
    return [results[i] for i in sorted(results)], is_interrupted


def _in_turn(
    tasks: list[Task], job: EvaluateJob, results: dict[int, ClipResult], report: Progress
) -> None:
    worker = Worker(job)
    for index, task in enumerate(tasks):
        results[index] = worker(task)
        report(index + 1, len(tasks), task.name)


def _in_processes(
    tasks: list[Task], job: EvaluateJob, results: dict[int, ClipResult], report: Progress
) -> None:
    fresh = multiprocessing.get_context("spawn")  # a fork would copy the networks' threads
    with fresh.Pool(min(job.jobs, len(tasks)), _begin, (job,)) as pool:  # leaving it ends them
        for index, result in pool.imap_unordered(_work, enumerate(tasks)):
            results[index] = result
            report(len(results), len(tasks), result.name)


_worker: Worker | InputError | None = None  # of this process, or why there is none


def _begin(job: EvaluateJob) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides
    cv2.setNumThreads(1)
    try:
        _worker = Worker(job)
    except InputError as error:  # raised here, it would have the pool begin anew for ever
        _worker = error
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def _work(numbered: tuple[int, Task]) -> tuple[int, ClipResult]:
    index, task = numbered
    assert _worker is not None
    if isinstance(_worker, InputError):
        raise _worker
    return index, _worker(task)
