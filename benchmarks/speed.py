"""Frames a second of the whole product and milliseconds of each stage, on the example.

    python -m benchmarks.speed --json OUT [--width 640 --height 480] [--size 256] [--frames 200]

Stages 1 to 3 are timed on the drawn clip at the asked size, all five with the astronaut as source.
Warm-up is left out; each figure is the median of the frames with the inter-quartile range.
End to end adds decoding and encoding, in one run of the render job.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from hybridanim import io, provenance, views
from hybridanim.config import PipelineConfig, RenderJob
from stages import Pipeline
from stages.job import render

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "data" / "driving.mp4"
_WARM_UP = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--width", type=int, default=640, help="of the driving frames, pixels")
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--size", type=int, default=256, help="side of the animated square")
    parser.add_argument("--frames", type=int, default=240)
    given = parser.parse_args()
    times = stage_times((given.width, given.height), given.size, given.frames)
    figures = {
        "driving": f"{given.width}x{given.height}",
        "size": given.size,
        "stages_ms": {name: summary(values) for name, values in times.items()},
        "stages_1_to_3_fps": rate(times, ("skin", "tracks", "keypoints")),
        "stages_1_to_5_fps": rate(times, tuple(times)),
        "end_to_end": end_to_end(given.size),
        "machine": machine(),
    }
    show(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def stage_times(shape: tuple[int, int], size: int, count: int) -> dict[str, list[float]]:
    """Stage name -> milliseconds of each frame after the warm-up."""
    with io.open_source(EXAMPLE) as reader:
        clip = [cv2.resize(frame.image, shape) for frame in reader]
    pipeline = Pipeline.load(size=size)
    pipeline.set_source(data.astronaut())
    pipeline.view = views.whole_view(shape[1], shape[0])
    found: dict[str, list[float]] = {stage.name: [] for stage in pipeline.stages}
    for index in range(count + _WARM_UP):
        # to and fro, so that the clip has no jump where it starts anew
        at = index % (2 * len(clip) - 2)
        pipeline.animate(clip[min(at, 2 * len(clip) - 2 - at)], index / 30)
        assert pipeline.last is not None
        if index >= _WARM_UP:
            for name, value in pipeline.last.times_ms.items():
                found[name].append(value)
    return found


def end_to_end(size: int) -> dict[str, float]:
    """Decode, scan, five stages, encode, as the command line does it."""
    config = PipelineConfig(size=size)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "astronaut.png"
        io.write_picture(source, data.astronaut())
        job = RenderJob(output=Path(folder) / "out.mp4", pipeline=config)
        first: list[float] = []

        def progress(done: int, total: int | None, what: str) -> None:
            if done >= 1:
                first.append(time.perf_counter())

        start = time.perf_counter()
        summary_ = render(job, source, EXAMPLE, progress)
        whole_s = time.perf_counter() - start
    running_s = first[-1] - first[0]
    return {
        "frames": summary_.frames,
        "fps_running": round((summary_.frames - 1) / running_s, 1),
        "seconds_to_first_frame": round(first[0] - start, 2),
        "seconds_in_all": round(whole_s, 2),
    }


def summary(values: list[float]) -> dict[str, float]:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"median": round(middle, 2), "iqr": round(high - low, 2)}


def rate(times: dict[str, list[float]], names: tuple[str, ...]) -> float:
    """Frames a second of those stages together, from the median of their sum."""
    together = np.sum([times[name] for name in names], axis=0)
    return round(1000 / float(np.median(together)), 1)


def machine() -> dict[str, str | int | None]:
    return {
        "processor": platform.processor() or platform.machine(),
        "processors": os.cpu_count(),
        "opencv_threads": cv2.getNumThreads(),
        "python": platform.python_version(),
        "commit": provenance.git_commit(),
    }


def show(figures: dict) -> None:
    for name, value in figures["stages_ms"].items():
        print(f"{name:<12} {value['median']:7.2f} ms   (inter-quartile range {value['iqr']:.2f})")
    print(f"stages 1-3   {figures['stages_1_to_3_fps']:7.1f} frames a second")
    print(f"stages 1-5   {figures['stages_1_to_5_fps']:7.1f} frames a second")
    print(f"end to end   {figures['end_to_end']['fps_running']:7.1f} frames a second")


if __name__ == "__main__":
    main()
