"""Batches that are made on the device: the same as those of ``pairs``, for the same draws."""

import cv2
import numpy as np
import pytest
import torch

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.training import device as devices
from hybridanim.training.animator import flow_teacher
from hybridanim.training.animator.flow_teacher import FlowTarget
from hybridanim.training.data import augment, device_augment
from hybridanim.training.data.augment import Augment, PairTransform
from hybridanim.training.data.batch import anchor_layout
from hybridanim.training.data.cache import PER_FRAME, Clip
from hybridanim.training.data.device_augment import Transforms
from hybridanim.training.data.pairs import Pairs
from hybridanim.training.data.resident import Resident

CPU = torch.device("cpu")
LAYOUT = anchor_layout()


def smooth(rng: np.random.Generator, side: int = 64):
    coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def keypoints(rng: np.random.Generator, count: int):
    rows = np.concatenate(
        [rng.uniform(-0.6, 0.6, (count, LAYOUT.count, 2)), rng.normal(0, 1, (count, 38, 4))], 2
    )
    return np.concatenate([rows, np.ones((count, 38, 1))], 2).astype(np.float32)


def clips(count: int = 3, frames: int = 10, side: int = 64) -> list[Clip]:
    rng = np.random.default_rng(5)
    out = []
    for i in range(count):
        images = np.array([smooth(rng, side) for _ in range(frames)])
        out.append(Clip(f"c{i}", f"p{i}", images, {PER_FRAME: keypoints(rng, frames)}))
    return out


def as_tensors(drawn: list[PairTransform]) -> Transforms:
    kinds = ("gaussian", "speckle", "salt_pepper")
    return Transforms(
        torch.from_numpy(np.stack([t.view for t in drawn])),
        torch.tensor([t.is_flipped for t in drawn]),
        torch.from_numpy(np.stack([t.colour for t in drawn])),
        torch.tensor([[float(t.noise == kind) for kind in kinds] for t in drawn]),
        torch.ones(len(drawn)),
    )


def drawn_by_numpy(settings: Augment, count: int) -> list[PairTransform]:
    rng = np.random.default_rng(2)
    return [augment.draw_transform(settings, rng) for _ in range(count)]


def test_pictures_and_keypoints_are_those_of_the_other_augmentation() -> None:
    settings = Augment(noisy=0, point_noise=0, jacobian_noise=0, offset_norm=0)
    rng, drawn = np.random.default_rng(3), drawn_by_numpy(settings, 6)
    images, rows = [smooth(rng) for _ in drawn], keypoints(rng, 6)[..., :6]
    frames = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    draw = devices.generator(CPU, [1])
    found = device_augment.pictures(frames, as_tensors(drawn), 64, draw, settings)
    points = device_augment.keypoints(
        torch.from_numpy(rows), as_tensors(drawn), LAYOUT, settings, draw
    )
    for i, transform in enumerate(drawn):
        expected = augment.transform_frames([images[i]], transform, rng)[0]
        off = np.abs(found[i].permute(1, 2, 0).numpy() - expected) * 255
        assert np.percentile(off, 99) < 4 and off.mean() < 0.7  # OpenCV's weights have 5 bits
        expected = augment.transform_keypoints(rows[i], transform, LAYOUT, rng)
        np.testing.assert_allclose(points.xy[i], expected[:, :2], atol=1e-5)
        flat = points.jacobian[i].flatten(1)
        np.testing.assert_allclose(flat, expected[:, 2:], atol=1e-5)


def test_close_ups_show_the_same_window() -> None:
    settings = Augment(close_up=1.0, noisy=0, turn_deg=0, grow=(1, 1), crop=0, shift_norm=0, flip=0)
    rng, row = np.random.default_rng(4), keypoints(np.random.default_rng(1), 1)[0]
    about = row[LAYOUT.watched, :2] * 0.4
    one = drawn_by_numpy(settings, 1)
    placed = device_augment.close_ups(
        as_tensors(one), torch.from_numpy(about)[None], 32, 64, devices.generator(CPU, [0])
    )
    image = smooth(rng)
    frames = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    plain = placed._replace(colour=torch.eye(3, 4)[None])
    found = device_augment.pictures(frames, plain, 32, devices.generator(CPU, [0]), settings)[0]
    found = (found.permute(1, 2, 0).numpy() * 255).round().astype(int)
    windows = [
        (y, x) for y in range(33) for x in range(33)
        if np.abs(image[y : y + 32, x : x + 32] - found).max() <= 1
    ]  # fmt: skip
    assert len(windows) == 1, "not a window of whole pixels"
    middle = (about.min(0) + about.max(0)) / 2
    expected_px = (middle[::-1] + 1) * 32 - 16
    assert np.abs(np.clip(expected_px, 0, 32) - windows[0]).max() <= 0.1 * 32 + 1
    assert float(placed.zoom[0]) == 2.0


