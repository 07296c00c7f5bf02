"""Clips or pairs, one after the other or several at a time in processes -> their results in order.

Ctrl-C ends the run; what was whole by then is given back.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import cv2

from apps.guards import undisturbed
from hybridanim.errors import InputError

from .job import EvaluateJob
from .results import ClipResult
from .worker import Task, Worker

Progress = Callable[[int, int | None, str], None]


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
    count = min(job.jobs, len(tasks))
    with ProcessPoolExecutor(count, fresh, initializer=_begin, initargs=(job,)) as pool:
        with undisturbed():  # the processes begin deaf to Ctrl-C, which the main one hears
            running = {pool.submit(_work, task): index for index, task in enumerate(tasks)}
        try:
            for done in as_completed(running):
                results[running[done]] = done.result()
                report(len(results), len(tasks), results[running[done]].name)
        except BrokenProcessPool as error:
            raise InputError(
                f"--jobs {job.jobs}: expected processes that live, got one that was ended; where"
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


_worker: Worker | InputError | None = None  # of this process, or why there is none


def _begin(job: EvaluateJob) -> None:
    global _worker
    cv2.setNumThreads(1)
    try:
        _worker = Worker(job)
    except InputError as error:  # raised here, it would lose its words
        _worker = error
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def _work(task: Task) -> ClipResult:
    if not isinstance(_worker, Worker):
        raise _worker or RuntimeError("no worker: the process did not begin")
    return _worker(task)
