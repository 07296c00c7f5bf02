"""Pairs of windows that are held on the device and augmented there: no data loader.

Masks, regions and quantities follow from the points; they are made once, for mouths also as in a
mirror. Colours and sharpness are changed for every batch as in ``samples``. A batch depends on the
seed, the step and the kind of device alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hybridanim.face import paint_windows
from hybridanim.face.paint_windows import DARK, FLOOR, FROM_RGB, MOUTH
from hybridanim.training import device as devices
from hybridanim.training.data.device_augment import uniform
from hybridanim.types import Array

from . import samples
from .samples import GREY_SHARE, TINT_SHARE, Pairs, Windows
from .tensors import Tensors

_CHOICE, _BATCH = 0x70616972, 0x62617463  # keep random numbers apart
_TAPS = 4  # of the blur, on each side


class Resident:
    """All pairs of a kind, or as many as are wanted, on a device."""

    def __init__(
        self, pairs: Pairs, most: int, seed: int, device: torch.device, threads: int = 1
    ) -> None:
        """most: number of pairs, chosen by chance among more."""
        self._kind, self._seed, self._device = pairs.kind, seed, device
        numbers = np.arange(len(pairs.places))
        if len(numbers) > most:
            rng = np.random.default_rng([seed, _CHOICE])
            numbers = np.sort(rng.choice(numbers, most, replace=False))
        self._weight = torch.from_numpy(np.asarray(pairs.weight)[numbers]).float().to(device)
        self._mirrors = 2 if pairs.kind is MOUTH else 1

        def made(number: int) -> tuple[Array, ...]:
            one = samples.plain(pairs.row(number))
            seen = [one, samples.mirrored(one)][: self._mirrors]
            shapes = [self._shapes(window) for window in seen]
            return (np.moveaxis(one.pictures, -1, 1), *(np.stack(x) for x in zip(*shapes)))  # noqa: B905

        with ThreadPoolExecutor(max(1, threads)) as workers:
            rows = list(workers.map(made, numbers.tolist()))
        found = (
            torch.from_numpy(np.stack(column)).to(device) for column in zip(*rows, strict=True)
        )
        # (N, 3, 3, H, W) uint8; the rest has a row for each mirror
        self._pictures, self._filled, self._region, self._quantities = found

    def __len__(self) -> int:
        return len(self._pictures)

    def _shapes(self, one: Windows) -> tuple[Array, Array, Array]:
        """Masks (3, H, W) uint8, region (H, W) float16, quantities (6,) float32."""
        filled = paint_windows.masks(self._kind, one.now, one.was)
        region = paint_windows.region(self._kind, one.now, one.was).astype(np.float16)
        quantities = paint_windows.quantities(self._kind, one.now, one.was, one.turn)
        return filled, region, quantities

    def batch(self, step: int, count: int) -> Tensors:
        """``count`` augmented pairs."""
        draw = devices.generator(self._device, [self._seed, _BATCH, step])
        numbers = torch.multinomial(self._weight, count, replacement=True, generator=draw)
        side = torch.randint(self._mirrors, (count,), generator=draw, device=self._device)
        pictures = self._pictures[numbers].float() / 255
        pictures = torch.where(side[:, None, None, None, None] > 0, pictures.flip(-1), pictures)
        pictures = recoloured(pictures, *_colours(count, draw))
        pictures = sharpened(pictures, *_sharpness(count, draw))
        return self._tensors(pictures, numbers, side)

    def plain(self, numbers: Tensor) -> Tensors:
        """These pairs as they are."""
        pictures = self._pictures[numbers].float() / 255
        return self._tensors(pictures, numbers, torch.zeros_like(numbers))

    def _tensors(self, pictures: Tensor, numbers: Tensor, side: Tensor) -> Tensors:
        """pictures: (B, 3, 3, H, W) float32 in [0, 1]: warped, own, true."""
        warped, own, true = pictures.unbind(1)
        shapes = self._filled[numbers, side].float() / 255
        values = split(own)
        mean = values.mean((2, 3), keepdim=True)
        deviation = values.std((2, 3), keepdim=True, correction=0)
        floor = torch.from_numpy(FLOOR).to(values.device)[:, None, None]
        scale = torch.maximum(deviation, floor)
        back = scale * (deviation / floor).clamp(max=1)
        back = torch.cat([scale[:, :1], back[:, 1:]], 1)
        seen = [(split(picture) - mean) / scale for picture in (warped, own)]
        inputs = torch.cat([*seen, 2 * shapes - 1], 1)
        return Tensors(
            inputs.contiguous(memory_format=torch.channels_last),
            self._quantities[numbers, side],
            mean,
            back,
            self._region[numbers, side].float()[:, None],
            shapes,
            warped.contiguous(),
            own.contiguous(),
            true.contiguous(),
        )


def split(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) luminance and chromaticities of RGB in [0, 1]; see ``paint_windows.split``."""
    from_rgb = torch.from_numpy(FROM_RGB).to(rgb.device)
    values = torch.einsum("ij,bjhw->bihw", from_rgb, 255 * rgb)
    return torch.cat([values[:, :1], values[:, 1:] / (values[:, :1] + float(DARK))], 1)


