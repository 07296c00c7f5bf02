"""Distillation: exact windows, keypoint maths against plain NumPy, losses, and learning at all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.motion import keypoints
from hybridanim.networks import build
from hybridanim.networks.blocks import Points
from hybridanim.networks.keypoint_detector import TEMPERATURE, Detection, moments, shares
from hybridanim.networks.sizes import OBJECT_DETECTOR, DetectorSizes
from hybridanim.networks.weights import read_weights
from hybridanim.training.config import DistillConfig, DistillLosses
from hybridanim.training.data import cache as data_cache
from hybridanim.training.data.batch import anchor_layout
from hybridanim.training.detector import augment, validation
from hybridanim.training.detector.augment import PLAIN, WindowAugment
from hybridanim.training.detector.objective import DistillObjective, relative_error
from hybridanim.training.detector.shape_model import Shape, apply_shape, fit_shape
from hybridanim.training.detector.trainer import Distiller
from hybridanim.training.detector.windows import DistillationDataset, Windows
from hybridanim.training.loop import CHECKPOINT
from hybridanim.types import Array, Crop, HeadBox

TINY = DetectorSizes(38, (8, 16, 16), 32, seen=30)
SIDE = 96


def drawn_face(head: HeadBox, open_mouth: float) -> tuple[Array, Array]:
    """A cartoon of a face, (SIDE, SIDE, 3) uint8, and its anchors (38, 7)."""
    shape = MEAN_SHAPE.copy()
    shape[shape[:, 1] > 0.3, 1] += open_mouth
    turn = geometry.similarity(head.size_px, head.roll_deg)
    landmarks = shape @ turn.T + np.array(head.center_xy_px)
    image = np.full((SIDE, SIDE, 3), 60, np.uint8)
    middle = tuple(round(v) for v in head.center_xy_px)
    cv2.circle(image, middle, round(0.55 * head.size_px), (210, 170, 150), -1)
    for i, (x, y) in enumerate(landmarks):
        cv2.circle(image, (round(float(x)), round(float(y))), 1, (20, 3 * i, 250 - 3 * i), -1)
    crop = Crop(0.0, 0.0, float(SIDE))
    return image, data_cache.packed(keypoints.place_anchors(head, landmarks, MEAN_SHAPE, crop))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of eight frames."""
    folder = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    for name in ("ann__a", "bob__b"):
        x, y = rng.uniform(44, 52, 2)
        made = [drawn_face(HeadBox((x + i, y), 34.0, 3.0 * i), 0.02 * i) for i in range(8)]
        frames, rows = (np.stack(part) for part in zip(*made, strict=True))
        np.save(folder / f"{name}.npy", frames)
        np.savez(folder / f"{name}.npz", teacher=rows, number=np.arange(8))
    return folder


def config_of(cache: Path, out: Path, steps: int) -> DistillConfig:
    return DistillConfig(
        out=out,
        caches=(cache,),
        validation=cache,
        steps=steps,
        batch=8,
        sizes=TINY,
        warmup_steps=5,
        learning_rate=1e-2,
        ema=0.9,
        bf16=False,
        first_px=24,
        augment=replace(WindowAugment(), roll_deg=5, occlude=0, degrade=0, cover_face=0, flip=0),
    )