def test_draws_have_the_ranges_of_the_settings() -> None:
    settings, count = Augment(noisy=0.5), 4000
    found = device_augment.draw_transforms(settings, count, devices.generator(CPU, [7]))
    other = as_tensors(drawn_by_numpy(settings, count))
    for name in ("view", "colour", "noise", "is_flipped"):
        mine, theirs = (getattr(x, name).float().flatten(1) if getattr(x, name).ndim > 1
                        else getattr(x, name).float()[:, None] for x in (found, other))  # fmt: skip
        torch.testing.assert_close(mine.mean(0), theirs.mean(0), atol=0.05, rtol=0)
        torch.testing.assert_close(mine.std(0), theirs.std(0), atol=0.03, rtol=0)


@pytest.mark.parametrize("size", [32, 64])
def test_a_batch_is_of_its_seed_and_step_alone(size: int) -> None:
    data, settings = clips(), Augment(close_up=0.5, opposite=0.5)
    made = [
        Resident(
            data, Pairs(data, LAYOUT, settings, seed=1), LAYOUT, settings,
            seed=1, count=20, has_flow=True, device=CPU, threads=threads,
        )
        for threads in (1, 3)
    ]  # fmt: skip
    one, two = (resident.batch(3, 4, size) for resident in made)
    assert torch.equal(one.batch.source, two.batch.source)
    assert one.flow is not None and two.flow is not None and torch.equal(one.flow, two.flow)
    assert one.batch.source.shape == (4, 3, size, size)
    assert one.flow.shape == (4, size // 4, size // 4, 2)
    assert not torch.equal(one.batch.source, made[0].batch(4, 4, size).batch.source)
    assert made[0].bytes >= 3 * 10 * 64 * 64 * 3


def test_flow_background_and_keypoints_stay_with_the_pictures() -> None:
    """A clip that moves as a whole: in every view the flow is that of the affine, and so on."""
    rng, still = np.random.default_rng(6), smooth(np.random.default_rng(0), 128)
    shifts = [(0, 0), (6, -4)]
    frames = np.array([np.roll(still, s, (1, 0)) for s in shifts])
    rows = keypoints(rng, 1)[..., :7].repeat(2, 0)
    rows[1, :, :2] += np.array(shifts[1]) / 64
    behind = np.array([[[*(np.array(s) / 64), 1, 0, 0, 1, 0]] for s in shifts], np.float32)
    clip = Clip("c", "p", frames, {PER_FRAME: rows}, is_exact=True, background=behind)
    settings = Augment(noisy=0, point_noise=0, jacobian_noise=0, offset_norm=0)
    resident = Resident(
        [clip], Pairs([clip], LAYOUT, settings, seed=1), LAYOUT, settings,
        seed=1, count=8, has_flow=True, device=CPU,
    )  # fmt: skip
    batch, flow, trust = resident.batch(0, 12, 128)
    assert flow is not None and trust is not None and batch.background is not None
    assert batch.source_points is not None and batch.driving_points is not None
    grid = torch.tensor(geometry.grid_norm(32, 32))
    affine = batch.background
    places = torch.einsum("bij,hwj->bhwi", affine[:, :, :2], grid) + affine[:, None, None, :, 2]
    off_px = (flow - places).norm(dim=-1)[trust > 0.9] * 64
    assert len(off_px) > 1000 and float(off_px.median()) < 0.7
    driving, source = batch.driving_points.xy, batch.source_points.xy
    carried = torch.einsum("bij,bkj->bki", affine[:, :, :2], driving) + affine[:, None, :, 2]
    torch.testing.assert_close(carried, source, atol=1e-4, rtol=0)


def test_displaced_flows_are_trusted_as_much_as_those_of_the_processor() -> None:
    still = torch.tensor(geometry.grid_norm(16, 16)).expand(2000, 16, 16, 2)
    target = FlowTarget(still.contiguous(), torch.ones(2000, 16, 16))
    mine = flow_teacher.as_seen_on_device(target, devices.generator(CPU, [1]))
    theirs = flow_teacher.as_seen(target, np.random.default_rng(1))
    for found in (mine, theirs):
        trusts = found[:, 2].mean((1, 2))
        assert 0.17 < float((trusts == 0).float().mean()) < 0.23
        assert 0.36 < float((trusts == 1).float().mean()) < 0.44
    apart = [(x[:, :2] - still.permute(0, 3, 1, 2)).abs().mean() for x in (mine, theirs)]
    assert float(apart[0]) == pytest.approx(float(apart[1]), rel=0.2)
    trusts = [x[:, 2].mean() for x in (mine, theirs)]
    assert float(trusts[0]) == pytest.approx(float(trusts[1]), rel=0.15)


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.pick("auto") == devices.pick("cpu") == CPU
    with pytest.raises(InputError, match="--device cuda: expected a GPU that torch sees"):
        devices.pick("cuda")
    with pytest.raises(InputError, match="--device: expected one of auto, cpu, cuda"):
        devices.pick("gpu")
