"""What the command does with labels of which no model comes, and with odd tables."""

from dataclasses import replace

import numpy as np
import pytest

from calibration import face_model as command
from hybridanim.face import face_model

MODEL = face_model.load()


@pytest.fixture
def labels(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    points = (100 * MODEL.mean + [200.0, 150.0, 0.0]).astype(np.float32)
    np.save(folder / "a.npy", np.repeat(points[None], 9, 0))
    return folder


def singular(*_):
    raise np.linalg.LinAlgError("Singular matrix")


@pytest.mark.parametrize(
    "learn",
    [singular, lambda *_: replace(MODEL, mean=MODEL.mean * [1, 1, 0])],
    ids=["algebra", "a flat face"],
)
def test_labels_of_which_no_model_comes_are_refused(learn, labels, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command.learning, "learn", learn)
    output = tmp_path / "model.safetensors"
    assert command.main(["--labels", str(labels), "--output", str(output)]) == 2
    said = capsys.readouterr().err
    assert "expected faces that differ and move" in said and "other clips" in said
    assert list(tmp_path.iterdir()) == [labels]


@pytest.mark.parametrize("data", [b"file,identity\n\xff\xfe,x\n", b"\0", b"file\na.mp4\n"])
def test_tables_that_are_none_are_refused(data, labels, tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_bytes(data)
    words = ["--labels", str(labels), "--output", str(tmp_path / "m"), "--clips-table", str(table)]
    assert command.main(words) == 2
    assert "expected a csv with the columns file and identity" in capsys.readouterr().err
