"""No run loses a file of the user's, whatever its options."""

import json
import os

import numpy as np
import pytest

from apps.evaluate.command import evaluate
from apps.evaluate.job import EvaluateJob
from apps.guards import note_remains, refuse_clashes
from apps.live.outputs import refuse_to_replace
from apps.train.command import _refuse_to_remove, prepare_folder
from calibration import camera
from hybridanim import files, io
from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.live.config import LiveJob
from hybridanim.training.job import TrainJob
from hybridanim.visualization.debug_writer import FILES


def picture(path):
    io.write_picture(path, np.full((64, 64, 3), 128, np.uint8))
    return path


def test_records_of_the_users_are_kept(tmp_path):
    names = ("o.json", "o.mp4.json", "o.mp4.2.json")
    for name in names:
        (tmp_path / name).write_text('{"mine": 1}')
    record = provenance.describe(tmp_path, tmp_path)
    assert provenance.write_sidecar(tmp_path / "o.mp4", record).name == "o.mp4.3.json"
    assert all(json.loads((tmp_path / name).read_text()) == {"mine": 1} for name in names)


@pytest.mark.parametrize("name", ["frame_000000.png", "frame_000123.png"])
def test_pictures_in_an_output_folder_that_are_inputs_are_kept(name, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    source, driving = picture(folder / name), tmp_path / "driving.mp4"
    job = RenderJob(output=folder, overwrite=True)
    with pytest.raises(InputError, match=name):
        refuse_clashes(job, source, driving)
    with pytest.raises(InputError, match=name):
        refuse_clashes(job, driving, source)
    refuse_clashes(job, picture(tmp_path / "other.png"), driving)


@pytest.mark.parametrize("name", FILES)
def test_folders_and_links_in_a_debug_folder_are_kept(name, tmp_path):
    debug = tmp_path / "debug"
    (debug / name).mkdir(parents=True)
    (debug / name / "mine").write_text("mine")
    job = RenderJob(output=tmp_path / "o.mp4", debug=debug, overwrite=True)
    with pytest.raises(InputError, match=rf"--debug .*{name}: expected .* got a folder; move it"):
        refuse_clashes(job)
    (debug / name).rename(tmp_path / "elsewhere")
    refuse_clashes(job)
    (debug / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=rf"--debug .*{name}: expected .* got a folder; move it"):
        refuse_clashes(job)


def test_a_debug_folder_s_link_is_refused(tmp_path):
    debug, mine = tmp_path / "debug", tmp_path / "mine.csv"
    debug.mkdir()
    mine.write_text("mine")
    (debug / "frames.csv").symlink_to(mine)
    for overwrite in (False, True):
        job = RenderJob(output=tmp_path / "o.mp4", debug=debug, overwrite=overwrite)
        with pytest.raises(InputError, match="a link to"):
            refuse_clashes(job)
    with pytest.raises(InputError, match="same file"):  # what is read is never replaced
        refuse_clashes(RenderJob(tmp_path / "o.mp4", debug=debug, overwrite=True), mine)


def test_profiles_weights_and_other_outputs_are_kept(tmp_path):
    profile = tmp_path / "skin.mp4"
    profile.write_text("")
    with pytest.raises(InputError, match="same file"):
        refuse_clashes(RenderJob(output=profile, profile=(profile,), overwrite=True))
    with pytest.raises(InputError, match="record"):
        refuse_clashes(RenderJob(output=tmp_path / "d/config.mp4", debug=tmp_path / "d"))


def test_a_report_replaces_neither_files_nor_the_recording(tmp_path):
    source, taken = picture(tmp_path / "source.png"), tmp_path / "taken.json"
    taken.write_text("mine")
    out = tmp_path / "o.mp4"
    cases = [
        (LiveJob(report=taken), "--overwrite"),
        (LiveJob(report=source, overwrite=True), "same file"),
        (LiveJob(output=out, report=out, overwrite=True), "--report .*same file"),
        (LiveJob(output=out, report=tmp_path / "o.json", overwrite=True), "record"),
        (LiveJob(report=tmp_path / "missing" / "r.json"), "--report: .*folder"),
    ]
    for job, said in cases:
        with pytest.raises(InputError, match=said):
            refuse_to_replace(job, (source,))
    refuse_to_replace(LiveJob(report=taken, overwrite=True), (source,))


def test_calibration_replaces_nothing_unasked(tmp_path, capsys):
    taken = tmp_path / "camera.toml"
    taken.write_text("mine")
    words = ["--field-of-view", "60", "--output", str(taken)]
    assert camera.main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert taken.read_text() == "mine"
    assert camera.main([*words, "--overwrite"]) == 0


def test_evaluation_replaces_nothing_unasked(tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    clip, taken = clips / "a.mp4", tmp_path / "taken.json"
    clip.write_text("mine")
    taken.write_text("mine")
    for options, said in (
        ({"json": taken}, "--json .*--overwrite"),
        ({"strip": taken}, "--strip .*--overwrite"),
        ({"json": clip, "overwrite": True}, "--json .*same file|--json .*input folder"),
        ({"json": tmp_path / "x", "strip": tmp_path / "x"}, "--strip .*that of --json"),
    ):
        with pytest.raises(InputError, match=said):
            evaluate(EvaluateJob(clips, methods=("copy",), **options))
    assert clip.read_text() == taken.read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_training_removes_no_weights_that_it_starts_from(overwrite, tmp_path):
    weights = tmp_path / "run" / "best.safetensors"
    weights.parent.mkdir()
    weights.write_text("mine")
    job = TrainJob(tmp_path, out=weights.parent, start_from=str(weights), overwrite=overwrite)
    with pytest.raises(InputError, match="same file"):
        _refuse_to_remove(job)
    if not overwrite:  # weights without a run that could go on
        with pytest.raises(InputError, match="--overwrite"):
            _refuse_to_remove(TrainJob(tmp_path / "clips", out=weights.parent))
    _refuse_to_remove(TrainJob(tmp_path / "clips", out=weights.parent, overwrite=True))


def test_training_anew_removes_files_of_a_run_alone(tmp_path):
    out = tmp_path / "run"
    (out / "detector").mkdir(parents=True)
    for name in ("best.safetensors", "detector/checkpoint.pt", "detector/mine.txt", "mine.txt"):
        (out / name).write_text("x")
    job = TrainJob(tmp_path / "clips", out=out, overwrite=True)
    _refuse_to_remove(job)
    prepare_folder(out, overwrite=True)
    kept = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert kept == ["detector/mine.txt", "mine.txt"]
    (out / "detector/mine.txt").unlink()
    prepare_folder(out, overwrite=True)
    assert not (out / "detector").exists()
    (out / "curves.csv").mkdir()
    with pytest.raises(InputError, match=r"--out .*curves.csv: expected .* got a folder"):
        _refuse_to_remove(job)


def test_what_killed_runs_left_is_told_and_stays(tmp_path):
    output, debug = tmp_path / "o.mp4", tmp_path / "debug"
    assert note_remains(output, debug, None) == []
    left = [files.part_file(output) for _ in range(3)] + [files.part_folder(debug, ".partial")]
    for path in left:
        os.utime(path, (1e9, 1e9))
    (said,) = note_remains(output, debug, None)
    assert "4 in all" in said and "can be deleted" in said and str(sorted(left)[0]) in said
    assert all(path.exists() for path in left)
