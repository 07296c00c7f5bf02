"""Training of a painter: it learns, goes on where it was stopped, exports its best weights."""

import cv2
import numpy as np
import pytest
import torch

from hybridanim.errors import InputError
from hybridanim.face import face_model, paint_windows
from hybridanim.face.paint_windows import KINDS, MOUTH
from hybridanim.networks import painters_file
from hybridanim.training.painters import pairs, resident, samples, tensors
from hybridanim.training.painters.trainer import PainterConfig, PainterTrainer
from hybridanim.types import HeadPose

MODEL = face_model.load()
POSE = HeadPose(np.eye(3), 100.0, np.array([100.0, 100.0]))


def rows_of(kind, count=12, seed=0):
    """Windows whose true picture is the warped one, darker inside of lips or lids."""
    rng = np.random.default_rng(seed)
    name = "jaw_open" if kind is MOUTH else "left_lid_open"
    rows = np.zeros(count, pairs.row_type(kind))
    for row in rows:
        points = []
        for amount in (rng.uniform(0.08, 0.14), rng.uniform(0, 0.02)):
            xy = POSE.project(MODEL.vertices(None, MODEL.along(**{name: amount})))[:, :2]
            matrix = paint_windows.place(kind, xy, POSE)
            points.append(paint_windows.inside(kind, xy, matrix))
        row["now"], row["was"] = points
        noise = rng.integers(60, 220, (kind.height_px, kind.width_px, 3), np.uint8)
        row["warped"] = row["own"] = cv2.GaussianBlur(noise, (0, 0), 3)
        inner = paint_windows.masks(kind, *points)[1 if kind is MOUTH else 0] > 0
        row["true"] = np.where(inner[..., None], row["warped"] // 3, row["warped"])
    return rows


@pytest.fixture(scope="module")
def data():
    return {
        name: samples.gather(kind, [rows_of(kind), rows_of(kind, 8, 1)])
        for name, kind in KINDS.items()
    }


def config(out, **more):
    settings = {"kind": "eye", "batch": 4, "time_budget_s": 0.0, "warmup_steps": 2, "steps": 3}
    return PainterConfig(out=out, checkpoint_s=0.0, **{**settings, **more})


def test_the_error_falls(tmp_path, data):
    settings = config(tmp_path, steps=16, gan_from=2.0, learning_rate=4e-3)
    run = PainterTrainer(settings, data["eye"], data["eye"])
    errors = [run._learn(run._prepare(step))["l1"] for step in range(16)]
    assert np.mean(errors[-4:]) < 0.85 * errors[0]


def test_the_best_network_is_exported_with_a_strip(tmp_path, data):
    lines = []
    run = PainterTrainer(config(tmp_path, steps=1), data["eye"], data["eye"], lines.append)
    found = run.validate()
    assert found["warped"] > 0
    assert found["copy"] == pytest.approx(found["warped"])  # of these pairs
    assert list(painters_file.read(run.export())) == ["eye"]
    assert list(tmp_path.glob("strip_*.png"))
    assert any("painted" in line for line in lines)


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path, data):
    settings = {"gan_from": 0.3}  # the discriminator's state goes on, too
    given = data["eye"], data["eye"]
    whole = PainterTrainer(config(tmp_path / "whole", **settings), *given)
    whole.run()
    first = PainterTrainer(config(tmp_path / "parts", **settings), *given)
    for step in range(2):
        first._learn(first._prepare(step))
    first.save()
    second = PainterTrainer(config(tmp_path / "parts", **settings), *given)
    assert second.step == 2
    second.run()
    one, two = (run.average.state_dict() for run in (whole, second))
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


