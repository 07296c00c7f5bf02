"""What a worker does: Task -> Figures, in any process of any machine that sees the same files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2

from apps.render import Progress, Summary, render
from hybridanim.errors import InputError

from .plan import Planned
from .ranges import Cut, Stretch
from .stretch import join_ranges, render_stretch

EVERY_S = 0.2  # between two messages about progress


@dataclass(frozen=True)
class Task:
    """A job, some ranges of one, or the joining of its ranges."""

    planned: Planned
    cut: Cut | None = None  # None: the whole job at once
    stretch: Stretch | None = None  # None with a cut: join
    folder: Path = Path()  # of the ranges


@dataclass(frozen=True)
class Figures:
    """What came out of a task."""

    seconds: float
    frames: int = 0
    frames_held: int = 0
    notes: tuple[str, ...] = ()
    record: str = ""


@dataclass(frozen=True)
class Message:
    """From a worker."""

    kind: str  # progress, range, done, failed, died
    frames: int = 0
    total: int | None = None
    step: str = ""  # one of events.STEPS
    range: int = -1
    text: str = ""  # why it failed
    figures: Figures | None = None


class Pool(Protocol):
    """Workers that load everything once and take tasks one after the other."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def give(self, worker: int, task: Task) -> None:
        """Start a task in a worker that has none."""
        ...

    def wait(self, timeout_s: float) -> list[tuple[int, Message]]:
        """Messages of workers; a worker that has died is replaced."""
        ...

    def about(self, worker: int) -> str:
        """Where a worker is: its process, or its node."""
        ...

    def close(self) -> None:
        """End all workers at once."""
        ...


def limit_threads(share: float) -> None:
    """Let OpenCV, and torch where it is loaded, use so many processors in this process."""
    count = max(1, round(share))
    cv2.setNumThreads(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def perform(task: Task, share: float, send: Callable[[Message], None]) -> Message:
    """Do a task; the last message, done or failed. share: processors that it may use."""
    start_s = time.perf_counter()
    cv2.setRNGSeed(0)  # OpenCV's generator goes on from job to job; a result depends on its own
    try:
        summary = _made(task, share, send)
    except InputError as error:
        return Message("failed", text=str(error))
    except Exception as error:  # of one job; the others go on
        return Message("failed", text=f"{type(error).__name__}: {error}")
    record = "" if summary.record is None else summary.record.name
    took_s = time.perf_counter() - start_s
    figures = Figures(took_s, summary.frames, summary.frozen, tuple(summary.notes), record)
    return Message("done", figures=figures)


def _made(task: Task, share: float, send: Callable[[Message], None]) -> Summary:
    planned, progress = task.planned, _throttled(send)
    job, source, driving = planned.job, planned.source, planned.driving
    planned.job.output.parent.mkdir(parents=True, exist_ok=True)
    if task.cut is None:
        return render(job, source, driving, progress, share=share)
    if task.stretch is None:
        return join_ranges(job, source, driving, task.cut, task.folder)
    task.folder.mkdir(parents=True, exist_ok=True)
    count = render_stretch(
        (replace(job, overwrite=True), source, driving),
        task.cut,
        task.stretch,
        task.folder,
        share,
        progress,
        lambda index: send(Message("range", range=index)),
    )
    return Summary(job.output, frames=count)


def _throttled(send: Callable[[Message], None]) -> Progress:
    last_s, last_step = 0.0, ""

    def progress(done: int, total: int | None, step: str) -> None:
        nonlocal last_s, last_step
        now_s = time.monotonic()
        if step != last_step or now_s - last_s >= EVERY_S:
            last_s, last_step = now_s, step
            send(Message("progress", frames=done, total=total, step=step))

    return progress
