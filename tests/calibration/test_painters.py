"""Training of the painters from the command line: pairs in one file, a short sitting, errors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from calibration import painters
from hybridanim.face.paint_windows import KINDS
from hybridanim.networks import painters_file
from hybridanim.training.painters import packing, pairs, trial
from hybridanim.training.painters.trainer import PainterConfig
from tests.training.painters.test_trainer import rows_of


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of two clips, and of one of another person."""
    folder = tmp_path_factory.mktemp("pairs")
    for split, count in (("train", 2), ("val", 1)):
        (folder / split).mkdir()
        for clip in range(count):
            for name, kind in KINDS.items():
                rows = rows_of(kind, 8, 10 * clip + count)
                np.save(folder / split / f"c{clip}.{name}.npy", rows)
    return folder


def test_pairs_come_back_from_one_file(cache: Path, tmp_path: Path) -> None:
    file, most = tmp_path / "p.safetensors", 60_000
    packed = packing.pack(cache, file, most)
    assert file.stat().st_size <= most and packed.rows == packed.of == 48
    folder = packing.unpack(file, tmp_path / "other")
    assert packing.unpack(file, tmp_path / "other") == folder
    for split in ("train", "val"):
        for kind in KINDS.values():
            found, given = pairs.read(folder / split, kind), pairs.read(cache / split, kind)
            assert len(found) == len(given)
            for one, rows in zip(found, given, strict=True):
                same = (one["now"][:, None] == rows["now"][None]).all((2, 3))
                places = same.argmax(1)
                assert sorted(places) == list(range(8))
                for name in ("was", "turn"):
                    np.testing.assert_array_equal(one[name], rows[name][places])
                for name in ("warped", "own", "true"):
                    off = one[name].astype(float) - rows[name][places]
                    assert np.sqrt(np.mean(off**2)) < 12  # noise in colour, which WebP halves


def test_a_sitting_from_a_file_to_weights(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "p.safetensors", tmp_path / "run"
    packing.pack(cache, file, 10**6)
    given = ["--data", str(file), "--out", str(out), "--preset", "gpu", "--device", "cpu"]
    more = ["--limit-s", "120", "--batch", "4", "--minutes", "0.02"]
    assert painters.main([*given, *more]) == 0
    assert set(painters_file.read(out / "painters.safetensors")) == {"mouth", "eye"}
    steps = {
        kind: torch.load(out / kind / "checkpoint.pt", weights_only=True)["step"] for kind in KINDS
    }
    assert min(steps.values()) > 0
    assert all(file.stat().st_size <= 2**24 for file in out.rglob("checkpoint.pt*"))
    # the same folder goes on without the preset, drawn by the processor
    more = ["--data", str(file), "--out", str(out), "--kind", "eye", "--device", "cpu"]
    assert painters.main([*more, "--limit-s", "3", "--minutes", "9"]) == 0
    assert f"resumed at step {steps['eye']}" in capsys.readouterr().out


def test_errors_name_the_option(cache: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    file = tmp_path / "p.safetensors"
    packing.pack(cache, file, 10**6)
    for given, said in (
        (["--device", "cuda"], "--device cuda: expected a GPU that torch sees"),
        (["--device", "tpu"], "--device: expected one of auto, cpu, cuda"),
        (["--batch", "1"], "--batch: expected auto or 2"),
        (["--limit-s", "-3"], "--limit-s, --pack-mib: expected"),
        (["--pack", "x.zip"], "ending in .safetensors"),
        (["--pack", str(file), "--overwrite"], "the same file"),
    ):
        assert painters.main(["--data", str(file), "--out", str(tmp_path / "o"), *given]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    file.write_bytes(file.read_bytes()[:-9])
    assert painters.main(["--data", str(file), "--out", str(tmp_path / "o")]) == 2
    assert "pack it again" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "o").exists()


def test_larger_batches_have_a_larger_learning_rate() -> None:
    config = PainterConfig(batch=16)
    found = trial.with_batch(config, 64)
    assert (found.batch, found.learning_rate) == (64, pytest.approx(2 * config.learning_rate))
    assert trial.fastest(PainterConfig(batch=16, device="cpu"), print) == 16
    trial.steps(config, torch.device("cpu"))(2)
