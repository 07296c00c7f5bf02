"""The learned renderer behind numpy: pictures of any size, equal to the network's own."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.networks import weights
from hybridanim.rendering.learned import Compositor, LearnedRenderer, hidden, with_head
from hybridanim.runtime import networks as load
from hybridanim.runtime.torch_backend import TorchAnimator
from hybridanim.types import DenseMotion, LearnedFeatures, Reason
from tests import made_networks as made


@pytest.fixture(scope="module")
def networks():
    return TorchAnimator(made.animator(), bf16=False)


@pytest.mark.parametrize("size", [40, 64, 96])
def test_renderer_gives_pictures_of_any_size(networks, size):
    run, source = LearnedRenderer(networks), made.source(size)
    motion, image = run.animate(source, source.keypoints)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    assert motion.grid_norm.shape == (16, 16, 2)
    assert motion.weights is not None
    np.testing.assert_allclose(motion.weights.sum(0), 1, atol=1e-4)


def test_renderer_equals_the_network():
    """The numpy path at the network's size gives its own picture, up to interpolation."""
    net, source, target = made.animator(), made.source(64), made.keypoints(2)
    run = LearnedRenderer(TorchAnimator(net, bf16=False))
    picture = torch.from_numpy(source.image).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = net(picture, made.as_points(source.keypoints), made.as_points(target))
    motion, image = run.animate(source, target)
    np.testing.assert_allclose(motion.grid_norm, expected.motion.flow[0], atol=1e-4)
    difference = np.abs(image - 255 * expected.painted.picture[0].permute(1, 2, 0).numpy())
    assert np.median(difference) < 1.5


def test_a_pinned_border_is_the_source(networks):
    run, source = LearnedRenderer(networks), made.source(64)
    image = run.paint(source, run.move(source, made.keypoints(2)), pin_border=0.1)
    edge = np.ones((64, 64), bool)
    edge[1:-1, 1:-1] = False
    assert np.abs(image[edge].astype(int) - source.image[edge]).max() <= 3
    assert np.abs(image[20:44, 20:44].astype(int) - source.image[20:44, 20:44]).max() > 20


def test_composite_without_paint_or_motion_is_the_picture():
    image = made.source(96).image
    nothing = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.float32)
    np.testing.assert_array_equal(Compositor(image)(geometry.grid_norm(16), *nothing), image)


def test_composite_paints_where_alpha_says():
    alpha = np.zeros((96, 96), np.float32)
    alpha[:48] = 1
    paint = np.full((96, 96, 3), 128, np.uint8)
    image = made.source(96).image
    found = Compositor(image)(geometry.grid_norm(16), paint, alpha)
    assert (found[:48] == 128).all()
    np.testing.assert_array_equal(found[48:], image[48:])


@pytest.mark.parametrize("size", [64, 100, 160])
def test_composite_equals_its_formula(size):
    """In floating point, from the library's own warp: within a level where rounding differs."""
    rng = np.random.default_rng(0)
    image = made.source(160).image[:size, :size].copy()
    still = geometry.grid_norm(16)
    flow = still * 0.9 + rng.uniform(-0.05, 0.05, still.shape).astype("f4")
    paint = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    alpha = rng.uniform(0, 1, (64, 64)).astype("f4")
    moved = geometry.warp(image, geometry.resize_grid(flow, size)).astype(float)
    large = cv2.resize(alpha, (size, size))[..., None]
    wanted = large * cv2.resize(paint, (size, size)) + (1 - large) * moved
    off = np.abs(Compositor(image)(flow, paint, alpha) - wanted)
    assert off.mean() < 0.3 and np.quantile(off, 0.99) < 1.01


def test_renderer_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="found nothing"):
        load.animator(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"12345678 not weights")
    with pytest.raises(InputError, match="damaged"):
        load.animator(tmp_path / "bad.safetensors")


def test_saved_weights_come_back(tmp_path: Path):
    net = made.animator()
    weights.write_weights(tmp_path / "net.safetensors", animator=net)
    again = weights.read_animator(tmp_path / "net.safetensors").state_dict()
    for name, value in net.state_dict().items():
        tolerance = 1e-3 if value.ndim == 4 else 0  # convolutions are kept in half precision
        torch.testing.assert_close(
            again[name].to(value.dtype), value, atol=tolerance, rtol=tolerance
        )


def meshed(cells=128, **occluded):
    """Networks' motion that disagrees with the mesh's, the mesh's motion, and both joined."""
    still = geometry.grid_norm(64)
    network = (still + 0.3).astype(np.float32)
    features = LearnedFeatures({}, {"flow": network[None], "occlusion": np.ones((1, 1, 64, 64))})
    motion = DenseMotion(network, np.ones((64, 64), np.float32), features=features)
    mesh = (geometry.grid_norm(cells) - 0.05).astype(np.float32)
    occlusion, reasons = np.ones((cells, cells), np.float32), np.zeros((cells, cells), np.uint8)
    for name, rows in occluded.items():
        occlusion[rows], reasons[rows] = 0, Reason[name]
    head = DenseMotion(mesh, occlusion, depth=0 * occlusion, reasons=reasons)
    subject = np.zeros((256, 256), np.float32)
    subject[64:192, 64:192] = 1
    return features, head, with_head(motion, head, subject)


def test_the_motion_of_a_head_is_the_mesh_alone():
    features, head, found = meshed()
    for name in ("grid_norm", "occlusion", "depth", "reasons"):
        assert getattr(found, name) is getattr(head, name)
    assert found.features.motion["flow"].shape == (1, 64, 64, 2)
    flow, still = found.features.motion["flow"][0], geometry.grid_norm(64)
    np.testing.assert_allclose(flow[30:34, 30:34], still[30:34, 30:34] - 0.05, atol=1e-4)
    np.testing.assert_allclose(flow[:4, :4], still[:4, :4] + 0.3, atol=1e-4)  # no person there
    assert found.features.motion["occlusion"] is features.motion["occlusion"]


def test_paint_is_confined_to_what_a_turn_shows():
    _, _, found = meshed(SELF_OCCLUDED=slice(0, 32), UNCOVERED=slice(64, 96), OPENED=slice(96, 128))
    share = hidden(found)
    assert share[:28].min() == 1 and share[40:].max() < 1e-6
    paint = np.full((64, 64, 3), 200, np.uint8)
    nets = SimpleNamespace(paint=lambda features: (paint, np.ones((64, 64), np.float32)))
    picture = np.full((256, 256, 3), 40, np.uint8)
    painted = LearnedRenderer(nets).paint_hidden(picture, found)  # type: ignore[arg-type]
    assert (painted[:50] == 200).all()
    assert (painted[80:] == 40).all()


@pytest.mark.parametrize("rows", [0, 1])
def test_too_little_hidden_is_not_painted(rows):
    _, _, found = meshed(cells=1024, SELF_OCCLUDED=slice(0, rows))
    assert not hidden(found).any()
