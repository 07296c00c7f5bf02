"""Monkey-Net's training: it learns, goes on exactly, and writes what the pipeline reads."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hybridanim.errors import InputError
from hybridanim.networks import weights
from hybridanim.networks.blocks import Points
from hybridanim.networks.sizes import MonkeyNetSizes
from hybridanim.training.animator.objective import DiscriminatorTrainer
from hybridanim.training.animator.trainer import BEST
from hybridanim.training.config import MonkeyNetConfig, MonkeyNetLosses, Phase
from hybridanim.training.data.augment import NONE
from hybridanim.training.data.batch import Batch
from hybridanim.training.loop import CHECKPOINT
from hybridanim.training.monkeynet.objective import Objective, animated, with_heatmaps
from hybridanim.training.monkeynet.trainer import MonkeyNetTrainer, export, read_checkpoint
from tests import made_networks as made
from tests.training.animator.test_joint import SIDE, frame

TINY = MonkeyNetSizes(
    2, SIDE, 16, detector_widths=(16, 24, 32), motion_widths=(16, 24, 32), widths=(8, 16, 24),
    blocks=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of four clips of a moving disc."""
    cache = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    for name in "abcd":
        colour = rng.integers(150, 255, 3).tolist()
        places = [6 * np.sin(0.4 * i + rng.uniform(0, 6, 2)) for i in range(16)]
        np.save(cache / f"{name}.npy", np.array([frame(x, y, colour) for x, y in places]))
        np.savez(cache / f"{name}.npz", number=np.arange(16))
    return cache


def config(folder: Path, out: Path, steps: int = 3) -> MonkeyNetConfig:
    return MonkeyNetConfig(
        out=out,
        cache=folder,
        validation=folder,
        steps=steps,
        phases=(Phase(SIDE, 4, 1.0),),
        discriminator_widths=(8, 8),
        augment=NONE,
        warmup_steps=2,
        sizes=TINY,
        device="cpu",
        threads=1,
        bf16=False,
        checkpoint_s=0,
        validate_s=1e9,
        validation_pairs=3,
        validation_sizes=(SIDE, SIDE),
    )


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_the_loss_falls(folder: Path, tmp_path: Path) -> None:
    """In 40 steps the result is nearer; curves, strips and weights are written."""
    losses = MonkeyNetLosses(gan=0, matching=0)
    part = replace(config(folder, tmp_path, 40), losses=losses, ema=0.8, checkpoint_s=1e9)
    trainer = MonkeyNetTrainer(part)
    first = trainer._learn(trainer._prepare(0))["loss"]
    trainer.run()
    last = trainer._learn(trainer._prepare(0))["loss"]  # of the same pairs
    assert last < 0.6 * first
    row = list(csv.DictReader((tmp_path / "curves.csv").open()))[-1]
    assert float(row[f"reconstruction_{SIDE}_learned_net_l1"]) < 0.3
    assert {"gan", "discriminator"}.isdisjoint(trainer._since)
    assert list(tmp_path.glob("strip_*.png")) and (tmp_path / BEST).is_file()


def test_going_on_equals_never_having_stopped(folder: Path, tmp_path: Path) -> None:
    straight = MonkeyNetTrainer(config(folder, tmp_path / "a", 4))
    straight.run()
    short = MonkeyNetTrainer(config(folder, tmp_path / "b", 4))
    for step in range(2):
        short._learn(short._prepare(step))
    short.save()
    again = MonkeyNetTrainer(config(folder, tmp_path / "b", 4))
    assert again.step == 2
    again.run()
    assert same(straight.average, again.average) and same(straight.net, again.net)
    one, two = (x._state()["adversary"]["net"] for x in (straight, again))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_becomes_weights_that_a_run_starts_from(folder: Path, tmp_path: Path) -> None:
    MonkeyNetTrainer(config(folder, tmp_path / "a", 2)).run()
    file = tmp_path / "own.safetensors"
    export(tmp_path / "a" / CHECKPOINT, file)
    found = weights.read_weights(file).monkeynet
    kept = read_checkpoint(tmp_path / "a" / CHECKPOINT)
    assert found is not None and found.sizes == TINY
    for name, value in kept.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, atol=2e-3, rtol=2e-3)
    more = MonkeyNetTrainer(replace(config(folder, tmp_path / "c"), start_from=file))
    assert same(more.net, found)
    with pytest.raises(InputError, match="expected weights of a Monkey-Net"):
        MonkeyNetTrainer(replace(config(folder, tmp_path / "d"), start_from=weights.RENDERER.path))


def test_the_discriminator_sees_normalised_heatmaps() -> None:
    points = made.as_points(made.keypoints(1, 3))
    points = Points(0.5 * points.xy, 0.1 * points.jacobian)
    given = with_heatmaps(torch.rand(1, 3, 64, 64), points)
    assert given.shape == (1, 6, 64, 64)
    assert given[:, 3:].mean((2, 3)).numpy() == pytest.approx(0.01, rel=0.02)


def test_the_detector_learns_from_the_generator_s_loss_alone() -> None:
    """Through the discriminator's heatmaps, too; the discriminator's own loss stays out."""
    net = made.monkeynet().train()
    batch = Batch(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64))
    found = animated(net, batch)
    objective = Objective(
        MonkeyNetLosses(l1=0, warped_l1=0),
        DiscriminatorTrainer(1e-4, inputs=6, widths=(8, 8)),
    )
    loss, terms = objective(batch, found)
    assert set(terms) == {"l1", "warped_l1", "gan", "matching"}
    loss.backward()
    seen = net.detector.heat.weight.grad
    assert seen is not None and seen.abs().sum() > 0
    before = seen.clone()
    assert objective.learn(batch, animated(net, batch))["discriminator"] > 0
    after = net.detector.heat.weight.grad
    assert after is not None and torch.equal(after, before)
