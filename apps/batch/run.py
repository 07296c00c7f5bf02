"""A plan -> all its outputs and their manifest, by a pool of workers.

Jobs that are done are left alone, those that failed are tried again. A job whose worker dies is
given to another one once; no job stops the others. Whatever ends the run, the same call goes on
from where it was.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from apps.guards import undisturbed
from hybridanim import processors
from hybridanim.errors import InputError
from hybridanim.extras import expect_ray

from . import manifest as manifests
from .lock import locked
from .manifest import Entry, Hashes, Manifest
from .on_ray import RayActors
from .plan import Plan, Planned
from .processes import Processes
from .ranges import Cut, Cutting, cut_of, stretches
from .stretch import done_ranges
from .work import Message, Pool, Task

MOST_WORKERS = 1024
_WAIT_S = 0.2
_TRIES = 2  # of a task whose worker dies
_DIED_TWICE = "; it was tried twice"


@dataclass(frozen=True)
class Settings:
    """How a plan is run."""

    workers: int = 0  # 0: one for every two processors
    ray: str = ""  # address of a cluster, or local; "" = processes of this machine
    cutting: Cutting = field(default_factory=Cutting)

    def __post_init__(self) -> None:
        if not 0 <= self.workers <= MOST_WORKERS:
            raise InputError(
                f"--workers: expected 0 (chosen here) to {MOST_WORKERS}, got {self.workers}; choose"
                " within"
            )


@dataclass(frozen=True)
class Change:
    """What a run tells its caller: a job's new state, or its progress."""

    entry: Entry
    counts: dict[manifests.State, int]
    frames: int = 0  # of its task so far
    total: int | None = None
    step: str = ""  # one of events.STEPS; "" = a change of state
    worker: str = ""  # the process or node that works at it


Report = Callable[[Change], None]


def run(
    plan: Plan,
    settings: Settings | None = None,
    report: Report | None = None,
    stop: Event | None = None,
    pool: Callable[[int], Pool] | None = None,
) -> Manifest:
    """Do all jobs of a plan that are not done; returns the manifest.

    report: called with each change, from this thread. stop: ends the run soon when it is set. pool:
    makes the workers, in place of those that the settings ask for. Raises InputError where another
    batch runs in the folder, or the manifest cannot be read or written; KeyboardInterrupt after
    Ctrl-C, when all is in order.
    """
    settings = settings or Settings()
    with locked(plan.out) as inside:
        manifest = manifests.read(plan.out)
        batch = _Batch(plan, settings, manifest, inside, report or (lambda change: None))
        batch.begin()
        try:
            batch.look()
            if batch.waiting:
                count = min(settings.workers or default_workers(), batch.tasks_at_most())
                make = pool or _pool_of(settings)
                with closing(make(count)) as workers:
                    batch.work(workers, stop or Event())
        finally:
            with undisturbed():
                batch.end()
    return manifest


