"""Highest memory of whole runs: 10 seconds and 10 minutes of video, at 256x256 and 512x512.

    python -m benchmarks.speed_memory --json OUT [--seconds 10 600] [--sizes 256 512]

Each run is a process of its own, as a process never forgets its highest memory. The clip is the
example, played over and over. Nothing here depends on how busy the machine is.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from apps.render import render
from apps.terminal import example_source
from hybridanim import io
from hybridanim.config import RenderJob, pipeline_config
from hybridanim.files import EXAMPLE_DRIVING

from .speed import ROOT, TABLED, machine


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 600])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--ways", type=int, default=len(TABLED), help="how many of the methods")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(peak(*given.one)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in given.seconds:
            clip = played_over(Path(folder) / f"{seconds:g}.mp4", seconds)
            for size in given.sizes:
                rows += [apart(*way, size, clip) for way in TABLED[: given.ways]]
                print(json.dumps(rows[-given.ways :]), file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "runs": rows}, indent=1) + "\n")


def played_over(path: Path, seconds: float) -> Path:
    """The example to and fro, so that nothing jumps."""
    with io.open_source(EXAMPLE_DRIVING) as reader:
        frames = [frame.image for frame in reader]
        fps, size = reader.fps, (reader.width, reader.height)
    there_and_back = frames + frames[-2:0:-1]
    with io.open_sink(path, fps, size, crf=23) as sink:
        for index in range(round(seconds * fps)):
            sink.write(there_and_back[index % len(there_and_back)], float(index / fps))
    return path


def apart(tracker: str, renderer: str, size: int, driving: Path) -> dict[str, Any]:
    """``peak`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed_memory", "--one"]
    command += [tracker, renderer, str(size), str(driving)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak(tracker: str, renderer: str, size: str, driving: str) -> dict[str, Any]:
    """Frames rendered, and the highest resident memory of this process in MB."""
    options = {"tracker": tracker, "renderer": renderer, "size": int(size)}
    with tempfile.TemporaryDirectory() as folder:
        job = RenderJob(output=Path(folder) / "out.mp4", pipeline=pipeline_config(options))
        frames = render(job, example_source(), Path(driving)).frames
    return {**options, "frames": frames, "peak_mb": round(_peak_kilobytes() / 1024, 1)}


def _peak_kilobytes() -> int:
    """Peak of this process alone; on Linux getrusage counts the parent's from before exec too."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
