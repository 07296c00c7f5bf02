"""Monkey-Net's parts against closed forms, and its weights files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hybridanim.errors import InputError
from hybridanim.networks import blocks, monkeynet, shapes, size_limits, sizes, weights
from hybridanim.networks.blocks import Points
from hybridanim.networks.discriminator import PatchDiscriminator
from hybridanim.networks.keypoint_detector import moments
from hybridanim.training.config import monkeynet_settings
from tests import made_networks as made
from tests.made_networks import TINY_MONKEYNET as TINY


def gaussian(mean, covariance, side: int) -> np.ndarray:
    """(side, side) density on cell centres that sums to one; numpy, independent of the blocks."""
    at = (np.arange(side) + 0.5) * 2 / side - 1
    offset = np.stack(np.meshgrid(at, at), -1) - mean
    near = np.exp(-0.5 * np.einsum("hwi,ij,hwj->hw", offset, np.linalg.inv(covariance), offset))
    return near / near.sum()


def spd(rng, count: int, low: float = 0.004, high: float = 0.03) -> np.ndarray:
    """Random covariances (count, 2, 2) with variances between two bounds along their axes."""
    angle = rng.uniform(0, np.pi, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1)
    turn = turn.reshape(-1, 2, 2)
    return turn @ (rng.uniform(low, high, (count, 2))[..., None] * turn.transpose(0, 2, 1))


def test_mean_and_covariance_of_a_gaussian() -> None:
    """Equations 1 and 2: the moments of a heatmap are those that it was drawn with."""
    rng = np.random.default_rng(0)
    means, covariances = rng.uniform(-0.3, 0.3, (6, 2)), spd(rng, 6)
    drawn = [gaussian(m, c, 64) for m, c in zip(means, covariances, strict=True)]
    heat = torch.from_numpy(np.stack(drawn)).float()[None]
    mean, _ = moments(heat)
    found = monkeynet.covariance(heat, mean)
    assert mean[0].numpy() == pytest.approx(means, abs=1e-4)
    assert found[0].numpy() == pytest.approx(covariances, abs=1e-4)


def test_root_and_bound_of_covariances() -> None:
    matrix = spd(np.random.default_rng(1), 8, 1e-5, 0.02)
    given = torch.from_numpy(matrix).float()
    bounded = monkeynet.bounded(given, 0.001)
    least = np.linalg.eigvalsh(bounded.numpy())[:, 0]
    assert least == pytest.approx(np.maximum(np.linalg.eigvalsh(matrix)[:, 0], 0.001), rel=2e-3)
    root = monkeynet.square_root(bounded)
    assert (root @ root).numpy() == pytest.approx(bounded.numpy(), abs=1e-6)
    assert root.numpy() == pytest.approx(root.transpose(1, 2).numpy())


def test_heatmaps_are_normalised_gaussians() -> None:
    rng = np.random.default_rng(2)
    mean, covariance = rng.uniform(-0.4, 0.4, (1, 4, 2)), spd(rng, 4)
    root = monkeynet.square_root(torch.from_numpy(covariance).float())
    points = Points(torch.from_numpy(mean).float(), root[None])
    for side in (32, 64):
        found = monkeynet.heatmaps(points, side, side)
        assert found.mean((2, 3)).numpy() == pytest.approx(0.01, rel=0.02)
        for k in range(4):
            wanted = 0.01 * side**2 * gaussian(mean[0, k], covariance[k], side)
            assert found[0, k].numpy() == pytest.approx(wanted, abs=0.02 * wanted.max())
    outside = points._replace(xy=points.xy + 3)
    assert monkeynet.heatmaps(outside, 32, 32).max() < 1e-3  # not blown up at the border


def test_a_mask_moves_its_part_exactly() -> None:
    """Dense motion with one-hot masks: every cell moves with its own keypoint, or stands."""
    torch.manual_seed(0)
    grid = blocks.grid_norm(16, 16, torch.zeros(1))
    chosen = torch.randint(0, 4, (2, 16, 16))
    masks = torch.nn.functional.one_hot(chosen, 4).permute(0, 3, 1, 2).float()
    shifts = torch.cat([torch.zeros(2, 1, 2), torch.rand(2, 3, 2) - 0.5], 1)
    flow = monkeynet.displaced(shifts, masks, grid)
    wanted = torch.stack([grid + shifts[b][chosen[b]] for b in range(2)])
    torch.testing.assert_close(flow, wanted, atol=1e-6, rtol=0)


def test_a_shifted_picture_is_found_by_its_mask() -> None:
    """The network's own masks, all on one keypoint: the source moves by its displacement."""
    net = made.monkeynet().motion
    with torch.no_grad():
        net.head.weight.zero_()
        assert net.head.bias is not None
        net.head.bias.zero_()
        net.head.bias[2] = 100.0  # logit of the second keypoint's mask
    points = [made.as_points(made.keypoints(seed, TINY.count)) for seed in (1, 2)]
    motion = net(torch.rand(1, 3, 16, 16), *points)
    grid = blocks.grid_norm(16, 16, motion.flow)
    shift = points[0].xy[:, 1] - points[1].xy[:, 1]
    torch.testing.assert_close(motion.flow, (grid + shift)[None].squeeze(1), atol=1e-5, rtol=0)
    assert (motion.occlusion == 1).all()


