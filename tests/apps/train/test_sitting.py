"""A short sitting: clips packed into a file, trained from it within a limit, and gone on with."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.main import main
from hybridanim.errors import InputError
from hybridanim.networks.weights import read_weights
from hybridanim.training import checkpoint, plan
from hybridanim.training.job import TrainJob
from tests import data_clips
from tests.apps.train.test_command import TINY, error_of

LIMIT_S = 120.0


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of moving discs in a file, without the folder that they came from."""
    folder = tmp_path_factory.mktemp("clips")
    for i in range(4):
        data_clips.write(folder / "in" / f"thing{i}.mp4", data_clips.scene(i, 10))
    file = folder / "packed.safetensors"
    given = ["train", "--data", str(folder / "in"), "--out", str(folder / "run"), "--size", "32"]
    given += ["--kind", "object", "--workers", "1", "--pack", str(file)]
    assert main(given) == 0
    assert not (folder / "run" / "checkpoint.pt").exists()
    assert main(given) == 2, "an archive is not replaced"
    return file


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text("resident = 24\ncheckpoint_mib = 0.25\n" + TINY)
    return file


def words(packed: Path, out: Path, tiny: Path, *more: str) -> list[str]:
    given = ["train", "--data", str(packed), "--out", str(out), "--config", str(tiny)]
    return [*given, "--size", "32", "--threads", "1", "--device", "cpu", *more]


def test_a_sitting_ends_and_goes_on_elsewhere(
    packed: Path, tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    limit = ["--preset", "gpu", "--limit-s", str(LIMIT_S), "--time-budget", "2s"]
    assert main(words(packed, out, tiny, *limit)) == 0
    assert "--weights" in capsys.readouterr().out
    parts = list(out.glob("checkpoint.pt*"))
    assert len(parts) > 2 and max(part.stat().st_size for part in parts) <= 2**18
    state = checkpoint.read(out / "checkpoint.pt")
    assert state["step"] > 0
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert int(float(rows[-1]["step"])) == state["step"], "it is validated at the end"
    # on another machine, without the preset, in float32, and drawn by the processor
    steps = state["step"] + 2
    tiny.write_text(TINY)
    (out / "cache").rename(tmp_path / "lost")
    assert main(words(packed, out, tiny, "--steps", str(steps))) == 0
    after = checkpoint.read(out / "checkpoint.pt")
    assert after["step"] == steps and not list(out.glob("checkpoint.pt.*")), "in one file again"
    found = read_weights(out / "best.safetensors")
    assert found.animator is not None and found.detector is not None
    assert all(torch.isfinite(x).all() for x in found.animator.state_dict().values())


def test_settings_of_a_sitting(tmp_path: Path) -> None:
    plain = plan.config(TrainJob(tmp_path), "object", "learned")
    assert (plain.resident, plain.checkpoint_mib, plain.time_budget_s) == (0, 0, 7200)
    job = TrainJob(tmp_path, preset="gpu", device="cpu")
    found = plan.config(job, "object", "learned")
    assert found.resident > 0 and found.checkpoint_mib == 16 and job.tries_batches()
    assert found.time_budget_s == pytest.approx(0.9 * job.sitting_s()) == pytest.approx(468)
    assert not replace(job, batch=8).tries_batches() and not TrainJob(tmp_path).tries_batches()
    assert replace(job, limit_s=60.0).budget_s() == pytest.approx(54)
    assert replace(job, limit_s=60.0, time_budget="10m").budget_s() == 600
    larger = plan.with_batch(plain, 32)
    assert [phase.batch for phase in larger.phases] == [64, 32]
    assert larger.learning_rate == pytest.approx(2 * plain.learning_rate)
    assert plan.with_batch(plain, 32, keeps_rate=True).learning_rate == plain.learning_rate
    assert plan.with_batch(plain, 2).phases[-1].batch == 2
    assert np.isclose(plan.with_batch(plain, 1024).learning_rate, 4 * plain.learning_rate)


def test_errors_in_three_parts(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    data, out = ["--data", str(packed)], ["--out", str(tmp_path / "o")]
    said = error_of(capsys, *data, *out, "--device", "cuda")
    assert "--device cuda: expected a GPU that torch sees, found none" in said
    assert not (tmp_path / "o").exists(), "before anything is written"
    assert "as the clips were packed" in error_of(capsys, *data, *out, "--kind", "face")
    assert "where they are packed" in error_of(capsys, *data, *out, "--portraits", str(tmp_path))
    assert "ends in .safetensors" in error_of(capsys, *data, *out, "--pack", "a.zip")
    assert "same file" in error_of(capsys, *data, *out, "--pack", str(packed), "--overwrite")
    assert "--batch: expected auto" in error_of(capsys, *data, *out, "--batch", "0")
    assert "--limit-s: expected" in error_of(capsys, *data, *out, "--limit-s", "-1")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(packed.read_bytes()[:-5])
    assert "pack it again" in error_of(capsys, "--data", str(torn), *out)
    with pytest.raises(InputError, match="folder"):
        checkpoint.read(_without_a_part(tmp_path / "c"))


def _without_a_part(folder: Path) -> Path:
    folder.mkdir()
    checkpoint.write({"x": torch.rand(5000)}, folder / "checkpoint.pt", 4096)
    (folder / "checkpoint.pt").with_name(sorted(folder.glob("*.2"))[0].name).unlink()
    return folder / "checkpoint.pt"
