"""The search for settings: resumed from its database, pruned by the median, its table and plot."""

import csv
import tomllib
from dataclasses import replace
from math import log10

import pytest

from apps.main import main
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.training import tuning
from hybridanim.training.config import TrainConfig
from hybridanim.training.job import TrainJob
from tests import data_clips

optuna = pytest.importorskip("optuna", reason="optuna is an extra")
TINY = """
bf16 = false
validation_pairs = 2
warmup_steps = 2
[sizes]
motion_widths = [16, 16, 16, 16]
motion_features = 8
deep = 16
fine = 8
half = 16
blocks = 1
encoder_blocks = 1
[[phases]]
size = 32
batch = 2
share = 1.0
"""


def bowl(config, ends):
    """An error that is least at a learning rate of 1e-3; four validations that come down to it."""
    error = 0.1 + abs(log10(config.learning_rate) + 3)
    for step in range(1, 5):
        if ends(step, error + 0.4 / step):
            return None
    return error


def rows(folder):
    with (folder / tuning.TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_search_finds_the_bowls_bottom_and_what_matters(tmp_path):
    found = tuning.search(TrainConfig(), 30, tmp_path, bowl)
    assert abs(log10(found.settings["learning_rate"]) + 3) < 0.12 and found.trials == 30
    table = rows(tmp_path)
    errors = [float(row["error"]) for row in table if row["error"]]
    assert len(table) == 30 and errors == sorted(errors)
    assert {row["state"] for row in table} == {"complete", "pruned"}  # the median ends bad ones
    best = tomllib.loads((tmp_path / tuning.BEST).read_text())
    assert best["learning_rate"] == pytest.approx(found.settings["learning_rate"])
    assert best["losses"]["gradient"] == pytest.approx(found.settings["losses.gradient"])
    assert io.read_picture(tmp_path / tuning.IMPORTANCE).shape[1] > 300
    study = optuna.load_study(study_name="train", storage=f"sqlite:///{tmp_path / 'tune.db'}")
    shares = tuning.importance(optuna, study)
    assert max(shares, key=lambda name: shares[name]) == "learning_rate"


def test_a_search_that_was_stopped_goes_on(tmp_path):
    seen = []

    def stopped(config, ends):
        seen.append(config.learning_rate)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return bowl(config, ends)

    with pytest.raises(KeyboardInterrupt):
        tuning.search(TrainConfig(), 5, tmp_path, stopped)
    assert len(rows(tmp_path)) == 2
    again = []

    def counted(config, ends):
        again.append(config.learning_rate)
        return bowl(config, ends)

    found = tuning.search(TrainConfig(), 5, tmp_path, counted)
    assert len(again) == 3 and again[0] == seen[2]  # the one that was cut off is tried again
    assert found.trials == 5 and len(rows(tmp_path)) == 5
    tuning.search(TrainConfig(), 5, tmp_path, counted)
    assert len(again) == 3


def test_the_database_of_another_search_is_refused(tmp_path):
    tuning.search(TrainConfig(), 1, tmp_path, bowl)
    with pytest.raises(InputError, match="same clips and settings"):
        tuning.search(replace(TrainConfig(), steps=9), 2, tmp_path, bowl)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / tuning.DATABASE).write_bytes(b"torn" * 999)
    with pytest.raises(InputError, match="database"):
        tuning.search(TrainConfig(), 1, tmp_path / "torn", bowl)


def test_every_setting_of_the_space_exists_and_has_its_default_near():
    config = TrainConfig()
    for name, span in tuning.SPACE.items():
        for value in (span.low, span.high):
            tuning.with_settings(config, {name: value})
        section, _, field = name.rpartition(".")
        default = getattr(getattr(config, section) if section else config, field)
        assert span.low <= default <= span.high


def test_the_time_of_a_training_has_to_be_given(tmp_path):
    with pytest.raises(InputError, match="--time-budget"):
        TrainJob(tmp_path, tune=3)


@pytest.mark.slow
def test_from_clips_to_the_best_settings(tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    for i in range(4):
        data_clips.write(tmp_path / "clips" / f"thing{i}.mp4", data_clips.scene(i, 10))
    (tmp_path / "tiny.toml").write_text(TINY)
    words = ["train", "--data", str(tmp_path / "clips"), "--kind", "object", "--size", "32"]
    words += ["--config", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "run")]
    words += ["--tune", "2", "--time-budget", "3s", "--threads", "1", "--workers", "1"]
    assert main(words) == 0, capsys.readouterr().err
    assert "Train with it" in capsys.readouterr().out
    assert len(rows(tmp_path / "run" / "tune")) == 2