def test_a_run_starts_from_weights_of_its_kind(tmp_path, data):
    eye = PainterTrainer(config(tmp_path / "a", steps=1), data["eye"], data["eye"])
    file = tmp_path / "eye.safetensors"
    painters_file.write({"eye": eye.net}, file)
    again = config(tmp_path / "b", seed=9, start_from=file)
    run = PainterTrainer(again, data["eye"], data["eye"])
    for name, value in run.net.state_dict().items():
        np.testing.assert_allclose(value.numpy(), eye.net.state_dict()[name].numpy(), atol=1e-3)
    other = config(tmp_path / "c", kind="mouth", start_from=file)
    with pytest.raises(InputError, match="mouth"):
        PainterTrainer(other, data["mouth"], data["mouth"])


def test_batches_depend_on_seed_and_step_alone(data):
    one, two = (samples.batch(data["mouth"], 5, np.random.default_rng([1, 7])) for _ in range(2))
    np.testing.assert_array_equal(one.inputs, two.inputs)
    assert one.inputs.shape == (5, 9, 64, 96)
    assert np.abs(one.inputs).max() < 30
    assert 0 <= one.region.min() <= one.region.max() <= 1


def test_a_batch_shows_what_it_was_made_of(data):
    row = data["mouth"].row(3)
    batch = samples.of_rows(MOUTH, [samples.plain(row)])
    given = tensors.at_device(batch, torch.device("cpu"))
    np.testing.assert_allclose(batch.true[0] * 255, np.moveaxis(row["true"], -1, 0), atol=1e-3)
    colour = torch.from_numpy(batch.inputs[:, :3])
    result, paint, _ = tensors.composed(given, colour, torch.ones(1, 1, 64, 96))
    np.testing.assert_allclose(paint.numpy(), batch.warped, atol=1e-4)  # in, out: the same colours
    np.testing.assert_allclose(result.numpy(), batch.warped, atol=1e-4)


def test_a_grey_pair_stays_grey_in_all_augmentations(data):
    rng = np.random.default_rng(2)
    row = np.array(data["mouth"].row(0))
    for name in ("warped", "own", "true"):
        row[name] = row[name][..., :1]
    sets = [samples._augmented(MOUTH, row, rng).pictures for _ in range(30)]
    tints = [np.ptp(one.astype(int).mean((0, 1, 2))) for one in sets]
    assert np.median(tints) <= 1
    assert max(tints) > 3  # some are tinted


def test_a_mirrored_mouth_turns_the_other_way(data):
    pair = samples.plain(data["mouth"].row(0))
    mirrored = samples.mirrored(pair)
    again = samples.mirrored(mirrored)
    np.testing.assert_array_equal(again.pictures, pair.pictures)
    np.testing.assert_allclose(again.now, pair.now, atol=1e-4)
    shapes = [paint_windows.masks(MOUTH, p.now, p.was)[0] for p in (pair, mirrored)]
    assert np.abs(shapes[0].astype(int) - shapes[1][:, ::-1]).mean() < 1


@pytest.mark.parametrize("name", ["mouth", "eye"])
def test_resident_pairs_are_those_of_the_other_way(data, name):
    """What the device makes of pairs as they are is what the processor makes of them."""
    pairs_ = data[name]
    held = resident.Resident(pairs_, 100, 1, torch.device("cpu"), 2)
    found = held.plain(torch.tensor([3, 15]))
    batch = samples.of_rows(pairs_.kind, [samples.plain(pairs_.row(i)) for i in (3, 15)])
    expected = tensors.at_device(batch, torch.device("cpu"))
    for field, one, other in zip(found._fields, found, expected, strict=True):
        # chromaticities of dark colours are sums that cancel; regions are kept in half precision
        tolerance = {"inputs": 2e-3, "region": 1e-3}.get(field, 2e-4)
        torch.testing.assert_close(one, other, atol=tolerance, rtol=2e-4, msg=field)