def test_plain_window_is_that_of_the_program() -> None:
    head = HeadBox((50.3, 41.8), 30.0, 12.0)
    rows = drawn_face(head, 0.0)[1]
    view = augment.draw_view(head, SIDE, PLAIN, np.random.default_rng(0))
    found = augment.keypoints_in_view(rows, view, anchor_layout().mirror)
    window = keypoints.crop_around(head)
    whole = Crop(0.0, 0.0, float(SIDE))
    expected = geometry.norm_from_px(geometry.px_from_norm(rows[:, :2], whole), window)
    np.testing.assert_allclose(found[:, :2], expected, atol=1e-5)
    np.testing.assert_allclose(found[:, 2:], rows[:, 2:6] * SIDE / window.side_px, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_window_and_keypoints_move_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = np.zeros((200, 200, 3), np.uint8)
    place = rng.uniform(85, 115, 2)
    y, x = np.mgrid[:200, :200]
    blob = np.exp(-0.5 * ((x - place[0]) ** 2 + (y - place[1]) ** 2) / 6**2)
    frame[:] = (255 * blob[..., None]).astype(np.uint8)
    rows = np.tile(np.array([0, 0, 1, 0, 0, 1], np.float32), (38, 1))
    rows[:, :2] = geometry.norm_from_px(place, Crop(0, 0, 200))
    view = augment.draw_view(HeadBox((100, 100), 60.0), 200, WindowAugment(), rng)
    small = augment.cut(frame, view, 128).astype(float)[..., 0]
    cells = geometry.grid_norm(128).reshape(-1, 2)
    centroid = small.reshape(-1) @ cells / small.sum()
    found = augment.keypoints_in_view(rows, view, anchor_layout().mirror)[0, :2]
    np.testing.assert_allclose(found, centroid, atol=0.1 * 2 / 128)


def test_a_flipped_view_swaps_sides_and_keeps_faces_upright() -> None:
    head = HeadBox((48.0, 46.0), 32.0)
    image, rows = drawn_face(head, 0.05)
    mirror = anchor_layout().mirror
    plain = augment.draw_view(head, SIDE, PLAIN, np.random.default_rng(0))
    flipped = augment.draw_view(head, SIDE, replace(PLAIN, flip=1.0), np.random.default_rng(0))
    ours, theirs = (augment.keypoints_in_view(rows, view, mirror) for view in (plain, flipped))
    np.testing.assert_allclose(theirs[:, :2], ours[mirror, :2] * [-1, 1], atol=1e-5)
    assert (np.linalg.det(theirs[:, 2:].reshape(-1, 2, 2)) > 0).all()
    one, other = (augment.cut(image, view, 64).astype(int) for view in (plain, flipped))
    assert np.abs(one[:, ::-1] - other).max() <= 2


def test_detection_against_plain_numpy() -> None:
    torch.manual_seed(0)
    sizes = DetectorSizes(3, (4, 6, 6), 16, pool=2)
    net = build.detector(sizes).eval()
    torch.nn.init.normal_(net.affine.weight, std=0.3)
    picture = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        found = net.detect(picture)
        small = torch.nn.functional.avg_pool2d(picture, 2)
        body = net.body(net.stem(torch.nn.functional.pixel_unshuffle(small, 2)))
        logits = net.heat(body).double().numpy()
        maps = net.affine(net.turn(torch.nn.functional.avg_pool2d(body, 2))).double().numpy()
    grid = geometry.grid_norm(8)
    for b in range(2):
        for k in range(3):
            heat = np.exp(logits[b, k] / TEMPERATURE)
            heat /= heat.sum()
            xy = np.array([(heat * grid[..., axis]).sum() for axis in (0, 1)])
            variance = [(heat * (grid[..., axis] - xy[axis]) ** 2).sum() for axis in (0, 1)]
            jacobian = np.zeros(4)
            for row in range(8):
                for column in range(8):
                    cell = maps[b, 4 * k : 4 * k + 4, row // 2, column // 2]
                    jacobian += heat[row, column] * cell
            jacobian = jacobian.reshape(2, 2)
            np.testing.assert_allclose(found.points.xy[b, k], xy, atol=1e-5)
            np.testing.assert_allclose(found.points.jacobian[b, k], jacobian, atol=1e-5)
            np.testing.assert_allclose(found.spread[b, k], np.sqrt(np.mean(variance)), atol=1e-4)


def test_shape_model_of_a_detection_against_plain_numpy() -> None:
    rng = np.random.default_rng(0)
    net = build.detector(DetectorSizes(4, (4, 6, 6), 16, seen=3)).eval()
    shape = Shape(rng.normal(size=(4, 3)), rng.normal(size=(4, 2, 3)))
    with torch.no_grad():
        net.places.copy_(torch.from_numpy(shape.places))
        net.affines.copy_(torch.from_numpy(shape.affines))
        picture = torch.rand(2, 3, 16, 16)
        found = net.detect(picture)
        body = net.body(net.stem(torch.nn.functional.pixel_unshuffle(picture, 2)))
        seen = moments(shares(net.heat(body)))[0].double().numpy()
    expected = apply_shape(shape, seen)
    np.testing.assert_allclose(found.points.xy, expected[..., :2], atol=1e-5)
    np.testing.assert_allclose(found.points.jacobian.flatten(2), expected[..., 2:], atol=1e-5)


def test_shape_model_recovers_linear_faces_and_turns_with_them() -> None:
    rng = np.random.default_rng(1)
    places, affines = rng.normal(0, 0.3, (5, 3)), rng.normal(0, 0.3, (5, 2, 3))
    places[:3] = np.eye(3)
    made = apply_shape(Shape(places, affines), 20 * rng.normal(size=(400, 3, 2)))
    shape = fit_shape(made, 3)
    again = apply_shape(shape, made[:, :3, :2])
    scale = np.abs(made).mean()
    assert np.abs(again - made).mean() < 0.01 * scale
    turn = np.array([[0.3, -1.2], [0.9, 0.4]])
    one, other = (apply_shape(shape, xy) for xy in (made[:, :3, :2], made[:, :3, :2] @ turn.T + 7))
    np.testing.assert_allclose(other[..., :2], one[..., :2] @ turn.T + 7, atol=1e-3)
    jacobian = turn @ one[..., 2:].reshape(400, 5, 2, 2)
    np.testing.assert_allclose(other[..., 2:].reshape(400, 5, 2, 2), jacobian, atol=1e-3)


def test_one_picture_and_a_batch_agree() -> None:
    net = build.detector(TINY).eval()
    pictures = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        together, alone = net(pictures), [net(picture[None]) for picture in pictures]
    torch.testing.assert_close(together.xy, torch.cat([one.xy for one in alone]))
    torch.testing.assert_close(together.jacobian, torch.cat([one.jacobian for one in alone]))


def windows_of(rows: Array, pairs: int = 0) -> Windows:
    shown = torch.ones(len(rows), dtype=torch.bool)
    return Windows(torch.zeros(len(rows), 3, 128, 128), torch.from_numpy(rows), shown, pairs)


def test_loss_is_zero_at_the_truth_and_counts_each_error() -> None:
    rows = np.stack([drawn_face(HeadBox((48, 46), 32.0), 0.02 * i)[1][:, :6] for i in range(2)])
    objective = DistillObjective(DistillLosses())
    truth = Points(
        torch.from_numpy(rows[..., :2]), torch.from_numpy(rows[..., 2:]).unflatten(-1, (2, 2))
    )
    sure = torch.full((2, 38), 0.8 * 2 / 64)
    _, terms = objective(windows_of(rows, pairs=1), Detection(truth, sure))
    for name, term in terms.items():
        assert float(term) == pytest.approx(0, abs=1e-5), name
    shifted = Detection(Points(truth.xy + 0.1, truth.jacobian), sure)
    _, terms = objective(windows_of(rows, pairs=1), shifted)
    assert terms["place"] > 0.05 and terms["spread"] > 0.5
    assert terms["opening"] < 1e-4  # both ends are off alike
    assert terms["motion"] < 0.01 * terms["place"]  # and both frames, nearly: their scales differ


def test_relative_error_of_a_scaled_jacobian() -> None:
    truth = torch.tensor([[[[0.5, 0.2], [-0.1, 0.6]]]])
    torch.testing.assert_close(relative_error(1.1 * truth, truth), torch.tensor([[0.05]]))


def test_a_batch_depends_on_seed_and_step_alone(cache: Path, tmp_path: Path) -> None:
    clips = data_cache.read(cache)
    config = replace(config_of(cache, tmp_path, 1), augment=WindowAugment())
    one, same, next_ = (DistillationDataset(clips, config).batch(step, 32) for step in (5, 5, 6))
    torch.testing.assert_close(one.pictures, same.pictures)
    torch.testing.assert_close(one.rows, same.rows)
    assert not torch.equal(one.rows, next_.rows)
    assert one.pictures.shape == (8, 3, 32, 32) and one.pairs == 2
    assert one.pictures.min() >= 0 and one.pictures.max() <= 1


def _until(run: Distiller, stop: int, steps: int) -> Callable[..., float]:
    """The progress of a run that is stopped early."""

    def progress(step: int | None = None) -> float:
        if step is None:
            return run.step / steps if run.step < stop else 1.0
        return step / steps

    return progress


def test_learning_beats_the_start_and_goes_on_after_a_stop(cache: Path, tmp_path: Path) -> None:
    whole = Distiller(config_of(cache, tmp_path / "whole", 40))
    before = whole.validate()
    whole.run()
    weights = whole.export()
    after = whole.validate()
    assert after["place"] < 0.4 * before["place"], (before, after)
    found = read_weights(weights)
    assert found.kind == "face" and found.window == "head" and found.detector_sizes == TINY
    assert found.detector is not None
    torch.testing.assert_close(found.detector.places, whole.average.places)
    for steps in (3, 6):
        part = Distiller(replace(config_of(cache, tmp_path / "parts", 6), steps=steps))
        part.progress = _until(part, steps, 6)
        part.run()
    full = Distiller(config_of(cache, tmp_path / "full", 6))
    full.run()
    for name, value in full.average.state_dict().items():
        torch.testing.assert_close(value, part.average.state_dict()[name], msg=name)


def test_an_older_checkpoint_goes_on(cache: Path, tmp_path: Path) -> None:
    """One that does not hold the random numbers and the count of samples."""
    full = Distiller(config_of(cache, tmp_path / "full", 3))
    full.run()
    part = Distiller(config_of(cache, tmp_path / "part", 3))
    part._learn(part._prepare(0))
    part.save()
    state = torch.load(tmp_path / "part" / CHECKPOINT, weights_only=True)
    old = ("net", "average", "optimiser", "step", "elapsed_s", "since", "sizes")
    torch.save({name: state[name] for name in old}, tmp_path / "part" / CHECKPOINT)
    again = Distiller(config_of(cache, tmp_path / "part", 3))
    assert again.step == 1 and again.samples == 8
    again.run()
    for name, value in full.average.state_dict().items():
        assert torch.equal(value, again.average.state_dict()[name]), name


def test_missing_keypoints_and_other_sizes_are_refused(cache: Path, tmp_path: Path) -> None:
    config = config_of(cache, tmp_path / "a", 1)
    with pytest.raises(InputError, match="keypoint set 'tracked', found none"):
        Distiller(replace(config, points="tracked"))
    Distiller(config).save()
    with pytest.raises(InputError, match="choose another folder"):
        Distiller(replace(config, sizes=replace(TINY, widths=(8, 8, 8))))


def test_measures_of_known_errors() -> None:
    truth = np.stack([drawn_face(HeadBox((48 + i, 46), 32.0), 0.0)[1] for i in range(4)])
    found = truth.copy()
    apart = validation.between_eyes(truth)
    found[:, 0, 0] += 0.1 * apart
    error = validation.place_error(found, truth)
    np.testing.assert_allclose(error[:, 0], 10, rtol=1e-4)
    assert error[:, 1:].max() == 0
    assert validation.unbiased_error(found, truth).max() < 1e-3  # it stays the same
    found[..., 2:6] *= 1.2
    np.testing.assert_allclose(validation.affine_error(found, truth), 10, rtol=1e-3)
    assert validation.jitter(truth[..., :2]) < 1e-5  # a steady motion does not shake
    shaking = truth[..., :2] + 0.05 * np.array([1, -1, 1, -1])[:, None, None]
    expected = 0.2 * np.sqrt(2) / apart.mean()
    assert validation.jitter(shaking) == pytest.approx(expected, rel=1e-3)
    together = np.concatenate(list(validation.GROUPS.values()))
    assert sorted(together.tolist()) == list(range(38))


def test_a_run_starts_from_a_weights_file(cache: Path, tmp_path: Path) -> None:
    """Before its first step it is the detector of the file; another kind of detector is refused."""
    first = Distiller(config_of(cache, tmp_path / "first", 1))
    first.run()
    config = replace(config_of(cache, tmp_path / "second", 1), start_from=first.export())
    for name, value in Distiller(config).net.state_dict().items():
        kept = first.average.state_dict()[name]
        assert torch.allclose(value.float(), kept.float(), atol=2e-3), name
    other = replace(config, out=tmp_path / "third", sizes=OBJECT_DETECTOR)
    with pytest.raises(InputError, match="expected a detector of"):
        Distiller(other)
