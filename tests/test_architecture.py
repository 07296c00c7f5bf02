"""Arrows point down: layers of packages, no circles, late imports only where they are listed."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parent.parent
ROOT_FILES = "hybridanim (root)"
LAYERS = (
    ("run_pipeline",),
    ("apps",),
    ("stages", "calibration"),
    ("live", "training", "evaluation"),
    ("visualization",),
    ("prepare", "rendering"),
    ("tracking",),
    ("segmentation", "runtime"),
    ("motion",),
    ("networks",),
    ("face",),
    ("io",),
    (ROOT_FILES,),
)
"""Packages, upper ones first; a package may import lower ones only, and its own modules."""
FACADES = {
    "hybridanim/__init__.py": "stages.pipeline",
    "hybridanim/notebook.py": "apps.notebook.studio",
}
"""Modules that lend their users a name of a higher one when they ask for it, and which."""
SIDES = ("tests", "benchmarks", "examples", "tools")  # may import all, and are imported by none

LATE = {
    "torch": "a start without a learned network does not load it",
    "openvino": "likewise",
    "hybridanim.networks": "its modules are torch's",
    "hybridanim.runtime": "its backends import torch or OpenVINO",
    "hybridanim.rendering.learned": "only where the learned renderer is used",
    "hybridanim.training": "torch again: ``train`` refuses wrong options and clips without it",
    "stages": "the facade: ``import hybridanim`` stays light; the command line likewise",
    "apps.main": "by the entry point, so that Ctrl-C during imports ends without a traceback",
    "hybridanim.tracking.registry": "the names that --help lists; a subcommand starts without",
    "apps.render": "with the whole pipeline, which --help does without",
    "apps.guards": "likewise",
    "apps.imagining": "likewise",
    "apps.notebook.studio": "the facade, with ipywidgets, an extra",
    "apps.studio.server": "with Gradio, an extra, which --help does without",
}
"""What may be imported inside a function, and why; third-party packages are free to."""
INDIRECT = {
    "apps/main.py": "a subcommand's own module",
    "hybridanim/quiet.py": "OpenVINO, without its telemetry",
    "hybridanim/training/curves.py": "TensorBoard, an extra",
    "hybridanim/training/losses.py": "torchvision, an extra",
}
"""Files that may import by a name in a string, and what."""


def package_of(module: str) -> str:
    """The box of ``LAYERS`` that a dotted module of ours lies in."""
    first, *rest = module.split(".")
    if first != "hybridanim":
        return first
    is_package = bool(rest) and (ROOT / "hybridanim" / rest[0]).is_dir()
    return rest[0] if is_package else ROOT_FILES


def module_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, root: Path) -> Iterator[tuple[str, bool, bool]]:
    """Dotted modules of ours that a file imports; whether inside a function, or for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(root).parent.parts
    late = {id(n) for f in ast.walk(tree) if is_function(f) for n in ast.walk(f)}
    blocks = [i.body for i in ast.walk(tree) if is_type_checking(i)]
    typed = {id(n) for body in blocks for statement in body for n in ast.walk(statement)}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += [node.module] if node.module else []
            for alias in node.names:
                if base == ["hybridanim"] and alias.name == "__version__":
                    continue  # a constant, which needs nothing
                whole = ".".join([*base, alias.name])
                file = root / whole.replace(".", "/")
                is_module = file.with_suffix(".py").is_file() or (file / "__init__.py").is_file()
                names.append(whole if is_module else ".".join(base))
        for name in names:
            if name.split(".")[0] in ("hybridanim", *OURS):
                yield name, id(node) in late, id(node) in typed


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def is_type_checking(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def indirect(path: Path) -> list[str]:
    """Calls that import by a name in a string, which the other checks cannot follow."""
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    pattern = r"exec|eval|(.+\.)?(import_module|__import__|resolve_name)"
    return [name for call in calls if re.fullmatch(pattern, name := ast.unparse(call.func))]


IN_ROOT = {
    *(".ci", "apps", "benchmarks", "calibration", "docs", "examples", "hybridanim", "notebooks"),
    *("stages", "tests", "tools", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
    *("requirements.txt", "requirements-core.txt", "requirements-dev.txt", "requirements-lock.txt"),
    *("README.md", "pyproject.toml", "run_pipeline.py"),
}


def test_the_repository_holds_nothing_else():
    """Files that a test or a trial has left in the root are easily committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    words = ["git", "-C", str(ROOT), "ls-files", "-z"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert {name.split("/")[0] for name in done.stdout.split("\0") if name} == IN_ROOT


OURS = ("apps", "stages", "calibration", "run_pipeline", *SIDES)
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}


def files(root: Path) -> list[Path]:
    found = [root / "run_pipeline.py"] if (root / "run_pipeline.py").is_file() else []
    for package in ("hybridanim", "apps", "stages", "calibration"):
        found += sorted((root / package).rglob("*.py"))
    return found


def wrong_arrows(root: Path) -> list[str]:
    """Every import that points up or sideways."""
    wrong = []
    for path in files(root):
        name = str(path.relative_to(root))
        mine = package_of(module_of(path, root))
        for imported, is_late, is_typed in imports_of(path, root):
            other = package_of(imported)
            if name in FACADES and other != mine:
                is_lent = imported == FACADES[name] and (is_late or is_typed)
                if not is_lent:
                    wrong.append(f"{name} imports {imported}")
                continue
            if imported == "hybridanim" and mine not in ("apps", "run_pipeline"):
                wrong.append(f"{name} ({mine}) imports the facade")
                continue
            if other == mine:
                continue
            if other in SIDES or RANK[other] <= RANK[mine]:
                wrong.append(f"{name} ({mine}) imports {imported} ({other})")
    return wrong


def circles(root: Path) -> list[str]:
    """Modules that import each other, late imports and those for types counted too."""
    graph: dict[str, set[str]] = {}
    for path in files(root):
        name = module_of(path, root)
        if str(path.relative_to(root)) in FACADES:
            continue
        graph[name] = {imported for imported, _, _ in imports_of(path, root) if imported != name}
    found, done = [], set()

    def visit(node: str, trail: list[str]) -> None:
        if node in trail:
            found.append(" -> ".join([*trail[trail.index(node) :], node]))
            return
        if node in done or node not in graph:
            return
        for other in sorted(graph[node]):
            visit(other, [*trail, node])
        done.add(node)

    for name in sorted(graph):
        visit(name, [])
    return found


def dodges(root: Path) -> list[str]:
    """Imports of ours inside functions that ``LATE`` does not list."""
    wrong = []
    for path in files(root):
        for imported, is_late, _ in imports_of(path, root):
            is_listed = any(imported == name or imported.startswith(name + ".") for name in LATE)
            if is_late and not is_listed:
                wrong.append(f"{path.relative_to(root)} imports {imported} in a function")
    return wrong


def test_arrows_point_down():
    assert wrong_arrows(ROOT) == []


def test_no_circles():
    assert circles(ROOT) == []


def test_late_imports_are_listed():
    assert dodges(ROOT) == []


def test_every_package_has_a_layer():
    named = {package for layer in LAYERS for package in layer}
    there = {path.parent.name for path in (ROOT / "hybridanim").glob("*/__init__.py")}
    assert there | {"apps", "stages", "calibration", "run_pipeline", ROOT_FILES} == named


def sibling_imports(root: Path) -> list[str]:
    """Numbered stage files that import another numbered stage file."""
    wrong = []
    for path in sorted((root / "stages").glob("s[0-9]_*.py")):
        for imported, _, _ in imports_of(path, root):
            if re.match(r"stages\.s\d_", imported):
                wrong.append(f"{path.name} imports {imported}")
    return wrong


def test_stages_do_not_import_siblings():
    assert sibling_imports(ROOT) == []


def test_no_import_by_a_string():
    found = {str(path.relative_to(ROOT)) for path in files(ROOT) if indirect(path)}
    assert found == set(INDIRECT)


def test_stages_holds_the_pipeline_and_nothing_else():
    names = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    steps = {"s1_segment", "s2_track", "s3_keypoints", "s4_motion", "s5_generate"}
    assert names == {"base", "build", "pipeline"} | steps


def tree(folder: Path, file: str, text: str) -> None:
    for package in ("hybridanim", "stages", "calibration", "apps"):
        (folder / package).mkdir(exist_ok=True)
        (folder / package / "__init__.py").touch()
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(text + "\n")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("hybridanim/types.py", "from stages.pipeline import Pipeline"),
        ("hybridanim/types.py", "import calibration.skin"),
        ("hybridanim/types.py", "from hybridanim.io import read_picture"),
        ("hybridanim/face/aligner.py", "from hybridanim.tracking import classical"),
        ("hybridanim/face/aligner.py", "def late():\n    from hybridanim.tracking import state"),
        ("hybridanim/live/camera.py", "from hybridanim.training import losses"),
        ("stages/base.py", "from calibration import skin"),
        ("stages/base.py", "import run_pipeline"),
        ("stages/base.py", "from apps import render"),
        ("stages/base.py", "from tests import synthetic"),
        ("calibration/skin.py", "from stages.base import Run"),
        ("hybridanim/face/aligner.py", "from hybridanim import Pipeline"),
        ("hybridanim/face/aligner.py", "from .. import Pipeline"),
        ("hybridanim/__init__.py", "from stages.pipeline import Pipeline"),
        ("hybridanim/__init__.py", "if TYPE_CHECKING:\n    from apps import main"),
        ("hybridanim/notebook.py", "def late():\n    from apps import render"),
        ("hybridanim/notebook.py", "from apps.notebook.studio import Studio"),
        ("hybridanim/notebook.py", "from hybridanim.io import reader"),
        (
            "hybridanim/__init__.py",
            "if TYPE_CHECKING:\n    pass\nelse:\n    from stages import pipeline",
        ),
    ],
)
def test_a_turned_arrow_is_caught(tmp_path, file, line):
    tree(tmp_path, file, line)
    assert wrong_arrows(tmp_path)


def test_a_circle_is_caught(tmp_path):
    tree(tmp_path, "hybridanim/a.py", "from hybridanim import b")
    tree(tmp_path, "hybridanim/b.py", "from . import c")
    assert not circles(tmp_path)
    tree(tmp_path, "hybridanim/c.py", "def late():\n    from .a import x")
    assert circles(tmp_path) == ["hybridanim.a -> hybridanim.b -> hybridanim.c -> hybridanim.a"]


def test_a_late_import_is_caught(tmp_path):
    tree(tmp_path, "hybridanim/a.py", "def late():\n    from hybridanim.b import x")
    tree(tmp_path, "hybridanim/b.py", "x = 1")
    assert dodges(tmp_path)


@pytest.mark.parametrize(
    "line",
    ["from .s2_track import Track", "from . import s2_track", "import stages.s2_track as x"],
)
def test_a_sibling_import_is_caught(tmp_path, line):
    tree(tmp_path, "stages/s2_track.py", "Track = 1")
    tree(tmp_path, "stages/s3_keypoints.py", line)
    assert sibling_imports(tmp_path)


def test_an_import_by_a_string_is_caught(tmp_path):
    tree(tmp_path, "hybridanim/a.py", "import importlib\nx = importlib.import_module('stages')")
    assert indirect(tmp_path / "hybridanim" / "a.py")


def test_torch_is_not_imported_without_a_network():
    code = "import stages.pipeline, apps.render, sys; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0
