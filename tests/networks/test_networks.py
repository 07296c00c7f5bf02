"""Networks against NumPy, against the classical stage, and against the published shapes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hybridanim import geometry
from hybridanim.face.anchors import REACH_BOX
from hybridanim.motion import dense
from hybridanim.networks import blocks, build, first_order
from hybridanim.networks.blocks import Points
from hybridanim.networks.discriminator import PatchDiscriminator
from hybridanim.networks.keypoint_detector import KeypointDetector, mean_jacobian, moments, shares
from hybridanim.networks.sizes import FastSizes
from hybridanim.types import Keypoints

KEYS = Path(__file__).parents[3] / "shared" / "reference" / "vox256_state_dict_keys.txt"
TINY = FastSizes((8, 8, 8, 8), 4, deep=8, fine=4, half=8, blocks=1, encoder_blocks=1)
COUNT = len(REACH_BOX)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def points(batch: int, count: int = COUNT, amount: float = 0.05) -> Points:
    """Random places, and Jacobians near the identity."""
    jacobian = 0.9 * torch.eye(2) + amount * torch.randn(batch, count, 2, 2)
    return Points(1.2 * torch.rand(batch, count, 2) - 0.6, jacobian)


def as_keypoints(found: Points, row: int = 0) -> Keypoints:
    """One row of a batch for the classical code."""
    count = len(found.xy[row])
    return Keypoints(found.xy[row].numpy(), found.jacobian[row].numpy(), np.ones(count, np.float32))


def trained(sizes: FastSizes = TINY) -> build.Animator:
    """A network whose every weight and norm has moved away from its start."""
    net = build.fast(sizes)
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.05 * torch.randn_like(weight)
        for part in net.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)  # pyright: ignore[reportOptionalMemberAccess]
                part.running_var.uniform_(0.5, 2)  # pyright: ignore[reportOptionalMemberAccess]
    return net.eval()


@pytest.mark.parametrize("size", [32, 64, 96])
@pytest.mark.parametrize("batch", [1, 3])
def test_fast_shapes(size: int, batch: int) -> None:
    found = trained()(torch.rand(batch, 3, size, size), points(batch), points(batch))
    assert found.painted.picture.shape == (batch, 3, size, size)
    assert found.painted.alpha.shape == (batch, 1, size, size)
    assert found.motion.flow.shape == (batch, size // 4, size // 4, 2)
    assert found.motion.masks.shape == (batch, COUNT + 1, size // 4, size // 4)
    assert torch.isfinite(found.painted.picture).all()


def test_untrained_flow_is_the_classical_closed_form() -> None:
    """The independent NumPy implementation of stage 4 gives the same flow and weights."""
    source, target = points(2), points(2)
    net = build.fast(TINY).eval()
    motion = net.motion(torch.rand(2, 3, 16, 16), source, target)
    for row in range(2):
        reach = REACH_BOX * float(blocks.face_scale(source)[row])
        truth = dense.combine(as_keypoints(source, row), as_keypoints(target, row), reach, 16)
        np.testing.assert_allclose(motion.flow[row].detach(), truth.grid_norm, atol=1e-4)
        np.testing.assert_allclose(motion.masks[row].detach(), truth.weights, atol=1e-4)


def test_no_motion_returns_the_picture() -> None:
    picture = torch.rand(1, 3, 64, 64)
    here = points(1)
    found = build.fast(TINY).eval()(picture, here, here)
    torch.testing.assert_close(found.painted.warped, picture, atol=1e-4, rtol=0)
    assert found.painted.alpha.mean() < 0.1


def test_one_affine_moves_the_picture_by_it() -> None:
    """All keypoints agree on a shift of two cells: inside, the result is the shifted picture."""
    source = Points(points(1).xy, torch.eye(2).expand(1, COUNT, 2, 2))
    shift = torch.tensor([4 * 2 / 64, 0.0])
    picture = torch.rand(1, 3, 64, 64)
    net = build.fast(TINY).eval()
    with torch.no_grad():
        net.motion.loud[0] = -50  # no background
    moved = net(picture, source, Points(source.xy + shift, source.jacobian)).painted.warped
    torch.testing.assert_close(moved[..., 8:-8], picture[..., 4:-12], atol=1e-4, rtol=0)


def test_a_network_that_learns_to_see_flow_keeps_what_it_knew() -> None:
    """With the flow's share at zero it says what it said; at one, and trusted, it is the flow."""
    net, picture, source, target = trained(), torch.rand(2, 3, 32, 32), points(2), points(2)
    wide = build.with_optical(net).eval()
    optical = torch.cat([1.6 * torch.rand(2, 2, 8, 8) - 0.8, torch.ones(2, 1, 8, 8)], 1)
    bias = wide.motion.head.bias
    assert bias is not None
    with torch.no_grad():
        bias[-1] = -50
        expected = net(picture, source, target).painted.picture
        found = wide(picture, source, target, None, optical).painted.picture
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        bias[-1] = 50
        flow = wide(picture, source, target, None, optical).motion.flow
        torch.testing.assert_close(flow, optical[:, :2].permute(0, 2, 3, 1), atol=1e-5, rtol=0)
        optical[:, 2] = 0  # not trusted: the closed form of the keypoints
        start = build.fast(TINY, net.motion.log_reach.exp()).eval()
        start.motion.loud.copy_(net.motion.loud)
        closed = start.motion(torch.rand(2, 3, 8, 8), source, target).flow
        flow = wide(picture, source, target, None, optical).motion.flow
    torch.testing.assert_close(flow, closed, atol=1e-4, rtol=0)


