"""The README's commands and Python, run: for real, but on the first third of a second."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tyro

from apps import main
from hybridanim import files, io
from hybridanim.errors import InputError
from tests import synthetic

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = re.compile(r"(?:python3? run_pipeline\.py|hybridanim)(?: |$)")
SHORT = ("--end", "0.3", "--size", "96")
SHORT_LIVE = (
    "--camera",
    "driving.mp4",
    "--window",
    "no",
    "--seconds",
    "0.5",
    "--output",
    "live.mp4",
)


def lines() -> list[str]:
    """The commands of the code blocks, indented or fenced; && joins several on one line."""
    plain = FENCED.sub("", TEXT)
    blocks = [m[1] for m in re.finditer(r"^    (\S.*)$", plain, re.MULTILINE)]
    for language, body in FENCED.findall(TEXT):
        blocks += body.splitlines() if language in ("sh", "bash", "console") else []
    commands = [part.strip() for line in blocks for part in line.split("&&")]
    return [c for c in commands if re.match(r"(\.venv/bin/)?(python|pip|hybridanim)", c)]


def spans() -> list[str]:
    """Code within the sentences and tables, in order."""
    return re.findall(r"`([^`\n]+)`", FENCED.sub("", TEXT))


def is_setup(command: str) -> bool:
    """Environments and installation: tests/test_install.py does that."""
    return " -m venv " in command or re.match(r"\S*pip install", command) is not None


def shortened(command: str) -> tuple[list[str], Path | None]:
    """What is run in its place, and the folder where it must be."""
    words = shlex.split(command.removeprefix(".venv/bin/").split("#")[0])
    if words[0] == "hybridanim":
        words[:1] = ["python", "run_pipeline.py"]
    assert words[0] in ("python", "python3"), command
    if words[1:3] == ["-m", "pytest"]:
        return [sys.executable, *words[1:], "-n", "0", "tests/test_files.py"], ROOT
    if words[1] != "run_pipeline.py":
        return [sys.executable, *words[1:], "--help"], ROOT
    rest = words[2:]
    if not rest or rest[0] not in main.SUBCOMMANDS:
        rest += SHORT
    elif rest[0] == "live":
        rest += SHORT_LIVE
    else:
        rest += ["--help"]
    return [sys.executable, str(ROOT / "run_pipeline.py"), *rest], None


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with the files that the README names."""
    picture = synthetic.photograph(256)
    io.write_picture(tmp_path / "portrait.jpg", picture)
    (tmp_path / "driving.mp4").symlink_to(files.EXAMPLE_DRIVING)
    (tmp_path / "DIR").mkdir()
    (tmp_path / "FILE.toml").write_text("smooth = 0.2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_commands_and_python():
    assert sum(bool(PROGRAMS.search(line)) for line in lines()) >= 3
    assert any(language == "python" for language, _ in FENCED.findall(TEXT))


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line in lines() if not is_setup(line)])
def test_the_commands_run(command, folder):
    words, where = shortened(command)
    done = subprocess.run(
        words, cwd=where or folder, capture_output=True, text=True, timeout=300, env=os.environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "--output" in words:
        assert (folder / words[words.index("--output") + 1]).is_file()


def test_what_is_installed_is_listed():
    for command in filter(is_setup, lines()):
        for name in re.findall(r"-r (\S+)", command):
            assert (ROOT / name).is_file(), command


def test_the_python_runs():
    for language, body in FENCED.findall(TEXT):
        if language == "python":
            picture = synthetic.photograph(256)
            names = {"picture": picture, "frame": picture}
            exec(body, names)
            if "pipeline" in names:
                assert names["pipeline"].last.picture.image.dtype == picture.dtype  # type: ignore


class _Parsed(Exception):
    """The words were understood; nothing is run."""


def parse(words: list[str], monkeypatch) -> None:
    """Go through a command's parser and no further."""
    understand = tyro.cli

    def cli(*arguments, **options):
        understand(*arguments, **options)
        raise _Parsed

    with monkeypatch.context() as patch:
        patch.setattr(tyro, "cli", cli)
        if words == ["doctor"]:  # takes no words, so it has no parser
            return
        with pytest.raises(_Parsed):
            main.main(words)


INLINE = [span for span in spans() if PROGRAMS.match(span) and "--help" not in span]


@pytest.mark.parametrize("command", INLINE)
def test_commands_in_sentences_parse(command, folder, monkeypatch):
    parse(shlex.split(PROGRAMS.sub("", command)), monkeypatch)


OPTIONS = re.findall(r"^\| *(`--[^|]*?) *\|", TEXT, re.MULTILINE)


@pytest.mark.parametrize("cell", OPTIONS)
def test_options_of_the_table_parse(cell, folder, monkeypatch):
    assert cell.count("`") >= 2
    for span in re.findall(r"`([^`]+)`", cell):
        words = span.replace("X,Y,W,H", "0,0,128,128").split()
        parse(["portrait.jpg", "driving.mp4", *words], monkeypatch)


def test_every_option_that_is_named_exists(capsys):
    helped = "".join(text_of_help(words, capsys) for words in ([], *([s] for s in NAMED)))
    for span in spans():
        for flag in re.findall(r"(?<!\S)--[a-z][\w-]+", span):
            assert re.search(rf"(?<!\S){flag}(?![\w-])", helped), span


NAMED = [name for name in main.SUBCOMMANDS if name != "doctor"]


def text_of_help(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit):
        main.main([*words, "--help"])
    return capsys.readouterr().out


def test_a_wrong_option_is_noticed(folder, monkeypatch):
    with pytest.raises((SystemExit, InputError)):
        parse(["portrait.jpg", "driving.mp4", "--smoth", "1"], monkeypatch)
