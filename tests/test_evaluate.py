"""Evaluation on a drawn clip: the warp beats copying the source, and the figures are plain JSON."""

import json
from fractions import Fraction

import pytest

from hybridanim import io
from hybridanim.config import EvaluateJob
from hybridanim.errors import InputError
from stages.evaluate import evaluate, table
from tests import synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips")
    picture = synthetic.photograph(192)
    clip = synthetic.moved_picture(picture, synthetic.wandering_affines(14, 192, seed=3))
    with io.open_sink(path / "moving.mp4", Fraction(25), (192, 192)) as sink:
        for index, image in enumerate(clip.frames):
            sink.write(image, index / 25)
    with io.open_sink(path / "wide.mp4", Fraction(25), (192, 96)) as sink:
        sink.write(picture[:96], 0.0)
        sink.write(picture[:96], 0.04)
    (path / "notes.txt").write_text("not a clip")
    return path


def test_warp_beats_copying_on_a_moving_head(folder, tmp_path):
    job = EvaluateJob(folder, json=tmp_path / "e.json", strip=tmp_path / "e.png")
    result = evaluate(job)
    warp, copy = result["methods"]["warp"], result["methods"]["copy"]
    # the whole picture moves here, and the warp moves the person alone
    assert warp["l1"] < 0.85 * copy["l1"]
    assert warp["ssim"] > copy["ssim"]
    assert result["frames"] == 13
    assert json.loads((tmp_path / "e.json").read_text()) == result
    assert io.read_picture(tmp_path / "e.png").ndim == 3
    assert "warp" in table(result)


def test_clips_that_cannot_be_used_are_listed(folder):
    result = evaluate(EvaluateJob(folder, methods=("copy", "warp")))
    assert result["clips"] == 1
    assert len(result["skipped"]) == 1 and "square" in result["skipped"][0]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        evaluate(EvaluateJob(tmp_path))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="folder of clips"):
        EvaluateJob(tmp_path / "nothing")
