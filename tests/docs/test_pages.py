"""README and docs: links, pictures, paths, code and commands are real."""

import ast
import io
import re
import shlex
from contextlib import redirect_stdout
from functools import cache
from importlib import util
from pathlib import Path

import pytest

from apps import main
from hybridanim.training.config import LossWeights

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "examples/README.md",
    ROOT / "tools/README.md",
    *sorted((ROOT / "hybridanim/weights").glob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OURS = ("hybridanim", "stages", "apps", "calibration", "benchmarks", "tools", "tests", "docs")
SUBCOMMANDS = tuple(main.SUBCOMMANDS)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


pages = pytest.mark.parametrize("page", PAGES, ids=name_of)


def anchors(page: Path) -> set[str]:
    """Names of the headings, as the usual viewers make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")) for title in titles]
    return {title.strip().replace(" ", "-") for title in plain}


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


@pages
def test_links_and_pictures_exist(page):
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if path.startswith(("http://", "https://")):
            continue
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            wrong.append(target)
    assert wrong == []


@pages
def test_named_paths_exist(page):
    """Paths of this repository in code style, such as `hybridanim/types.py`."""
    if page.name == "CHANGELOG.md":
        return  # tells of what was, too
    top = "|".join(OURS)
    found = re.findall(rf"`((?:{top}|examples)/[\w./-]*)`", prose(page))
    assert [name for name in found if not (ROOT / name).exists()] == []


@pages
def test_lines_are_short(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    is_generated = page.name == "api.md"
    long = [line for line in lines if len(line) > 120 and not line.startswith(("|", "!["))]
    assert long == [] or is_generated


@pages
def test_python_blocks_parse(page):
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python" and page.name != "api.md":  # signatures there
            ast.parse(code)


@pages
def test_imports_of_ours_in_python_blocks_exist(page):
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language != "python" or page.name == "api.md":
            continue
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
                assert node.module is not None
                module = __import__(node.module, fromlist=["*"])
                for alias in node.names:
                    is_module = (
                        util.find_spec(f"{node.module}.{alias.name}")
                        if hasattr(module, "__path__")
                        else None
                    )
                    assert hasattr(module, alias.name) or is_module, (node.module, alias.name)


def commands(page: Path) -> list[list[str]]:
    """Words of each command line of ours, in indented blocks and in code style."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = [line for line in text.splitlines() if line.startswith("    ")]
    blocks += re.findall(r"`([^`]+)`", FENCE.sub("", text))
    found = []
    for block in blocks:
        for line in block.split("&&"):
            at = re.search(r"(?:python |hybridanim |run_pipeline\.py|\btrain --)", line)
            if at is None or "=" in line.split()[0]:
                continue
            try:
                words = shlex.split(line[at.start() :].replace("...", ""), comments=True)
            except ValueError:
                continue
            found.append(words)
    return found


def program(words: list[str]) -> tuple[str, list[str]] | None:
    """(module, or subcommand behind "run"; the words after it) of a command of ours."""
    words = [word.strip(";") for word in words]
    words = words[1:] if words[0] == "python" else words
    if words[:1] == ["-m"] and len(words) > 1 and words[1].split(".")[0] in OURS:
        return words[1], words[2:]
    if words[:1] in (["run_pipeline.py"], ["hybridanim"]):
        words = words[1:]
    elif words[:1] != ["train"]:
        return None
    if words[:1] == ["evaluate"] and words[1:2] in (["landmarks"], ["study"], ["tally"]):
        return f"run evaluate {words[1]}", words[2:]
    if words and words[0] in SUBCOMMANDS:
        return f"run {words[0]}", words[1:]
    return "run", words


@cache
def options(name: str) -> set[str]:
    """The options that a program has: from its --help, or its calls of add_argument."""
    if name.startswith("run"):
        said = io.StringIO()
        with redirect_stdout(said), pytest.raises(SystemExit):
            main.main([*name.split()[1:], "--help"])
        return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", said.getvalue()))
    tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    adds = [call for call in calls if getattr(call.func, "attr", "") == "add_argument"]
    found = set()
    for call in adds:
        names = {word.value for word in call.args if isinstance(word, ast.Constant)}
        if "BooleanOptionalAction" in ast.unparse(call):
            names |= {name.replace("--", "--no-", 1) for name in names}
        found |= names
    return {name for name in found if name.startswith("--")}


FOUND = [
    (name_of(page), *found)
    for page in PAGES
    for words in commands(page)
    if (found := program(words)) is not None
]


def test_commands_are_found():
    """The search above has not stopped finding anything."""
    names = {name for _, name, _ in FOUND}
    assert len(FOUND) > 40
    assert {"run", "run live", "run train", "run evaluate", "tools.make_gallery"} <= names


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("    python run_pipeline.py live a.jpg --nothing", "run live"),
        ("    .venv/bin/hybridanim a.jpg b.mp4 --nothing", "run"),
        ("and `python -m tools.make_gallery --nothing`", "tools.make_gallery"),
    ],
)
def test_a_wrong_option_is_noticed(tmp_path, line, name):
    page = tmp_path / "page.md"
    page.write_text(f"Text:\n\n{line}\n")
    (words,) = commands(page)
    found = program(words)
    assert found is not None and found[0] == name
    assert "--nothing" in found[1] and "--nothing" not in options(name)


@pytest.mark.parametrize("name", sorted({name for _, name, _ in FOUND if name[:3] != "run"}))
def test_modules_of_commands_exist(name):
    assert util.find_spec(name) is not None


@pytest.mark.parametrize("name", sorted({name for _, name, _ in FOUND}))
def test_options_of_commands_exist(name):
    used = {
        (page, word.partition("=")[0])
        for page, program, words in FOUND
        if program == name
        for word in (words[: words.index("--")] if "--" in words else words)
        if word.startswith("--") and len(word) > 2
    }
    if used:
        known = options(name)
        assert [option for option in sorted(used) if option[1] not in known] == []


def test_options_in_prose_exist():
    """Every `--option` named alone belongs to some program of ours."""
    programs = ("run", *(f"run {name}" for name in SUBCOMMANDS if name != "doctor"))
    programs += ("run evaluate landmarks",)
    modules = {name for _, name, _ in FOUND if not name.startswith("run")}
    known = set().union(*(options(name) for name in (*programs, *modules)))
    wrong = []
    for page in PAGES:
        for words in re.findall(r"`(--[a-z][a-z-]*)[^`]*`", prose(page)):
            if words not in known and page.name != "api.md":
                wrong.append((name_of(page), words))
    assert wrong == []


def test_the_losses_of_the_guide_exist():
    """The table of losses in the guide to training has the names of the settings."""
    text = (ROOT / "docs/guide/training.md").read_text(encoding="utf-8")
    table = text[text.index("| loss | what |") :].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|([^|]*)\|", table, re.M))))
    fields = set(LossWeights.__dataclass_fields__)
    assert named and named <= fields


def test_pages_named_in_the_code_exist():
    """Docstrings and messages that send readers to docs/."""
    wrong = []
    for top in (*OURS, "examples"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for name in re.findall(r"docs/[\w/.-]+\.(?:md|jpg|svg)", path.read_text("utf-8")):
                if not (ROOT / name).exists():
                    wrong.append((name_of(path), name))
    assert wrong == []
