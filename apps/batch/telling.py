"""What a batch tells while it works: a bar and sentences, nothing, or JSON lines for programs.

As ``apps.events`` does for one run; the fields of the events are in docs/guide/batch.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from apps.events import EVERY_S, STEPS, Form, JsonEvents
from apps.terminal import progress

from .manifest import Entry, Manifest
from .run import Change


class Telling(Protocol):
    """Where a batch reports to."""

    def change(self, change: Change) -> None:
        """A job's new state, or its progress."""
        ...

    def end(self, manifest: Manifest, seconds: float) -> None:
        """The end of a run that was not interrupted."""
        ...


@contextmanager
def opened(form: Form, *, quiet: bool) -> Iterator[Telling]:
    """Telling in that form; quiet: errors alone."""
    if form == "json":
        yield _Json()
        return
    with ExitStack() as stack:
        yield _Sentences(stack, has_bar=form == "bar" and not quiet, is_quiet=quiet)


def ending(manifest: Manifest, seconds: float) -> str:
    """The last line of a run: what there is now, and how long it took."""
    counts = manifest.counts()
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{states or 'nothing to do'}; {seconds:.1f} s. {manifest.out / 'batch.json'}"


class _Sentences:
    """A bar of jobs on the error stream, a sentence for each that ends."""

    def __init__(self, stack: ExitStack, *, has_bar: bool, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._stack = stack
        self._show: Callable[[int, int | None, str], None] | None = None
        if has_bar:
            self._show = stack.enter_context(progress(" jobs"))
        self._told: dict[str, str] = {}

    def change(self, change: Change) -> None:
        """Move the bar, or print how a job ended."""
        entry, counts = change.entry, change.counts
        if self._show is not None:
            over, total = counts["done"] + counts["failed"], sum(counts.values())
            self._show(over, total, f"{entry.name}: {_doing(change)}")
        is_new = self._told.get(entry.name) != entry.state
        if not change.step and is_new and entry.state in ("done", "failed") and not self._is_quiet:
            self._told[entry.name] = entry.state
            _print(_sentence(entry))

    def end(self, manifest: Manifest, seconds: float) -> None:
        """Print the last line."""
        self._stack.close()
        if not self._is_quiet:
            print(ending(manifest, seconds))


def _print(text: str) -> None:
    from tqdm import tqdm

    with tqdm.external_write_mode():
        print(text, flush=True)


def _doing(change: Change) -> str:
    if not change.step:
        return change.entry.state
    of = f" of {change.total}" if change.total else ""
    frames = f", {change.frames}{of} frames" if change.frames else ""
    return f"{STEPS[change.step]}{frames}"


def _sentence(entry: Entry) -> str:
    if entry.state == "failed":
        return f"{entry.name}: failed: {entry.error}"
    if not entry.frames:
        return f"{entry.name}: done"
    held = f", {entry.frames_held} held" if entry.frames_held else ""
    return f"{entry.name}: {entry.frames} frames{held}, {entry.seconds:.1f} s"


class _Json:
    """One JSON object a line on standard output."""

    def __init__(self) -> None:
        self._out = JsonEvents()
        self._last_s: dict[str, float] = {}

    def change(self, change: Change) -> None:
        """A ``job`` event for a state, ``progress`` events at intervals."""
        entry = change.entry
        now_s = time.monotonic()
        counts = {f"jobs_{state}": count for state, count in change.counts.items()}
        if not change.step:
            self._out.put({"event": "job", **_fields(entry, change.worker), **counts})
        elif now_s - self._last_s.get(entry.name, 0.0) >= EVERY_S:
            self._last_s[entry.name] = now_s
            event = {"event": "progress", "job": entry.name, "stage": change.step}
            frames = {"frames": change.frames, "frames_total": change.total}
            self._out.put({**event, **frames, **counts})

    def end(self, manifest: Manifest, seconds: float) -> None:
        """A ``result`` event."""
        counts = {f"jobs_{state}": count for state, count in manifest.counts().items()}
        name = manifest.out / "batch.json"
        self._out.put({"event": "result", "manifest": name, "seconds": round(seconds, 2), **counts})


def _fields(entry: Entry, worker: str) -> dict[str, Any]:
    return {
        "job": entry.name,
        "state": entry.state,
        "error": entry.error or None,
        "frames": entry.frames,
        "frames_held": entry.frames_held,
        "seconds": entry.seconds,
        "attempts": entry.attempts,
        "ranges": entry.ranges,
        "ranges_done": entry.ranges_done,
        "worker": worker or None,
    }
