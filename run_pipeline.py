"""Animate a picture with a driving video, from the command line.

python run_pipeline.py SOURCE DRIVING --output OUT.mp4
python run_pipeline.py                    (runs the example of this repository)
python run_pipeline.py doctor             (what this machine can do)
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from hybridanim.config import EvaluateJob, RenderJob, read_job
from hybridanim.errors import InputError

HERE = Path(__file__).resolve().parent
EXAMPLE_DRIVING = HERE / "examples" / "data" / "driving.mp4"
EXAMPLE_OUTPUT = Path("out") / "example.mp4"
WORDS = {
    "doctor": "what this machine can do, and what to do about what is missing",
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
        if words[:1] == ["doctor"]:
            return _doctor()
        if words[:1] == ["evaluate"]:
            return _evaluate(words[1:])
        return _render(*_parse(words))
    except InputError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return _refuse("stopped before the first frame; nothing was written")


def _doctor() -> int:
    from stages import doctor  # each further word loads only what it needs

    print("\n".join(doctor.report(EXAMPLE_DRIVING, _example_source())))
    return 0


def _evaluate(words: list[str]) -> int:
    from stages.evaluate import evaluate, table

    config = (tyro.conf.PositionalRequiredArgs,)
    job = tyro.cli(EvaluateJob, args=words, prog="run_pipeline.py evaluate", config=config)
    with tqdm(unit=" clips", disable=None) as bar:

        def progress(done: int, total: int, what: str) -> None:
            bar.total = total
            bar.set_description(what, refresh=False)
            bar.update(done - bar.n)

        result = evaluate(job, progress)
    print(table(result))
    for line in result["skipped"]:
        print(f"left out: {line}")
    return 0


def _parse(words: list[str]) -> tuple[Files, RenderJob]:
    job = RenderJob()
    if "--config" in words[:-1]:
        job = read_job(Path(words[words.index("--config") + 1]))
    further = "".join(f"  {word}: {what}\n" for word, what in WORDS.items())
    arguments = tyro.cli(
        Arguments,
        args=words,
        default=Arguments(Files(), job),
        prog="run_pipeline.py",
        description=f"{__doc__}\nFurther words:\n{further}",
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return arguments.files, arguments.job


def _render(files: Files, job: RenderJob) -> int:
    from stages.job import render

    if files.source is None:
        source, driving = _example_source(), EXAMPLE_DRIVING
        if job.output == RenderJob().output:
            job = replace(job, output=EXAMPLE_OUTPUT, overwrite=True)
            EXAMPLE_OUTPUT.parent.mkdir(exist_ok=True)
        print(f"No source given: animating {source.name} by {driving.relative_to(HERE)}.")
    elif files.driving is None:
        raise InputError(
            "expected SOURCE and DRIVING, got SOURCE alone; add the video that it is to move like"
        )
    else:
        source, driving = files.source, files.driving
    with tqdm(unit=" frames", disable=None) as bar:

        def progress(done: int, total: int | None, what: str) -> None:
            bar.total = total
            bar.set_description(what, refresh=False)
            bar.update(done - bar.n)

        summary = render(job, source, driving, progress)
    for note in summary.notes:
        print(note)
    ending = " (interrupted: as far as it went)" if summary.is_interrupted else ""
    print(f"{summary.frames} frames in {summary.output}{ending}")
    if job.debug is not None:
        print(f"What every stage saw: {job.debug / 'report.html'}")
    return 130 if summary.is_interrupted else 0


def _example_source() -> Path:
    """scikit-image's astronaut photograph (NASA, public domain), from the package."""
    from skimage import data

    return Path(data.__file__).parent / "astronaut.png"


def _refuse(message: str) -> int:
    print(f"run_pipeline.py: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
