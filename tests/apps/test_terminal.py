"""Errors of the system are one clear line, also where nothing expects them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps import main, terminal
from hybridanim.errors import InputError

RUN = Path(__file__).parents[2] / "run_pipeline.py"
SHORT = ("--end", "0.1", "--size", "64", "--output")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "> /dev/full"])
def test_a_result_is_whole_without_a_standard_output(closed, tmp_path):
    command = f'"{sys.executable}" "{RUN}" {" ".join(SHORT)} o.mp4 {closed}'
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert (done.returncode, "output" in done.stderr) == ((1, True) if "full" in closed else (0, 0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.json", "o.mp4"]


def test_errors_of_the_system_are_one_line(monkeypatch, capsys):
    def refused(*_):
        raise PermissionError(13, "Permission denied", "/locked/file")

    monkeypatch.setattr(main, "_render", refused)
    assert main.main([]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected" in error and "'Permission denied' for /locked/file;" in error


def test_folders_that_may_not_be_entered_are_one_line(monkeypatch, capsys, tmp_path):
    stat = os.stat

    def refused(path, *arguments, **options):
        if "locked" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refused)
    for words in (
        ["locked/a.png", "b.mp4"],
        ["a.png", "locked/b.mp4"],
        ["a.png", "b.mp4", "--output", "locked/o.mp4"],
        ["a.png", "b.mp4", "--debug", "locked/seen"],
        ["a.png", "b.mp4", "--profile", "locked/skin.toml"],
        ["a.png", "b.mp4", "--weights", "locked/w.safetensors"],
        ["a.png", "b.mp4", "--config", "locked/c.toml"],
        ["live", "locked/a.png", "--serve", "0"],
        ["live", "a.png", "--serve", "0", "--report", "locked/r.json"],
        ["live", "a.png", "--serve", "0", "--camera", "locked/b.mp4"],
        ["evaluate", "locked/clips"],
        ["train", "--data", "locked/clips", "--out", str(tmp_path / "run")],
    ):
        try:
            code = main.main(words)
        except SystemExit as end:  # the parser's own error
            code = end.code
        error = " ".join(capsys.readouterr().err.split())
        assert code == 2, words
        assert "expected" in error and "Permission denied" in error, words


def test_a_folder_whose_name_cannot_be_one_is_told():
    with pytest.raises(InputError, match="path that can be used"):
        terminal.make_folder(Path("a\0b"))
