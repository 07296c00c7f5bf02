"""Nothing leaves the machine: no word of the command line looks up a name or connects.

Each run is a process whose audit hook refuses the network and writes down what was tried, in a
home folder that is empty, or without any home folder and any entry in the list of users.
"""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybridanim import files, io, quiet
from hybridanim.networks.weights import write_weights
from tests import made_networks as made
from tests import synthetic

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "hybridanim" / "assets" / "driving.mp4"
HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
GUARD = """
import os, sys

def refuse(event, arguments):
    if event.startswith("socket.") and event.split(".")[1] in (
        "connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo", "sendto",
        "sendmsg",
    ):
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"{event} {arguments[1:]} {sys.argv}\\n")
        raise OSError(f"the test refuses {event}")

sys.addaudithook(refuse)
if "HOME" not in os.environ and os.name == "posix":
    import pwd

    def nobody(number):
        raise KeyError(number)

    pwd.getpwuid = nobody
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a source, weights of small networks, and a clip."""
    folder = tmp_path_factory.mktemp("inputs")
    io.write_picture(folder / "source.png", synthetic.photograph(192))
    write_weights(folder / "small.safetensors", animator=made.animator())
    (folder / "clips").mkdir()
    (folder / "clips" / "clip.mp4").write_bytes(EXAMPLE.read_bytes())
    return folder


def run(folder: Path, words: list[object], *, has_home: bool) -> tuple[list[str], list[str]]:
    """What was tried on the network, and the files in the home folder."""
    for name in ("site", "home", "work"):
        (folder / name).mkdir()
    (folder / "site" / "sitecustomize.py").write_text(GUARD)
    left_out = ("HOME", "CI", "XDG_CACHE_HOME", "DISPLAY", "WAYLAND_DISPLAY", "TORCH_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)]),
        "NETWORK_LOG": str(folder / "log"),
    }
    if has_home:
        environment["HOME"] = str(folder / "home")
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder / "work", env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    log = folder / "log"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")
    assert "Traceback" not in done.stderr
    tried = log.read_text().splitlines() if log.exists() else []
    home = [path for path in (folder / "home").rglob("*") if path.is_file()]
    stray = [str(p) for p in (folder / "work").iterdir() if p.suffix not in (".mp4", ".json")]
    return tried, [str(path.relative_to(folder / "home")) for path in home] + stray


RENDER = ("{inputs}/source.png", EXAMPLE, "--output", "o.mp4", "--size", 96, "--end", 0.2)
NETWORK = ("--renderer", "learned", "--weights", "{inputs}/small.safetensors")
LIVE = ("live", "{inputs}/source.png", "--size", 96, "--report", "r.json")
EVALUATE = ("evaluate", "{inputs}/clips", "--size", 96, "--frames", 4, "--json", "e.json")
WORDS = {
    "help": ("--help",),
    "render": (*RENDER, *NETWORK, "--precision", "f32"),
    "live": (*LIVE, "--camera", EXAMPLE, "--seconds", 0.5, "--serve", 0),
}
SLOW = {
    "torch": (*RENDER, *NETWORK, "--runtime", "torch"),
    "doctor": ("doctor",),
    "evaluate": (*EVALUATE, "--methods", "copy", "hybrid+learned"),
    "train": ("train", "--help"),
    "export": ("export", "--help"),
}
RUNS = [
    pytest.param(name, has_home, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in WORDS | SLOW
    for has_home in ((False,) if name == "doctor" else (True, False))  # that one takes a minute
]


@pytest.mark.parametrize(("name", "has_home"), RUNS)
def test_no_word_uses_the_network_or_the_home_folder(name, has_home, inputs, tmp_path):
    words = [str(word).format(inputs=inputs) for word in (WORDS | SLOW)[name]]
    tried, files = run(tmp_path, [ROOT / "run_pipeline.py", *words], has_home=has_home)
    assert tried == []
    assert [file for file in files if not file.startswith(".cache/hybridanim/")] == []


@pytest.mark.skipif(not HAS_OPENVINO, reason="OpenVINO is not installed")
def test_the_front_end_of_openvino_tells_nobody(tmp_path):
    code = "from hybridanim import quiet; quiet.openvino('openvino.tools.ovc').convert_model"
    assert run(tmp_path, ["-c", code], has_home=True) == ([], [])


def test_the_guard_sees_a_lookup(tmp_path):
    code = (
        "import socket, contextlib\n"
        "with contextlib.suppress(OSError): socket.getaddrinfo('host.example', 80)\n"
        "with contextlib.suppress(OSError): socket.create_connection(('127.0.0.1', 9))\n"
        "open('stray', 'w').close()"
    )
    tried, files = run(tmp_path, ["-c", code], has_home=True)
    assert len(tried) == 2 and len(files) == 1


def test_openvino_that_is_missing_is_an_import_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError):
        quiet.openvino()


def test_without_a_home_there_is_no_cache_folder(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert files.cache_folder() is None


def imports_of_openvino(text: str) -> list[str]:
    """Statements and calls that import openvino in another way than by ``quiet``."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if not node.level else []
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__", "importorskip")
        ):
            names = [ast.literal_eval(a) for a in node.args[:1] if isinstance(a, ast.Constant)]
        found += [name for name in names if name.split(".")[0].startswith("openvino")]
    return found


def test_openvino_is_imported_in_one_place():
    folders = ("hybridanim", "apps", "stages", "calibration", "benchmarks", "tools", "examples")
    for folder in (*folders, "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            assert imports_of_openvino(path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize(
    "text",
    [
        "import openvino as ov",
        "def late():\n    from openvino.frontend import FrontEndManager",
        "import importlib; importlib.import_module('openvino.tools.ovc')",
        "pytest.importorskip('openvino', reason='none')",
    ],
)
def test_another_import_of_openvino_is_caught(text):
    assert imports_of_openvino(text)
