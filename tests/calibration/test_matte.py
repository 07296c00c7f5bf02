"""Options of the matting network's training, before anything is read or written."""

import pytest

from calibration import matte


@pytest.fixture
def words(tmp_path):
    three = [tmp_path / name for name in ("clips", "masks", "meshes")]
    for folder in three:
        folder.mkdir()
    text = ":".join(str(folder) for folder in three)
    return ["--data", text, "--validation", text, "--out", str(tmp_path / "run")]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--seed", "-1"], "--seed: expected 0 to"),
        (["--minutes", "nan"], "--minutes, --threads: expected"),
        (["--threads", "0"], "--minutes, --threads: expected"),
        (["--out", "a\0b"], "expected a path that can be used"),
        (["--validation", "none:none:none"], "three folders"),
        (["--data", "one"], "three folders"),
    ],
)
def test_options_out_of_range_are_refused(more, said, words, tmp_path, capsys):
    assert matte.main([*words, *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["curves.csv", "matte.safetensors"])
def test_files_of_the_users_in_the_run_s_folder_are_kept(name, words, tmp_path, capsys):
    mine = tmp_path / "run" / name
    mine.parent.mkdir()
    mine.write_text("mine")
    assert matte.main(words) == 2
    assert "--overwrite" in capsys.readouterr().err and mine.read_text() == "mine"
    (mine.parent / "checkpoint.pt").touch()  # a run that goes on: stopped by what it reads
    assert matte.main(words) == 2
    assert "labelled frames" in capsys.readouterr().err and mine.read_text() == "mine"
