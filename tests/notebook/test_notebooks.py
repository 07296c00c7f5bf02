"""The worked notebooks: stored without outputs, and run from top to bottom in a kernel."""

import ast
import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ("1_first_animation", "2_five_stages", "3_train_your_own")
MOST_S = 300  # a cell; two minutes for a whole notebook on two busy cores


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def text_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_three():
    assert [path.stem for path in PATHS] == list(NAMES)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_they_are_stored_without_outputs(path):
    for cell in cells(path, "code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    assert set(metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_their_code_parses_and_their_links_exist(path):
    for cell in cells(path, "code"):
        ast.parse(text_of(cell))
    text = "\n".join(text_of(cell) for cell in cells(path, "markdown"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        assert (path.parent / target).exists(), target
    for name in re.findall(r"`((?:hybridanim|apps|stages|docs)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name


def test_every_stage_of_the_lesson_has_exercises():
    text = "\n".join(text_of(cell) for cell in cells(PATHS[1], "markdown"))
    parts = re.split(r"^## (?=\d)", text, flags=re.MULTILINE)[1:]
    assert [part[0] for part in parts] == list("12345")
    assert all("**Exercises**" in part for part in parts)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook in a folder of its own; its cells with their outputs."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))

    def go(name: str) -> Any:
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=MOST_S, resources=resources).execute()
        return notebook

    return go


def pictures(notebook: Any) -> list[np.ndarray]:
    """The plots of a notebook, (H, W, 3) uint8."""
    found = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    plots = [one["data"]["image/png"] for one in found if "image/png" in one.get("data", {})]
    return [
        cv2.imdecode(np.frombuffer(base64.b64decode(plot), np.uint8), cv2.IMREAD_COLOR)
        for plot in plots
    ]


def printed(notebook: Any) -> str:
    found = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    return "".join(one["text"] for one in found if one.output_type == "stream")


@pytest.mark.slow
def test_the_first_animation(run, tmp_path):
    pytest.importorskip("ipywidgets", reason="the extra notebook is not installed")
    done = run("1_first_animation")
    assert (tmp_path / "out" / "notebook" / "astronaut-driving.mp4").is_file()
    assert len(pictures(done)) == 4
    states = done.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    kinds = [one["model_name"] for one in states.values()]
    assert kinds.count("VideoModel") == 2, "driver and result are shown in the first cell"
    texts = [one["state"].get("value", "") for one in states.values()]
    assert any("45 frames in" in text for text in texts if isinstance(text, str))


@pytest.mark.slow
def test_the_five_stages(run):
    """The lesson's own lines agree with the library where they say so."""
    done = run("2_five_stages")
    assert len(pictures(done)) == 10 and all(plot.std() > 5 for plot in pictures(done))
    text = printed(done)
    errors = re.findall(r"largest difference(?: from [\w.]+:)? ([\d.e+-]+)", text)
    assert len(errors) == 3 and all(float(error) < 1e-5 for error in errors)
    kept, count = map(int, re.search(r"(\d+) of (\d+) corners are followed", text).groups())
    assert kept > 0.5 * count


@pytest.mark.slow
def test_train_your_own(run, tmp_path):
    pytest.importorskip("torch", reason="the extra train is not installed")
    done = run("3_train_your_own")
    assert (tmp_path / "runs" / "shapes_notebook" / "best.safetensors").is_file()
    assert len(pictures(done)) == 4
