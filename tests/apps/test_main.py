"""The command line as a user meets it: the same script, its own process, its own words."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from hybridanim import io
from tests import synthetic

ROOT = Path(__file__).parents[2]


def run(*words, cwd, **options):
    return subprocess.run(
        [sys.executable, str(ROOT / "run_pipeline.py"), *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A source picture and a short driving clip at an odd rate."""
    folder = tmp_path_factory.mktemp("pair")
    picture = synthetic.photograph(256)
    io.write_picture(folder / "source.png", picture)
    from fractions import Fraction

    rate = Fraction(24000, 1001)
    clip = synthetic.moved_picture(picture, synthetic.wandering_affines(12, 256, seed=2))
    with io.open_sink(folder / "driving.mp4", rate, (256, 256)) as sink:
        for index, image in enumerate(clip.frames):
            sink.write(image, float(index / rate))
    return folder


def test_a_pair_becomes_a_video_of_the_same_rate_and_length(files, tmp_path):
    done = run(files / "source.png", files / "driving.mp4", "--output", "o.mp4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 frames in o.mp4" in done.stdout
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 24000 / 1001 or abs(stream.average_rate - 23.976) < 1e-3
        assert sum(1 for _ in container.decode(video=0)) == 12
        assert "enerated" in container.metadata.get("comment", "")
    record = json.loads((tmp_path / "o.json").read_text())
    assert record["is_generated"] is True
    assert record["source"]["name"] == "source.png"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.json", "o.mp4"]


def test_debug_writes_a_video_per_stage_and_a_report(files, tmp_path):
    done = run(
        *(files / "source.png", files / "driving.mp4", "--output", "o.mp4", "--end", "0.3"),
        *("--debug", "seen", "--size", "128"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "seen").iterdir()}
    assert {"overview.mp4", "frames.csv", "report.html", "1_skin.mp4", "5_result.mp4"} <= names
    rows = (tmp_path / "seen" / "frames.csv").read_text().splitlines()
    assert len(rows) == 1 + 8  # frames at 0, 1/24, ... before 0.3 s


def test_side_by_side_and_paste_back(files, tmp_path):
    done = run(
        *(files / "source.png", files / "driving.mp4", "--output", "o.mkv", "--end", "0.2"),
        *("--paste-back", "--side-by-side", "--no-mark"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    with io.open_source(tmp_path / "o.mkv") as reader:
        frame = next(iter(reader)).image
    assert frame.shape == (256, 512, 3)
    picture = io.read_picture(files / "source.png")
    corner = np.abs(frame[-20:, -20:].astype(int) - picture[-20:, -20:]).mean()
    assert corner < 6  # the source's untouched corner, but for the encoder


BAD_INPUT = [
    (("nothing.png", "driving.mp4"), "nothing.png"),
    (("source.png", "nothing.mp4"), "nothing.mp4"),
    (("source.png", "empty.mp4"), "empty"),
    (("source.png", "text.mp4"), "video"),
    (("source.png",), "DRIVING"),
    (("grey.png", "driving.mp4"), "--crop"),
    (("source.png", "driving.mp4", "--output", "o.xyz"), "xyz"),
    (("source.png", "driving.mp4", "--output", "no/folder/o.mp4"), "no/folder"),
    (("source.png", "driving.mp4", "--output", "driving.mp4", "--overwrite"), "same file"),
    (("source.png", "driving.mp4", "--output", "taken.mp4"), "--overwrite"),
    (("source.png", "driving.mp4", "--start", "99"), "start"),
    (("source.png", "driving.mp4", "--start", "2", "--end", "1"), "--end"),
    (("source.png", "driving.mp4", "--reference", "last"), "--reference"),
    (("source.png", "driving.mp4", "--config", "wrong.toml"), "smooth"),
    (("source.png", "driving.mp4", "--face", "7"), "--face"),
    (("source.png", "driving.mp4", "--output", "."), "name"),
    (("source.png", "driving.mp4", "--output", ""), "name"),
    (("source.png", "driving.mp4", "--config=wrong.toml"), "smooth"),
    (("source.png", "pipe"), "pipe"),
    (("pipe", "driving.mp4"), "pipe"),
    (("driving.mp4", "driving.mp4", "--source-time", "50"), "--source-time"),
    (("source.png", "grey.mp4"), "face"),
    (("source.png", "overview.mp4", "--debug", "."), "--debug"),
    (("driving.mp4", "source.png"), "swap the two"),
    (("source.png", "driving.mp4", "--output", "-"), "standard output"),
    (("source.png", "driving.mp4", "--output", "link.mp4", "--overwrite"), "a link to"),
    (("source.png", "driving.mp4", "--background", "gren"), "--background"),
    (("source.png", "driving.mp4", "--background", "transparent", "--output", "o.mp4"), ".webm"),
    (("source.png", "driving.mp4", "--background", "green", "--paste-back"), "--paste-back"),
    (("source.png", "driving.mp4", "--background", "text.mp4"), "text.mp4"),
    (("source.png", "driving.mp4", "--debug", "d", "--output", "d/overview.mp4"), "--output"),
]


@pytest.mark.parametrize(("words", "said"), BAD_INPUT, ids=[" ".join(w) for w, _ in BAD_INPUT])
def test_bad_input_is_one_clear_line(words, said, files, tmp_path):
    for name in ("source.png", "driving.mp4"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "taken.mp4").write_text("mine")
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "wrong.toml").write_text("smoth = 0.3\n")
    io.write_picture(tmp_path / "grey.png", np.full((128, 128, 3), 128, np.uint8))
    (tmp_path / "overview.mp4").write_bytes((files / "driving.mp4").read_bytes())
    with io.open_sink(tmp_path / "grey.mp4", 25, (64, 64)) as sink:  # type: ignore[arg-type]
        sink.write(np.full((64, 64, 3), 128, np.uint8))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.mp4").symlink_to("taken.mp4")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    done = run(*words, cwd=tmp_path)
    assert done.returncode not in (0, 1), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "expected" in last
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before


def test_unknown_flag_is_refused_without_a_traceback(tmp_path):
    done = run("a.png", "b.mp4", "--smoth", "1", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "smooth" in done.stderr + done.stdout


def test_config_file_and_flags_together(files, tmp_path):
    (tmp_path / "my.toml").write_text('size = 96\nmark = false\n[keypoints]\nmotion = "absolute"\n')
    done = run(
        *(files / "source.png", files / "driving.mp4", "--config", "my.toml", "--end", "0.1"),
        *("--output", "o.mp4", "--size", "112"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    settings = json.loads((tmp_path / "o.json").read_text())["settings"]
    assert settings["mark"] is False
    assert settings["pipeline"]["size"] == 112
    assert settings["pipeline"]["keypoints"]["motion"] == "absolute"


def test_a_transparent_background_and_a_still_driver(files, tmp_path):
    done = run(
        *(files / "source.png", files / "driving.mp4", "--output", "o", "--end", "0.1"),
        *("--background", "transparent", "--size", "96"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rgba = io.read_picture(tmp_path / "o" / "frame_000000.png", alpha=True)
    assert rgba.shape == (96, 96, 4) and rgba[48, 48, 3] == 255 and rgba[2, 2, 3] < 128
    words = "--output", "one.png", "--size", "96"
    done = run(files / "source.png", files / "source.png", *words, cwd=tmp_path)
    assert done.returncode == 0 and "the result has one frame" in done.stdout, done.stderr


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    picture = synthetic.photograph(256)
    frames = list(synthetic.moved_picture(picture, synthetic.wandering_affines(6, 256)).frames)
    with io.open_sink(path, 30, (256, 256)) as sink:  # type: ignore[arg-type]
        for index in range(1500):
            sink.write(frames[min(index % 10, 9 - index % 10)], index / 30)
    return path


def interrupted(files, long_clip, folder, *words, times=1, number=signal.SIGINT, wait_s=60):
    """Exit code and words of a run that is interrupted once some frames are on disk."""
    given = (files / "source.png", long_clip, "--output", "o.mp4", "--reference", "first", *words)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_pipeline.py"), *map(str, given)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=synthetic.interruptible,
    )
    deadline = time.time() + wait_s
    while time.time() < deadline:  # until some frames are on disk
        time.sleep(0.2)
        parts = [p for p in folder.iterdir() if p.name.startswith(".") and p.is_file()]
        if any(part.stat().st_size > 2_000 for part in parts):
            break
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.1)
    output, _ = process.communicate(timeout=60)
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
    assert "Traceback" not in output
    return process.returncode, output


def frames_in(path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_interrupt_leaves_a_playable_file(number, files, long_clip, tmp_path):
    code, output = interrupted(files, long_clip, tmp_path, number=number)
    assert code == 130, output
    assert "interrupted" in output
    assert 5 < frames_in(tmp_path / "o.mp4") < 1500


@pytest.mark.slow
def test_interrupt_spares_an_earlier_result_and_shows_in_the_report(files, long_clip, tmp_path):
    (tmp_path / "o.mp4").write_text("whole")
    code, output = interrupted(
        files, long_clip, tmp_path, "--overwrite", "--debug", "seen", times=3, wait_s=12
    )
    assert code == 130, output
    assert (tmp_path / "o.mp4").read_text() == "whole"
    assert "o.partial.mp4" in output
    assert frames_in(tmp_path / "o.partial.mp4") < 1500
    record = json.loads((tmp_path / "o.partial.json").read_text())
    assert record["output"] == "o.partial.mp4"
    assert "interrupted" in (tmp_path / "seen" / "report.html").read_text()


def test_a_failing_debug_keeps_the_result(files, tmp_path, monkeypatch):
    from apps.render import render
    from hybridanim.config import RenderJob
    from hybridanim.visualization.debug_writer import DebugWriter

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DebugWriter, "_write_texts", full)
    job = RenderJob(output=tmp_path / "o.mp4", debug=tmp_path / "seen", end=0.2)
    summary = render(job, files / "source.png", files / "driving.mp4")
    assert any("No space left" in note for note in summary.notes)
    assert not summary.has_debug
    assert frames_in(tmp_path / "o.mp4") == summary.frames
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.json", "o.mp4"]


@pytest.mark.parametrize(
    "face_fit, head_motion, is_said",
    [(False, "3d", True), (False, "2d", False), (True, "3d", False), (True, "2d", False)],
)
def test_a_head_that_cannot_turn_is_said(face_fit, head_motion, is_said):
    from apps.render import config_notes
    from hybridanim.config import pipeline_config

    notes = config_notes(pipeline_config({"face_fit": face_fit, "head_motion": head_motion}))
    assert bool(notes) == is_said
    assert all("--no-face-fit" in note and "--head-motion" in note for note in notes)


def test_an_output_that_appears_meanwhile_is_kept(tmp_path):
    from hybridanim.errors import InputError

    sink = io.open_sink(tmp_path / "o.mp4", 25, (64, 64))  # type: ignore[arg-type]
    sink.write(np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "o.mp4").write_text("another's")
    with pytest.raises(InputError, match=f"o.{os.getpid()}.mp4"):
        sink.close()
    assert (tmp_path / "o.mp4").read_text() == "another's"
    assert frames_in(tmp_path / f"o.{os.getpid()}.mp4") == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_repeated_profiles_all_count():
    from apps import main

    _, job = main.parse(["a.png", "b.mp4", "--profile", "a.toml", "--profile", "b.toml"])
    assert job.profile == (Path("a.toml"), Path("b.toml"))


def test_help_into_a_closed_pipe_is_quiet(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, str(ROOT / "run_pipeline.py"), "--help"]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    os.close(writing)
    assert done.stderr == ""


def test_help_names_every_option_of_the_card(tmp_path):
    done = run("--help", cwd=tmp_path, env={**os.environ, "COLUMNS": "100"})
    assert done.returncode == 0
    for flag in (
        *("--tracker", "--renderer", "--motion", "--reference", "--crop", "--paste-back"),
        *("--face", "--size", "--start", "--end", "--scale", "--smooth", "--audio"),
        *("--side-by-side", "--debug", "--config", "--overwrite", "--no-mark", "--profile"),
    ):
        assert flag in done.stdout
    assert "doctor" in done.stdout
    assert "\n  python run_pipeline.py SOURCE DRIVING --output OUT.mp4\n" in done.stdout


def test_without_arguments_the_example_is_animated(tmp_path):
    done = run("--end", "0.3", "--size", "96", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "example.mp4").exists()
    from apps import main

    files, job = main.parse([])  # not a single word, as the README has it
    assert files.source is None
    assert job.output == main.RenderJob().output