def _colours(count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Curve (B, 3): exponent, contrast, brightness; matrix of colours (B, 3, 3)."""
    device = draw.device

    def normal(*shape: int) -> Tensor:
        return torch.randn((count, *shape), generator=draw, device=device)

    curve = torch.stack([(0.25 * normal()).exp(), (0.15 * normal()).exp(), 0.06 * normal()], 1)
    is_grey = uniform((count,), draw, 0, 1) < GREY_SHARE
    saturation = torch.where(is_grey, 0.0, (0.25 * normal()).exp())[:, None, None]
    is_tinted = uniform((count, 1), draw, 0, 1) < TINT_SHARE
    gains = torch.where(is_tinted, (0.2 * normal(3)).exp(), 1.0)
    luminance = torch.from_numpy(FROM_RGB[:1]).to(device).expand(3, 3)
    mix = saturation * torch.eye(3, device=device) + (1 - saturation) * luminance
    return curve, mix * gains[:, :, None]


def recoloured(pictures: Tensor, curve: Tensor, mix: Tensor) -> Tensor:
    """(B, 3, 3, H, W) in [0, 1] with other colours, the same for the three of a pair."""
    exponent, contrast, bright = curve[:, :, None, None, None, None].unbind(1)
    found = (0.5 + (pictures**exponent - 0.5) * contrast + bright).clamp(0, 1)
    return torch.einsum("bij,bpjhw->bpihw", mix, found).clamp(0, 1)


def _sharpness(count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sigma of a blur in pixels (B,), and the amount of what it takes away that is added (B,)."""
    kind = uniform((count,), draw, 0, 1)
    is_soft, is_sharp = kind < 0.25, (kind >= 0.25) & (kind < 0.55)
    sigma = torch.where(is_soft, uniform((count,), draw, 0.4, 1.4), 1.2)
    amount = torch.where(is_sharp, uniform((count,), draw, 0.3, 1.3), 0.0)
    return sigma, torch.where(is_soft, -1.0, amount)


def sharpened(pictures: Tensor, sigma: Tensor, amount: Tensor) -> Tensor:
    """(B, 3, 3, H, W) sharpened, or blurred where the amount is -1; rounded to 256 levels."""
    offsets = torch.arange(-_TAPS, _TAPS + 1, device=pictures.device)
    taps = (-0.5 * (offsets / sigma[:, None]).square()).exp()
    taps = (taps / taps.sum(1, keepdim=True))[:, :, None, None, None]
    soft = pictures.flatten(1, 2)
    for axis in (2, 3):
        size = soft.shape[axis]
        around = (_TAPS, _TAPS, 0, 0) if axis == 3 else (0, 0, _TAPS, _TAPS)
        wide = functional.pad(soft, around, mode="reflect")
        moved = [taps[:, i] * wide.narrow(axis, i, size) for i in range(2 * _TAPS + 1)]
        soft = torch.stack(moved).sum(0)
    soft = soft.view_as(pictures)
    found = pictures + amount[:, None, None, None, None] * (pictures - soft)
    return (255 * found.clamp(0, 1)).round() / 255
