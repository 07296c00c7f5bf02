"""run_pipeline -> stages, calibration -> hybridanim: nothing points up, and the two never meet."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "hybridanim": {"hybridanim"},
    "stages": {"stages", "hybridanim"},
    "calibration": {"calibration", "hybridanim"},
    "apps": {"apps", "stages", "hybridanim"},
}
OURS = {*MAY_IMPORT, "run_pipeline", "tests", "benchmarks", "examples", "tools"}


def imported_packages(path: Path, package: str, root: Path) -> set[str]:
    """Top-level packages of ours that a file imports; a relative import counts as its package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            depth = len(path.relative_to(root / package).parts)
            if node.level > depth:
                found.add("above " + package)
            found.add(package if node.level else (node.module or "").split(".")[0])
    return {name for name in found if name in OURS or name.startswith("above")}


def wrong_arrows(root: Path) -> list[str]:
    wrong = []
    for package, allowed in MAY_IMPORT.items():
        for path in sorted((root / package).rglob("*.py")):
            for name in sorted(imported_packages(path, package, root) - allowed):
                wrong.append(f"{path.relative_to(root)} imports {name}")
    return wrong


def test_arrows_point_down():
    assert wrong_arrows(ROOT) == []


def sibling_imports(folder: Path) -> list[str]:
    """Numbered stage files that import another numbered stage file."""
    wrong = []
    for path in sorted(folder.glob("s[0-9]_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if module.removeprefix("stages.").startswith(tuple(f"s{n}_" for n in range(10))):
                wrong.append(f"{path.name} imports {module}")
    return wrong


def test_stages_do_not_import_siblings():
    assert sibling_imports(ROOT / "stages") == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("hybridanim/types.py", "from stages import Pipeline"),
        ("hybridanim/types.py", "import calibration.skin"),
        ("stages/base.py", "from calibration import skin"),
        ("stages/base.py", "import run_pipeline"),
        ("calibration/skin.py", "from stages.base import Run"),
        ("hybridanim/types.py", "from ..stages import build"),
    ],
)
def test_a_turned_arrow_is_caught(tmp_path, file, line):
    for package in MAY_IMPORT:
        (tmp_path / package).mkdir()
    (tmp_path / file).write_text(line + "\n")
    assert wrong_arrows(tmp_path)


def test_a_sibling_import_is_caught(tmp_path):
    (tmp_path / "s3_keypoints.py").write_text("from .s2_track import Track\n")
    assert sibling_imports(tmp_path)


def test_torch_is_not_imported_without_a_network():
    import subprocess
    import sys

    code = "import stages.pipeline, apps.render, sys; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0
