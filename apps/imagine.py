"""Animate a picture without a driving video: a living portrait of a mood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hybridanim.config import RenderJob, read_job
from hybridanim.errors import InputError
from hybridanim.motion.imagined_motion import Wish, expect_length
from hybridanim.motion.moods import MOODS

from . import events, options, telling
from .events import Form
from .terminal import COMMAND, PROGRAM, example_source, listen

_MAIN = ("output", "size", "renderer", "save_motion", "paste_back", "debug")
_USAGE = """Animate a picture without a driving video.
  {command} imagine SOURCE --mood talking --seconds 8 --seed 3 --output OUT.mp4

Equal seeds give equal motion, other seeds other motion. Options that need a driving video
(reference, start, end, driving-crop, audio) and other trackers than classical are refused.
"""


@dataclass(frozen=True)
class ImagineFiles:
    """The source, and what is imagined."""

    source: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="SOURCE")] = None
    """Picture (or video) to animate. Without it the example's is taken."""
    mood: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(MOODS) + "}")] = "talking"
    """What the person does."""
    seconds: float = 8.0
    """Length of the result, up to a day."""
    seed: int = 0
    """Which of the endlessly many motions of that mood."""
    config: Path | None = None
    """Read options from this TOML file; options given here win."""
    quiet: bool = False
    """Print errors alone."""
    progress: Form = "bar"
    """A bar for people, JSON lines on standard output for programs, or none."""

    def __post_init__(self) -> None:
        if self.quiet and self.progress == "json":
            raise InputError(
                "--quiet: expected --progress bar or none beside it, got json; leave one out"
            )
        Wish(self.mood, self.seed)
        expect_length(self.seconds)


def command(argv: list[str]) -> int:
    """Run the subcommand ``imagine``; returns the exit code."""
    listen()
    path = options.config_path(argv)
    job = read_job(path) if path else RenderJob()
    text = _USAGE.format(command=COMMAND)
    given, job = options.parse(argv, ImagineFiles(), job, _MAIN, f"{PROGRAM} imagine", text)
    with events.opened(given.progress, quiet=given.quiet) as told:
        return _imagine(given, job, told)


def _imagine(given: ImagineFiles, job: RenderJob, told: events.Events) -> int:
    from .guards import refuse_clashes
    from .imagining import Imagining
    from .render import render_by  # with the whole pipeline, which --help does without

    source = given.source or example_source()
    if given.config is not None:
        refuse_clashes(job, given.config)
    driving = Imagining(Wish(given.mood, given.seed), given.seconds)
    return telling.tell(render_by(job, source, driving, told.step), job, told)
