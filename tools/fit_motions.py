"""Fit the motion of a folder of clips: python -m tools.fit_motions CLIPS FOLDER.

Each clip that shows a face becomes a motion file (``--save-motion``) of the same name in the
folder, by the trackers and without rendering; files that are there already are kept. The folder is
what ``python -m calibration.imagined_motion`` trains on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2

from apps.driving import VideoDriver
from apps.terminal import example_source
from hybridanim import command_line, io
from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from stages.pipeline import Pipeline, build

_CLIPS = (".mp4", ".mov", ".mkv", ".webm")


def fit(clip: Path, output: Path, pipeline: Pipeline, job: RenderJob) -> int:
    """Write the motion file of one clip, up to the job's end; returns the number of its frames.

    Raises InputError for a clip without a face.
    """
    pipeline.reset()
    driver = VideoDriver(clip, job, pipeline)
    with driver.opened() as drive, io.open_source(clip, 0.0, job.end) as reader:
        base = drive.time_base
        with pipeline.record(output, drive.fps, time_base=base, overwrite=True) as recorder:
            for frame in reader:
                pipeline.follow(pipeline.frame(frame.image, frame.time_s))
        return 0 if recorder.is_empty else recorder.count


def main(arguments: list[str] | None = None) -> int:
    """Fit all clips of a folder; returns the exit code."""
    return command_line.run("tools.fit_motions", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.fit_motions", description="Clips to motion files."
    )
    parser.add_argument("clips", type=Path, help="folder of clips")
    parser.add_argument("folder", type=Path, help="where the motion files go")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each clip, from its start")
    return parser


def _run(options: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    clips = sorted(p for p in options.clips.glob("*") if p.suffix.lower() in _CLIPS)
    if not clips:
        raise InputError(
            f"{options.clips}: expected a folder of clips ({', '.join(_CLIPS)}), got none there;"
            " name another folder"
        )
    options.folder.mkdir(parents=True, exist_ok=True)
    job = RenderJob(reference="first", end=options.seconds)
    pipeline = build(job.pipeline)
    pipeline.set_source(io.read_picture(example_source()))
    for clip in clips:
        output = options.folder / f"{clip.stem}.safetensors"
        if output.exists():
            continue
        try:
            print(f"{clip.name}: {fit(clip, output, pipeline, job)} frames", flush=True)
        except InputError as error:
            print(f"{clip.name}: {error}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