def test_one_frame_equals_its_row_of_a_batch() -> None:
    net, picture, source, target = trained(), torch.rand(3, 3, 32, 32), points(3), points(3)
    together = net(picture, source, target).painted.picture
    alone = net(
        picture[1:2], Points(*(x[1:2] for x in source)), Points(*(x[1:2] for x in target))
    ).painted.picture
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)


def test_folding_norms_changes_nothing() -> None:
    net, picture, source, target = trained(), torch.rand(1, 3, 32, 32), points(1), points(1)
    folded = blocks.folded(net)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())
    expected = net(picture, source, target).painted.picture
    torch.testing.assert_close(
        folded(picture, source, target).painted.picture, expected, atol=1e-5, rtol=0
    )


def test_fast_preset_stays_within_its_budget() -> None:
    """About 10 GFLOP a frame at 256x256 once the source is encoded (convolutions and products)."""
    from torch.utils.flop_counter import FlopCounterMode

    net = build.fast().eval()
    with torch.no_grad():
        encoded = net.encode(torch.rand(1, 3, 64, 64))
        with FlopCounterMode(display=False) as counter:
            net.animate(encoded, points(1), points(1))
    assert counter.get_total_flops() * 16 < 10.5e9


def test_inverse_2x2_against_linalg_and_flat() -> None:
    matrix = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(blocks.inverse_2x2(matrix), torch.linalg.inv(matrix))
    assert torch.isfinite(blocks.inverse_2x2(torch.zeros(1, 2, 2))).all()


