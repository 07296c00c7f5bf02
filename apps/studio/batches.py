"""The batch of a studio: one at a time, in a thread of its own, by processes of this machine."""

from __future__ import annotations

import threading
from pathlib import Path

from apps.batch import manifest
from apps.batch.manifest import Manifest
from apps.batch.plan import Plan
from apps.batch.run import Change, Settings, run
from hybridanim.errors import InputError


class Batches:
    """Runs a plan, and knows how far it is; used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._doing: dict[str, str] = {}  # job -> what its worker does
        self.out: Path | None = None  # of the last batch
        self.error = ""  # why the last one did not run

    @property
    def is_running(self) -> bool:
        """Whether a batch runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, plan: Plan, settings: Settings) -> None:
        """Begin; raises InputError while another one runs."""
        with self._lock:
            if self.is_running:
                raise InputError("batch: expected no batch that runs, got one; stop it first")
            self._stop, self._doing, self.error, self.out = threading.Event(), {}, "", plan.out
            target = threading.Thread(target=self._run, args=(plan, settings), daemon=True)
            self._thread = target
            target.start()

    def stop(self) -> None:
        """End the batch that runs; what is done stays, and the next one goes on from there."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def rows(self) -> list[list[str]]:
        """For each job: name, source, driver, state, frames, seconds, what is to be known of it."""
        found = [] if self.out is None else _read(self.out).listed
        return [
            [
                *(one.name, one.source, one.driving),
                self._doing.get(one.name, "running") if one.state == "running" else one.state,
                *(str(one.frames or ""), f"{one.seconds:.1f}" if one.seconds else ""),
                one.error or " ".join(one.notes),
            ]
            for one in found
        ]

    def results(self) -> list[Path]:
        """Outputs that are done, in the order of the jobs."""
        if self.out is None:
            return []
        return [self.out / one.name for one in _read(self.out).listed if one.state == "done"]

    def _run(self, plan: Plan, settings: Settings) -> None:
        try:
            run(plan, settings, self._told, self._stop)
        except (InputError, OSError) as error:
            self.error = str(error)

    def _told(self, change: Change) -> None:
        if change.step == "animate" and change.total:
            share = 100 * change.frames // change.total
            self._doing[change.entry.name] = f"running, {share} %"


def _read(out: Path) -> Manifest:
    try:
        return manifest.read(out)
    except InputError:  # not there yet
        return Manifest(out)
