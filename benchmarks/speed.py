"""Frames a second of the whole product, milliseconds of each stage, and what the networks cost.

    python -m benchmarks.speed --json OUT [--frames 120] [--no-reference]

The example pair (drawn clip of 640x480, astronaut). End to end is the command line's render job:
decoding, five stages, encoding; its rate is that of the frames after the first ``WARM_UP``, its
spread that of windows of 30 frames. Stages are timed one after the other, as medians over frames
with the inter-quartile range; processor time is that of all threads. The reference is the published
model in eager float32 torch, measured in the same run. Networks run from a warm cache. Memory has a
program of its own: benchmarks/speed_memory.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apps.render import render
from apps.terminal import example_source
from hybridanim import io
from hybridanim.config import RenderJob, pipeline_config
from hybridanim.files import EXAMPLE_DRIVING
from hybridanim.io import provenance
from hybridanim.types import Array
from stages.base import Run, Stage
from stages.pipeline import build

ROOT = Path(__file__).parent.parent
SIZES = (256, 512, 1024)
WAYS = tuple(
    (t, r) for r in ("warp", "painted", "learned") for t in ("classical", "learned", "hybrid")
)
TABLED = (
    ("classical", "painted"),
    ("classical", "warp"),
    ("hybrid", "painted"),
    ("hybrid", "learned"),
)
WARM_UP = 10  # frames
WINDOW = 30  # frames


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--frames", type=int, default=120, help="of the clip, for each row")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--no-reference", action="store_true", help="leave torch's model out")
    given = parser.parse_args()
    from . import speed_networks, speed_start

    figures: dict[str, Any] = {"machine": machine()}
    if not given.no_reference:
        figures["reference"] = speed_networks.reference()
    figures["end_to_end"] = [
        say(end_to_end(*way, size, given.frames))
        for size in given.sizes
        for way in (WAYS if size <= 512 else TABLED)
    ]
    figures["stages"] = [
        say(stages(*way, size, min(given.frames, 90))) for size in given.sizes for way in TABLED
    ]
    figures["around_the_stages"] = {size: around(size, given.frames) for size in given.sizes}
    figures["gflop"] = speed_networks.gflop()
    figures["linear"] = say(linear())
    figures["start"] = [say(speed_start.first_frame(*way)) for way in TABLED]
    figures["summary"] = say(conclusions(figures))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


def say(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row as it comes, and pass it on."""
    print(json.dumps(row), file=sys.stderr)
    return row


def end_to_end(tracker: str, renderer: str, size: int, frames: int) -> dict[str, Any]:
    """One render job over the first frames of the clip, as the command line runs it."""
    times: list[float] = []

    def progress(done: int, total: int | None, what: str) -> None:
        if done >= 1:
            times.append(time.perf_counter())

    options = {"tracker": tracker, "renderer": renderer, "size": size}
    with tempfile.TemporaryDirectory() as folder:
        end_s = frames / 30 - 1e-3
        output = Path(folder) / "out.mp4"
        job = RenderJob(output=output, end=end_s, pipeline=pipeline_config(options))
        cpu, start = time.process_time(), time.perf_counter()
        render(job, example_source(), EXAMPLE_DRIVING, progress)
        whole_s, cpu = time.perf_counter() - start, time.process_time() - cpu
    steady = np.array(times[WARM_UP:])
    rates = WINDOW / (steady[WINDOW:] - steady[:-WINDOW])
    return {
        **options,
        "frames": len(times),
        "fps": round((len(steady) - 1) / float(steady[-1] - steady[0]), 1),
        "fps_of_windows": summary(rates, 1),
        "seconds_to_first_frame": round(times[0] - start, 2),
        "seconds_in_all": round(whole_s, 2),
        "processor_seconds_in_all": round(cpu, 2),
    }