def test_features_are_warped_as_pictures_are() -> None:
    """The deformation module on features whose channels are the picture is the warp of it."""
    generator = made.monkeynet().generator
    picture = torch.rand(1, 3, 64, 64)
    grid = blocks.grid_norm(16, 16, picture)
    flow = (grid + 0.2 * torch.sin(3 * grid.flip(-1)))[None]
    small = torch.nn.functional.avg_pool2d(picture, 4)
    large, little = generator.aligned([picture, small], flow)
    full = blocks.resize_flow(flow, 64, 64)
    torch.testing.assert_close(large, blocks.warp(picture, full))
    torch.testing.assert_close(little, blocks.warp(small, flow), atol=1e-5, rtol=1e-5)
    assert (large - picture).abs().mean() > 0.05


def test_without_motion_the_skips_are_the_sources() -> None:
    net = made.monkeynet(replace(TINY, residual=False))
    encoded = net.encode(torch.rand(1, 3, 64, 64))
    still = made.as_points(made.keypoints(1, TINY.count))
    motion = net.motion(encoded.small, still, still)
    assert motion.features.abs().max() == 0
    for moved, skip in zip(
        net.generator.aligned(encoded.skips, motion.flow), encoded.skips, strict=True
    ):
        torch.testing.assert_close(moved, skip, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("switch", "same"),
    [("flow", "flow"), ("coarse", ""), ("residual", ""), ("source", ""), ("covariances", "")],
)
def test_every_switch_does_what_it_says(switch: str, same: str) -> None:
    full, other = made.monkeynet(), made.monkeynet(replace(TINY, **{switch: False}))
    if switch not in ("source",):  # which changes a shape
        other.load_state_dict(full.state_dict())
    picture = torch.rand(2, 3, 64, 64)
    points = full.detector(picture)
    pair = [Points(x[:1], y[:1]) for x, y in (points, (points.xy.flip(0), points.jacobian))]
    flows = [net.motion(net.encode(picture[:1]).small, *pair).flow for net in (full, other)]
    grid = blocks.grid_norm(16, 16, picture)
    if switch == "flow":
        assert (flows[1] == grid).all() and (flows[0] != grid).any()
    elif switch == "covariances":
        root = other.detector(picture).jacobian
        assert torch.allclose(root @ root, 0.01 * torch.eye(2).expand_as(root))
        assert points.jacobian.std() > 1e-3
    else:
        assert not torch.allclose(flows[0], flows[1], atol=1e-4)


@pytest.mark.parametrize("side", [32, 64, 96, 160, 256, 512])
def test_sizes_fit_every_picture(side: int) -> None:
    own = sizes.monkeynet(side)
    size_limits.check_monkeynet(own.__dict__)
    if side > 160:
        return
    widths = monkeynet_settings(side)["discriminator_widths"]
    discriminator = PatchDiscriminator(3, widths, spectral=True)
    assert discriminator(torch.rand(1, 3, side, side))[1].numel() > 0
    net = monkeynet.MonkeyNet(own).eval()
    picture = torch.rand(1, 3, side, side)
    with torch.inference_mode():
        points = net.detector(picture)
        painted, motion = net(picture, points, points)
    assert painted.picture.shape == picture.shape
    assert motion.flow.shape == (1, own.motion_px, own.motion_px, 2)
    wanted = shapes.monkeynet(own)
    wanted |= {f"detector.{name}": shape for name, shape in shapes.monkeynet_detector(own).items()}
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == wanted


def test_the_file_comes_back(tmp_path: Path) -> None:
    net, path = made.monkeynet(), tmp_path / "m.safetensors"
    digest = weights.write_monkeynet(path, net)
    header, found = weights.read_header(path), weights.read_weights(path)
    assert (header.model, header.kind, header.window) == ("monkeynet", "object", "frame")
    assert header.detector == {"count": 3, "size": 32} and found.sha256 == digest
    assert found.animator is None and found.detector is None and found.monkeynet is not None
    assert found.monkeynet.sizes == TINY and not found.monkeynet.training
    for name, value in net.state_dict().items():
        torch.testing.assert_close(found.monkeynet.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def broken(path: Path, good: Path, what: str) -> None:
    if what in ("cut", "page"):
        data = good.read_bytes()[:3000] if what == "cut" else b"<!DOCTYPE html><html></html>"
        path.write_bytes(data)
        return
    tensors = load_file(good)
    with safe_open(good, "numpy") as opened:
        table = dict(opened.metadata())
    own = json.loads(table["sizes"])
    if what == "model":
        table["model"] = "donkeynet"
    elif what == "count":
        own["count"] = 4
    elif what == "lacking":
        del own["widths"]
    elif what == "levels":
        own["widths"] = [8] * 8
    elif what == "neither":
        own["coarse"] = own["residual"] = False
    elif what == "detector":
        del table["detector"]
    elif what == "tensor":
        tensors["animator.motion.head.bias"] = torch.zeros(2)
    elif what == "nan":
        tensors["detector.heat.bias"][0] = torch.nan
    table["sizes"] = json.dumps(own)
    save_file(tensors, path, table)


KINDS = (
    *("cut", "page", "model", "count", "lacking", "levels"),
    *("neither", "detector", "tensor", "nan"),
)


@pytest.mark.parametrize("what", KINDS)
def test_broken_files_are_refused(what: str, tmp_path: Path) -> None:
    good, path = tmp_path / "good.safetensors", tmp_path / "x.safetensors"
    weights.write_monkeynet(good, made.monkeynet())
    broken(path, good, what)
    with pytest.raises(InputError, match="weights: expected"):
        weights.read_weights(path)
