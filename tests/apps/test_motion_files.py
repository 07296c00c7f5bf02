"""Renders that write a motion file, and renders by one in the place of a video."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from safetensors.numpy import save_file

from apps.render import render
from hybridanim import io
from hybridanim.config import KeypointsConfig, PipelineConfig, RenderJob
from hybridanim.errors import InputError
from hybridanim.motion.motion_file import Motion
from tests import synthetic

RATE, FRAMES = Fraction(24000, 1001), 10
SMALL = PipelineConfig(size=64)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A folder with a source, another one, a driving clip, its motion, and both runs' pictures."""
    folder = tmp_path_factory.mktemp("pair")
    picture = synthetic.photograph(256)
    io.write_picture(folder / "source.png", picture)
    io.write_picture(folder / "other.png", picture[:, ::-1].copy())
    clip = synthetic.moved_picture(picture, synthetic.wandering_affines(FRAMES, 256, seed=2))
    with io.open_sink(folder / "driving.mp4", RATE, (256, 256)) as sink:
        for index, image in enumerate(clip.frames):
            sink.write(image, float(index / RATE))
    job = RenderJob(folder / "video", save_motion=folder / "m.safetensors", pipeline=SMALL)
    render(job, folder / "source.png", folder / "driving.mp4")
    return folder


def pictures(folder):
    return [io.read_picture(path) for path in sorted(folder.glob("*.png"))]


def test_a_render_by_the_file_is_that_by_the_video(pair, tmp_path):
    summary = render(
        RenderJob(tmp_path / "o", pipeline=SMALL), pair / "source.png", pair / "m.safetensors"
    )
    assert summary.frames == FRAMES
    np.testing.assert_array_equal(pictures(tmp_path / "o"), pictures(pair / "video"))
    assert any("saved with --tracker classical" in note for note in summary.about)
    record = json.loads((tmp_path / "o.json").read_text())
    assert record["driving"]["name"] == "m.safetensors" and len(record["driving"]["sha256"]) == 64


def test_another_source_and_other_options(pair, tmp_path):
    pipeline = replace(SMALL, keypoints=KeypointsConfig(motion="absolute", smooth=0.5))
    for name, driving in (("v", "driving.mp4"), ("m", "m.safetensors")):
        job = RenderJob(tmp_path / name, pipeline=pipeline)
        render(job, pair / "other.png", pair / driving)
    np.testing.assert_array_equal(pictures(tmp_path / "m"), pictures(tmp_path / "v"))


def test_rate_and_times_are_those_of_the_video(pair, tmp_path):
    for name, driving in (("v.mp4", "driving.mp4"), ("m.mp4", "m.safetensors")):
        render(RenderJob(tmp_path / name, pipeline=SMALL), pair / "source.png", pair / driving)
    with io.open_source(tmp_path / "v.mp4") as one, io.open_source(tmp_path / "m.mp4") as other:
        assert one.fps == other.fps == RATE
        assert [f.time_s for f in one] == [f.time_s for f in other]
    assert Motion.load(pair / "m.safetensors").header.fps == RATE


def test_start_and_end_cut_the_motion(pair, tmp_path):
    job = RenderJob(tmp_path / "o", start=0.1, end=0.3, pipeline=SMALL)
    assert render(job, pair / "source.png", pair / "m.safetensors").frames == 5
    with pytest.raises(InputError, match="--start"):
        job = RenderJob(tmp_path / "p", start=5.0, pipeline=SMALL)
        render(job, pair / "source.png", pair / "m.safetensors")
    assert not (tmp_path / "p").exists()


def test_the_keypoints_stand_beside_the_result_and_debug_is_written(pair, tmp_path):
    job = RenderJob(
        tmp_path / "o", end=0.1, side_by_side=True, debug=tmp_path / "d", pipeline=SMALL
    )
    summary = render(job, pair / "source.png", pair / "m.safetensors")
    assert summary.has_debug and (tmp_path / "d" / "report.html").is_file()
    plain = RenderJob(tmp_path / "p", end=0.1, pipeline=SMALL)
    render(plain, pair / "source.png", pair / "m.safetensors")
    alone, shown = (pictures(tmp_path / name)[-1] for name in "po")
    assert shown.shape == (64, 128, 3)
    assert len(np.unique(shown[:, :64].reshape(-1, 3), axis=0)) > 20  # a drawing
    np.testing.assert_array_equal(shown[:, 64:], alone)


def test_refusals(pair, tmp_path):
    foreign, mine = tmp_path / "foreign.safetensors", tmp_path / "mine.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, foreign)
    mine.write_text("mine")
    source, video, motion = (pair / n for n in ("source.png", "driving.mp4", "m.safetensors"))
    job = RenderJob(tmp_path / "o.mp4", pipeline=SMALL)
    cases = [
        (job, foreign, "motion: expected a motion file"),
        (job, mine, "motion: expected a motion file"),
        (replace(job, save_motion=tmp_path / "n.safetensors"), motion, "expected a driving video"),
        (replace(job, save_motion=mine), video, "--overwrite"),
        (replace(job, pipeline=replace(SMALL, tracker="hybrid")), motion, "--tracker hybrid"),
        (replace(job, reference="77"), motion, "--reference 77"),
        (replace(job, save_motion=tmp_path / "no" / "n.safetensors"), video, "--save-motion"),
    ]
    for one, driving, said in cases:
        with pytest.raises(InputError, match=said):
            render(one, source, driving)
    assert mine.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["foreign.safetensors", "mine.safetensors"]
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        RenderJob(save_motion=tmp_path / "m.mp4")
    with pytest.raises(InputError, match="same file"):
        both = replace(job, save_motion=motion, overwrite=True)
        render(both, source, motion)


def test_a_motion_is_no_video_elsewhere(pair, tmp_path):
    hidden = tmp_path / "m.mp4"
    hidden.write_bytes((pair / "m.safetensors").read_bytes())
    for path in (pair / "m.safetensors", hidden):
        with pytest.raises(InputError, match=r"expected a video, got .* only be the DRIVING"):
            io.open_source(path)
    with pytest.raises(InputError, match="expected a video, got"):
        io.read_source_picture(pair / "m.safetensors")
    job = RenderJob(tmp_path / "o", pipeline=SMALL)  # found by its content, whatever its name
    assert render(job, pair / "source.png", hidden).frames == FRAMES


def test_a_video_without_a_head_leaves_no_motion(pair, tmp_path):
    with io.open_sink(tmp_path / "grey.mp4", RATE, (64, 64)) as sink:
        for index in range(3):
            sink.write(np.full((64, 64, 3), 90, np.uint8), index / 24)
    job = RenderJob(tmp_path / "o", save_motion=tmp_path / "m.safetensors", pipeline=SMALL)
    with pytest.raises(InputError, match="expected a face"):
        render(job, pair / "source.png", tmp_path / "grey.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["grey.mp4"]


def test_an_interrupted_run_keeps_a_motion_that_can_be_replayed(pair, tmp_path):
    def stop(done, total, step):
        if done == 3:
            raise KeyboardInterrupt

    job = RenderJob(tmp_path / "o", save_motion=tmp_path / "m.safetensors", pipeline=SMALL)
    assert render(job, pair / "source.png", pair / "driving.mp4", stop).is_interrupted
    motion = Motion.load(tmp_path / "m.safetensors")
    assert 3 <= motion.count <= FRAMES
    job = RenderJob(tmp_path / "again", pipeline=SMALL)
    assert render(job, pair / "source.png", motion.path).frames == motion.count
