"""Clips or pairs -> their results, one after the other or several at a time in processes."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2

from apps.guards import undisturbed
from hybridanim.errors import InputError
from hybridanim.evaluation import perceptual
from hybridanim.evaluation.body_pose import BodyEvaluator
from hybridanim.evaluation.face_evaluator import FaceEvaluator
from hybridanim.evaluation.scores import Evaluators

from .cross_identity import Driver, animate, scan_driver
from .job import EvaluateJob, measures_faces
from .methods import Method, MethodRunner
from .reconstruction import reconstruct
from .results import ClipResult

Progress = Callable[[int, int | None, str], None]


class Named(Protocol):
    """A task whose name the progress bar shows."""

    @property
    def name(self) -> str:
        """The name."""
        ...


def silent(done: int, total: int | None, what: str) -> None:
    """A Progress that shows nothing."""


T = TypeVar("T", bound=Named)
R = TypeVar("R")


@dataclass(frozen=True)
class Task:
    """A clip to reconstruct, or a source and the driver that moves it."""

    source: Path
    driver: Path | None = None
    label: str = ""  # its name, where that of the file is not unique

    @property
    def name(self) -> str:
        """As in the results."""
        if self.label:
            return self.label
        return f"{self.source.stem} < {self.driver.stem}" if self.driver else self.source.name


class Worker:
    """Measures tasks with pipelines and evaluators that are loaded once."""

    def __init__(self, job: EvaluateJob, methods: tuple[Method, ...]) -> None:
        self._job = job
        self._runner = MethodRunner(job, methods, "relative" if job.cross else "absolute")
        alexnet, inception, _ = perceptual.find(job.backbones)
        face = None
        has_judge = job.networks is not None or job.mesh_environment is not None
        has_judge = has_judge and measures_faces(job)
        if has_judge and not any(method.is_object for method in methods):
            face = FaceEvaluator(job.networks, job.mesh_environment)
        body = None
        if job.bodies and job.mesh_environment is not None:
            body = BodyEvaluator(job.mesh_environment)
        self._evaluators = Evaluators(face, perceptual.Perceptual(alexnet, inception), body)
        self._drivers: dict[Path, Driver] = {}

    def __call__(self, task: Task) -> ClipResult:
        """Measure one clip; the result of an unusable one holds the reason."""
        try:
            if task.driver is None:
                found = reconstruct(task.source, self._job, self._runner, self._evaluators)
                return replace(found, name=task.name)
            if task.driver not in self._drivers:
                self._drivers[task.driver] = scan_driver(task.driver, self._job)
            driver = self._drivers[task.driver]
            return animate(task.source, driver, self._job, self._runner, self._evaluators)
        except InputError as error:
            return ClipResult(task.name, failure=str(error))


def run(
    tasks: Sequence[T],
    make: Callable[[], Callable[[T], R]],
    jobs: int,
    report: Progress,
) -> tuple[list[R], bool]:
    """The results of all tasks in their order, and whether they were interrupted.

    make: gives what measures a task; called once in each process, so it must be possible to send
    it. jobs: processes. On Ctrl-C the run ends; the results that were complete by then are
    returned.
    """
    results: dict[int, R] = {}
    is_interrupted = False
    report(0, len(tasks), "measuring")
    try:
        if jobs > 1 and len(tasks) > 1:
            _in_processes(tasks, make, jobs, results, report)
        else:
            _in_turn(tasks, make, results, report)
    except KeyboardInterrupt:
        is_interrupted = True
    return [results[i] for i in sorted(results)], is_interrupted


def _in_turn(
    tasks: Sequence[T],
    make: Callable[[], Callable[[T], R]],
    results: dict[int, R],
    report: Progress,
) -> None:
    worker = make()
    for index, task in enumerate(tasks):
        results[index] = worker(task)
        report(index + 1, len(tasks), task.name)


def _in_processes(
    tasks: Sequence[T],
    make: Callable[[], Callable[[T], R]],
    jobs: int,
    results: dict[int, R],
    report: Progress,
) -> None:
    fresh = multiprocessing.get_context("spawn")  # a fork would copy the networks' threads
    count = min(jobs, len(tasks))
    with ProcessPoolExecutor(count, fresh, initializer=_begin, initargs=(make,)) as pool:
        with undisturbed():  # the processes start with Ctrl-C ignored; the main one handles it
            running = {pool.submit(_work, task): index for index, task in enumerate(tasks)}
        try:
            for done in as_completed(running):
                results[running[done]] = done.result()
                report(len(results), len(tasks), tasks[running[done]].name)
        except BrokenProcessPool as error:
            raise InputError(
                f"--jobs {jobs}: expected processes that go on, got one that was killed; where"
                " memory was short, give fewer"
            ) from error
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            children = multiprocessing.active_children()
            for child in children:
                child.kill()
            for child in children:
                child.join()
            raise


_worker: Callable[[Any], Any] | None = None  # of this process
_refusal: InputError | None = None  # why there is none


def _begin(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _worker, _refusal
    cv2.setNumThreads(1)
    try:
        _worker = make()
    except InputError as error:  # raised here, it would lose its text
        _refusal = error
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def _work(task: Any) -> Any:
    if _worker is None:
        raise _refusal or RuntimeError("no worker: the process did not begin")
    return _worker(task)
