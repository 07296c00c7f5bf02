"""Requirements have upper bounds, and the lock file satisfies them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FILES = ["requirements-core.txt", "requirements.txt", "requirements-dev.txt"]


def requirements(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith(("-r", "#"))]


def project() -> dict[str, list[Requirement]]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lists = table["project"]["optional-dependencies"] | {"build": table["build-system"]["requires"]}
    return {name: [Requirement(line) for line in lines] for name, lines in lists.items()}


def pins() -> dict[str, tuple[str, list[str]]]:
    """Name -> version and hashes, of the lock file."""
    text = (ROOT / "requirements-lock.txt").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", text).splitlines()
    found = {}
    for line in lines:
        if line.startswith("#"):
            continue
        name, version, hashes = re.fullmatch(
            r"([a-z0-9.-]+)==(\S+)((?: +--hash=\S+)+)", line
        ).groups()
        found[canonicalize_name(name)] = version, hashes.split()
    return found


def test_every_requirement_has_an_upper_bound():
    lists = [requirements(name) for name in FILES]
    for requirement in [r for part in (*lists, *project().values()) for r in part]:
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators & {"<", "=="}, str(requirement)


def test_the_extra_dev_is_the_requirements_file():
    wanted = {str(r) for r in requirements("requirements-dev.txt")}
    assert {str(r) for r in project()["dev"]} == wanted


@pytest.mark.parametrize("name", FILES)
def test_the_lock_satisfies_the_requirements(name):
    locked = pins()
    for requirement in requirements(name):
        version, _ = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: locked {version}"


def test_the_package_needs_no_torch_and_a_checkout_has_it():
    """What the wheel asks for, and what the extra ``train`` adds to it, is requirements.txt."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert table["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == [FILES[0]]
    assert "torch" not in {r.name for r in requirements(FILES[0])}
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"-r {FILES[0]}"
    train = {str(r) for r in project()["train"]}
    assert {str(r) for r in requirements("requirements.txt")} == train
    assert {one for one in train if one.startswith("torch")} < {str(r) for r in project()["export"]}


def test_every_pin_has_hashes():
    for name, (_, hashes) in pins().items():
        assert hashes, name
        for one in hashes:
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one), name


def test_the_checks_install_from_the_lock():
    words = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install -q --require-hashes -r requirements-lock.txt" in words
