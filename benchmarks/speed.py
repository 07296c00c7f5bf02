"""Milliseconds of each stage, frames a second of the whole product, and its memory.

    python -m benchmarks.speed --json OUT [--width 640 --height 480] [--sizes 256 512] [--driving F]

Stages are timed on the drawn clip (or another) at the asked size, with the astronaut as source;
warm-up is left out. Each figure is the median of the frames with the inter-quartile range; CPU is
the time of all threads, and differs less than wall time when other programs run. End to end adds
decoding and encoding, in one run of the render job. Memory is the highest resident size of a
process that renders the example once, and ten times over.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage import data

from hybridanim import io, provenance, views
from hybridanim.config import PipelineConfig, RenderJob
from hybridanim.types import Array
from stages import Pipeline, Run, Stage
from stages.job import render

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "data" / "driving.mp4"
_WARM_UP = 10


STAGES_1_TO_3 = ("skin", "tracks", "keypoints")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--driving", type=Path, default=EXAMPLE, help="clip that the stages see")
    parser.add_argument("--width", type=int, default=640, help="of the driving frames, pixels")
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="of the square")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--no-memory", action="store_true", help="leave the memory check out")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak_of:
        print(json.dumps(peak_of(given.peak_of)))
        return
    shape = given.width, given.height
    figures = {
        "driving": f"{given.driving.name} at {given.width}x{given.height}",
        "sizes": {n: at_size(given.driving, shape, n, given.frames) for n in given.sizes},
        "memory": None if given.no_memory else memory(),
        "machine": machine(),
    }
    show(figures)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def at_size(driving: Path, shape: tuple[int, int], size: int, count: int) -> dict:
    """All figures for an animated square of that side."""
    wall, cpu = stage_times(driving, shape, size, count)
    return {
        "stages_ms": {name: summary(values) for name, values in wall.items()},
        "stages_cpu_ms": {name: summary(values) for name, values in cpu.items()},
        "stages_1_to_3_ms": summary(together(wall, STAGES_1_TO_3)),
        "stages_1_to_3_cpu_ms": summary(together(cpu, STAGES_1_TO_3)),
        "stages_1_to_3_fps": rate(wall, STAGES_1_TO_3),
        "stages_1_to_5_fps": rate(wall, tuple(wall)),
        "end_to_end": end_to_end(size),
    }


def stage_times(
    driving: Path, shape: tuple[int, int], size: int, count: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Stage name -> milliseconds of each frame after the warm-up: by the clock, of processor."""
    with io.open_source(driving) as reader:
        clip = [
            cv2.resize(frame.image, shape) for frame, _ in zip(reader, range(300), strict=False)
        ]
    pipeline = Pipeline.load(size=size)
    pipeline.set_source(data.astronaut())
    pipeline.view = views.whole_view(shape[1], shape[0])
    stages = pipeline.stages
    wall: dict[str, list[float]] = {stage.name: [] for stage in stages}
    cpu: dict[str, list[float]] = {stage.name: [] for stage in stages}
    run = CpuRun()
    pipeline._run = run  # the same calls, timed twice
    for index in range(count + _WARM_UP):
        # to and fro, so that the clip has no jump where it starts anew
        at = index % (2 * len(clip) - 2)
        pipeline.animate(clip[min(at, 2 * len(clip) - 2 - at)], index / 30)
        if index >= _WARM_UP:
            for name in wall:
                wall[name].append(run.times_ms[name])
                cpu[name].append(run.cpu_ms[name])
    return wall, cpu


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


def end_to_end(size: int, driving: Path = EXAMPLE) -> dict[str, float]:
    """Decode, scan, five stages, encode, as the command line does it."""
    config = PipelineConfig(size=size)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "astronaut.png"
        io.write_picture(source, data.astronaut())
        job = RenderJob(output=Path(folder) / "out.mp4", pipeline=config)
        times: list[float] = []

        def progress(done: int, total: int | None, what: str) -> None:
            if done >= 1:
                times.append(time.perf_counter())

        start = time.perf_counter()
        rendered = render(job, source, driving, progress)
        whole_s = time.perf_counter() - start
    return {
        "frames": rendered.frames,
        "fps_running": round((rendered.frames - 1) / (times[-1] - times[0]), 1),
        "seconds_to_first_frame": round(times[0] - start, 2),
        "seconds_in_all": round(whole_s, 2),
    }


def memory(times: int = 10) -> dict[str, dict[str, float]]:
    """Highest memory of rendering the example, and the example so many times in a row."""
    with tempfile.TemporaryDirectory() as folder:
        longer = Path(folder) / "longer.mp4"
        with io.open_source(EXAMPLE) as reader:
            frames = [frame.image for frame in reader]
            fps, size = reader.fps, (reader.width, reader.height)
        with io.open_sink(longer, fps, size) as sink:
            for index in range(times * len(frames)):
                sink.write(frames[index % len(frames)], index / float(fps))
        return {"example": _peak_apart(EXAMPLE), f"{times}_times_longer": _peak_apart(longer)}


def _peak_apart(driving: Path) -> dict[str, float]:
    """``peak_of`` in a process of its own: a process never forgets its highest memory."""
    command = [sys.executable, "-m", "benchmarks.speed", "--peak-of", str(driving)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak_of(driving: Path) -> dict[str, float]:
    """Frames rendered at 256x256 and the highest resident memory of this process, in MB."""
    frames = end_to_end(256, driving)["frames"]
    return {"frames": frames, "peak_mb": round(_peak_kilobytes() / 1024, 1)}


def _peak_kilobytes() -> int:
    """Peak of this process alone; on Linux getrusage counts the parent's from before exec too."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def summary(values: list[float] | Array) -> dict[str, float]:
    low, middle, high = (float(v) for v in np.percentile(values, [25, 50, 75]))
    return {"median": round(middle, 2), "iqr": round(high - low, 2)}


def together(times: dict[str, list[float]], names: tuple[str, ...]) -> Array:
    """Sum of those stages, frame by frame."""
    return np.sum([times[name] for name in names], axis=0)


def rate(times: dict[str, list[float]], names: tuple[str, ...]) -> float:
    """Frames a second of those stages together, from the median of their sum."""
    return round(1000 / float(np.median(together(times, names))), 1)


def machine() -> dict[str, str | int | None]:
    return {
        "processor": platform.processor() or platform.machine(),
        "processors": os.cpu_count(),
        "opencv_threads": cv2.getNumThreads(),
        "python": platform.python_version(),
        "commit": provenance.git_commit(),
    }


def show(figures: dict) -> None:
    for size, found in figures["sizes"].items():
        print(f"--- {size}x{size}, {figures['driving']}")
        for name, value in found["stages_ms"].items():
            cpu = found["stages_cpu_ms"][name]["median"]
            spread = f"(inter-quartile range {value['iqr']:.2f}; processor {cpu:.2f})"
            print(f"{name:<12} {value['median']:7.2f} ms   {spread}")
        print(f"stages 1-3   {found['stages_1_to_3_fps']:7.1f} frames a second")
        print(f"stages 1-5   {found['stages_1_to_5_fps']:7.1f} frames a second")
        print(f"end to end   {found['end_to_end']['fps_running']:7.1f} frames a second")
    for name, value in (figures["memory"] or {}).items():
        print(f"memory       {value['peak_mb']:7.1f} MB   ({name}, {value['frames']} frames)")


if __name__ == "__main__":
    main()
