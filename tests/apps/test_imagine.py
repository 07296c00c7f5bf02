"""The subcommand ``imagine``, whole: outputs, records, motion files, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from apps.imagining import Imagining
from apps.main import main
from apps.render import render, render_by
from hybridanim import io
from hybridanim.config import PipelineConfig, RenderJob
from hybridanim.motion.imagined_motion import Wish
from hybridanim.motion.motion_file import Motion
from stages.pipeline import Pipeline
from tests import synthetic

SMALL = PipelineConfig(size=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A source, and an imagined second with its motion file."""
    folder = tmp_path_factory.mktemp("imagine")
    io.write_picture(folder / "source.png", synthetic.photograph(256))
    job = RenderJob(folder / "made", save_motion=folder / "m.safetensors", pipeline=SMALL)
    render_by(job, folder / "source.png", Imagining(Wish("talking", 3), 0.6))
    return folder


def pictures(folder):
    return np.stack([io.read_picture(path) for path in sorted(folder.glob("*.png"))])


def test_the_record_says_what_was_imagined(folder):
    record = json.loads((folder / "made.json").read_text())
    assert record["driving"]["mood"] == "talking" and record["driving"]["seed"] == 3
    assert record["is_generated"]
    assert len(pictures(folder / "made")) == 15


def test_the_source_moves(folder):
    found = pictures(folder / "made").astype(float)
    assert np.abs(found[1:] - found[0]).mean((1, 2, 3)).max() > 0.5


def test_its_motion_file_animates_alike(folder, tmp_path):
    assert Motion.load(folder / "m.safetensors").count == 15
    job = RenderJob(tmp_path / "again", pipeline=SMALL, reference="first")
    render(job, folder / "source.png", folder / "m.safetensors")
    np.testing.assert_array_equal(pictures(tmp_path / "again"), pictures(folder / "made"))


def test_the_library_gives_the_same_pictures_without_end(folder):
    pipeline = Pipeline.load(size=64)
    pipeline.set_source(io.read_picture(folder / "source.png"))
    endless = pipeline.imagine("talking", None, 3)
    shown = [next(endless) for _ in range(3)]
    given = list(pipeline.imagine("talking", 0.12, 3))
    np.testing.assert_array_equal(shown, given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mood", "angry"], "--mood: expected one of talking"),
        (["--seconds", "0"], "--seconds: expected 0.04"),
        (["--seed", "-1"], "--seed: expected 0"),
        (["--end", "3"], "imagine: expected options that need no driving video, got --end"),
        (["--tracker", "learned"], "--tracker learned: expected classical"),
        (["--driving-crop", "none"], "got --driving-crop"),
    ],
)
def test_unfit_options_are_refused(folder, tmp_path, capsys, arguments, message):
    output = tmp_path / "o.mp4"
    source = str(folder / "source.png")
    assert main(["imagine", source, "--output", str(output), "--quiet", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_the_command_writes_a_video(folder, tmp_path, capsys):
    output = tmp_path / "o.mp4"
    arguments = ["--mood", "idle", "--seconds", "0.2", "--size", "64", "--progress", "json"]
    assert main(["imagine", str(folder / "source.png"), "--output", str(output), *arguments]) == 0
    with io.open_source(output) as reader:
        assert reader.fps == 25 and len(list(reader)) == 5
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["frames"] == 5
