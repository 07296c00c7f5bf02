"""Latency of a live run: a file fed at its own rate as the camera, its result seen by a browser.

    python -m benchmarks.live --json OUT [--seconds 120] [--name N] [-- OPTIONS OF live]

The run is that of the command line, at 256x256 and otherwise with its default settings. Latency is
the time from the capture of a frame until every output has it; a reader in a process of its own
also measures when it has received the JPEG over HTTP. Growth is the slope of the medians of spans
of five seconds. In a second, short run the camera disappears, stalls and changes its size.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tyro

from apps.live import command
from apps.terminal import example_source
from hybridanim.files import EXAMPLE_DRIVING
from hybridanim.io import provenance
from hybridanim.live.camera import CameraError, File, Shot
from hybridanim.live.config import LiveJob

SECONDS_OF_FAULTS = 25.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--driving", type=Path, default=EXAMPLE_DRIVING)
    parser.add_argument("--name", default="steady", help="of the long run, among the figures")
    parser.add_argument("--no-faults", action="store_true", help="leave the second run out")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("options", nargs="*", help="after --: options of the subcommand live")
    given = parser.parse_args()
    if given.read:
        read(given.read)
        return
    figures = json.loads(given.json.read_text()) if given.json and given.json.exists() else {}
    figures[given.name] = steady(given.driving, given.seconds, given.options)
    if not given.no_faults:
        figures["faulty"] = faulty(given.driving, given.options)
    figures["machine"] = machine()
    print(json.dumps({k: short(v) for k, v in figures.items()}, indent=2))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def short(figures: Any) -> Any:
    return {k: v for k, v in figures.items() if k != "spans"}


def build_job(driving: Path, seconds: float, options: list[str]) -> LiveJob:
    """As ``run_pipeline.py live`` would make it."""
    argv = ["--camera", str(driving), "--seconds", str(seconds), "--size", "256", *options]
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.UseAppendAction)
    port = free_port()
    return tyro.cli(LiveJob, args=[*argv, "--serve", str(port), "--window", "no"], config=config)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def steady(driving: Path, seconds: float, options: list[str]) -> dict[str, Any]:
    """The long run, with a reader."""
    job = build_job(driving, seconds, options)
    reader = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.live", "--read", f"http://127.0.0.1:{job.serve}/"],
        stdout=subprocess.PIPE,
        text=True,
    )
    cpu_s = time.process_time()
    report = command.live(job, (example_source(),))
    report["processors_used"] = round((time.process_time() - cpu_s) / report["seconds"], 2)
    report["options"] = options
    report["at_the_reader"] = json.loads(reader.communicate(timeout=20)[0].splitlines()[-1])
    return report


def read(url: str) -> None:
    """The reader: the age of each picture when it has been received completely."""
    ages_ms: list[float] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url + "stream.mjpg", timeout=10) as stream:
                ages_ms += parts(stream)
            break
        except OSError:
            time.sleep(0.1)  # not there yet
    kept = ages_ms[30:] or [0.0]
    figures = {name: round(float(np.percentile(kept, n)), 1) for name, n in PERCENTILES}
    print(json.dumps({"pictures": len(ages_ms), "latency_ms": figures}))


PERCENTILES = (("p50", 50), ("p95", 95), ("p99", 99))


def parts(stream: Any) -> Iterator[float]:
    """Age in ms of each picture of a multipart stream, when it has been received."""
    length, taken_s = 0, 0.0
    while line := stream.readline():
        if line.startswith(b"Content-Length:"):
            length = int(line.split(b":")[1])
        elif line.startswith(b"X-Taken-S:"):
            taken_s = float(line.split(b":")[1])
        elif line == b"\r\n" and length:
            stream.read(length)
            yield 1000 * (time.monotonic() - taken_s)
            length = 0


class Faults:
    """The file as a camera that vanishes, stalls, and comes back in another size."""

    PLAN = (("vanishes", 5.0), ("stalls", 10.0), ("changes its size", 15.0))  # seconds
    AWAY_S, STALL_S = 2.0, 3.5

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun: dict[str, float] = {}
        self._zero_s = time.monotonic()

    def now_s(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._zero_s

    def begins(self, fault: str) -> bool:
        """Whether it is time for this fault, for the first time."""
        if fault in self.begun or self.now_s() < dict(self.PLAN)[fault]:
            return False
        self.begun[fault] = round(self.now_s(), 2)
        return True


class FaultyCamera:
    """One opening of it."""

    name, rate_hz = "faulty camera", 30.0

    def __init__(self, faults: Faults) -> None:
        self._faults, self._file = faults, File(faults.path, is_loop=True)

    def open(self) -> None:
        """Fails while it is away."""
        gone_s = self._faults.begun.get("vanishes", -100.0)
        if self._faults.now_s() < gone_s + self._faults.AWAY_S:
            raise CameraError("it is unplugged")
        self._file.open()

    def read(self) -> Shot | None:
        """A frame of the file, but for the faults."""
        if self._faults.begins("vanishes"):
            return None
        if self._faults.begins("stalls"):
            time.sleep(self._faults.STALL_S)
        shot = self._file.read()
        self._faults.begins("changes its size")
        if shot is not None and "changes its size" in self._faults.begun:
            return Shot(cv2.resize(shot.image, (480, 480)), shot.time_s)
        return shot

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def faulty(driving: Path, options: list[str]) -> dict[str, Any]:
    """The short run."""
    plan = Faults(driving)
    job = build_job(driving, SECONDS_OF_FAULTS, options)
    report = command.live(job, (example_source(),), lambda: FaultyCamera(plan))
    return {"faults_at_s": plan.begun, **report}


def machine() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "processors": os.cpu_count(),
        "opencv_threads": cv2.getNumThreads(),
        "python": platform.python_version(),
        "commit": provenance.git_commit(),
    }


if __name__ == "__main__":
    main()
