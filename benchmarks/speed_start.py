"""From starting the program to the first frame, each in a process of its own.

    python -m benchmarks.speed_start TRACKER RENDERER SIZE

prints, as one line of JSON, when the first frame came out and which large packages were imported.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RUNS = 3


def first_frame(tracker: str, renderer: str, size: int = 256) -> dict[str, Any]:
    """Seconds from the start of the process to its first frame, the cache warm."""
    command = [sys.executable, "-m", "benchmarks.speed_start", tracker, renderer, str(size)]
    found, seconds = {}, []
    for _ in range(RUNS + 1):  # the first one warms files and networks
        start = time.time()
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        seconds.append(found.pop("first_frame_at") - start)
    return {
        **{"tracker": tracker, "renderer": renderer, "size": size},
        "median_s": round(statistics.median(seconds[1:]), 2),
        "all_s": [round(s, 2) for s in seconds[1:]],
        **found,
    }


def main(words: list[str]) -> None:
    from apps.main import parse
    from apps.render import render
    from apps.terminal import example_source
    from hybridanim.files import EXAMPLE_DRIVING

    tracker, name, size = words
    with tempfile.TemporaryDirectory() as folder:
        line = ["a.png", "b.mp4", "--output", str(Path(folder) / "out.mp4")]
        line += ["--tracker", tracker, "--renderer", name, "--size", size]
        _, job = parse(line)

        def progress(done: int, total: int | None, what: str) -> None:
            if done == 1:
                large = [package for package in ("torch", "openvino") if package in sys.modules]
                print(json.dumps({"first_frame_at": time.time(), "imported": large}), flush=True)
                raise KeyboardInterrupt

        render(job, example_source(), EXAMPLE_DRIVING, progress)


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)
