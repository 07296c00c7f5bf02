"""Animate a picture with a driving video, from the command line.

python run_pipeline.py SOURCE DRIVING --output OUT.mp4
python run_pipeline.py                    (runs the example of this repository)
"""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback out of imports

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from hybridanim.config import RenderJob, read_job
from hybridanim.errors import InputError

HERE = Path(__file__).resolve().parent
EXAMPLE_OUTPUT = Path("out") / "example.mp4"
WORDS = {
    "doctor": "what this machine can do, and what to do about what is missing",
    "live": "animate pictures by a camera, now: window, browser, virtual camera, file",
    "train": "networks of your own, from a folder of clips",
    "export": "the networks as ONNX files, for other programs",
    "evaluate": "how well clips are reconstructed, beside copying the source",
}


@dataclass(frozen=True)
class Files:
    """What goes in."""

    source: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="SOURCE")] = None
    """Picture (or video) to animate. Without it the example is run."""
    driving: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="DRIVING")] = None
    """Video that it moves like, or a folder of pictures."""
    config: Path | None = None
    """Read options from this TOML file; options given here win."""


@dataclass(frozen=True)
class Arguments:
    """All of the command line."""

    files: Annotated[Files, tyro.conf.arg(name="")]
    job: Annotated[RenderJob, tyro.conf.arg(name="")]


def main(words: list[str]) -> int:
    """Run one command line; the exit code."""
    try:
        if words and words[0] in WORDS:  # each further word loads only what it needs
            return importlib.import_module(f"stages.{words[0]}").command(words[1:])
        return _render(*_parse(words))
    except InputError as error:
        print(f"run_pipeline.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("run_pipeline.py: stopped; nothing was written", file=sys.stderr)
        return 130


def _parse(words: list[str]) -> tuple[Files, RenderJob]:
    job = RenderJob()
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, _, value = word.partition("=")
        if name == "--config" and (value or following):
            job = read_job(Path(value or following))
    further = "".join(f"  {word}: {what}\n" for word, what in WORDS.items())
    usage = (__doc__ or "").replace("\n\n", "\n").replace("\npython", "\n  python")
    arguments = tyro.cli(
        Arguments,
        args=words,
        default=Arguments(Files(), job),
        prog="run_pipeline.py",
        description=f"{usage}\nFurther words:\n{further}",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.UseAppendAction),
    )
    return arguments.files, arguments.job


def _render(files: Files, job: RenderJob) -> int:
    from stages.job import render
    from stages.terminal import EXAMPLE_DRIVING, example_source, listen, make_folder, progress

    listen()
    if files.source is None:
        source, driving = example_source(), EXAMPLE_DRIVING
        if job.output == RenderJob().output:
            job = replace(job, output=EXAMPLE_OUTPUT, overwrite=True)
            make_folder(EXAMPLE_OUTPUT.parent)
        print(f"No source given: animating {source.name} by {driving.relative_to(HERE)}.")
    elif files.driving is None:
        raise InputError(
            "expected SOURCE and DRIVING, got SOURCE alone; add the video that it is to move like"
        )
    else:
        source, driving = files.source, files.driving
    with progress(" frames") as show:
        summary = render(job, source, driving, show)
    for note in summary.notes:
        print(note)
    ending = " (interrupted: as far as it went)" if summary.is_interrupted else ""
    print(f"{summary.frames} frames in {summary.output}{ending}")
    if job.debug is not None and summary.has_debug:
        print(f"What every stage saw: {job.debug / 'report.html'}")
    return 130 if summary.is_interrupted else 0


if __name__ == "__main__":
    try:
        try:
            sys.exit(main(sys.argv[1:]))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # as in --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
