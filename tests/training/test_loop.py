"""What all trainings share: schedule, curriculum, averaged weights, checkpoints, curves."""

import csv
from pathlib import Path

import pytest
import torch

from hybridanim.training import checkpoint, curves, loop
from hybridanim.training.config import Phase
from hybridanim.training.loop import Schedule


def test_progress_goes_by_the_nearer_limit() -> None:
    assert Schedule(10, 0, 1.0).progress(4, 1e9) == 0.4
    assert Schedule(0, 100, 1.0).progress(10**6, 25) == 0.25
    assert Schedule(10, 100, 1.0).progress(2, 50) == 0.5
    assert Schedule(10, 100, 1.0).progress(30, 0) == 1


def test_learning_rate_rises_stays_and_falls_to_its_last_share() -> None:
    plan = Schedule(100, 0, 2.0, warmup_steps=4, last=0.1, falls_from=0.5)
    assert [plan.rate(step, 0) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert plan.rate(50, 0.5) == 2.0
    assert plan.rate(75, 0.75) == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert plan.rate(100, 1.0) == pytest.approx(0.2)


def test_phases_follow_each_other_by_their_shares() -> None:
    phases = (Phase(32, 4, 0.25), Phase(64, 2, 0.75))
    found = [loop.phase_at(phases, progress).size for progress in (0, 0.24, 0.25, 0.9, 1.0)]
    assert found == [32, 32, 64, 64, 64]


def test_averaged_weights_against_their_recurrence() -> None:
    """The start counts as the first step, the memory grows to ``ema``; counters are copied."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    average = loop.averaged(net, 0.3)
    expected = {name: value.double().clone() for name, value in net.state_dict().items()}
    for step in range(1, 6):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
        net(torch.randn(4, 3))  # changes the norm's statistics
        average.update_parameters(net)
        past = min(0.3, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            expected[name] = past * expected[name] + (1 - past) * value
    found = average.module.state_dict()
    assert int(found.pop("1.num_batches_tracked")) == 5
    for name, value in found.items():
        torch.testing.assert_close(value.double(), expected[name], atol=1e-6, rtol=1e-5)
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / loop.CHECKPOINT
    checkpoint.write({"step": 1}, path)
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        checkpoint.write({"step": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_rows_of_the_curves_may_have_new_columns(tmp_path: Path) -> None:
    curves.append(tmp_path / "curves.csv", {"step": 1, "l1": 0.5})
    curves.append(tmp_path / "curves.csv", {"step": 2, "flow": 0.25})
    rows = list(csv.DictReader((tmp_path / "curves.csv").open(newline="")))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert rows[0]["l1"] == "0.5" and rows[0]["flow"] == "" and rows[1]["flow"] == "0.25"