def default_workers() -> int:
    """Workers on this machine where nothing else is said: each has two processors."""
    return max(1, processors.count() // 2)


def _pool_of(settings: Settings) -> Callable[[int], Pool]:
    if not settings.ray:
        return Processes
    expect_ray()
    return lambda count: RayActors(settings.ray, settings.workers or count)


@dataclass
class _Work:
    """A job that is not done."""

    planned: Planned
    cut: Cut | None
    folder: Path  # of its ranges
    tasks: deque[Task]
    running: int = 0  # tasks
    tries: dict[Task, int] = field(default_factory=dict)
    has_failed: bool = False


def _work_of(planned: Planned, cut: Cut | None, folder: Path, cutting: Cutting) -> _Work:
    """What a job needs, with those of its ranges that are there already."""
    if cut is None:
        return _Work(planned, cut, folder, deque([Task(planned)]))
    parts = stretches(cut, done_ranges(folder, cut), cutting)
    tasks = [Task(planned, cut, stretch, folder) for stretch in parts]
    return _Work(planned, cut, folder, deque(tasks or [Task(planned, cut, None, folder)]))


class _Batch:
    """The state of a run."""

    def __init__(
        self, plan: Plan, settings: Settings, manifest: Manifest, inside: Path, report: Report
    ) -> None:
        self.waiting: list[_Work] = []
        self._plan, self._cutting, self._manifest = plan, settings.cutting, manifest
        self._inside, self._report = inside, report
        self._at: dict[int, tuple[_Work, Task]] = {}  # worker -> what it does

    def begin(self) -> None:
        """Write the manifest of a run that begins."""
        before = self._manifest.entries
        planned = {
            one.name: manifests.entry_of(one, before.get(one.name)) for one in self._plan.jobs
        }
        others = {
            name: replace(entry, is_listed=False)
            for name, entry in before.items()
            if name not in planned
        }
        for name, entry in planned.items():
            if entry.state == "running":  # of a run that was killed
                planned[name] = replace(entry, state="waiting")
        self._manifest.entries = {**planned, **others}
        self._manifest.is_running = True
        self._manifest.write()

    def end(self) -> None:
        """Write the manifest of a run that is over, however it ended."""
        for name, entry in self._manifest.entries.items():
            if entry.state == "running":
                self._manifest.entries[name] = replace(entry, state="waiting")
        self._manifest.is_running = False
        self._manifest.write()

    def look(self) -> None:
        """Find out what is to be done, by the contents of inputs and outputs."""
        hashes = Hashes()
        for planned in self._plan.jobs:
            self._look_at(planned, hashes)
        self._manifest.write()
        kept = {work.folder.name for work in self.waiting}
        for old in self._inside.iterdir():  # ranges of jobs that are no longer like that
            if old.is_dir() and old.name not in kept:
                shutil.rmtree(old, ignore_errors=True)

    def _look_at(self, planned: Planned, hashes: Hashes) -> None:
        entry = self._manifest.entries[planned.name]
        try:
            cut, note = cut_of(planned.job, planned.driving, self._cutting)
            key = manifests.key_of(planned, cut, self._cutting.warm_up_s, hashes)
        except InputError as error:
            self._set(replace(entry, state="failed", key="", error=str(error)))
            return
        if manifests.is_done(entry, planned, key):
            self._set(entry)
            return
        is_ours = manifests.is_ours(entry, planned)
        if is_ours:
            manifests.remove_remains(planned)
        job = replace(planned.job, overwrite=is_ours)  # an output of an earlier attempt
        work = _work_of(replace(planned, job=job), cut, self._inside / key[:24], self._cutting)
        self.waiting.append(work)
        self._set(
            Entry(
                *(entry.name, entry.source, entry.driving),
                key=key,
                attempts=entry.attempts,
                is_ours=entry.is_ours,
                ranges=1 if cut is None else cut.count,
                ranges_done=0 if cut is None else len(done_ranges(work.folder, cut)),
                notes=(note,) if note else (),
            )
        )

    def tasks_at_most(self) -> int:
        """How many tasks can run at the same time."""
        spread = self._cutting.spread
        return sum(min(spread, len(work.tasks)) for work in self.waiting)

    def work(self, pool: Pool, stop: Event) -> None:
        """Give tasks to the pool until all jobs are done or have failed, or ``stop`` is set."""
        while not stop.is_set():
            for worker in range(len(pool)):
                if worker not in self._at and (found := self._next()) is not None:
                    self._give(pool, worker, *found)
            if not self._at:
                return
            for worker, message in pool.wait(_WAIT_S):
                if worker in self._at:
                    self._take(worker, message, pool.about(worker))

    def _next(self) -> tuple[_Work, Task] | None:
        """The next task, of the first job that may have one more worker."""
        for work in self.waiting:
            if work.tasks and not work.has_failed and work.running < self._cutting.spread:
                return work, work.tasks.popleft()
        return None

    def _give(self, pool: Pool, worker: int, work: _Work, task: Task) -> None:
        entry = self._manifest.entries[work.planned.name]
        if entry.state != "running":
            entry = replace(
                entry,
                state="running",
                attempts=entry.attempts + 1,
                is_ours=work.planned.job.overwrite,
                started=manifests.now(),
            )
            self._put(entry, pool.about(worker))
        work.running += 1
        self._at[worker] = work, task
        pool.give(worker, task)

    def _take(self, worker: int, message: Message, about: str) -> None:
        """Take in a message of a worker that has a task."""
        work, task = self._at[worker]
        entry = self._manifest.entries[work.planned.name]
        if message.kind == "progress":
            counts = self._manifest.counts()
            told = Change(entry, counts, message.frames, message.total, message.step, about)
            self._report(told)
            return
        if message.kind == "range":
            self._put(replace(entry, ranges_done=entry.ranges_done + 1), about)
            return
        del self._at[worker]
        work.running -= 1
        if message.kind == "done":
            self._done(work, task, entry, message)
        elif message.kind == "died" and self._may_retry(work, task):
            if not work.running:
                manifests.remove_remains(work.planned)
            self._put(replace(entry, notes=(*entry.notes, f"Tried again: {message.text}.")))
        else:
            tail = _DIED_TWICE if message.kind == "died" else ""
            self._fail(work, entry, f"{message.text}{tail}")

    def _may_retry(self, work: _Work, task: Task) -> bool:
        """Put a task back whose worker died, without the ranges that it has done; False: enough."""
        tries = work.tries.get(task, 1)
        if tries >= _TRIES:
            return False
        if task.cut is not None and task.stretch is not None:
            done = done_ranges(work.folder, task.cut)
            left = tuple(index for index in task.stretch.ranges if index not in done)
            task = replace(task, stretch=replace(task.stretch, ranges=left)) if left else task
            if not left:
                self._join_if_ready(work)
                return True
        work.tries[task] = tries + 1
        work.tasks.appendleft(task)
        return True

    def _done(self, work: _Work, task: Task, entry: Entry, message: Message) -> None:
        figures = message.figures
        assert figures is not None
        entry = replace(entry, seconds=round(entry.seconds + figures.seconds, 2))
        if task.stretch is not None:
            self._put(entry)
            self._join_if_ready(work)
            return
        with undisturbed():
            self._put(
                replace(
                    entry,
                    state="done",
                    error="",
                    ranges_done=entry.ranges,
                    ended=manifests.now(),
                    frames=figures.frames,
                    frames_held=figures.frames_held,
                    notes=(*entry.notes, *figures.notes),
                    record=figures.record,
                    sha256=manifests.digest(work.planned.job.output),
                )
            )
        shutil.rmtree(work.folder, ignore_errors=True)

    def _join_if_ready(self, work: _Work) -> None:
        if not work.tasks and not work.running and not work.has_failed:
            work.tasks.append(Task(work.planned, work.cut, None, work.folder))

    def _fail(self, work: _Work, entry: Entry, text: str) -> None:
        work.has_failed = True
        work.tasks.clear()
        if entry.state != "failed":
            self._put(replace(entry, state="failed", error=text, ended=manifests.now()))

    def _put(self, entry: Entry, worker: str = "") -> None:
        """Change an entry, write the manifest, and tell."""
        self._manifest.entries[entry.name] = entry
        self._manifest.write()
        self._report(Change(entry, self._manifest.counts(), worker=worker))

    def _set(self, entry: Entry) -> None:
        """Change an entry and tell; the manifest is written later."""
        self._manifest.entries[entry.name] = entry
        self._report(Change(entry, self._manifest.counts()))
