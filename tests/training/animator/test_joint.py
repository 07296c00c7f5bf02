"""Detector and animator trained together, weights to start from, early stop, teacher, switches."""

import csv
import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.motion import optical_flow
from hybridanim.networks import build
from hybridanim.networks import weights as files
from hybridanim.networks.blocks import Points
from hybridanim.networks.sizes import DetectorSizes, FastSizes, read_sizes
from hybridanim.training import losses
from hybridanim.training.animator import flow_teacher, learner
from hybridanim.training.animator.trainer import BEST, Trainer
from hybridanim.training.config import LossWeights, Phase, TrainConfig
from hybridanim.training.curves import Curves
from hybridanim.training.data.augment import NONE
from hybridanim.training.data.batch import Batch
from hybridanim.training.loop import CHECKPOINT, BestValidation

SIDE = 32
TINY = FastSizes((16, 16, 16), 8, deep=16, fine=8, half=16, blocks=1, encoder_blocks=1)
SIZES = replace(TINY, picture_px=SIDE)
DETECTOR = DetectorSizes(2, (16, 24, 32), SIDE)


def frame(x: float, y: float, colour: list[int]) -> np.ndarray:
    """A disc with an eye that moves before a slope; drawn 4 times larger."""
    image = np.full((4 * SIDE, 4 * SIDE, 3), 90, np.uint8)
    image[:, :, 0] = np.linspace(40, 140, 4 * SIDE)
    centre = (round(4 * (16 + x)), round(4 * (16 + y)))
    cv2.circle(image, centre, 26, colour, -1)
    cv2.circle(image, (centre[0] + 8, centre[1] - 8), 7, (10, 10, 10), -1)
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of four clips without keypoints."""
    cache = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    for name in "abcd":
        colour = rng.integers(150, 255, 3).tolist()
        turn = rng.uniform(0, 6, 2)
        places = [6 * np.sin(0.4 * i + turn) for i in range(16)]
        np.save(cache / f"{name}.npy", np.array([frame(*place, colour) for place in places]))
        np.savez(cache / f"{name}.npz", number=np.arange(16))
    return cache


def config(folder: Path, out: Path, steps: int = 3) -> TrainConfig:
    return TrainConfig(
        out=out,
        keypoints="learned",
        cache=folder,
        validation=folder,
        steps=steps,
        phases=(Phase(SIDE, 4, 1.0),),
        augment=NONE,
        warmup_steps=5,
        sizes=SIZES,
        detector=DETECTOR,
        device="cpu",
        threads=1,
        bf16=False,
        checkpoint_s=0,
        validate_s=1e9,
        validation_pairs=3,
        validation_sizes=(SIDE, SIDE),
    )


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    others = b.state_dict()
    return all(torch.equal(value, others[name]) for name, value in a.state_dict().items())


@pytest.mark.slow
def test_it_learns_to_follow_without_labels(folder: Path, tmp_path: Path) -> None:
    """The result is well nearer than the copy, and the keypoints go with the disc."""
    part = replace(config(folder, tmp_path, 250), learning_rate=4e-3, ema=0.9, checkpoint_s=1e9)
    net = Trainer(replace(part, phases=(Phase(SIDE, 8, 1.0),))).run().eval()
    row = list(csv.DictReader((tmp_path / "curves.csv").open()))[-1]
    task = f"reconstruction_{SIDE}_learned"
    assert float(row[f"{task}_net_l1"]) < 0.6 * float(row[f"{task}_copy_l1"])
    frames = np.stack([frame(x, 0, [200, 210, 220]) for x in (-5, 5)])
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    assert net.detector is not None
    with torch.no_grad():
        places = net.detector(pictures).xy
    moved_px = (places[1] - places[0])[:, 0] * SIDE / 2
    assert float(moved_px.max()) == pytest.approx(10, abs=2)


def test_one_seed_one_result_and_going_on_equals_never_having_stopped(
    folder: Path, tmp_path: Path
) -> None:
    straight = Trainer(config(folder, tmp_path / "a", 4))
    straight.run()
    short = Trainer(config(folder, tmp_path / "b", 4))
    for step in range(2):
        short._learn(short._prepare(step))
    short.save()
    again = Trainer(config(folder, tmp_path / "b", 4))
    assert again.step == 2
    again.run()
    assert same(straight.average, again.average) and same(straight.net, again.net)
    assert straight.average.detector is not None


def test_the_equivariance_terms_count_only_with_their_weights(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(config(folder, tmp_path / "a"))
    trainer._learn(trainer._prepare(0))
    assert {"equivariance", "equivariance_jacobian"} <= set(trainer._since)
    none = LossWeights(equivariance=0, equivariance_jacobian=0)
    without = Trainer(replace(config(folder, tmp_path / "b"), losses=none))
    without._learn(without._prepare(0))
    assert "equivariance" not in without._since


def test_half_precision_keeps_places_whole(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(config(folder, tmp_path), bf16=True))
    fed = trainer._prepare(0)
    trainer._learn(fed)
    assert np.isfinite(trainer._since["loss"])
    with torch.no_grad():
        trainer.net.eval()
        full = trainer.net.points(fed.batch)[0].xy
        with torch.autocast("cpu", torch.bfloat16):
            half = trainer.net.points(fed.batch)[0].xy
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, atol=0.02, rtol=0)  # a third of a pixel here


def test_jacobians_are_left_out_at_the_start(folder: Path, tmp_path: Path) -> None:
    """With a detector whose Jacobians are far off, shifts alone animate as the identity would."""
    trainer = Trainer(replace(config(folder, tmp_path, 4), shifts_only=0.5))
    net, batch = trainer.net.eval(), trainer._prepare(0).batch
    told = []
    net.register_forward_pre_hook(
        lambda module, inputs, words: told.append(words["shifts_only"]), with_kwargs=True
    )
    with torch.no_grad():
        straight = net(batch, shifts_only=True).result.motion.flow
        assert net.detector is not None
        net.detector.affine.bias.copy_(torch.tensor([0.6, 0.4, -0.7, 1.3] * 2))
        turned = net(batch, shifts_only=True)
        torch.testing.assert_close(turned.result.motion.flow, straight)
        assert not torch.allclose(turned.driving.jacobian, torch.eye(2))  # the losses see them
    told.clear()
    trainer.run()
    assert told[:4] == [True, True, False, False]


def test_export_holds_both_networks(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(config(folder, tmp_path, 2))
    net = trainer.run()
    path = tmp_path / "object.safetensors"
    learner.export(tmp_path / CHECKPOINT, path)
    for file in (path, tmp_path / BEST):
        found = files.read_weights(file)
        assert (found.kind, found.window, found.sizes) == ("object", "frame", SIZES)
        for ours, kept in ((found.animator, net.animator), (found.detector, net.detector)):
            assert ours is not None and kept is not None
            for name, value in kept.state_dict().items():
                torch.testing.assert_close(ours.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_start_from_loads_exactly(folder: Path, tmp_path: Path) -> None:
    """Weights of a file, its sizes, and no optimiser state."""
    path = tmp_path / "start.safetensors"
    torch.manual_seed(9)
    animator, detector = build.fast(SIZES, torch.tensor([0.2, 0.4])), build.detector(DETECTOR)
    files.write_weights(
        path,
        animator=animator,
        detector=detector,
        detector_sizes=DETECTOR,
        kind="object",
        window="frame",
    )
    kept = files.read_weights(path)
    other = replace(config(folder, tmp_path / "run"), start_from=path, sizes=FastSizes())
    trainer = Trainer(other)
    assert trainer.step == 0 and not trainer._optimiser.state
    assert trainer.net.animator.sizes == SIZES
    for networks in (trainer.net, trainer.average):
        assert kept.animator is not None and kept.detector is not None
        assert same(networks.animator, kept.animator) and networks.detector is not None
        assert same(networks.detector, kept.detector)
    trainer._learn(trainer._prepare(0))
    with pytest.raises(InputError, match="found nothing"):
        Trainer(replace(other, start_from=tmp_path / "none.safetensors"))


def test_an_older_checkpoint_goes_on(tmp_path: Path) -> None:
    """Of given keypoints, without the best error and with fewer sizes."""
    from .test_trainer import TINY as FACE
    from .test_trainer import config as face_config
    from .test_trainer import folder as faces

    cache = faces.__wrapped__(type("Factory", (), {"mktemp": lambda self, name: tmp_path})())
    trainer = Trainer(face_config(cache, tmp_path / "run"))
    trainer._learn(trainer._prepare(0))
    trainer.save()
    state = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)
    assert set(state) >= {"net", "average", "optimiser", "random", "step", "samples", "elapsed_s"}
    del state["best"]
    state["sizes"] = {name: state["sizes"][name] for name in ("motion_widths", "deep")}
    torch.save(state, tmp_path / "run" / CHECKPOINT)
    assert Trainer(face_config(cache, tmp_path / "run")).step == 1
    assert read_sizes(state["sizes"]).deep == FACE.deep


def test_patience() -> None:
    best = BestValidation(0.25)
    assert not best.is_exhausted(0.9)  # nothing was seen yet
    assert best.is_better(0.5, 0.1) and not best.is_better(0.6, 0.2)
    assert not best.is_exhausted(0.3) and best.is_exhausted(0.36)
    assert best.is_better(0.4, 0.36) and not best.is_exhausted(0.4)
    again = BestValidation(0.25)
    again.restore(json.loads(json.dumps(best.state())))
    assert again == best
    never = BestValidation(0)
    assert never.is_better(0.5, 0) and not never.is_exhausted(1)


def test_it_stops_when_validation_does_not_improve(folder: Path, tmp_path: Path) -> None:
    """With a learning rate of nothing the first validation stays the best."""
    part = replace(config(folder, tmp_path, 40), learning_rate=0.0, ema=0.0, validate_s=0)
    trainer = Trainer(replace(part, patience=0.1))
    trainer.average.eval()
    error = {"pairs": 1.0}
    trainer.validate = lambda: trainer._best.is_better(error["pairs"], trainer.progress())  # type: ignore
    trainer.run()
    assert 4 <= trainer.step <= 6
    assert Trainer(replace(part, patience=0.1)).is_done()  # and it stays stopped


def test_watch_is_called_after_every_step(folder: Path, tmp_path: Path) -> None:
    calls = []
    Trainer(config(folder, tmp_path), watch=lambda done, values: calls.append((done, values))).run()
    assert [round(3 * done) for done, _ in calls] == [1, 2, 3]
    assert {"loss", "step", "samples_per_s", "equivariance"} <= set(calls[-1][1])


def test_the_flow_teacher_finds_a_known_shift() -> None:
    """The driving picture shows at x what the source shows 4 pixels to the right."""
    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (64, 80), np.uint8), (0, 0), 2)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)  # pyright: ignore
    source, driving = wide[:, :64], wide[:, 4:68]
    flow, trust = optical_flow.between(source, driving, optical_flow.matcher())
    shift_px = (flow - geometry.grid_norm(16, 16)) * 32
    inside = np.s_[2:-2, 2:-3]
    assert np.abs(shift_px[inside] - [4, 0]).max() < 0.5
    assert trust[inside].mean() > 0.9 and trust[:, -1].max() < 0.1  # not seen in the source
    target = flow_teacher.FlowTarget(torch.from_numpy(flow)[None], torch.from_numpy(trust)[None])
    assert float(flow_teacher.loss(target.flow, target)) == 0
    assert float(flow_teacher.loss(target.flow + 0.1, target)) == pytest.approx(0.1, abs=1e-5)


def test_some_pairs_see_no_flow_and_some_a_misplaced_one() -> None:
    still = torch.from_numpy(geometry.grid_norm(16, 16)).expand(400, -1, -1, -1)
    warped = still + 0.05 * torch.sin(9 * still)
    target = flow_teacher.FlowTarget(warped, torch.ones(400, 16, 16))
    plain = flow_teacher.as_seen(target)
    torch.testing.assert_close(plain[:, :2].permute(0, 2, 3, 1), warped)
    seen = flow_teacher.as_seen(target, np.random.default_rng(1))
    none = (seen[:, 2] == 0).all(-1).all(-1)
    clean = (seen == plain).flatten(1).all(1)
    assert 0.12 < none.float().mean() < 0.28 and 0.3 < clean.float().mean() < 0.5
    misplaced = ~(none | clean)
    off = (seen - plain)[misplaced, :2].abs().amax((1, 2, 3))
    trust = seen[misplaced, 2].mean((1, 2))
    assert off.min() > 0 and off.max() < 0.2 and trust.max() <= 1
    assert np.corrcoef(off, trust)[0, 1] < -0.4  # the farther off, the less it is to be trusted


def test_the_networks_see_the_flow_in_training_and_validation(folder: Path, tmp_path: Path) -> None:
    sizes = replace(SIZES, optical=True)
    trainer = Trainer(replace(config(folder, tmp_path), sizes=sizes))
    fed = trainer._prepare(0)
    assert fed.flow_target is None and fed.batch.optical is not None
    assert fed.batch.optical.shape == (4, 3, 8, 8)
    trainer._learn(fed)
    assert all(b.optical is not None for task in trainer._tasks for b in task.batches)


def test_the_flow_teacher_reaches_the_objective(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(config(folder, tmp_path), losses=LossWeights(flow=1.0)))
    fed = trainer._prepare(0)
    assert fed.flow_target is not None and fed.flow_target.flow.shape == (4, 8, 8, 2)
    trainer._learn(fed)
    assert trainer._since["flow"] > 0


def points(batch: int, seed: int) -> Points:
    drawn = torch.Generator().manual_seed(seed)
    xy = torch.rand(batch, 2, 2, generator=drawn) - 0.5
    return Points(xy, torch.eye(2) + 0.2 * torch.randn(batch, 2, 2, 2, generator=drawn))


def test_the_switches_change_what_they_say() -> None:
    torch.manual_seed(4)
    picture, source, target = torch.rand(2, 3, 32, 32), points(2, 1), points(2, 2)

    def found(source: Points = source, **switch: bool) -> build.Animated:
        torch.manual_seed(5)
        net = build.fast(replace(SIZES, **switch), torch.tensor([0.2, 0.3])).eval()
        with torch.no_grad():
            net.motion.head.weight.normal_(std=0.2)
            return net(picture, source, target)

    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    turned = Points(source.xy, turn @ source.jacobian)
    assert not torch.allclose(found().motion.flow, found(turned).motion.flow)
    flat = [found(x, jacobians=False).motion.flow for x in (source, turned)]
    torch.testing.assert_close(*flat)
    assert (found(occlusion=False).motion.occlusion == 1).all()
    assert float(found().motion.occlusion.min()) < 0.99
    whole = found(blend=False).painted
    assert torch.equal(whole.picture, whole.paint) and (whole.alpha == 1).all()
    assert float(found().painted.alpha.max()) < 0.9


def test_without_jacobians_every_map_is_a_shift() -> None:
    """With one keypoint that is everything, the flow is the difference of the two places."""
    net = build.fast(replace(SIZES, jacobians=False), torch.tensor([50.0, 50.0])).eval()
    net.motion.loud.data[0] = -50  # no background
    shift = torch.tensor([0.3, -0.2])
    source = points(1, 3)
    target = Points(source.xy + shift, points(1, 4).jacobian)
    with torch.no_grad():
        flow = net.motion(torch.rand(1, 3, 8, 8), source, target).flow
    expected = torch.from_numpy(geometry.grid_norm(8, 8)) - shift
    torch.testing.assert_close(flow[0], expected, atol=1e-5, rtol=0)


def test_vgg_by_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network of VGG-19's layout in torchvision's place."""
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(InputError, match="torchvision"):
        losses.perceptual(Path("vgg19"))
    layers: list[torch.nn.Module] = []
    inputs = 3
    for count in (2, 2, 4, 4, 4):
        for _ in range(count):
            layers += [torch.nn.Conv2d(inputs, 4, 3, padding=1), torch.nn.ReLU(inplace=True)]
            inputs = 4
        layers.append(torch.nn.MaxPool2d(2))
    made = types.SimpleNamespace(features=torch.nn.Sequential(*layers))
    fake = types.ModuleType("torchvision.models")
    fake.vgg19 = lambda weights: made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision.models", fake)
    network = losses.perceptual(Path("vgg19"))
    picture = torch.rand(1, 3, 32, 32)
    kept = network.features(picture)  # type: ignore[operator]
    assert [x.shape[-1] for x in kept] == [32, 16, 8, 4, 2]
    assert all((x >= 0).all() for x in kept)  # after a ReLU
    assert float(network(picture, picture)) == 0 and float(network(1 - picture, picture)) > 0


def test_tensorboard_is_asked_for_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        Curves(tmp_path, tensorboard=True)
    written = []
    board = types.SimpleNamespace(
        add_scalar=lambda name, value, step: written.append((name, value, step)),
        flush=lambda: None,
    )
    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = lambda folder: board  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    Curves(tmp_path, tensorboard=True).add({"step": 7, "l1": 0.5})
    assert ("l1", 0.5, 7) in written


def test_a_batch_goes_to_its_device_whole() -> None:
    """On the meta device, where nothing is computed: nothing of it may stay behind."""
    batch = Batch(*(torch.zeros(2, 3, 8, 8) for _ in range(2)), points(2, 1), points(2, 2))
    moved = learner.at_device(batch, torch.device("meta"))
    tensors = [moved.source, moved.driving, *moved.source_points, *moved.driving_points]  # type: ignore
    assert all(tensor.device.type == "meta" for tensor in tensors)
