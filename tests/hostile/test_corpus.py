"""No case of the corpus ends in a traceback, hangs, leaves half a file, or loses one."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from apps.main import SUBCOMMANDS

from . import corpus, kit

ROOT = Path(__file__).parents[2]
CASE_S = 150  # a case that takes longer hangs
WORKERS = 2

pytestmark = pytest.mark.slow


class Worker:
    """One process that runs cases; a case that hangs or ends the process costs only itself."""

    def __init__(self, kit_folder: Path, folder: Path, environment: dict[str, str]) -> None:
        self._words = [sys.executable, "-m", "tests.hostile.run", str(kit_folder), str(folder)]
        self._folder, self._environment = folder, environment
        self._process: subprocess.Popen[str] | None = None

    def run(self, number: int) -> list[str]:
        """What is wrong with a case."""
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass
        timer = threading.Timer(CASE_S, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if line:
            return json.loads(line)["problems"]
        self.close()
        return [f"no answer within {CASE_S} s, or the process ended (code {process.returncode})"]

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            self._words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._folder,  # what a case leaves in the present folder is no one's loss
            env=self._environment,
        )
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, list[str]]:
    """Name of each case -> what is wrong with it."""
    kit_folder, folder = (tmp_path_factory.mktemp(name) for name in ("kit", "cases"))
    kit.make(kit_folder)
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default,ignore::ResourceWarning"}
    environment["PYTHONPATH"] = str(ROOT)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        environment.pop(name, None)
    cases, waiting, found = corpus.cases(), queue.SimpleQueue(), {}
    before = repository()
    for number in sorted(range(len(cases)), key=lambda n: not cases[n].shell):
        waiting.put(number)

    def work() -> None:
        worker = Worker(kit_folder, folder, environment)
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                break
            found[cases[number].name] = worker.run(number)
        worker.close()

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if left := repository() - before:
        found["the repository"] = [f"left in it: {sorted(left)}"]
    return found


def repository() -> set[str]:
    """What lies in the repository's root, but for caches."""
    return {path.name for path in ROOT.iterdir() if not path.name.endswith(("cache", "__"))}


def test_the_corpus_is_large_and_has_every_word():
    cases = corpus.cases()
    assert len(cases) >= 200
    words = {case.words[0] for case in cases if case.words}
    assert set(SUBCOMMANDS) <= words
    programs = {case.program.rpartition(".")[2] for case in cases}
    assert {"run", "skin", "camera", "tracker", "skin_prior", "alignment"} <= programs


def test_a_worker_does_not_stand_in_the_repository(tmp_path):
    """A case that writes beside its folder would leave files there."""
    kit_folder, folder = tmp_path / "kit", tmp_path / "cases"
    kit_folder.mkdir()
    folder.mkdir()
    worker = Worker(kit_folder, folder, {**os.environ, "PYTHONPATH": str(ROOT)})
    process = worker._start()
    try:
        assert os.path.samefile(f"/proc/{process.pid}/cwd", folder)
        number = next(
            n for n, case in enumerate(corpus.cases()) if case.name == "doctor with words"
        )
        assert worker.run(number) == []
    finally:
        worker.close()


def test_no_case_ends_badly(results):
    wrong = {name: problems for name, problems in results.items() if problems}
    text = "\n".join(f"{name}:\n    " + "\n    ".join(p) for name, p in wrong.items())
    assert not wrong, f"{len(wrong)} of {len(results)} cases\n{text}"
