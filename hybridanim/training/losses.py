"""Losses between generated and true pictures.

Perceptual: L1 between features of SqueezeNet 1.0 (Iandola et al. 2016), a small stand-in for the
VGG-19 of Johnson et al. 2016, which is used where torchvision is installed; weights are given by
path or fetched by torchvision, never shipped. LSGAN: Mao et al. 2017; feature matching: Wang et al.
2018. Equivariance has its own file.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hybridanim.errors import InputError
from hybridanim.networks import blocks
from hybridanim.networks.blocks import Points


def weighted_l1(found: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference; weight (B, 1, H, W) has no unit, its mean is divided out."""
    difference = (found - truth).abs()
    if weight is None:
        return difference.mean()
    return (difference * weight).mean() / weight.mean()


def gradient_l1(
    found: Tensor, truth: Tensor, weight: Tensor | None = None, *, scales: int = 3
) -> Tensor:
    """L1 between finite differences at full, half, ... resolution, averaged over the scales."""
    error, total = found - truth, found.new_zeros(())
    for scale in range(scales):
        if scale:
            error = functional.avg_pool2d(error, 2)
            weight = None if weight is None else functional.avg_pool2d(weight, 2)
        across = (error[..., :, 1:] - error[..., :, :-1]).abs()
        down = (error[..., 1:, :] - error[..., :-1, :]).abs()
        if weight is not None:
            mean = weight.mean()
            across, down = across * weight[..., :, 1:] / mean, down * weight[..., 1:, :] / mean
        total = total + across.mean() + down.mean()
    return total / scales


def unneeded_paint_loss(alpha: Tensor, source: Tensor, truth: Tensor) -> Tensor:
    """Mean share of paint, alpha (B, 1, S, S), weighted by how little a place changes.

    source, truth: (B, 3, S, S) source and driving pictures; the weight of a pixel is 1 where their
    9x9 neighbourhoods are equal and falls exponentially with their difference.
    """
    change = (source - truth).abs().mean(1, keepdim=True)
    change = functional.avg_pool2d(change, 9, 1, 4, count_include_pad=False)
    return (alpha * (-change / _STILL).exp()).mean()


_STILL = 0.008  # the change that video compression makes: two grey levels
_WIDER = 2.5  # on the reach: an open mouth lies between the lips' keypoints, beyond it