def test_motion_algebra_gradcheck() -> None:
    grid = blocks.grid_norm(3, 4, torch.zeros(1)).double()

    def flow(xy: torch.Tensor, jacobian: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        still = Points(torch.zeros_like(xy), torch.eye(2, dtype=xy.dtype).expand_as(jacobian))
        rows = blocks.affines(Points(xy, jacobian), still)
        return blocks.combine(rows, logits.softmax(1), grid)

    inputs = (
        torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True),
        torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True),
        torch.randn(1, 4, 3, 4, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(flow, inputs)


def test_combine_equals_the_sum_of_local_maps() -> None:
    rows = blocks.affines(points(2, 5), points(2, 5))
    masks = torch.randn(2, 6, 4, 4).softmax(1)
    grid = blocks.grid_norm(4, 4, masks)
    each = blocks.apply_affines(rows, grid)
    torch.testing.assert_close(
        blocks.combine(rows, masks, grid), (masks[..., None] * each).sum(1), atol=1e-5, rtol=0
    )


def test_grid_is_that_of_geometry() -> None:
    np.testing.assert_allclose(
        blocks.grid_norm(5, 7, torch.zeros(1)), geometry.grid_norm(5, 7), atol=1e-6
    )


def test_keypoint_maths_against_numpy() -> None:
    logits, maps = torch.randn(2, 3, 4, 5), torch.randn(2, 12, 4, 5)
    grid = blocks.grid_norm(4, 5, logits)
    (found, spread), affine = moments(shares(logits)), mean_jacobian(shares(logits), maps)
    for b in range(2):
        for k in range(3):
            heat = np.exp(logits[b, k].double().numpy() / 0.1)
            heat /= heat.sum()
            place = (heat[..., None] * grid.numpy()).sum((0, 1))
            mean = (maps[b, 4 * k : 4 * k + 4].double().numpy() * heat).sum((1, 2))
            square = (heat[..., None] * (grid.numpy() - place) ** 2).sum((0, 1)).mean()
            np.testing.assert_allclose(found[b, k], place, atol=1e-5)
            np.testing.assert_allclose(spread[b, k], np.sqrt(square), atol=1e-4)
            np.testing.assert_allclose(affine[b, k].reshape(4), mean, atol=1e-5)


def test_keypoints_keep_their_precision_under_autocast() -> None:
    net = KeypointDetector(4, (8, 8, 8), size=32, seen=3).eval()
    logits = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        exact = moments(shares(logits))
        with torch.autocast("cpu", torch.bfloat16):
            found, sizes = moments(shares(logits)), net.detect(torch.rand(1, 3, 32, 32))
    torch.testing.assert_close(found[0], exact[0])
    assert {x.dtype for x in (*sizes.points, sizes.spread)} == {torch.float32}


def test_keypoint_gradcheck() -> None:
    logits = 0.1 * torch.randn(1, 2, 3, 3, dtype=torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: moments(shares(x)), (logits,))


@pytest.mark.parametrize("size", [64, 128])
def test_detector_starts_with_places_inside_and_identity_jacobians(size: int) -> None:
    net = KeypointDetector(4, (8, 8, 8), size=64).eval()
    found = net(torch.rand(2, 3, size, size))
    assert found.xy.shape == (2, 4, 2) and found.xy.abs().max() <= 1
    torch.testing.assert_close(found.jacobian, torch.eye(2).expand(2, 4, 2, 2))


def test_discriminator_shapes_and_gradient() -> None:
    net = PatchDiscriminator(widths=(4, 8, 8), spectral=False)
    picture = torch.rand(2, 3, 64, 64, requires_grad=True)
    kept, scores = net(picture)
    scores.mean().backward()
    assert len(kept) == 3 and scores.shape[1] == 1
    assert picture.grad is not None and picture.grad.abs().sum() > 0


def published() -> dict[str, dict[str, str]]:
    """Part -> name -> shape, of the published checkpoint."""
    if not KEYS.is_file():
        pytest.skip(f"{KEYS} is not here")
    found: dict[str, dict[str, str]] = {}
    for line in KEYS.read_text().splitlines():
        if line.startswith("##"):
            part = found.setdefault(line.split()[1], {})
        elif line.strip():
            name, shape = line.split(" ", 1)
            part[name] = shape.strip()
    return found


def test_reference_names_and_shapes() -> None:
    with torch.device("meta"):
        nets = {
            "generator": first_order.Generator(),
            "kp_detector": first_order.KeypointDetector(),
            "discriminator": first_order.Discriminator(),
        }
    for name, shapes in published().items():
        ours = {k: str(tuple(v.shape)) for k, v in nets[name].state_dict().items()}
        assert ours == shapes


def test_reference_hourglass_and_antialias() -> None:
    assert first_order.Hourglass(4, 3, 2)(torch.rand(1, 3, 8, 8)).shape == (1, 7, 8, 8)
    blur = first_order.AntiAlias()
    flat = blur(torch.full((1, 3, 64, 64), 0.5))
    assert flat.shape == (1, 3, 16, 16)
    torch.testing.assert_close(flat[..., 4:-4, 4:-4], torch.full((1, 3, 8, 8), 0.5))


@pytest.mark.slow
def test_reference_runs() -> None:
    picture = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        here = first_order.KeypointDetector().eval()(picture)
        found = first_order.Generator().eval()(picture, here, here)
    assert here.xy.shape == (1, 10, 2)
    assert found.picture.shape == picture.shape and found.flow.shape == (1, 64, 64, 2)
