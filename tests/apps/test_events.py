"""What a run tells: JSON lines for programs, quiet, and the last line for people."""

import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest

from apps import events, main
from apps.events import JsonEvents
from hybridanim import io as media
from tests import synthetic

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A picture and a clip of 12 frames, one second."""
    folder = tmp_path_factory.mktemp("pair")
    picture = synthetic.photograph(128)
    media.write_picture(folder / "source.png", picture)
    clip = synthetic.moved_picture(picture, synthetic.wandering_affines(12, 128, seed=2))
    with media.open_sink(folder / "driving.mp4", 12, (128, 128)) as sink:  # type: ignore[arg-type]
        for index, image in enumerate(clip.frames):
            sink.write(image, index / 12)
    return folder


def run(folder, *words, **options):
    given = {"capture_output": True, "cwd": folder, "timeout": 120} | options
    return subprocess.run([sys.executable, ROOT / "run_pipeline.py", *words], **given)


def told(capsys) -> list[dict]:
    lines = capsys.readouterr().out.splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_is_told_in_json_lines(pair, tmp_path, capsys):
    words = [str(pair / "source.png"), str(pair / "driving.mp4"), "--size", "64"]
    output = tmp_path / "\u732b.mp4"
    code = main.main([*words, "--output", str(output), "--progress", "json"])
    found = told(capsys)
    assert code == 0
    stages = [one["stage"] for one in found if one["event"] == "stage"]
    assert stages == ["source", "scan", "animate", "finish"] == list(events.STEPS)
    last = [one for one in found if one["event"] == "progress"][-1]
    assert (last["frames"], last["frames_total"], last["seconds_left"]) == (12, 12, 0)
    assert next(one["text"] for one in found if one["event"] == "note").startswith("Reference:")
    result = found[-1]
    assert result["event"] == "result" and result["frames"] == 12
    assert Path(result["output"]) == output and output.is_file()
    assert Path(result["record"]).is_file() and result["debug"] is None
    assert result["seconds"] >= result["seconds_animating"] > 0
    assert result["fps"] == pytest.approx(12 / result["seconds_animating"], rel=0.05)


def test_speed_and_time_left(capsys):
    clock = itertools.count(100, 1)  # a frame a second
    told_to = JsonEvents(lambda: next(clock))
    told_to.step(0, 10, "animate")
    for done in range(1, 5):
        told_to.step(done, 10, "animate")
    progress = [one for one in told(capsys) if one["event"] == "progress"]
    assert [(one["frames"], one["fps"], one["seconds_left"]) for one in progress] == [
        (done, 1.0, 10.0 - done) for done in range(1, 5)
    ]


def test_events_are_not_told_too_often_and_the_last_one_is(capsys):
    times = iter([0, 0, *(0.01 * k for k in range(1, 101))])
    told_to = JsonEvents(lambda: next(times))
    told_to.step(0, None, "animate")
    for done in range(1, 101):
        told_to.step(done, None, "animate")
    told_to.result("", {})
    frames = [one["frames"] for one in told(capsys) if one["event"] == "progress"]
    assert frames == [50, 100]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["none.png", "none.mp4", "--progress", "json"], 2),
        (["none.png", "none.mp4", "--progress=json", "--smoth", "1"], 2),
        (["a.png", "b.mp4", "--size", "-5", "--progress", "json"], 2),
        (["skin", "--progress", "json"], 2),
        (["a.png", "b.mp4", "--quiet", "--progress", "json"], 2),
    ],
)
def test_an_error_is_the_last_line(words, code, capsys):
    try:
        got = main.main(words)
    except SystemExit as end:
        got = end.code
    captured = capsys.readouterr()
    last = json.loads(captured.out.splitlines()[-1])
    assert got == code and last["event"] == "error" and last["code"] == code
    assert "expected" in last["text"] and captured.err


def test_a_reader_of_events_that_ends_does_not_end_the_run(pair, tmp_path):
    command = (
        f'"{sys.executable}" "{ROOT / "run_pipeline.py"}" source.png driving.mp4 --size 64'
        f' --output "{tmp_path / "o.mp4"}" --progress json | head -n 1'
    )
    done = subprocess.run(command, shell=True, cwd=pair, capture_output=True, timeout=120)
    assert json.loads(done.stdout)["event"] == "stage"
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.json", "o.mp4"]


def test_quiet_prints_errors_alone(pair, tmp_path):
    words = ("source.png", "driving.mp4", "--size", "64", "--quiet", "--output")
    done = run(pair, *words, tmp_path / "o.mp4")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    again = run(pair, *words, tmp_path / "o.mp4")
    assert again.returncode == 2 and again.stdout == b"" and b"--overwrite" in again.stderr


def test_the_last_line_says_how_long_and_how_fast(pair, tmp_path, capsys):
    words = [str(pair / "source.png"), str(pair / "driving.mp4"), "--size", "64", "--debug"]
    words += [str(tmp_path / "d"), "--output", str(tmp_path / "o.mp4")]
    assert main.main(words) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    found = re.fullmatch(
        r"12 frames in .*o\.mp4: ([\d.]+) s, of which ([\d.]+) s animating, ([\d.]+) frames/s", last
    )
    assert found is not None, last
    whole, animating, fps = map(float, found.groups())
    assert whole >= animating and fps == pytest.approx(12 / animating, rel=0.2)


CODE_PAGES = (
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
@pytest.mark.parametrize("environment", CODE_PAGES, ids=lambda one: next(iter(one.values())))
def test_names_that_are_no_text_on_consoles_of_any_code_page(environment, pair, tmp_path):
    latin = b"caf\xe9"
    (tmp_path / os.fsdecode(latin + b".png")).write_bytes((pair / "source.png").read_bytes())
    (tmp_path / "\u732b.mp4").write_bytes((pair / "driving.mp4").read_bytes())
    words = [latin + b".png", "\u732b.mp4".encode(), b"--size", b"64", b"--end", b"0.2"]
    words += [b"--output", b"out\xe9.mp4", b"--debug", b"seen\xe9", b"--overwrite"]
    environment = {**os.environ, **environment}
    for _ in range(2):  # the second run replaces all of the first one
        done = run(tmp_path, *words, env=environment)
        assert done.returncode == 0, done.stderr
        shown = done.stdout.decode("ascii")
        assert r"out\xe9.mp4" in shown and r"seen\xe9" in shown
        assert {os.fsencode(path.name) for path in tmp_path.iterdir()} == {
            latin + b".png", "\u732b.mp4".encode(), b"out\xe9.mp4", b"out\xe9.json", b"seen\xe9"
        }  # fmt: skip
    record = json.loads((tmp_path / os.fsdecode(b"out\xe9.json")).read_bytes().decode())
    assert record["source"]["name"] == r"caf\xe9.png" and record["output"] == r"out\xe9.mp4"
    assert record["driving"]["name"] == "\u732b.mp4"
    seen = tmp_path / os.fsdecode(b"seen\xe9")
    assert r"caf\xe9.png driven by" in (seen / "report.html").read_bytes().decode()
    json.loads((seen / "config.json").read_bytes().decode())
    with av.open(str(tmp_path / os.fsdecode(b"out\xe9.mp4"))) as container:
        assert r"caf\xe9.png" in container.metadata["title"]
    wrong = run(tmp_path, b"no\xe9.png", "\u732b.mp4".encode(), env=environment)
    assert wrong.returncode == 2 and rb"no\xe9.png" in wrong.stderr
    assert b"Unicode" not in wrong.stderr


def test_a_bar_and_sentences_do_not_share_a_line(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with events.opened("bar", quiet=False) as told_to:
        told_to.step(0, 5, "animate")
        told_to.step(5, 5, "animate")
        told_to.step(5, 5, "finish")
        told_to.note("a sentence")
        assert screen.getvalue().endswith("\n"), "the bar is closed before"
    assert capsys.readouterr().out == "a sentence\n"
    assert screen.getvalue().rsplit("\r", 1)[-1].startswith("animating: 100%")


def test_a_source_without_a_face_is_a_warning(pair, tmp_path, capsys):
    media.write_picture(tmp_path / "wall.png", synthetic.textured(128, 128))

    def warned(source, *more):
        words = [str(source), str(pair / "driving.mp4"), "--size", "64", "--end", "0.3", *more]
        words += ["--output", str(tmp_path / "o.mp4"), "--overwrite", "--progress", "json"]
        assert main.main(words) == 0
        texts = [one["text"] for one in told(capsys) if one["event"] == "warning"]
        return any("No face was fitted to the source" in text for text in texts)

    assert warned(tmp_path / "wall.png", "--crop", "0,0,128,128")
    assert not warned(pair / "source.png")
    assert not warned(tmp_path / "wall.png", "--crop", "0,0,128,128", "--no-face-fit")
