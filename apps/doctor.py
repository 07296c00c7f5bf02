"""What this machine can do: versions, codecs, weights, and each stage's time on the example.

Every line about something wrong says what to do about it.
"""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import cv2
import tyro
from av.error import FFmpegError

from hybridanim import extras, io
from hybridanim.errors import InputError
from hybridanim.face.aligner import WEIGHTS
from hybridanim.files import EXAMPLE_DRIVING
from hybridanim.io.provenance import PACKAGES
from hybridanim.runtime import info
from stages.pipeline import Pipeline

from .live import devices
from .terminal import PROGRAM, example_source, listen

_FRAMES = 60
_REALTIME_MS = 1000 / 30


@dataclass(frozen=True)
class DoctorJob:
    """Show what this machine can do, and what to do about what is missing. Takes no options."""


def command(argv: list[str]) -> int:
    """Run the subcommand ``doctor``; returns the exit code."""
    listen()
    tyro.cli(DoctorJob, args=argv, prog=f"{PROGRAM} doctor")
    print("\n".join(report(EXAMPLE_DRIVING, example_source())))
    return 0


def report(example: Path, source: Path) -> list[str]:
    """Lines of text: versions first, then codecs, weights and times.

    example: a driving video, source: a picture, both of the repository.
    """
    lines = [*_machine(), *_codecs(), *_weights(), *devices.report(), *info.report()]
    for options in ({}, {"renderer": "learned"}):
        lines += _times(example, source, options)
    return lines


def _machine() -> list[str]:
    lines = [
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} processors, OpenCV uses {cv2.getNumThreads()} threads"
    ]
    lines.append(f"Processor features that OpenCV uses: {cv2.getCPUFeaturesLine()}")
    for package in PACKAGES:
        try:
            lines.append(f"  {package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            what = f"MISSING: pip install {package}"
            if package == "torch":
                what = f"not there, needed by train and export alone: {extras.TRAIN}"
            lines.append(f"  {package} {what}")
    if not cv2.useOptimized():
        lines.append("OpenCV runs without its optimisations: unset OPENCV_DISABLE_OPTIMIZATIONS")
    return lines


def _codecs() -> list[str]:
    wanted = {"h264": "r", "hevc": "r", "libx264": "w", "libvpx-vp9": "w", "aac": "w", "gif": "w"}
    missing = [name for name, mode in wanted.items() if not _has_codec(name, mode)]
    if not missing:
        return [f"Codecs: all that are used, from PyAV {av.__version__}"]
    return [f"Codecs: {', '.join(missing)} missing in PyAV; pip install --force-reinstall av"]


def _has_codec(name: str, mode: str) -> bool:
    try:
        av.codec.Codec(name, mode)  # type: ignore[arg-type]
    except (ValueError, FFmpegError):
        return False
    return True


def _weights() -> list[str]:
    if WEIGHTS.exists():
        return [f"Weights: {WEIGHTS.name}, {WEIGHTS.stat().st_size / 1e6:.1f} MB"]
    return [f"Weights: {WEIGHTS} is missing; reinstall hybridanim"]


def _times(example: Path, source: Path, options: dict[str, Any]) -> list[str]:
    """Median milliseconds of each stage on the example pair."""
    named = " ".join(f"--{name} {value}" for name, value in options.items())
    try:
        pipeline = Pipeline.load(size=256, **options)
        pipeline.set_source(io.read_picture(source))
        reader = io.open_source(example)
    except InputError as error:
        return [f"Times: not measured, {error}"]
    times: dict[str, list[float]] = {stage.name: [] for stage in pipeline.stages}
    with reader:
        for frame in reader:
            pipeline.step(pipeline.frame(frame.image, frame.time_s))
            if pipeline.last is not None and frame.index >= 5:  # the first ones warm up
                for name, value in pipeline.last.times_ms.items():
                    times[name].append(value)
            if frame.index >= _FRAMES:
                break
    medians = {name: statistics.median(values) for name, values in times.items()}
    total = sum(medians.values())
    lines = [f"Times on the example at 256x256, {named or 'default options'}, median:"]
    lines += [f"  {name:<10} {value:6.1f} ms" for name, value in medians.items()]
    lines.append(f"  together   {total:6.1f} ms, {1000 / total:.0f} frames a second")
    if total > _REALTIME_MS:
        lines.append("  slower than 30 a second: close other programs, or lower --size")
    return lines
