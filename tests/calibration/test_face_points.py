"""Options of the training of landmark networks, before anything is read or written."""

import pytest

from calibration import face_points
from hybridanim.networks import face_points_file
from hybridanim.networks.face_points import PointNetwork, PointSizes
from hybridanim.runtime.face_points import WEIGHTS


@pytest.fixture
def words(tmp_path):
    for name in ("clips", "labels"):
        (tmp_path / name).mkdir()
    pair = f"{tmp_path / 'clips'}:{tmp_path / 'labels'}"
    return ["--data", pair, "--validation", pair, "--out", str(tmp_path / "run")]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--seed", "-1"], "--seed: expected 0 to"),
        (["--seed", "9" * 40], "--seed: expected 0 to"),
        (["--minutes", "nan"], "--minutes, --threads: expected"),
        (["--out", "a\0b"], "expected a path that can be used"),
        (["--validation", "none:none"], "two folders"),
    ],
)
def test_options_out_of_range_are_refused(more, said, words, tmp_path, capsys):
    assert face_points.main([*words, *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["curves.csv", "points.safetensors"])
def test_files_of_the_users_in_the_run_s_folder_are_kept(name, words, tmp_path, capsys):
    mine = tmp_path / "run" / name
    mine.parent.mkdir()
    mine.write_text("mine")
    assert face_points.main(words) == 2
    assert "--overwrite" in capsys.readouterr().err and mine.read_text() == "mine"
    (mine.parent / "checkpoint.pt").touch()  # a run that goes on: stopped by what it reads
    assert face_points.main(words) == 2
    assert "labelled frames" in capsys.readouterr().err and mine.read_text() == "mine"
    mine.unlink()
    mine.mkdir()
    assert face_points.main(words) == 2
    assert "got a folder" in capsys.readouterr().err


def test_joined_networks_of_one_kind_are_averaged(tmp_path, capsys):
    eye = face_points_file.read(WEIGHTS)["eye"]
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for file, value in zip(files, (1.0, 3.0), strict=True):
        eye.mean.fill_(value)
        face_points_file.write({"eye": eye}, file)
    out = tmp_path / "joined.safetensors"
    assert face_points.main(["--join", *map(str, files), "--output", str(out)]) == 0
    found = face_points_file.read(out)
    assert list(found) == ["eye"]
    assert found["eye"].mean.unique().tolist() == [2.0]
    own = eye.sizes
    small = PointSizes(48, 32, 21, 2, own.components, own.channels, 8)
    face_points_file.write({"eye": PointNetwork(small)}, files[1])
    assert face_points.main(["--join", *map(str, files), "--output", str(tmp_path / "x")]) == 2
    assert "of several sizes" in capsys.readouterr().err
