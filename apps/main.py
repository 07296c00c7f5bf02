"""The command line: runs a subcommand or the animation, and prints errors as one line."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from hybridanim import __version__, command_line
from hybridanim.config import RenderJob, read_job
from hybridanim.errors import InputError
from hybridanim.files import EXAMPLE_DRIVING
from hybridanim.io import provenance

from . import events, options, telling, words
from .events import Events, Form
from .terminal import COMMAND, PROGRAM, example_source, listen, make_folder

EXAMPLE_OUTPUT = Path("out") / "example.mp4"
SUBCOMMANDS = {  # name -> module with ``command``, and help
    "doctor": (
        "apps.doctor",
        "show what this machine can do, and what to do about what is missing",
    ),
    "live": (
        "apps.live.command",
        "animate pictures by a camera, live: window, browser, virtual camera, file",
    ),
    "batch": (
        "apps.batch.command",
        "animate many pairs: a list of jobs or two folders, resumable, by several processes",
    ),
    "studio": (
        "apps.studio.command",
        "animate in a page of your browser; also answers requests of other programs",
    ),
    "train": ("apps.train.command", "train networks of your own on a folder of clips"),
    "export": ("apps.export", "write the networks as ONNX files, for other programs"),
    "imagine": (
        "apps.imagine",
        "animate a picture without a driving video: a mood, a length and a seed",
    ),
    "convert": (
        "apps.convert",
        "turn a published checkpoint of the first-order model into a weights file",
    ),
    "evaluate": (
        "apps.evaluate.command",
        "measure how well clips are reconstructed, compared with copying the source",
    ),
}
MAIN = ("output", "size", "renderer", "tracker", "paste_back", "debug")  # shown first by --help
_USAGE = """Animate a picture with a driving video, from the command line.
  {command} SOURCE DRIVING --output OUT.mp4
  {command}                    (runs the example)
  {command} --version
"""


@dataclass(frozen=True)
class Files:
    """What belongs to the command line alone: files, and what is printed."""

    source: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="SOURCE")] = None
    """Picture (or video) to animate. Without it the example is run."""
    driving: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="DRIVING")] = None
    """Video that it moves like, a folder of pictures, a motion file, or key frames (.toml)."""
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


def main(argv: list[str] | None = None) -> int:
    """Run these arguments, or those of this process; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    action = _run_with_events if events.wants_json(argv) else _run
    return command_line.run(PROGRAM, lambda: action(argv))


def _run_with_events(argv: list[str]) -> int:
    """Run, and let the last JSON line of a run that fails be the error."""
    try:
        return _run(argv)
    except SystemExit as end:
        if end.code:  # of the parser, which has written to the error stream
            text = "arguments: expected those of --help, got others; see the error stream"
            events.JsonEvents().error(text, 2)
        raise
    except (InputError, OSError) as error:
        events.JsonEvents().error(str(error), 2)
        raise
    except KeyboardInterrupt:
        events.JsonEvents().error("stopped; nothing was written", 130)
        raise


def _run(argv: list[str]) -> int:
    words.refuse_addresses(argv)
    if argv[:1] == ["--version"]:
        print(f"hybridanim {__version__}")
        return 0
    if argv and argv[0] in SUBCOMMANDS:  # each loads only what it needs
        return importlib.import_module(SUBCOMMANDS[argv[0]][0]).command(argv[1:])
    if "" in argv[:2]:  # pathlib takes it for the present folder
        raise InputError(
            "source and driving video: expected names of files, got an empty one; check the command"
        )
    words.refuse_unknown_command(argv, SUBCOMMANDS, COMMAND)
    return _render(*parse(argv))


def parse(argv: list[str]) -> tuple[Files, RenderJob]:
    """The files and the job of arguments without a subcommand.

    tyro ends the process on arguments that do not fit; raises InputError on values out of range.
    """
    path = options.config_path(argv)
    job = read_job(path) if path else RenderJob()
    further = "".join(f"  {name}: {text}\n" for name, (_, text) in SUBCOMMANDS.items())
    description = f"{_USAGE.format(command=COMMAND)}\nSubcommands:\n{further}"
    return options.parse(argv, Files(), job, MAIN, PROGRAM, description)


def _render(files: Files, job: RenderJob) -> int:
    listen()
    with events.opened(files.progress, quiet=files.quiet) as told:
        return _tell_of_render(files, job, told)


def _tell_of_render(files: Files, job: RenderJob, told: Events) -> int:
    from .guards import refuse_clashes
    from .render import render  # with the whole pipeline, which --help does without

    if files.source is None:
        source, driving = example_source(), EXAMPLE_DRIVING
        if job.output == RenderJob().output:
            is_own = provenance.is_record(EXAMPLE_OUTPUT.with_suffix(".json"), EXAMPLE_OUTPUT.name)
            job = replace(job, output=EXAMPLE_OUTPUT, overwrite=job.overwrite or is_own)
            make_folder(EXAMPLE_OUTPUT.parent)
        told.note(f"No source given: animating {source.name} by {driving.name} of this package.")
    elif files.driving is None:
        raise InputError(
            "expected SOURCE and DRIVING, got SOURCE alone; add the video that it is to move like"
        )
    else:
        source, driving = files.source, files.driving
    if files.config is not None:
        refuse_clashes(job, files.config)
    return telling.tell(render(job, source, driving, told.step), job, told)