def test_a_resident_mirror_is_the_mirror(data):
    pairs_ = data["mouth"]
    held = resident.Resident(pairs_, 100, 1, torch.device("cpu"))
    pictures = held._pictures[[4]].flip(-1).float() / 255
    found = held._tensors(pictures, torch.tensor([4]), torch.tensor([1]))
    one = samples.mirrored(samples.plain(pairs_.row(4)))
    expected = tensors.at_device(samples.of_rows(MOUTH, [one]), torch.device("cpu"))
    for field in ("inputs", "quantities", "shapes", "region"):
        torch.testing.assert_close(
            getattr(found, field), getattr(expected, field), atol=2e-3, rtol=1e-3
        )


def test_colours_and_sharpness_on_the_device_against_opencv(data):
    row = data["mouth"].row(2)
    given = np.stack([row["warped"], row["own"], row["true"]])
    pictures = torch.from_numpy(np.moveaxis(given, -1, 1)).float()[None] / 255
    for sigma, amount in ((1.0, -1.0), (1.2, 0.8), (1.2, 0.0)):
        found = resident.sharpened(pictures, torch.tensor([sigma]), torch.tensor([amount]))[0]
        for mine, picture in zip(found, given, strict=True):
            soft = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), sigma)
            expected = np.clip(picture + amount * (picture - soft), 0, 255)
            off = np.abs(np.moveaxis(mine.numpy() * 255, 0, -1) - expected)
            assert off.max() < 1.5 and off.mean() < 0.6
    curve = torch.tensor([[1.2, 0.9, 0.03]])
    mix = torch.tensor([[[0.8, 0.1, 0.1], [0.0, 1.1, 0.0], [0.2, 0.2, 0.5]]])
    found = resident.recoloured(pictures, curve, mix)[0, 0].permute(1, 2, 0).numpy()
    values = np.clip(0.5 + ((given[0] / 255) ** 1.2 - 0.5) * 0.9 + 0.03, 0, 1)
    expected = np.clip(cv2.transform(values, mix[0].double().numpy()), 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_resident_batches_are_augmented_as_much_and_drawn_by_their_weights(data):
    pairs_, count = data["mouth"], 300
    held = resident.Resident(pairs_, 100, 1, torch.device("cpu"))
    one, two, other = (held.batch(step, count) for step in (5, 5, 6))
    assert torch.equal(one.inputs, two.inputs) and not torch.equal(one.inputs, other.inputs)
    batch = samples.batch(pairs_, count, np.random.default_rng(1))
    expected = tensors.at_device(batch, torch.device("cpu"))
    for found, true in zip(
        (one.own, one.warped, one.true, one.quantities),
        (expected.own, expected.warped, expected.true, expected.quantities), strict=True
    ):  # fmt: skip
        mean, true_mean = found.flatten(1).mean(1), true.flatten(1).mean(1)
        assert float(mean.mean()) == pytest.approx(float(true_mean.mean()), abs=0.03)
        assert float(mean.std()) == pytest.approx(float(true_mean.std()), rel=0.25)
    few = resident.Resident(pairs_, 7, 1, torch.device("cpu"))
    assert len(few) == 7 and few.batch(0, 3).inputs.shape == (3, 9, 64, 96)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_stopped_run_of_resident_pairs_goes_on(tmp_path, data, bf16):
    more = {"gan_from": 0.3, "resident": 50, "bf16": bf16, "checkpoint_mib": 0.5, "limit_s": 600.0}
    given = data["eye"], data["eye"]
    whole = PainterTrainer(config(tmp_path / "whole", **more), *given)
    whole.run()
    first = PainterTrainer(config(tmp_path / "parts", **more), *given)
    for step in range(2):
        first._learn(first._prepare(step))
    first.save()
    assert max(p.stat().st_size for p in (tmp_path / "parts").glob("checkpoint*")) <= 2**19
    second = PainterTrainer(config(tmp_path / "parts", **more), *given)
    second.run()
    one, two = (run.average.state_dict() for run in (whole, second))
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    # and in float32, drawn by the processor
    third = PainterTrainer(config(tmp_path / "parts", steps=4, gan_from=0.3), *given)
    assert third.step == 3
    third.run()
    assert painters_file.read(third.export())["eye"].sizes == third.net.sizes
