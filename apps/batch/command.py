"""``hybridanim batch``: options -> Plan and Settings -> a run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from apps import options
from apps.events import Form, JsonEvents, wants_json
from apps.terminal import PROGRAM, listen
from hybridanim.config import RenderJob, read_job
from hybridanim.errors import InputError

from .plan import HIDDEN, common_of, listed, plan
from .ranges import Cutting
from .run import Settings, run
from .telling import opened

MAIN = ("size", "renderer", "tracker")  # shown first by --help
SOME_FAILED = 3  # the exit code
_DESCRIPTION = """Animate many pairs: a list of jobs, or every picture with every driving video.
  hybridanim batch JOBS.toml --out DIR
  hybridanim batch JOBS.csv --out DIR --workers 4
  hybridanim batch --sources DIR --drivers DIR --out DIR

The same command goes on from where a run was ended. Options are for all jobs; those of a job in the
list win. Exit code 0: all done; 3: some jobs failed (DIR/batch.json says why).

"""


@dataclass(frozen=True)
class Given:
    """What to do, where, and by whom."""

    jobs: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="JOBS")] = None
    """List of jobs, .toml or .csv (docs/guide/batch.md)."""
    out: Path | None = None
    """Folder of all outputs and of batch.json, the manifest; made if it is missing."""
    sources: Path | None = None
    """Instead of JOBS: a folder of pictures (or videos) to animate, each with every driver."""
    drivers: Path | None = None
    """Instead of JOBS: a folder of driving videos, and of motion files."""
    ending: str = ".mp4"
    """Ending of outputs that have no name in JOBS."""
    workers: int = 0
    """Processes at work at the same time; 0: one for every two processors. They share the
    processors."""
    ray: str = ""
    """Run on a Ray cluster: its address, or local for one on this machine (extra batch)."""
    segment_s: float | Literal["auto"] = "auto"
    """Length of the ranges that long clips are rendered in, in seconds; auto: 60 for clips of two
    minutes and more; 0: none. A run that is killed loses its current range at most."""
    warm_up_s: float | Literal["all"] = "all"
    """What is followed before a range that another worker has not led up to, in seconds. all:
    everything, so that pictures are those of the whole clip; less is faster and not the same."""
    spread: int = 1
    """Workers that one long clip is given to at the same time."""
    config: Path | None = None
    """Read options for all jobs from this TOML file; those in JOBS and given here win."""
    quiet: bool = False
    """Print errors alone."""
    progress: Form = "bar"
    """A bar for people, JSON lines on standard output for programs, or none."""

    def __post_init__(self) -> None:
        if self.quiet and self.progress == "json":
            raise InputError(
                "--quiet: expected --progress bar or none beside it, got json; leave one out"
            )

    @property
    def settings(self) -> Settings:
        """How it is run."""
        segment_s = None if self.segment_s == "auto" else float(self.segment_s)
        warm_up_s = None if self.warm_up_s == "all" else float(self.warm_up_s)
        return Settings(self.workers, self.ray, Cutting(segment_s, warm_up_s, self.spread))


def command(argv: list[str]) -> int:
    """Run ``batch``; returns the exit code."""
    if not wants_json(argv):
        return _run(argv)
    try:
        return _run(argv)
    except (InputError, OSError) as error:
        JsonEvents().error(str(error), 2)
        raise
    except KeyboardInterrupt:
        JsonEvents().error("stopped; the same command goes on", 130)
        raise


def _run(argv: list[str]) -> int:
    given, common = parse(argv)
    if given.out is None:
        raise InputError("batch: expected --out DIR, got none; add the folder for the outputs")
    planned = plan(
        given.jobs,
        out=given.out,
        sources=given.sources,
        drivers=given.drivers,
        common=common,
        ending=given.ending,
    )
    listen()
    start_s = time.perf_counter()
    with opened(given.progress, quiet=given.quiet) as told:
        manifest = run(planned, given.settings, told.change)
        told.end(manifest, time.perf_counter() - start_s)
    return SOME_FAILED if manifest.counts()["failed"] else 0


def parse(argv: list[str]) -> tuple[Given, RenderJob]:
    """What is given, and the options for all jobs: of --config, of the list, of the arguments.

    tyro ends the process on arguments that do not fit; raises InputError on values out of range.
    """
    path = options.config_path(argv)
    base = read_job(path) if path else RenderJob()
    given, common = _parsed(argv, base)
    if given.jobs is None or given.sources is not None or given.drivers is not None:
        return given, common
    return _parsed(argv, common_of(listed(given.jobs, None, None), base))


def _parsed(argv: list[str], base: RenderJob) -> tuple[Given, RenderJob]:
    base = replace(base, output=RenderJob().output)
    return options.parse(argv, Given(), base, MAIN, f"{PROGRAM} batch", _DESCRIPTION, HIDDEN)
