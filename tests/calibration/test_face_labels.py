"""Labels of clips and pictures: one file each, in their frames' order, kept, and never half."""

import time
from fractions import Fraction

import numpy as np
import pytest

from calibration import face_labels
from hybridanim import io
from hybridanim.errors import InputError
from tests.evaluation.test_attention_mesh import make_environment

GREYS = (60, 0, 120, 200)  # the made-up mesh finds no face in a black picture


@pytest.fixture
def environment(tmp_path):
    return make_environment(tmp_path / "environment")


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("one", "two"):
        with io.open_sink(folder / f"{name}.mkv", Fraction(25), (64, 32)) as sink:
            for index, grey in enumerate(GREYS):
                sink.write(np.full((32, 64, 3), grey, np.uint8), index / 25)
    io.write_picture(folder / "still.png", np.full((32, 64, 3), 64, np.uint8))
    (folder / "notes.txt").touch()
    return folder


def run(clips, environment, output, *more):
    words = [*map(str, clips), "--environment", str(environment), "--output", str(output), *more]
    return face_labels.main(words)


def test_every_file_gets_its_labels(clips, environment, tmp_path, capsys):
    out = tmp_path / "labels"
    assert run([clips], environment, out, "--jobs", "2") == 0
    assert sorted(p.name for p in out.iterdir()) == ["one.npy", "still.npy", "two.npy"]
    clip, still = np.load(out / "one.npy"), np.load(out / "still.npy")
    assert clip.shape == (4, 478, 3) and still.shape == (1, 478, 3)
    assert clip.dtype == still.dtype == np.float32
    assert np.isfinite(clip[:, 0, 0]).tolist() == [True, False, True, True]
    # x says the grey level, z whether it was a still, y which picture of its own clip it was
    np.testing.assert_allclose(clip[[0, 2, 3], 0, 0], np.array(GREYS)[[0, 2, 3]] / 4, atol=1.5)
    np.testing.assert_allclose(clip[[0, 2, 3], 0, 1], [0.5, 1.5, 2.0])
    assert clip[0, 0, 2] == 32 and still[0, 0, 2] == 64
    assert "3 files labelled, 0 kept" in capsys.readouterr().out


def test_labels_that_are_there_are_kept(clips, environment, tmp_path, capsys):
    out = tmp_path / "labels"
    assert run([clips / "one.mkv"], environment, out) == 0
    before = (out / "one.npy").stat().st_mtime_ns
    assert run([clips], environment, out) == 0
    assert "2 files labelled, 1 kept" in capsys.readouterr().out
    assert (out / "one.npy").stat().st_mtime_ns == before
    assert run([clips], tmp_path / "nothing", out) == 0  # nothing to do needs no environment
    assert run([clips / "one.mkv"], environment, out, "--overwrite") == 0
    assert (out / "one.npy").stat().st_mtime_ns != before


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_done(
    clips, environment, tmp_path, capsys
):
    (clips / "broken.mp4").write_bytes(b"not a clip")
    out = tmp_path / "labels"
    assert run([clips], environment, out, "--jobs", "1") == 2
    said = capsys.readouterr()
    assert "broken.mp4" in said.err and "Traceback" not in said.err
    assert "3 files labelled" in said.out and len(list(out.iterdir())) == 3


def test_a_missing_environment_is_said_in_one_line(clips, tmp_path, capsys):
    assert run([clips], tmp_path / "nothing", tmp_path / "labels") == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: environment") and "--install" in said and "\n" not in said
    assert not list((tmp_path / "labels").iterdir())


def test_a_process_that_dies_leaves_no_half_file(clips, environment, tmp_path, capsys):
    io.write_picture(clips / "poison.png", np.full((32, 64, 3), 13, np.uint8))
    assert run([clips / "poison.png"], environment, tmp_path / "labels") == 2
    assert "poison.png" in capsys.readouterr().err
    assert not list((tmp_path / "labels").iterdir())


def test_a_process_that_hangs_is_an_error_and_what_is_done_is_kept(
    clips, environment, tmp_path, capsys
):
    io.write_picture(clips / "tar.png", np.full((32, 64, 3), 17, np.uint8))  # the last but one
    out = tmp_path / "labels"
    assert run([clips], environment, out, "--jobs", "1", "--limit-s", "0.3") == 2
    said = capsys.readouterr().err.strip()
    assert "error: tar.png" in said and "within 0.3 s, got none" in said
    assert sorted(p.name for p in out.iterdir()) == ["one.npy", "still.npy"]
    (clips / "tar.png").unlink()
    assert run([clips], environment, out) == 0  # goes on
    assert "1 files labelled, 2 kept" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e9"])
def test_a_limit_that_is_none_is_refused(value, clips, environment, tmp_path, capsys):
    assert run([clips], environment, tmp_path / "labels", f"--limit-s={value}") == 2
    assert "--limit-s: expected above 0" in capsys.readouterr().err


def test_stopping_waits_for_no_answer(clips, environment, tmp_path):
    (clips / "one.mkv").unlink()
    (clips / "two.mkv").unlink()
    io.write_picture(clips / "tar.png", np.full((32, 64, 3), 17, np.uint8))
    out = tmp_path / "labels"
    out.mkdir()
    labels = face_labels.label_all(face_labels.plan([clips], out), environment, 1)
    assert next(labels).name == "still.png"
    start_s = time.monotonic()
    labels.close()
    assert time.monotonic() - start_s < 20


def test_a_run_that_is_stopped_writes_whole_files_only(clips, environment, tmp_path):
    out = tmp_path / "labels"
    out.mkdir()
    labels = face_labels.label_all(face_labels.plan([clips], out), environment, 1)
    first = next(labels)
    labels.close()
    whole = [np.load(path) for path in out.iterdir()]
    assert not first.failure and 1 <= len(whole) <= 3
    assert all(points.shape[0] in (1, 4) for points in whole)
    asked = iter([False, False, True])
    with face_labels.AttentionMesh(environment) as mesh:
        one = face_labels.label(clips / "one.mkv", out / "x.npy", mesh, lambda: next(asked))
    assert one.failure and not (out / "x.npy").exists()


def test_names_must_differ(clips, tmp_path):
    io.write_picture(clips / "one.png", np.full((32, 64, 3), 64, np.uint8))
    with pytest.raises(InputError, match="differ"):
        face_labels.plan([clips], tmp_path)
    with pytest.raises(InputError, match="found none"):
        face_labels.plan([tmp_path / "nothing.mp4"], tmp_path)
    plan = face_labels.plan([clips / "two.mkv", clips / "two.mkv"], tmp_path)
    assert plan == [(clips / "two.mkv", tmp_path / "two.npy")]
