"""Batches by processes: killed at random moments, workers that die, Ctrl-C."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from apps.batch.plan import plan
from apps.batch.processes import Processes
from apps.batch.run import Change, Settings, run
from tests.apps.batch.test_run import SMALL

ROOT = Path(__file__).parents[3]
OPTIONS = (
    "--size",
    "128",  # x264's encodings of 64 pixels differ from time to time, whatever its threads
    "--avatar",
    "off",
    "--renderer",
    "warp",
    "--workers",
    "2",
    "--progress",
    "json",
)
EVERY_S = 0.05

pytestmark = pytest.mark.slow


def start(inputs: Path, out: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "run_pipeline.py"), "batch", "--out", str(out)]
    command += ["--sources", str(inputs / "sources"), "--drivers", str(inputs / "drivers")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *OPTIONS, *words], stdout=subprocess.PIPE, text=True, env=environment
    )


def results(out: Path) -> dict[str, bytes]:
    """All that a batch leaves: films as bytes, records without the time of their making."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.name not in ("lock", "batch.json"):
            data = path.read_bytes()
            if path.suffix == ".json":
                data = json.dumps({**json.loads(data), "created": ""}).encode()
            found[path.relative_to(out).as_posix()] = data
    return found


def states(out: Path) -> list[str]:
    path = out / "batch.json"
    return [one["state"] for one in json.loads(path.read_text())["jobs"]] if path.exists() else []


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    with start(inputs, out) as process:
        lines = [json.loads(line) for line in process.communicate()[0].splitlines()]
    assert process.returncode == 0 and lines[-1]["jobs_done"] == 12
    return results(out)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_it_gives_the_same_files(inputs, undisturbed, tmp_path, seed):
    """12 jobs, 2 workers, SIGKILL: as one undisturbed run, byte for byte; no work is lost.

    A moment is a number of events and then a part of a second, since machines differ in speed.
    """
    draw, done, kills = random.Random(seed), 0, 0
    for _ in range(3):
        process = start(inputs, tmp_path)
        assert process.stdout is not None
        skipped = done + 12 + draw.randrange(8, 16)  # each run tells of all jobs first
        for _ in zip(range(skipped), process.stdout, strict=False):
            pass
        time.sleep(draw.uniform(0, 0.5))
        kills += process.poll() is None  # a fast machine may have come to the end
        process.kill()
        process.communicate()
        now = states(tmp_path).count("done")
        assert now >= done  # what was done stays done
        done = now
    assert kills > 0 and done > 0
    with start(inputs, tmp_path) as process:
        process.communicate()
    assert process.returncode == 0
    assert results(tmp_path) == undisturbed


def test_a_worker_that_dies_is_replaced(inputs, tmp_path):
    """Its job is done by another one; a job that kills every worker fails with the reason."""
    whole = plan(out=tmp_path, sources=inputs / "sources", drivers=inputs / "drivers", common=SMALL)
    whole = replace(whole, jobs=whole.jobs[:4])
    killed: list[tuple[str, str]] = []

    def report(change: Change) -> None:
        name = change.entry.name
        is_due = name == "p1-v0.mp4" or (name == "p0-v0.mp4" and not killed)
        if change.step == "source" and is_due and change.worker not in [w for _, w in killed]:
            killed.append((name, change.worker))
            os.kill(int(change.worker), signal.SIGKILL)

    found = run(whole, Settings(workers=2), report)
    entries = {entry.name: entry for entry in found.listed}
    assert [entries[f"p{n}-v0.mp4"].state for n in range(4)] == ["done", "failed", "done", "done"]
    assert "ended by SIGKILL" in entries["p1-v0.mp4"].error
    assert "Tried again" in entries["p0-v0.mp4"].notes[0]
    assert [name for name, _ in killed].count("p1-v0.mp4") == 2
    assert len({worker for _, worker in killed}) == 3
    again = run(whole, Settings(workers=2))
    assert again.counts()["done"] == 4
    assert not list(tmp_path.glob(".*.part"))


def test_ctrl_c_leaves_all_in_order(inputs, tmp_path):
    with start(inputs, tmp_path) as process:
        for line in process.stdout:
            if json.loads(line).get("state") == "done":
                process.send_signal(signal.SIGINT)
                break
        rest = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 130
    assert json.loads(rest[-1])["code"] == 130
    assert "running" not in states(tmp_path) and "done" in states(tmp_path)


def test_workers_end_with_their_parent(tmp_path):
    script = (
        "import time\nfrom apps.batch.processes import Processes\n"
        "if __name__ == '__main__':\n"
        "    pool = Processes(2)\n    print(pool.about(0), pool.about(1), flush=True)\n"
        "    time.sleep(600)\n"
    )
    (tmp_path / "parent.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    workers = [int(word) for word in parent.stdout.readline().split()]
    time.sleep(3)  # they are at work, or still start
    parent.kill()
    parent.communicate()
    deadline_s = time.monotonic() + 30
    while any(lives(worker) for worker in workers) and time.monotonic() < deadline_s:
        time.sleep(EVERY_S)
    assert not any(lives(worker) for worker in workers)


def lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_processors_are_shared():
    pool = Processes(1)
    try:
        assert len(pool) == 1 and int(pool.about(0)) > 0
    finally:
        pool.close()
