"""A live run beside other programs: rate and latency next to two busy loops, and without them.

    python -m benchmarks.live_busy --json OUT [--seconds 20] [--repeats 5] [-- OPTIONS OF live]

The run is that of the command line, at 256x256, hybrid tracker and learned renderer unless options
are given. After a warm-up run that is left out, runs on the idle machine and beside the busy loops
alternate, so that both see the same machine. Of each: median and spread over the repeats, and what
the run said that it lowered. The goal beside the loops: 20 pictures a second, p95 below 120 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.live import command
from apps.terminal import example_source
from hybridanim.files import EXAMPLE_DRIVING

from .live import build_job, machine

LOOPS = 2
OPTIONS = ["--tracker", "hybrid", "--renderer", "learned"]
LEAST_RATE, MOST_P95_MS = 20.0, 120.0
FIGURES = ("pictures_per_s", "p50_ms", "p95_ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--seconds", type=float, default=20, help="of each run")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    parser.add_argument("--loops", type=int, default=LOOPS, help="busy loops")
    parser.add_argument("options", nargs="*", help="after --: options of the subcommand live")
    given = parser.parse_args()
    options = given.options or OPTIONS
    one_run(min(5.0, given.seconds), options)  # warm-up: caches of networks and files
    runs: dict[str, list[dict[str, Any]]] = {"idle": [], "busy": []}
    for _ in range(given.repeats):
        runs["idle"].append(one_run(given.seconds, options))
        with busy_loops(given.loops):
            runs["busy"].append(one_run(given.seconds, options))
    figures = {kind: summary(found) for kind, found in runs.items()}
    busy = figures["busy"]
    figures["goal_is_met"] = (
        busy["pictures_per_s"]["median"] >= LEAST_RATE and busy["p95_ms"]["median"] < MOST_P95_MS
    )
    figures |= {"loops": given.loops, "seconds": given.seconds, "options": options}
    figures["machine"] = machine()
    print(json.dumps(figures, indent=1))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures | {"runs": runs}, indent=1) + "\n")


@contextmanager
def busy_loops(number: int) -> Iterator[None]:
    """So many processes that do nothing but use a processor."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def one_run(seconds: float, options: list[str]) -> dict[str, Any]:
    """Rate, latency and changes of the quality of one run, from its first picture on."""
    report = command.live(build_job(EXAMPLE_DRIVING, seconds, options), (example_source(),))
    latency = report["latency_ms"]
    return {
        "pictures_per_s": report["pictures_per_s"],
        "p50_ms": latency["p50"],
        "p95_ms": latency["p95"],
        "levels": report["levels"],
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median, least and largest of each figure, and what was said at the ends."""
    found: dict[str, Any] = {}
    for name in FIGURES:
        values = [run[name] for run in runs]
        found[name] = {
            "median": round(statistics.median(values), 1),
            "least": min(values),
            "largest": max(values),
        }
    found["said"] = sorted({run["levels"]["said"] for run in runs})
    return found


if __name__ == "__main__":
    main()
