"""The published model's training: it runs, it goes on after a kill, and is measured as others."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from apps.evaluate.job import EvaluateJob
from apps.evaluate.reconstruction import reconstruct
from benchmarks import against_reference, reference_training
from benchmarks.reference_training import Recipe, Training
from benchmarks.training import Published
from hybridanim import io
from hybridanim.evaluation.scores import Evaluators
from hybridanim.networks import first_order
from hybridanim.networks.first_order_file import FirstOrderSizes
from hybridanim.training.config import Phase
from tests import synthetic

COUNT = 6


def tiny() -> Published:
    """The published modules with narrow insides, for pictures of 64 pixels and more."""
    net = Published()
    find = first_order.KeypointDetector(FirstOrderSizes(count=2, jacobians=2))
    motion = net.generator.dense_motion_network
    find.predictor = first_order.Hourglass(4, 3, depth=2, most=8)
    find.kp, find.jacobian = nn.Conv2d(7, 2, 7), nn.Conv2d(7, 8, 7)
    motion.hourglass = first_order.Hourglass(4, 12, depth=2, most=8)
    motion.mask, motion.occlusion = (nn.Conv2d(16, n, 7, padding=3) for n in (3, 1))
    net.detector, net.generator.bottleneck = find, nn.Identity()
    return net


def moving() -> list[np.ndarray]:
    picture = synthetic.photograph(128)
    affines = synthetic.wandering_affines(COUNT, 128, seed=3, strength=1.4)
    return synthetic.moved_picture(picture, affines).frames


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of one clip without keypoints."""
    folder = tmp_path_factory.mktemp("cache")
    np.save(folder / "head.npy", np.array(moving()))
    np.savez(folder / "head.npz", number=np.arange(COUNT))
    return folder


def recipe(cache: Path, out: Path, steps: int) -> Recipe:
    phases = (Phase(64, 2, 0.5), Phase(128, 1, 0.5))
    return Recipe(out=out, cache=cache, steps=steps, phases=phases, checkpoint_s=0)


@pytest.mark.slow
def test_the_published_size_learns_two_steps(cache: Path, tmp_path: Path) -> None:
    training = Training(recipe(cache, tmp_path, 2), report=lambda line: None)
    training._optimiser = torch.optim.Adam(training.net.parameters(), 1e-4)
    before = [p.detach().clone() for p in training.net.parameters()]
    for _ in range(2):
        terms = training._learn(training._pairs.batch(training.step, 1, 128))
    assert training.step == 2 and np.isfinite(list(terms.values())).all()
    moved = [bool((a != b).any()) for a, b in zip(before, training.net.parameters(), strict=True)]
    assert np.mean(moved) > 0.9
    assert sum(p.numel() for p in training.net.parameters()) == pytest.approx(60e6, rel=0.01)


def test_going_on_equals_never_having_stopped(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_training, "Published", tiny)
    straight = Training(recipe(cache, tmp_path / "straight", 6), report=lambda line: None)
    straight.run()
    assert len(straight.losses) == 6 and straight.samples == 3 * 2 + 3 * 1

    class Stop(Exception):
        pass

    broken = Training(recipe(cache, tmp_path / "broken", 6), report=lambda line: None)
    learn = broken._learn

    def until_four(batch):
        if broken.step == 4:
            raise Stop
        return learn(batch)

    broken._learn = until_four
    with pytest.raises(Stop):
        broken.run()
    again = Training(recipe(cache, tmp_path / "broken", 6), report=lambda line: None)
    assert again.step == 4
    again.run()
    assert again.losses == straight.losses
    states = (training.average.state_dict() for training in (straight, again))
    for one, other in zip(*(state.values() for state in states), strict=True):
        assert torch.equal(one, other)


def test_places_keep_their_precision_under_autocast() -> None:
    torch.manual_seed(0)
    net, picture = tiny().detector.eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        exact = net(picture)
        with torch.autocast("cpu", torch.bfloat16):
            found = net(picture)
    assert found.xy.dtype == found.jacobian.dtype == torch.float32
    torch.testing.assert_close(found.xy, exact.xy, atol=0.01, rtol=0)


def test_it_is_measured_beside_the_others(tmp_path: Path) -> None:
    """A model that paints grey has grey's error, and copying is what it is without it."""
    with io.open_sink(tmp_path / "head.mp4", Fraction(25), (128, 128)) as sink:
        for index, image in enumerate(moving()):
            sink.write(image, index / 25)
    net = tiny().eval()
    nn.init.zeros_(net.generator.final.weight)
    nn.init.zeros_(net.generator.final.bias)
    job = EvaluateJob(tmp_path, methods=("copy", "classical+warp"), size=128, smooth=0)
    runner = against_reference.MethodsWithPublished(job, net)
    result = reconstruct(tmp_path / "head.mp4", job, runner, Evaluators())
    assert set(result.scores) == {"copy", "classical+warp", against_reference.REFERENCE}
    found = result.scores[against_reference.REFERENCE].values["l1"]
    with io.open_source(tmp_path / "head.mp4") as reader:
        frames = [frame.image / 255 for frame in reader]
    expected = [np.abs(frame - 128 / 255).mean() for frame in frames[1:]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(runner.follow_s) == COUNT


def test_the_table_has_a_row_a_method_and_what_is_missing() -> None:
    costs = {"reference": {"frame_gflop": 89.4, "frame_ms": 400.2}}
    methods = {"copy": {"l1": 0.05}, "reference": {"l1": 0.06, "akd_px": 3.0}}
    lines = against_reference.table({"methods": methods, "costs": costs}).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| copy | 0.0500 | - |")
    assert "| 3.00 |" in lines[3] and lines[3].endswith("| 89 | 400 |")
