"""Without torch everything runs but training and export, which say what to install.

In a process of its own whose imports of torch fail as if the package were not installed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from skimage import data

from hybridanim import command_line, extras, files, io
from hybridanim.errors import InputError

ROOT = Path(__file__).parents[1]
REFUSING = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without())
import apps.main
code = apps.main.main(sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(code)
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", REFUSING, *words],
        cwd=folder,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A source picture, and the cache that all runs share."""
    place = tmp_path_factory.mktemp("without")
    io.write_picture(place / "a.png", data.astronaut())
    return place


RUNS = [(), ("--renderer", "learned", "--tracker", "hybrid"), ("--tracker", "learned")]


@pytest.mark.parametrize("options", RUNS, ids=" ".join)
def test_animations(options, folder):
    name = f"{len(options)}.mp4"
    words = ("--end", "0.15", "--size", "64", "--output", name)
    done = run(folder, "a.png", str(files.EXAMPLE_DRIVING), *words, *options)
    assert done.returncode == 0, done.stderr
    with io.open_source(folder / name) as reader:
        assert len(list(reader)) == 5


def test_live(folder):
    words = ("--camera", str(files.EXAMPLE_DRIVING), "--window", "no", "--seconds", "0.3")
    done = run(folder, "live", "a.png", *words, "--renderer", "learned", "--output", "live.mp4")
    assert done.returncode == 0, done.stderr
    assert (folder / "live.mp4").stat().st_size > 1000


@pytest.mark.parametrize("word", ["evaluate", "train", "export", "live"])
def test_help(word, folder):
    done = run(folder, word, "--help")
    assert done.returncode == 0 and f"usage: run_pipeline.py {word}" in done.stdout, done.stderr


@pytest.mark.slow
def test_doctor(folder):
    done = run(folder, "doctor")
    assert done.returncode == 0, done.stderr
    assert "Network renderer: openvino" in done.stdout
    assert "Network detector: openvino" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("export", "--out", "x"),
        ("train", "--data", "."),
        ("a.png", str(files.EXAMPLE_DRIVING), "--renderer", "learned", "--runtime", "torch"),
    ],
    ids=lambda words: words[0],
)
def test_what_needs_torch_says_so_in_a_line(words, folder):
    before = sorted(folder.iterdir())
    done = run(folder, *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert 'expected the package torch, found none; pip install "hybridanim[train]"' in done.stderr
    assert sorted(folder.iterdir()) == before


def test_the_torch_that_is_missing_is_one_line_wherever_it_is_imported(capsys):
    def action() -> int:
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")

    assert command_line.run("program", action) == 2
    assert capsys.readouterr().err.startswith("program: expected the package torch, found none;")

    def other() -> int:
        raise ModuleNotFoundError("No module named 'x'", name="x")

    with pytest.raises(ModuleNotFoundError):
        command_line.run("program", other)


def test_neither_torch_nor_openvino(monkeypatch):
    from hybridanim import quiet
    from hybridanim.runtime import face_points, matte, painters

    def missing(*_):
        raise ImportError

    monkeypatch.setattr(quiet, "openvino", missing)
    monkeypatch.setattr(extras, "has_torch", lambda: False)
    for part in (face_points, matte, painters):
        with pytest.raises(InputError, match="found neither; pip install openvino"):
            part.load.__wrapped__()
