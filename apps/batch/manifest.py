"""The manifest of a batch: state, time, error and figures of each job, in ``OUT/batch.json``.

Only the process that runs the batch writes it, whole or not at all, at every change of state;
everyone may read it at any time. A job's key is a hash of all that its result depends on: the
contents of its inputs and its options. What has another key, or whose output is missing or has
another content, is done anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from hybridanim import __version__, files, paths, schema
from hybridanim.config import replaces_background
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.io.writer import remove_part
from hybridanim.text import encoded, printable

from .plan import Planned
from .ranges import Cut

NAME = "batch.json"
SCHEMA = 1
_MOST_BYTES = 1 << 30
State = Literal["waiting", "running", "done", "failed"]
STATES: tuple[State, ...] = ("waiting", "running", "done", "failed")
# of options that no result depends on
_WITHOUT_EFFECT = ("output", "overwrite", "cache", "threads", "profile", "weights", "background")


@dataclass(frozen=True)
class Entry:
    """One job in the manifest."""

    name: str  # of its output in the folder
    source: str  # file names, without folders
    driving: str
    state: State = "waiting"
    key: str = ""  # of inputs and options that the state is of
    error: str = ""
    notes: tuple[str, ...] = ()  # what to know of the result
    attempts: int = 0
    is_ours: bool = False  # whether what lies at its outputs is of this batch, and may be replaced
    started: str = ""  # ISO 8601, of the last attempt
    ended: str = ""
    seconds: float = 0.0  # of all its workers
    frames: int = 0
    frames_held: int = 0
    ranges: int = 1  # in which the clip is rendered
    ranges_done: int = 0
    sha256: str = ""  # of the output
    record: str = ""  # name of the JSON file beside it
    is_listed: bool = True  # whether the last run had this job


@dataclass
class Manifest:
    """All jobs of an output folder."""

    out: Path
    entries: dict[str, Entry] = field(default_factory=dict)  # by name
    is_running: bool = False

    @property
    def listed(self) -> list[Entry]:
        """The entries of the last run's jobs, in their order."""
        return [entry for entry in self.entries.values() if entry.is_listed]

    def counts(self) -> dict[State, int]:
        """How many listed jobs are in each state."""
        states = [entry.state for entry in self.listed]
        return {state: states.count(state) for state in STATES}

    def write(self) -> None:
        """Write the file, whole or not at all; raises InputError where that fails."""
        table = {
            "schema": SCHEMA,
            "tool": f"{provenance.TOOL} {__version__}",
            "updated": now(),
            "is_running": self.is_running,
            "counts": self.counts(),
            "jobs": [asdict(entry) for entry in self.entries.values()],
        }
        text = json.dumps(provenance.to_json(table), indent=1, ensure_ascii=False) + "\n"
        paths.write_whole("batch", self.out / NAME, encoded(text), overwrite=True)


def read(out: Path) -> Manifest:
    """The manifest of an output folder, empty where there is none.

    Raises InputError for a file that is none.
    """
    path = out / NAME
    if paths.look(path) is None:
        return Manifest(out)
    try:
        table = json.loads(paths.read_text(path, _MOST_BYTES))
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']}")
        known = [one.name for one in fields(Entry)]
        entries = [schema.exactly(Entry, _only(job, known), str(path)) for job in table["jobs"]]
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: expected the manifest of a batch, got {error}; move it, and all is done anew"
        ) from error
    return Manifest(out, {one.name: one for one in entries}, bool(table.get("is_running")))


def _only(job: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name in known}


def now() -> str:
    """The time, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def entry_of(planned: Planned, before: Entry | None) -> Entry:
    """The entry of a planned job, with what is known of it from an earlier run."""
    names = printable(planned.source.name), printable(planned.driving.name)
    fresh = Entry(planned.name, *names)
    if before is None:
        return fresh
    return replace(before, source=names[0], driving=names[1], is_listed=True)


class Hashes:
    """SHA-256 of inputs, each looked at once a run."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        """Of a file, or of all files of a folder; raises InputError where it cannot be read."""
        if path not in self._known:
            paths.expect_readable("batch", path)
            if paths.look(path) is None:
                raise InputError(f"{path}: expected a file or a folder, found none; check the name")
            try:
                self._known[path] = provenance.sha256(path)
            except OSError as error:
                raise paths.unusable(path, error) from error
        return self._known[path]


def key_of(planned: Planned, cut: Cut | None, warm_up_s: float | None, hashes: Hashes) -> str:
    """Hex digest of what a job's result depends on."""
    job = planned.job
    options = {k: v for k, v in schema.flat(job).items() if k not in _WITHOUT_EFFECT}
    weights, background = job.pipeline.render.weights, job.pipeline.keypoints.background
    is_file = replaces_background(background) and paths.is_file(background)
    table = {
        "version": __version__,
        "source": hashes(planned.source),
        "driving": hashes(planned.driving),
        "names": [planned.source.name, planned.driving.name],  # which the output's tags have
        "options": {k: v.name if isinstance(v, Path) else str(v) for k, v in options.items()},
        "profiles": [hashes(path) for path in job.profile],
        "weights": "" if weights is None else hashes(weights),
        "background": hashes(Path(background)) if is_file else background,
        "ranges": None if cut is None else [cut.inner_s, warm_up_s],
        "ending": job.output.suffix.lower(),
    }
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def is_done(entry: Entry, planned: Planned, key: str) -> bool:
    """Whether a job's outputs are those of this key, and still there as they were written."""
    job = planned.job
    if entry.state != "done" or entry.key != key or paths.look(job.output) is None:
        return False
    further = [path for path in (job.debug, job.save_motion) if path is not None]
    if any(paths.look(path) is None for path in further):
        return False
    return digest(job.output) == entry.sha256


def digest(output: Path) -> str:
    """SHA-256 of an output: a file, or a folder of pictures; "" where it cannot be read."""
    try:
        return provenance.sha256(output)
    except OSError:
        return ""


def is_ours(entry: Entry, planned: Planned) -> bool:
    """Whether a job may replace what lies at its outputs: of an earlier attempt, or nothing."""
    job = planned.job
    outputs = [path for path in (job.output, job.debug, job.save_motion) if path is not None]
    free = all(paths.look(path) is None for path in outputs)
    return entry.is_ours or free or job.overwrite


def remove_remains(planned: Planned) -> None:
    """Remove what writers that were killed left of a job's outputs; no writer may be running."""
    for path in (planned.job.output, planned.job.debug, planned.job.save_motion):
        for part in [] if path is None else files.remains(path, older_s=0.0):
            remove_part(part)
