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

ROOT = Path(__file__).parent.parent


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
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = run(*words, cwd=tmp_path)
    assert done.returncode not in (0, 1), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "expected" in last
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
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


def test_interrupt_leaves_a_playable_file(files, tmp_path):
    picture = synthetic.photograph(256)
    frames = list(synthetic.moved_picture(picture, synthetic.wandering_affines(6, 256)).frames)
    with io.open_sink(tmp_path / "long.mp4", 30, (256, 256)) as sink:  # type: ignore[arg-type]
        for index in range(1500):
            sink.write(frames[min(index % 10, 9 - index % 10)], index / 30)
    words = [
        files / "source.png",
        tmp_path / "long.mp4",
        "--output",
        "o.mp4",
        "--reference",
        "first",
    ]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_pipeline.py"), *map(str, words)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=synthetic.interruptible,
    )
    deadline = time.time() + 60
    while time.time() < deadline:  # until some frames are on disk
        time.sleep(0.2)
        parts = [p for p in tmp_path.iterdir() if p.name.startswith(".") and p.is_file()]
        if any(part.stat().st_size > 2_000 for part in parts):
            break
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "interrupted" in output
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert 5 < sum(1 for _ in container.decode(video=0)) < 1500
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


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
