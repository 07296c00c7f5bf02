"""Renders by key frames in the place of a video."""

import json
from fractions import Fraction

import numpy as np
import pytest

from apps.main import main
from apps.render import render
from hybridanim import io
from hybridanim.config import PipelineConfig, RenderJob
from hybridanim.errors import InputError
from hybridanim.motion import keyframes
from hybridanim.motion.keyframes import Key, Keyframes
from hybridanim.motion.motion_file import Motion
from stages.pipeline import Pipeline
from tests import synthetic

SMALL = PipelineConfig(size=64)
KEYS = Keyframes(
    (Key(0), Key(0.4, {"yaw": 20, "jaw": 0.5}), Key(0.6, {"yaw": 0, "jaw": 0})), Fraction(10)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A source and key frames."""
    made = tmp_path_factory.mktemp("keys")
    io.write_picture(made / "source.png", synthetic.photograph(256))
    keyframes.save(KEYS, made / "keys.toml")
    return made


def pictures(folder):
    return [io.read_picture(path) for path in sorted(folder.glob("*.png"))]


def test_the_command_line_renders_every_frame_as_it_is_posed(folder, tmp_path, capsys):
    words = [str(folder / "source.png"), str(folder / "keys.toml"), "--output", str(tmp_path / "o")]
    assert main([*words, "--size", "64", "--no-mark"]) == 0
    assert "3 key frames, 0.6 s." in capsys.readouterr().out
    pipeline = Pipeline.load(size=64, explain=False)
    pipeline.set_source(io.read_source_picture(folder / "source.png"))
    found = pictures(tmp_path / "o")
    assert len(found) == 7
    np.testing.assert_array_equal(found[4], pipeline.pose(yaw=20, jaw=0.5))
    np.testing.assert_array_equal(found[0], pipeline.pose())
    np.testing.assert_array_equal(found[6], pipeline.pose())
    record = json.loads((tmp_path / "o.json").read_text())
    assert record["driving"]["name"] == "keys.toml" and len(record["driving"]["sha256"]) == 64


def test_rate_cut_and_the_motion_file(folder, tmp_path):
    job = RenderJob(
        tmp_path / "o.mp4", start=0.2, end=0.5, save_motion=tmp_path / "m.safetensors",
        pipeline=SMALL,
    )  # fmt: skip
    summary = render(job, folder / "source.png", folder / "keys.toml")
    assert summary.frames == 3 and summary.frozen == 0
    with io.open_source(tmp_path / "o.mp4") as reader:
        assert reader.fps == 10 and reader.frame_count == 3
    assert Motion.load(tmp_path / "m.safetensors").count == 3
    again = RenderJob(tmp_path / "again", pipeline=SMALL)
    assert render(again, folder / "source.png", tmp_path / "m.safetensors").frames == 3


def test_the_mesh_stands_beside_the_result_and_debug_is_written(folder, tmp_path):
    job = RenderJob(
        tmp_path / "o", end=0.2, side_by_side=True, debug=tmp_path / "d", mark=False, pipeline=SMALL
    )
    summary = render(job, folder / "source.png", folder / "keys.toml")
    assert summary.has_debug and (tmp_path / "d" / "report.html").is_file()
    shown = pictures(tmp_path / "o")[1]
    assert shown.shape == (64, 128, 3)
    assert len(np.unique(shown[:, :64].reshape(-1, 3), axis=0)) > 20  # a drawing


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--reference", "3"], "--reference 3: expected a driving video, got the key frames"),
        (["--driving-crop", "none"], "--driving-crop none: expected a driving video"),
        (["--motion", "absolute"], "--motion absolute: expected a driving video or a motion file"),
        (["--no-face-fit"], "pose: expected a source with a fitted face"),
        (["--start", "5"], "expected frames between --start and --end, found none"),
    ],
)
def test_what_it_refuses(folder, tmp_path, capsys, options, said):
    words = [str(folder / "source.png"), str(folder / "keys.toml"), "--output", str(tmp_path / "o")]
    assert main([*words, "--size", "64", *options]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_another_toml_file_is_no_driver(folder, tmp_path):
    other = tmp_path / "settings.toml"
    other.write_text("size = 64\n")
    with pytest.raises(InputError, match=r"settings\.toml: expected kind = .keyframes"):
        render(RenderJob(tmp_path / "o.mp4", pipeline=SMALL), folder / "source.png", other)
