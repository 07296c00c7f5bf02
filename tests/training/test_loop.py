"""What all trainings share: schedule, curriculum, averaged weights, checkpoints, curves."""

import csv
from pathlib import Path

import pytest
import torch

from hybridanim.errors import InputError
from hybridanim.training import checkpoint, curves, loop
from hybridanim.training.config import LoopConfig, Phase
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


def test_checkpoints_in_parts_are_the_same_and_replace_each_other(tmp_path: Path) -> None:
    """Over kills at any moment, too: the parts are written first and named last."""
    path, most = tmp_path / loop.CHECKPOINT, 3000
    (tmp_path / "checkpoint.pt.mine").touch()
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = {"net": {"w": torch.rand(40, 50)}, "step": seed}
        checkpoint.write(state, path, most)
        found = checkpoint.read(path)
        assert found["step"] == seed and torch.equal(found["net"]["w"], state["net"]["w"])
        parts = [path, *tmp_path.glob(f"{loop.CHECKPOINT}.*.*")]
        assert len(parts) == 5 and max(part.stat().st_size for part in parts) <= most
    old = path.read_bytes()
    later = {"net": {"w": torch.rand(40, 50)}, "step": 3}
    replace_file, calls = checkpoint._replace, []

    def killed(file: Path, data: memoryview) -> None:
        calls.append(file.name)
        if file == path:
            raise KeyboardInterrupt
        replace_file(file, data)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoint, "_replace", killed)
        checkpoint.write(later, path, most)
    assert path.read_bytes() == old and checkpoint.read(path)["step"] == 2 and len(calls) == 5
    checkpoint.write(later, path, most)
    assert checkpoint.read(path)["step"] == 3
    assert len(list(tmp_path.iterdir())) == 6
    checkpoint.write({"step": 4}, path, most)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        loop.CHECKPOINT,
        f"{path.name}.mine",
    ]


def test_parts_that_are_no_parts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / loop.CHECKPOINT
    checkpoint.write({"w": torch.rand(2000)}, path, 3000)
    text = path.read_text()
    first, second = sorted(tmp_path.glob(f"{path.name}.*"))[:2]
    for wrong in (
        text.replace(first.name, "../secret"),
        text.replace(first.name, second.name),
        "{",
    ):
        path.write_text(wrong)
        with pytest.raises(InputError, match="with all of its parts"):
            checkpoint.read(path)


class Timed(loop.TrainingLoop[torch.nn.Linear, int]):
    """A run whose steps take 0.9 s, whose checkpoints 0.5 s and whose validations 3 s."""

    def __init__(self, config: LoopConfig) -> None:
        self.now_s, self.validated = 100.0, []
        net = torch.nn.Linear(2, 1)
        optimiser = torch.optim.SGD(net.parameters(), 0.1)
        plan = Schedule(config.steps, config.time_budget_s, 0.1)
        super().__init__(net, optimiser, config, plan, clock=lambda: self.now_s)
        self._resume()

    def _prepare(self, step: int) -> int:
        return step

    def _learn(self, batch: int) -> dict[str, float]:
        self.now_s += 0.9
        return self._end_step(1, {"loss": torch.tensor(1.0)})

    def validate(self) -> dict[str, float]:
        self.now_s += 3.0
        self.validated.append(self.step)
        return {}

    def save(self) -> None:
        self.now_s += 0.5
        super().save()


def test_a_sitting_ends_at_its_limit_with_all_saved(tmp_path: Path) -> None:
    config = LoopConfig(out=tmp_path, time_budget_s=90.0, limit_s=60.0)
    run = Timed(config)
    run.run()
    assert 50 < run.now_s - 100 <= 60
    assert run.progress() < 1 and run.validated == [0, run.step]
    again = Timed(config)
    assert again.step == run.step > 40
    again.run()  # the rest of the budget fits
    assert again.progress() == 1 and again.now_s - 100 <= 60
    assert again.elapsed_s == pytest.approx(0.9 * again.step, abs=4.0)


def test_a_limit_that_is_over_at_once_is_no_error(tmp_path: Path) -> None:
    run = Timed(LoopConfig(out=tmp_path, limit_s=0.001))
    run.run()
    assert run.step == 0 and (tmp_path / loop.CHECKPOINT).is_file()