class CpuRun(Run):
    """A Run that also keeps the processor time of each stage, of all threads."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu_ms: dict[str, float] = {}

    def __call__(self, stage: Stage, *inputs: Any) -> Any:
        """Run one stage on its inputs."""
        start = time.process_time()
        output = super().__call__(stage, *inputs)
        self.cpu_ms[stage.name] = 1000 * (time.process_time() - start)
        return output


def stages(tracker: str, renderer: str, size: int, frames: int) -> dict[str, Any]:
    """Milliseconds of each stage, one after the other, without reading or writing."""
    options = {"tracker": tracker, "renderer": renderer, "size": size}
    run = CpuRun()
    pipeline = build(pipeline_config(options), run=run)
    pipeline.set_source(io.read_picture(example_source()))
    wall: dict[str, list[float]] = {stage.name: [] for stage in pipeline.stages}
    cpu: dict[str, list[float]] = {stage.name: [] for stage in pipeline.stages}
    for index, image in enumerate(clip(frames)):
        pipeline.animate(image, index / 30)
        if index >= WARM_UP:
            for name in wall:
                wall[name].append(run.times_ms[name])
                cpu[name].append(run.cpu_ms[name])
    together = np.sum(list(wall.values()), axis=0)
    return {
        **{"tracker": tracker, "renderer": renderer, "size": size},
        "wall_ms": {name: with_mean(values) for name, values in wall.items()},
        "processor_ms": {name: with_mean(values) for name, values in cpu.items()},
        "share": {n: round(float(np.sum(v) / together.sum()), 3) for n, v in wall.items()},
        "together_ms": with_mean(together),
    }


def clip(frames: int) -> list[Array]:
    with io.open_source(EXAMPLE_DRIVING) as reader:
        return [frame.image for frame, _ in zip(reader, range(frames), strict=False)]


def around(size: int, frames: int) -> dict[str, Any]:
    """Processor milliseconds a frame of decoding, and of encoding a picture of that size."""
    start = time.process_time()
    images = clip(frames)
    decoding = time.process_time() - start
    squares = [cv2.resize(image[:, 80:560], (size, size)) for image in images[:60]]
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        with io.open_source(EXAMPLE_DRIVING) as reader:
            fps = reader.fps
        with io.open_sink(Path(folder) / "out.mp4", fps, (size, size)) as sink:
            for index, square in enumerate(squares):
                sink.write(square, float(index / fps))
        encoding = time.process_time() - start
    return {
        "decoding_processor_ms": round(1000 * decoding / len(images), 2),
        "encoding_processor_ms": round(1000 * encoding / len(squares), 2),
    }


def linear() -> dict[str, Any]:
    """Seconds of runs of 60, 120 and 240 frames: what the first costs, what each further one."""
    runs = {n: end_to_end("classical", "warp", 256, n) for n in (60, 120, 240)}
    seconds = [run["processor_seconds_in_all"] for run in runs.values()]
    slope, start = np.polyfit(list(runs), seconds, 1)
    misfit = np.abs(np.polyval([slope, start], list(runs)) - seconds).max()
    return {
        "processor_seconds": dict(zip(runs, seconds, strict=True)),
        "processor_ms_a_frame": round(1000 * float(slope), 2),
        "processor_seconds_before": round(float(start), 2),
        "largest_misfit_s": round(float(misfit), 2),
    }


def conclusions(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures that have a bar to clear."""
    rates = {(r["tracker"], r["renderer"], r["size"]): r["fps"] for r in figures["end_to_end"]}
    default = pipeline_config({})
    way = default.tracker, default.render.renderer
    found: dict[str, Any] = {"default": " + ".join(way)}
    for size in (256, 512):
        found[f"fps_at_{size}"] = rates.get((*way, size))
    if "reference" in figures and found["fps_at_256"]:
        times = found["fps_at_256"] / figures["reference"]["fps"]
        found["times_the_reference_at_256"] = round(times, 1)
    tables = {(r["tracker"], r["renderer"], r["size"]): r for r in figures["stages"]}
    hybrid, learned = (
        tables[t, "learned", 256]["processor_ms"]["tracks"]["mean"] for t in ("hybrid", "learned")
    )
    found["hybrid_tracks_mean_ms"], found["learned_tracks_mean_ms"] = hybrid, learned
    return found


def with_mean(values: list[float] | Array) -> dict[str, float]:
    """A hybrid tracker works hard in some frames only, which the median hides."""
    return summary(values) | {"mean": round(float(np.mean(values)), 2)}


def summary(values: list[float] | Array, digits: int = 2) -> dict[str, float]:
    low, middle, high = (float(v) for v in np.percentile(values, [25, 50, 75]))
    return {"median": round(middle, digits), "iqr": round(high - low, digits)}


def machine() -> dict[str, str | int | None]:
    found = Path("/proc/cpuinfo")
    lines = found.read_text().splitlines() if found.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "processors": os.cpu_count(),
        "opencv_threads": cv2.getNumThreads(),
        "opencv": cv2.__version__,
        "python": platform.python_version(),
        "commit": provenance.git_commit(),
    }


if __name__ == "__main__":
    main()
