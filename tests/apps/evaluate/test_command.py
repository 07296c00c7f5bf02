"""Evaluation on drawn clips: the warp beats copying, figures are plain JSON, Ctrl-C keeps them."""

import json
import multiprocessing
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from apps.evaluate.command import command, evaluate
from apps.evaluate.job import EvaluateJob
from apps.evaluate.methods import (
    MethodRunner,
    chosen_methods,
    default_methods,
    parse_method,
)
from apps.evaluate.results import select_frame
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.evaluation import table
from stages.pipeline import Pipeline
from tests import synthetic

COUNT = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A square clip, the same one with room round it, and a broken one."""
    path = tmp_path_factory.mktemp("clips")
    picture = synthetic.photograph(160)
    affines = synthetic.wandering_affines(COUNT, 160, seed=3, strength=1.4)
    frames = synthetic.moved_picture(picture, affines).frames
    for name, width in (("moving", 160), ("wide", 240)):
        with io.open_sink(path / f"{name}.mp4", Fraction(25), (width, 160)) as sink:
            for index, image in enumerate(frames):
                room = (width - 160) // 2
                sink.write(np.pad(image, ((0, 0), (room, room), (0, 0)), mode="edge"), index / 25)
    (path / "x_broken.mp4").write_bytes(b"not a clip")
    (path / "notes.txt").write_text("not a clip")
    return path


@pytest.fixture(scope="module")
def measured(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    methods = ("copy", "classical+warp")
    job = EvaluateJob(
        folder, json=out / "e.json", strip=out / "e.png", methods=methods, size=128, smooth=0
    )
    return evaluate(job), job


def without_times(values):
    return {name: value for name, value in values.items() if not name.endswith("_ms")}


@pytest.mark.parametrize("clip", ["moving.mp4", "wide.mp4"])
def test_warp_beats_copying_on_a_moving_head(measured, clip):
    warp, copy = (measured[0]["per_clip"][clip][m] for m in ("classical+warp", "copy"))
    # the whole picture moves here, and the warp moves the person alone
    assert warp["l1"] < 0.9 * copy["l1"]
    assert warp["ssim"] > copy["ssim"]
    assert warp["psnr"] > copy["psnr"]


def test_copy_is_the_mean_over_frames_of_the_difference_from_the_first(measured, folder):
    with io.open_source(folder / "moving.mp4") as reader:
        frames = [frame.image for frame in reader]
    from hybridanim.geometry import crop_image, whole

    small = [crop_image(f, whole(f), 128).astype(float) / 255 for f in frames]
    expected = np.mean([np.abs(f - small[0]).mean() for f in small[1:]])
    assert measured[0]["per_clip"]["moving.mp4"]["copy"]["l1"] == pytest.approx(expected, abs=1e-5)


def test_the_json_file_is_the_result_and_says_how_it_was_made(measured):
    result, job = measured
    assert json.loads(job.json.read_text()) == result
    assert result["frames"] == 2 * (COUNT - 1) and result["clips"] == 2
    assert set(result["methods"]) == {"copy", "classical+warp"}
    assert result["settings"]["size"] == 128
    assert all(re.fullmatch("[0-9a-f]{64}", h) for h in result["weights"].values())
    assert result["versions"]["numpy"] == np.__version__
    values = [v for row in result["methods"].values() for v in row.values()]
    assert all(isinstance(v, float) and np.isfinite(v) for v in values)
    assert not list(job.json.parent.glob(".*part"))


def test_what_could_not_be_used_or_measured_is_said(measured):
    result, _ = measured
    assert len(result["skipped"]) == 1 and "x_broken.mp4" in result["skipped"][0]
    assert any("AKD" in line and "--networks" in line for line in result["not_measured"])
    assert any(
        "FID not measured" in line and "to measure it" in line for line in result["not_measured"]
    )


def test_the_strip_has_a_row_a_clip(measured):
    _, job = measured
    picture = io.read_picture(job.strip)
    assert picture.shape[1] > 4 * 192 and picture.shape[0] > 2 * 192


def test_the_table_has_a_line_a_method_and_says_which_way_is_better(measured):
    text = table.table(measured[0])
    head, *rows = text.splitlines()
    assert "L1 ↓" in head and "PSNR dB ↑" in head and "AKD" not in text
    assert [row.split()[0] for row in rows] == ["copy", "classical+warp"]
    assert len({len(line) for line in [head, *rows]}) == 1
    assert f"{measured[0]['methods']['copy']['l1']:.4f}" in rows[0]


def test_the_table_may_be_markdown(measured):
    lines = table.table(measured[0], markdown=True).splitlines()
    assert lines[0].startswith("| method | L1 ↓ |") and lines[1].startswith("|---|---|")
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1


def test_an_interruption_keeps_the_clips_that_were_done(folder, tmp_path):
    def stop(done, total, what):
        if done == 1:
            raise KeyboardInterrupt

    job = EvaluateJob(folder, methods=("copy",), json=tmp_path / "e.json", every=4, size=64)
    result = evaluate(job, stop)
    assert result["interrupted"] and list(result["per_clip"]) == ["moving.mp4"]
    assert "interrupted" in table.headline(result)
    assert json.loads(job.json.read_text())["interrupted"]


def test_an_interruption_before_any_clip_is_passed_on(folder):
    def stop(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(EvaluateJob(folder, methods=("copy",)), stop)


@pytest.mark.slow
def test_two_processes_measure_the_same(folder):
    results = [
        evaluate(EvaluateJob(folder, methods=("copy", "classical+warp"), every=3, jobs=n))
        for n in (1, 2)
    ]
    clips = [
        {
            (clip, m): without_times(row[m])
            for clip, row in r["per_clip"].items()
            for m in ("copy", "classical+warp")
        }
        for r in results
    ]
    assert clips[0] == clips[1] and len(clips[0]) == 4
    assert results[0]["skipped"] == results[1]["skipped"]


@pytest.mark.slow
def test_an_interruption_ends_the_processes(folder):
    def stop(done, total, what):
        if done == 1:
            raise KeyboardInterrupt

    job = EvaluateJob(folder, methods=("copy", "classical+warp"), jobs=2)
    result = evaluate(job, stop)
    assert result["interrupted"] and len(result["per_clip"]) + len(result["skipped"]) == 1
    assert not multiprocessing.active_children()


def test_the_word_prints_its_table(folder, capsys):
    words = [str(folder), "--methods", "copy", "--clips", "1", "--every", "5", "--size", "64"]
    assert command(words) == 0
    said = capsys.readouterr().out
    assert "reconstruction: 1 clips, 1 frames" in said and "\ncopy " in said


def test_one_tracker_serves_its_renderers(folder, monkeypatch):
    followed = []
    original = Pipeline.follow
    monkeypatch.setattr(Pipeline, "follow", lambda self, f: followed.append(1) or original(self, f))
    job = EvaluateJob(folder, methods=("copy", "classical+warp", "warp"), clips=1, every=5, size=64)
    result = evaluate(job)
    assert len(followed) == COUNT
    assert without_times(result["methods"]["warp"]) == without_times(
        result["methods"]["classical+warp"]
    )


@pytest.mark.parametrize("every", [1, 2, 3, 8])
def test_measured_frames_and_those_beside_them(every):
    chosen = [select_frame(i, every) for i in range(1, 200)]
    measured = [i for i, (is_measured, _) in enumerate(chosen, 1) if is_measured]
    known = {i for i, both in enumerate(chosen, 1) if any(both)}
    assert measured == list(range(every, 200, every))
    threes = [i for i in known if {i - 1, i + 1} <= known]
    assert len(threes) >= 199 // (3 * every) - 1  # the jitter has something to look at
    assert len(known) <= 199 / every * (5 / 3) + 2 or every < 3


def default_renderer():
    return Path(__file__).parents[3] / "hybridanim" / "weights" / "renderer_fast.safetensors"


def test_methods_are_read(tmp_path):
    method = parse_method("classical+warp")
    assert (method.tracker, method.renderer, method.weights) == ("classical", "warp", None)
    weights = default_renderer()
    job = EvaluateJob(tmp_path, methods=("copy", f"learned@{weights}", "learned"))
    assert [m.name for m in chosen_methods(job)] == ["copy", "learned@renderer_fast", "learned"]
    assert [m.weights for m in chosen_methods(job)] == [None, weights, None]
    assert default_methods()[:2] == ("copy", "classical+warp")
    with pytest.raises(InputError, match=r"classical\+warp"):
        parse_method("classicl+warp")
    with pytest.raises(InputError, match="weights file"):
        parse_method("classical+learned@nothing.safetensors")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        evaluate(EvaluateJob(tmp_path))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a folder"):
        EvaluateJob(tmp_path / "nothing")
    with pytest.raises(InputError, match="DIR"):
        EvaluateJob()
    with pytest.raises(InputError, match="--every"):
        EvaluateJob(tmp_path, every=0)


def test_every_tracker_is_given_the_same_square(folder, monkeypatch):
    job = EvaluateJob(folder, methods=("warp",), size=64)
    runner = MethodRunner(job, chosen_methods(job), "absolute")
    (group,) = runner._pipelines.values()
    runner._pipelines["learned", ""] = {
        parse_method("learned+warp"): Pipeline.load(size=64, motion="absolute")  # another leader
    }
    picture = np.pad(synthetic.photograph(160), ((0, 0), (40, 40), (0, 0)), mode="edge")
    crops: list[str] = []
    original = Pipeline.set_source

    def set_source(self, picture, *, crop):
        crops.append(crop)
        return original(self, picture, crop=crop)

    monkeypatch.setattr(Pipeline, "set_source", set_source)
    source = runner.set_source(picture, "auto")
    others = [p.source for g in (group, *runner._pipelines.values()) for p in g.values()]
    assert source is not None and source.crop.side_px < 240
    assert all(other is not None and other.crop == source.crop for other in others)
    assert crops[0] == "auto" and len(crops) == 2 and "," in crops[1]


def test_a_crop_in_a_view_is_the_same_place():
    from hybridanim.prepare.view import View
    from hybridanim.types import Crop

    view = View(100, 40, 400, 300, 0.5)
    crop = view.crop_inside(Crop(150.0, 60.0, 200.0))
    assert (crop.x_px, crop.y_px, crop.side_px) == (25, 10, 100)


def test_an_object_is_measured_without_its_face(tmp_path):
    pytest.importorskip("torch")
    from hybridanim.config import RuntimeConfig
    from hybridanim.networks import build
    from hybridanim.networks.weights import write_weights

    sizes = build.DetectorSizes(count=10, widths=(8, 8))
    weights = tmp_path / "object.safetensors"
    write_weights(
        weights,
        kind="object",
        window="frame",
        detector=build.detector(sizes),
        detector_sizes=sizes,
    )
    with io.open_sink(tmp_path / "walls.mp4", Fraction(25), (96, 96)) as sink:
        for index in range(4):
            sink.write(np.roll(synthetic.textured(96, 96), 2 * index, axis=1), index / 25)
    runs = RuntimeConfig(runtime="torch")
    job = EvaluateJob(tmp_path, weights=weights, size=96, networks_run=runs, networks=tmp_path)
    result = evaluate(job)
    assert list(result["methods"]) == ["copy", "learned+warp"] and result["frames"] == 3
    assert result["methods"]["learned+warp"]["l1"] > 0 and not result["skipped"]
    assert any("a kind without a face" in line for line in result["not_measured"])
    assert result["weights"]["object.safetensors"]