def emphasis(points: Points, watched: Tensor, reach: Tensor, size: int, peak: float) -> Tensor:
    """(B, 1, S, S) weights of pixels: ``peak`` at the watched keypoints, 1 far from them.

    watched: (K,) bool; reach: (K,) sigma in units of the canonical face.
    """
    sigma = _WIDER * reach[watched] * blocks.face_scale(points)[:, None]
    grid = blocks.grid_norm(size // 4, size // 4, points.xy)
    square = blocks.distances(points.xy[:, watched], grid)
    near = (-0.5 * square / sigma.square()[..., None, None]).exp().amax(1, keepdim=True)
    near = functional.interpolate(near, (size, size), mode="bilinear", align_corners=False)
    return 1 + (peak - 1) * near


_FACE_KEYPOINTS = slice(0, 24)  # brows, eyes, nose, mouth, chin


def near_face(picture: Tensor, xy: Tensor, size: int) -> Tensor:
    """(B, 3, size, size): the square round brows, eyes and mouth of (B, 3, S, S); xy: (B, K, 2)."""
    face = xy[:, _FACE_KEYPOINTS]
    low, high = face.amin(1), face.amax(1)
    middle, half = (low + high) / 2, 0.65 * (high - low).amax(1)
    grid = blocks.grid_norm(size, size, picture)
    places = middle[:, None, None] + half[:, None, None, None] * grid
    return blocks.warp(picture, places)


def perceptual(network: Path) -> Perceptual:
    """SqueezeNet with the weights of that file, or VGG-19 if it is called ``vgg19``."""
    return Vgg() if str(network) == "vgg19" else SqueezeNet(network)


class Perceptual(nn.Module):
    """Difference of a frozen network's features of two pictures."""

    def features(self, picture: Tensor) -> list[Tensor]:
        """Activations at some depths of (B, 3, H, W) RGB in [0, 1]."""
        raise NotImplementedError

    def forward(self, found: Tensor, truth: Tensor) -> Tensor:
        """Mean over the depths of the L1 difference relative to the truth's own size."""
        with torch.no_grad():
            targets = self.features(truth)
        pairs = zip(self.features(found), targets, strict=True)
        terms = [(a - b).abs().float().mean() / b.float().abs().mean() for a, b in pairs]
        return torch.stack(terms).mean()


class Vgg(Perceptual):
    """VGG-19 after the first ReLU of each of its five blocks, as published."""

    _KEPT = (1, 6, 11, 20, 29)

    def __init__(self) -> None:
        super().__init__()
        try:
            models = importlib.import_module("torchvision.models")
        except ImportError as error:
            raise InputError(
                "perceptual network vgg19: expected the package torchvision, found none; pip"
                " install torchvision, give SqueezeNet weights, or set the perceptual weight to 0"
            ) from error
        layers = models.vgg19(weights="DEFAULT").features[: self._KEPT[-1] + 1]
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # what is kept must stay as it was
        self.layers = layers.requires_grad_(False).eval()
        mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def features(self, picture: Tensor) -> list[Tensor]:
        """Activations at five depths of (B, 3, H, W) RGB in [0, 1]."""
        x = (picture - self.get_buffer("mean")) / self.get_buffer("std")
        kept = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self._KEPT:
                kept.append(x)
        return kept


class SqueezeNet(Perceptual):
    """SqueezeNet 1.0 at four depths."""

    _FIRES = ("fire2", "fire3", "fire4", "fire5", "fire6", "fire7")
    _KEPT = ("conv1", "fire3", "fire5", "fire7")

    def __init__(self, path: Path) -> None:
        """path: safetensors with conv1 and fire2 ... fire7 as plain convolutions."""
        super().__init__()
        if not path.is_file():
            raise InputError(
                f"perceptual network: expected SqueezeNet weights at {path}, found none; give the"
                " file, or set the perceptual weight to 0"
            )
        tensors = load_file(path)
        names = ["conv1"]
        names += [f"{fire}/{part}" for fire in self._FIRES for part in _PARTS]
        for name in names:
            weight = tensors[f"{name}.w"].contiguous(memory_format=torch.channels_last)
            self.register_buffer(_flat(name) + "_weight", weight, persistent=False)
            self.register_buffer(_flat(name) + "_bias", tensors[f"{name}.b"], persistent=False)
        mean = torch.tensor([104.0, 117.0, 123.0]) / 255  # of BGR
        self.register_buffer("mean", mean[:, None, None], persistent=False)

    def _convolve(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = (self.get_buffer(f"{_flat(name)}_{part}") for part in ("weight", "bias"))
        return functional.relu(functional.conv2d(x, weight, bias, stride, padding))

    def features(self, picture: Tensor) -> list[Tensor]:
        """Activations at four depths of (B, 3, H, W) RGB in [0, 1]."""
        x = self._convolve((picture.flip(1) - self.get_buffer("mean")) * 255, "conv1", stride=2)
        kept = [x]
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        for name in self._FIRES:
            x = self._convolve(x, f"{name}/conv1x1_1")
            wide = self._convolve(x, f"{name}/conv3x3_2", padding=1)
            x = torch.cat([self._convolve(x, f"{name}/conv1x1_2"), wide], 1)
            if name in self._KEPT:
                kept.append(x)
            if name == "fire4":
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        return kept


_PARTS = ("conv1x1_1", "conv1x1_2", "conv3x3_2")


def _flat(name: str) -> str:
    return name.replace("/", "_")


def generator_gan_loss(scores: Tensor) -> Tensor:
    """LSGAN loss of the generator: mean squared distance of its pictures' patch scores from 1."""
    return (1 - scores).square().mean()


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """LSGAN loss of the discriminator: patch scores of real pictures are 1, of made ones 0."""
    return (1 - real).square().mean() + made.square().mean()


def feature_matching_loss(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """L1 between the discriminator's activations, mean over its blocks; no gradient to ``real``."""
    terms = [(a.detach() - b).abs().mean() for a, b in zip(real, made, strict=True)]
    return torch.stack(terms).mean()
