"""Losses against values that can be worked out, and gradients against finite differences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from hybridanim.errors import InputError
from hybridanim.networks import blocks
from hybridanim.networks.blocks import Points
from hybridanim.training import equivariance, losses
from hybridanim.training.animator import validation

NETWORK = Path(__file__).parents[3] / "shared" / "data" / "networks" / "squeezenet_v1.0.safetensors"


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(5)


def test_weighted_l1_counts_what_is_weighted() -> None:
    truth = torch.zeros(1, 3, 4, 4)
    found = truth.clone()
    found[..., 0, 0] = 1.6
    weight = torch.ones(1, 1, 4, 4)
    assert losses.weighted_l1(found, truth) == pytest.approx(0.1)
    weight[..., 0, 0] = 17  # mean 2
    assert losses.weighted_l1(found, truth, weight) == pytest.approx(0.85)


def test_gradient_l1_ignores_brightness_and_sees_edges() -> None:
    truth = torch.rand(2, 3, 16, 16)
    assert losses.gradient_l1(truth + 0.3, truth) == pytest.approx(0, abs=1e-6)
    ramp = torch.linspace(0, 1.5, 16).expand(2, 3, 16, 16)  # 0.1 a pixel
    # 0.1 a pixel at full size, 0.2 at half, 0.4 at a quarter; nothing down the columns
    assert losses.gradient_l1(truth + ramp, truth) == pytest.approx(0.7 / 3, abs=1e-5)


def test_emphasis_peaks_at_watched_keypoints_only() -> None:
    xy = torch.tensor([[[-0.5, -0.5], [0.5, 0.5]]])
    points = Points(xy, torch.eye(2).expand(1, 2, 2, 2))
    weight = losses.emphasis(
        points, torch.tensor([True, False]), torch.tensor([0.1, 0.1]), 64, peak=4.0
    )
    assert weight.shape == (1, 1, 64, 64)
    assert weight[0, 0, 16, 16] > 3.5
    assert weight[0, 0, 48, 48] == pytest.approx(1, abs=1e-3)


def test_psnr_of_a_known_error() -> None:
    truth = torch.rand(2, 3, 8, 8) * 0.5
    torch.testing.assert_close(validation.psnr(truth + 0.1, truth), torch.tensor([20.0, 20.0]))


def test_ssim_is_that_of_skimage() -> None:
    a = torch.rand(1, 3, 40, 48)
    b = (a + 0.1 * torch.randn_like(a)).clamp(0, 1)
    luma = np.array([0.299, 0.587, 0.114])
    grey = [x[0].permute(1, 2, 0).double().numpy() @ luma for x in (a, b)]
    _, each = structural_similarity(
        *grey,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        full=True,
    )
    expected = each[5:-5, 5:-5].mean()
    assert float(validation.ssim(a, b)[0]) == pytest.approx(expected, abs=1e-5)
    assert float(validation.ssim(a, a)[0]) == pytest.approx(1)


def test_least_squares_gan_terms() -> None:
    assert losses.generator_gan_loss(torch.ones(2, 1, 3, 3)) == 0
    assert losses.generator_gan_loss(torch.zeros(2, 1, 3, 3)) == 1
    assert losses.discriminator_loss(torch.ones(4), torch.zeros(4)) == 0
    assert losses.discriminator_loss(torch.zeros(4), torch.ones(4)) == 2


def test_feature_matching_trains_the_made_ones_only() -> None:
    real, made = torch.rand(2, 3, requires_grad=True), torch.rand(2, 3, requires_grad=True)
    losses.feature_matching_loss([real], [made]).backward()
    assert real.grad is None and made.grad is not None


def warp(batch: int = 2) -> equivariance.RandomWarp:
    """A warp well away from the identity."""
    drawn = equivariance.random_warp(batch, torch.Generator().manual_seed(1), spline=0.02)
    return equivariance.RandomWarp(*(x.double() for x in drawn))


def test_warp_derivative_is_autograd_s() -> None:
    known = warp(1)
    xy = torch.rand(1, 4, 2, dtype=torch.float64) * 2 - 1
    found = equivariance.derivative(known, xy)
    full = torch.autograd.functional.jacobian(lambda x: equivariance.apply(known, x), xy)
    assert isinstance(full, torch.Tensor)
    for i in range(4):
        torch.testing.assert_close(found[0, i], full[0, i, :, 0, i])


def test_equivariance_is_zero_on_an_exact_model() -> None:
    """Keypoints of the picture are those of its warped version, carried by the warp."""
    known = warp()
    warped = Points(
        torch.rand(2, 5, 2, dtype=torch.float64) - 0.5,
        torch.eye(2, dtype=torch.float64) + 0.1 * torch.randn(2, 5, 2, 2, dtype=torch.float64),
    )
    seen = Points(
        equivariance.apply(known, warped.xy),
        equivariance.derivative(known, warped.xy) @ warped.jacobian,
    )
    places, affines = equivariance.losses(known, seen, warped)
    assert float(places) == pytest.approx(0, abs=1e-12)
    assert float(affines) == pytest.approx(0, abs=1e-9)
    places, affines = equivariance.losses(known, Points(seen.xy + 0.1, 1.2 * seen.jacobian), warped)
    assert float(places) == pytest.approx(0.1)
    assert float(affines) == pytest.approx(0.5 * (1 - 1 / 1.2), abs=1e-6)


def test_equivariance_gradcheck() -> None:
    known = warp(1)
    jacobian = torch.eye(2, dtype=torch.float64).expand(1, 3, 2, 2)

    def total(seen: torch.Tensor, warped: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        parts = equivariance.losses(
            known, Points(seen, jacobian + at), Points(warped, jacobian - at)
        )
        return parts[0] + parts[1]

    inputs = [0.3 * torch.randn(1, 3, 2, dtype=torch.float64) for _ in range(2)]
    inputs.append(0.1 * torch.randn(1, 3, 2, 2, dtype=torch.float64))
    assert torch.autograd.gradcheck(total, [x.requires_grad_() for x in inputs])


def test_warped_picture_shows_at_z_what_was_at_warp_z() -> None:
    """A picture of the coordinate x, warped, holds the x of the warped place."""
    known = equivariance.random_warp(1, torch.Generator().manual_seed(2), affine=0.03, spline=0.003)
    grid = blocks.grid_norm(64, 64, torch.zeros(1))
    warped = equivariance.warp_picture(known, grid.permute(2, 0, 1)[None])
    expected = equivariance.apply(known, grid.reshape(1, -1, 2)).reshape(64, 64, 2)
    inside = (expected.abs() < 0.95).all(-1)
    error = (warped[0].permute(1, 2, 0) - expected)[inside].abs().max()
    assert inside.float().mean() > 0.6 and error < 1e-4


def test_identity_warp_returns_the_picture() -> None:
    none = equivariance.random_warp(1, torch.Generator(), affine=0, spline=0)
    picture = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(equivariance.warp_picture(none, picture), picture, atol=1e-5, rtol=0)


def test_perceptual_needs_its_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="SqueezeNet weights"):
        losses.perceptual(tmp_path / "none.safetensors")


def test_perceptual_orders_blur_below_the_truth() -> None:
    if not NETWORK.is_file():
        pytest.skip(f"{NETWORK} is not here")
    loss = losses.perceptual(NETWORK)
    picture = torch.rand(1, 3, 16, 16).repeat_interleave(4, 2).repeat_interleave(4, 3)
    little, much = (torch.nn.functional.avg_pool2d(picture, k, 1, k // 2) for k in (3, 7))
    assert float(loss(picture, picture)) == 0
    assert 0 < float(loss(little, picture)) < float(loss(much, picture))
    assert not list(loss.parameters())


def test_unneeded_paint_counts_paint_where_nothing_changes() -> None:
    source = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    truth = source.clone()
    truth[..., 32:] = 1 - truth[..., 32:]  # the right half changes
    left, right = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    left[..., :24], right[..., 40:] = 1, 1
    assert losses.unneeded_paint_loss(left, source, truth) == pytest.approx(24 / 64, abs=1e-4)
    assert losses.unneeded_paint_loss(right, source, truth) < 1e-4
