"""The training loop on small moving shapes: it learns, repeats, survives, and shows its curves."""

import csv
import hashlib
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hybridanim.errors import InputError
from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.files import part_file
from hybridanim.networks.sizes import FastSizes
from hybridanim.networks.weights import read_animator
from hybridanim.training import checkpoint
from hybridanim.training.animator import learner, trial
from hybridanim.training.animator.objective import DiscriminatorTrainer
from hybridanim.training.animator.trainer import PreparedBatch, Trainer
from hybridanim.training.config import LossWeights, Phase, TrainConfig
from hybridanim.training.data import cache as data_cache
from hybridanim.training.data.cache import TEACHER
from hybridanim.training.loop import CHECKPOINT
from hybridanim.types import Array

TINY = FastSizes((16, 16, 16, 16), 8, deep=16, fine=8, half=16, blocks=1, encoder_blocks=1)
OPTICAL = replace(TINY, optical=True)
SIDE = 32


def frame(scale: float, shift: float, colour: tuple[int, ...]) -> tuple[Array, Array]:
    """A face-like drawing at 4 times the size, averaged, and its anchors."""
    xy = (scale * MEAN_SHAPE + np.array([16 + shift, 15.0])).astype(np.float32)
    image = np.full((4 * SIDE, 4 * SIDE, 3), 60, np.uint8)
    hull = cv2.convexHull(np.round(4 * xy + 1.5).astype(np.int32))
    cv2.fillConvexPoly(image, hull, colour)
    for i in (12, 20, 32, 48):
        cv2.circle(image, tuple(int(v) for v in 4 * xy[i] + 1.5), 5, (20, 20, 20), -1)
    image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return image, data_cache.anchors_of(xy, SIDE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of four clips."""
    cache = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    for name in "abcd":
        colour = tuple(int(v) for v in rng.integers(120, 255, 3))
        rows = [frame(11 + 0.2 * i, 0.7 * i - 4, colour) for i in range(12)]
        images, points = (np.array(part) for part in zip(*rows, strict=True))
        np.save(cache / f"{name}.npy", images)
        np.savez(cache / f"{name}.npz", **{TEACHER: points, "number": np.arange(12)})
    return cache


def config(folder: Path, out: Path, steps: int = 6) -> TrainConfig:
    return TrainConfig(
        out=out,
        cache=folder,
        validation=folder,
        steps=steps,
        phases=(Phase(32, 4, 0.5), Phase(32, 2, 0.5)),
        losses=LossWeights(perceptual=0),
        warmup_steps=5,
        sizes=TINY,
        threads=1,
        bf16=False,
        checkpoint_s=0,
        validate_s=1e9,
        validation_pairs=3,
        validation_sizes=(32, 32),
    )


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.average.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, b[name]) for name, value in a.items())


def test_it_learns(folder: Path, tmp_path: Path) -> None:
    """In a few seconds the result is nearer than both the copy and the closed form's warp."""
    trainer = Trainer(replace(config(folder, tmp_path, 45), phases=(Phase(32, 8, 1.0),), ema=0.9))
    trainer.run()
    rows = list(csv.DictReader((tmp_path / "curves.csv").open()))
    found = {name: float(value) for name, value in rows[-1].items()}
    task = f"reconstruction_32_{TEACHER}"
    assert found[f"{task}_net_l1"] < 0.8 * found[f"{task}_copy_l1"]
    assert found[f"{task}_net_l1"] < found[f"{task}_warp_l1"]
    assert found["samples"] == 360
    strips = sorted(tmp_path.glob("strip_*.png"))
    assert strips and cv2.imread(str(strips[0])).shape[1] == 6 * 32


def test_same_seed_same_result(folder: Path, tmp_path: Path) -> None:
    first, second = (Trainer(config(folder, tmp_path / name)) for name in "ab")
    first.run()
    second.run()
    assert same(weights(first), weights(second))
    other = Trainer(replace(config(folder, tmp_path / "c"), seed=2))
    other.run()
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize(("gan", "resident"), [(0.0, 0), (0.1, 0), (0.0, 9)])
def test_going_on_equals_never_having_stopped(
    gan: float, resident: int, folder: Path, tmp_path: Path
) -> None:
    """With resident pairs, flow, and a checkpoint in parts, too."""
    use = LossWeights(perceptual=0, gan=gan, matching=gan, flow=0.1 if resident else 0.0)
    part = replace(config(folder, tmp_path / "straight"), losses=use, phases=(Phase(64, 2, 1.0),))
    if resident:
        part = replace(part, resident=resident, checkpoint_mib=0.05, sizes=OPTICAL)
    straight = Trainer(part)
    straight.run()

    class Stop(Exception):
        pass

    broken = Trainer(replace(part, out=tmp_path / "broken"))
    learn = broken._learn

    def until_three(batch: PreparedBatch) -> dict[str, float]:
        if broken.step == 3:
            raise Stop
        return learn(batch)

    broken._learn = until_three
    with pytest.raises(Stop):
        broken.run()
    again = Trainer(replace(part, out=tmp_path / "broken"))
    assert again.step == 3
    again.run()
    assert same(weights(straight), weights(again))
    states = [checkpoint.read(t.config.out / CHECKPOINT) for t in (straight, again)]
    assert bool(list((tmp_path / "broken").glob(f"{CHECKPOINT}.*"))) == bool(resident)
    assert ("adversary" in states[0]) == (gan > 0)
    if gan:
        assert same(*(state["adversary"]["net"] for state in states))


def test_the_discriminator_learns_to_tell() -> None:
    torch.manual_seed(0)
    discriminator = DiscriminatorTrainer(1e-3)
    real, made = torch.rand(4, 3, 64, 64), 0.5 * torch.ones(4, 3, 64, 64)
    told = [float(discriminator.learn(made, real)) for _ in range(15)]
    assert told[-1] < 0.5 * told[0]
    made.requires_grad_()
    terms = discriminator.generator_losses(made, real)
    (terms["gan"] + terms["matching"]).backward()
    assert made.grad is not None and made.grad.abs().sum() > 0


def test_export_holds_the_averaged_network(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(config(folder, tmp_path, 2))
    trainer.run()
    path = tmp_path / "weights.safetensors"
    digest = learner.export(tmp_path / CHECKPOINT, path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    found = read_animator(path).state_dict()
    for name, value in trainer.average.animator.state_dict().items():
        torch.testing.assert_close(found[name], value, atol=1e-3, rtol=1e-3, check_dtype=False)
    with pytest.raises(InputError, match="found nothing"):
        learner.read_checkpoint(tmp_path / "none.pt")


def test_a_torn_write_is_ignored(folder: Path, tmp_path: Path) -> None:
    """What a kill in the middle of writing leaves behind does not hurt, and is removed."""
    trainer = Trainer(config(folder, tmp_path, 2))
    trainer.run()
    part = part_file(tmp_path / CHECKPOINT)
    part.write_bytes(b"half a file")
    assert Trainer(config(folder, tmp_path, 2)).step == 2
    assert not part.exists()


def test_time_budget_and_curriculum(folder: Path, tmp_path: Path) -> None:
    """By a made-up clock: every step takes a second."""
    now = iter(range(10_000))
    budget = replace(config(folder, tmp_path), steps=0, time_budget_s=8, checkpoint_s=1e9)
    trainer = Trainer(budget, clock=lambda: float(next(now)))
    trainer.run()
    assert trainer.step == 8
    # the batch of the second half is smaller; the one that was prepared ahead is still large
    assert 4 * 4 + 4 * 2 <= trainer.samples <= 5 * 4 + 3 * 2
    assert trainer.progress() == 1


_WORKER = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from dataclasses import replace
from pathlib import Path
import torch
from tests.training.animator.test_trainer import config, probe
from hybridanim.training.animator.trainer import Phase, Trainer
from hybridanim.training.distributed import ProcessGroup
from hybridanim.networks.sizes import DetectorSizes
group, out = ProcessGroup.from_torchrun(), Path({out!r})
part = replace(config(Path({folder!r}), out, steps=3), phases=(Phase(32, 4, 1.0),))
trainer = Trainer(part, group=group)
trainer.run()
net, rows = probe()
net(rows[group.rank :: group.size]).square().mean().backward()
group.average_gradients(net.parameters())
gradients = [p.grad for p in net.parameters()]
detector = DetectorSizes(2, (16, 16), 32)
joint = replace(part, keypoints="learned", detector=detector, out=out / "joint")
joint = Trainer(joint, group=group)
joint.run()
states = [trainer.net.state_dict(), gradients, joint.net.state_dict()]
torch.save(states, out / f"{{group.rank}}.pt")
"""


def probe() -> tuple[torch.nn.Module, torch.Tensor]:
    """A small network and rows for it, the same every time."""
    torch.manual_seed(1)
    return torch.nn.Linear(3, 2), torch.rand(8, 3)


def test_two_processes_train_as_one(folder: Path, tmp_path: Path) -> None:
    """Under torchrun: weights stay equal, gradients are those of the whole batch, one goes on."""
    tests, out = Path(__file__).parents[2], tmp_path / "group"
    script = tmp_path / "worker.py"
    script.write_text(
        _WORKER.format(root=str(tests.parent), tests=str(tests), folder=str(folder), out=str(out))
    )
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*run, str(script)], check=True, timeout=120, capture_output=True)
    found = [torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert same(found[0][0], found[1][0])
    assert same(found[0][2], found[1][2])  # detector and animator together
    net, rows = probe()
    net(rows).square().mean().backward()
    for parameter, gradient in zip(net.parameters(), found[0][1], strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    alone = Trainer(config(folder, out, steps=3))
    assert alone.step == 3 and alone.samples == 12
    assert same(alone.net.state_dict(), found[0][0])


_CHILD = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from tests.training.animator.test_trainer import config
from hybridanim.training.animator.trainer import Trainer
Trainer(config(Path({folder!r}), Path({out!r}), steps=100000)).run()
"""


@pytest.mark.slow
def test_sigkill_at_any_moment(folder: Path, tmp_path: Path) -> None:
    """Killed five times while it writes a checkpoint at every step, it always comes back."""
    tests = Path(__file__).parents[2]
    code = _CHILD.format(
        root=str(tests.parent), tests=str(tests), folder=str(folder), out=str(tmp_path)
    )
    steps = 0
    for wait_s in (0.5, 0.63, 0.77, 0.9, 1.1):
        child = subprocess.Popen([sys.executable, "-c", code])
        start = time.monotonic()
        while not (tmp_path / CHECKPOINT).is_file() and time.monotonic() - start < 60:
            time.sleep(0.1)
        time.sleep(4 + wait_s)
        child.send_signal(signal.SIGKILL)
        child.wait()
        trainer = Trainer(config(folder, tmp_path, 100000))
        assert trainer.step >= steps > -1
        steps = trainer.step
    assert steps > 0


@pytest.mark.parametrize("keypoints", ["given", "learned"])
def test_steps_for_trying_batches_are_whole_steps(keypoints: str, folder: Path) -> None:
    """All networks get gradients; the run's random numbers stay."""
    part = replace(config(folder, folder), sizes=OPTICAL, losses=LossWeights(perceptual=0, flow=1))
    if keypoints == "learned":
        part = replace(part, keypoints="learned", phases=(Phase(64, 2, 1.0),))
    made: list[learner.Learner] = []
    with pytest.MonkeyPatch.context() as patched:
        make = learner.make
        patched.setattr(learner, "make", lambda *given: made.append(make(*given)) or made[0])
        trial.steps(part, torch.device("cpu"))(3)
    parameters = dict(made[0].named_parameters())
    assert sum(x.grad is not None for x in parameters.values()) > 0.9 * len(parameters)
    assert all(torch.isfinite(x.grad).all() for x in parameters.values() if x.grad is not None)
    assert trial.fastest(part, 1.0, print) == part.phases[-1].batch, "on a processor"
