"""How much ranges of a long clip differ from the whole, by the length of their warm-up.

    python -m benchmarks.batch_seams CLIP [--source PICTURE] [--size 128] [--at 8] [--length 2]

Pictures of ``--length`` seconds from ``--at`` on, before encoding, against those of the whole clip:
mean, 99th percentile and largest difference in grey levels, and the processor time of a range
beside that of as many frames of the whole. ``all`` is the whole of what comes before.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from apps.batch.plan import Planned
from apps.batch.ranges import Cut, Stretch
from apps.batch.work import Task, perform
from apps.terminal import example_source
from hybridanim import command_line, io
from hybridanim.config import PipelineConfig, RenderJob
from hybridanim.errors import InputError
from hybridanim.types import Array

WARM_UPS_S: tuple[float | None, ...] = (0.0, 1.0, 2.0, 4.0, None)


def measured(planned: Planned, cut: Cut, warm_up_s: float | None) -> tuple[list[Array], float]:
    """Pictures of the second range, and the processor time that it took in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        stretch = Stretch((1,), warm_up_s)
        start_s = time.process_time()
        last = perform(Task(planned, cut, stretch, Path(folder)), 1.0, lambda message: None)
        took_s = time.process_time() - start_s
        if last.kind != "done":
            raise InputError(f"benchmark: expected a clip that can be animated, got {last.text}")
        files = sorted((Path(folder) / "00001").iterdir())
        return [io.read_picture(path) for path in files], took_s


def main(argv: list[str] | None = None) -> int:
    """Print a row for each warm-up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--source", type=Path, default=example_source())
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--at", type=float, default=8.0)
    parser.add_argument("--length", type=float, default=2.0)
    given = parser.parse_args(argv)
    return command_line.run("batch_seams", lambda: _table(given))


def _table(given: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    cut = Cut((given.at, given.at + given.length))
    job = RenderJob(Path("o"), pipeline=PipelineConfig(size=given.size))
    planned = Planned("o", given.source, given.clip, job)
    measured(planned, cut, 0.0)  # loads the networks
    whole, _ = measured(planned, cut, None)
    print("| warm-up | mean | p99 | largest | of frames within 1 | processor time, s |")
    print("|---|---|---|---|---|---|")
    for warm_up_s in WARM_UPS_S:
        found, took_s = measured(planned, cut, warm_up_s)
        apart = [np.abs(a.astype(int) - b) for a, b in zip(found, whole, strict=True)]
        mean, largest = np.mean(apart), max(int(one.max()) for one in apart)
        within = np.mean([one.mean() <= 1 for one in apart])
        name = "all" if warm_up_s is None else f"{warm_up_s:g} s"
        p99 = np.percentile(apart, 99)
        print(f"| {name} | {mean:.2f} | {p99:.0f} | {largest} | {within:.2f} | {took_s:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
