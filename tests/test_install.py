"""The wheel: what is in it, and that it runs alone, from a folder that is no checkout.

A new virtual environment gets the wheel and, as links to this interpreter's, the packages that the
wheel asks for and what these ask for: nothing is downloaded, and torch is not among them. There
every file of the checkout is refused to Python.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from importlib import metadata
from pathlib import Path

import av
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("hybridanim", "stages", "apps", "calibration")
REFUSE = """
import sys
def _refuse(event, arguments):
    name = arguments[0] if event == "open" else None
    if isinstance(name, str) and name.startswith({root!r}) and not name.startswith({allowed!r}):
        raise RuntimeError(f"a file of the checkout is used: {{name}}")
sys.addaudithook(_refuse)
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that no file of an earlier build is in it and none is left behind."""
    copy, made = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements-core.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(made), str(copy)], check=True)
    (path,) = made.glob("hybridanim-*.whl")
    return path


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory) -> Path:
    """The folder of programs of a virtual environment in which the wheel is installed."""
    home = tmp_path_factory.mktemp("home") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    site, packages = Path(done.stdout.strip()), sysconfig.get_path("purelib")
    for name in needed(metadata.Distribution.at(next(site.glob("hybridanim-*.dist-info")))):
        for entry in entries(metadata.distribution(name)):
            (site / entry).symlink_to(Path(packages) / entry)
    text = REFUSE.format(root=str(ROOT) + os.sep, allowed=packages + os.sep)
    (site / "sitecustomize.py").write_text(text)
    return python.parent


def needed(distribution: metadata.Distribution) -> set[str]:
    """Names of the packages that it asks for without extras, and that these ask for."""
    found: set[str] = set()
    waiting = [(distribution, "")]
    while waiting:
        one, extra = waiting.pop()
        for requirement in map(Requirement, one.requires or ()):
            name = canonicalize_name(requirement.name)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                if name not in found:
                    waiting.append((metadata.distribution(name), ""))
                found.add(name)
                waiting += [(metadata.distribution(name), more) for more in requirement.extras]
    return found


def entries(distribution: metadata.Distribution) -> set[str]:
    """What it has put into the folder of packages: folders and single modules."""
    first = {path.parts[0] for path in distribution.files or ()}
    return first - {"..", "__pycache__"}


def run(programs: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    without = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [str(programs / words[0]), *words[1:]]
    return subprocess.run(
        command, cwd=cwd, env=without, capture_output=True, text=True, timeout=300
    )


def test_the_wheel_holds_code_weights_and_example(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    data = {"hybridanim/py.typed", "hybridanim/assets/driving.mp4"}
    names = ("alignment", "detector_fast", "face_model", "face_points", "imagined_motion")
    for name in (*names, "matte", "painters", "prepared", "renderer_fast"):
        data |= {f"hybridanim/weights/{name}.safetensors", f"hybridanim/weights/{name}.md"}
    assert held == code | data | {"hybridanim/weights/skin_prior.safetensors"}


def test_the_wheel_asks_for_torch_in_extras_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    asked = [line for line in lines if re.match("Requires-Dist: torch[ =<>]", line)]
    assert len(asked) == 2 and all(re.search('extra == "(train|export)"', one) for one in asked)
    assert "Requires-Dist: openvino<2027,>=2025.2" in lines


def test_there_is_no_torch(programs, tmp_path):
    done = run(programs, "python", "-c", "import torch", cwd=tmp_path)
    assert "No module named 'torch'" in done.stderr


@pytest.mark.parametrize("tracker", ["classical", "hybrid", "learned"])
def test_the_learned_renderer_runs_without_torch(programs, tmp_path, tracker):
    words = ["--renderer", "learned", "--tracker", tracker, "--end", "0.2", "--size", "96"]
    done = run(programs, "hybridanim", *words, "--cache", str(tmp_path / "cache"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "example.mp4").stat().st_size > 1000
    kept = {path.name.partition("-")[0] for path in (tmp_path / "cache").iterdir()}
    assert kept == {"animator"} | ({"detector"} if tracker != "classical" else set())


@pytest.mark.parametrize("words", [["export", "--out", "x"], ["train", "--data", "."]])
def test_what_needs_torch_says_so(programs, tmp_path, words):
    done = run(programs, "hybridanim", *words, cwd=tmp_path)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    assert done.stderr.count("\n") == 1
    assert 'expected the package torch, found none; pip install "hybridanim[train]"' in done.stderr


def test_the_command_runs_the_example_from_an_empty_folder(programs, tmp_path):
    done = run(programs, "hybridanim", "--end", "0.3", "--size", "96", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "out" / "example.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 9 and (frames[0].width, frames[0].height) == (96, 96)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_doctor_runs(programs, tmp_path):
    done = run(programs, "hybridanim", "doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "frames a second" in done.stdout and "missing" not in done.stdout


def test_a_file_of_the_checkout_would_be_noticed(programs, tmp_path):
    code = f"open({str(ROOT / 'run_pipeline.py')!r})"
    assert "of the checkout" in run(programs, "python", "-c", code, cwd=tmp_path).stderr


def test_both_commands_say_the_same(programs, tmp_path):
    """Help and errors differ in the program's name alone; so do the exit codes."""
    script = [sys.executable, str(ROOT / "run_pipeline.py")]
    for words in (["--help"], ["export", "--help"], ["a.png"], ["a.png", "b.mp4"], ["--smoth"]):
        installed = run(programs, "hybridanim", *words, cwd=tmp_path)
        checkout = subprocess.run([*script, *words], cwd=tmp_path, capture_output=True, text=True)
        assert installed.returncode == checkout.returncode
        for one, other in (
            (installed.stdout, checkout.stdout),
            (installed.stderr, checkout.stderr),
        ):
            renamed = other.replace("python run_pipeline.py", "hybridanim")
            assert flat(one) == flat(renamed.replace("run_pipeline.py", "hybridanim"))
        assert "Traceback" not in installed.stderr


def flat(text: str) -> str:
    """Without what the width of the program's name changes: breaks, frames of boxes."""
    return " ".join("".join(c for c in text if c not in "│─╭╮╰╯").split())


@pytest.mark.parametrize("wait_s", [0.3, 2.5])
@pytest.mark.parametrize("name", ["hybridanim", "run_pipeline.py"])
def test_ctrl_c_leaves_no_traceback(programs, tmp_path, name, wait_s):
    """Neither during the imports nor later."""
    is_script = name.endswith(".py")
    command = [sys.executable, str(ROOT / name)] if is_script else [str(programs / name)]
    from tests.synthetic import interruptible

    process = subprocess.Popen(
        [*command, "--size", "96"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=interruptible,
    )
    time.sleep(wait_s)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output
    assert process.returncode in (130, -signal.SIGINT)
