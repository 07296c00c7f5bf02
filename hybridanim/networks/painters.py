"""Networks that paint mouths and eyes: a small U-Net on a window, with colour and alpha as output.

The window is folded to half its size (pixel unshuffle) and the result unfolded by sub-pixel
convolution (Shi et al. 2016), so that all layers work at half the resolution or less. Openings and
the head's turn enter at the coarsest level.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import ReluResidual


@dataclass(frozen=True)
class PainterSizes:
    """Sizes of one network."""

    width_px: int
    height_px: int
    channels: tuple[int, int, int]  # at 1/2, 1/4, 1/8 of the window
    inputs: int = 9
    quantities: int = 6


class _Convolution(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class PainterNetwork(nn.Module):
    """Windows (B, 9, H, W) and quantities (B, 6) -> colour (B, 3, H, W) and alpha (B, 1, H, W).

    See ``face.paint_windows`` for both inputs. The colour is of the same normalised kind as the
    warped window's, which are the first three channels; alpha is in [0, 1].
    """

    def __init__(self, sizes: PainterSizes) -> None:
        super().__init__()
        self.sizes = sizes
        a, b, c = sizes.channels
        self.enter = nn.Sequential(_Convolution(4 * sizes.inputs, a), ReluResidual(a))
        self.down1 = nn.Sequential(_Convolution(a, b, 2), ReluResidual(b))
        self.down2 = nn.Sequential(_Convolution(b, c, 2), ReluResidual(c))
        self.condition = nn.Linear(sizes.quantities, c)
        self.deep = ReluResidual(c)
        self.up1 = _Convolution(b + c, b)
        self.up2 = _Convolution(a + b, a)
        self.leave = nn.Conv2d(a, 16, 3, padding=1)

    def forward(self, windows: Tensor, quantities: Tensor) -> tuple[Tensor, Tensor]:
        """Paint; see the class."""
        half = self.enter(functional.pixel_unshuffle(windows, 2))
        quarter = self.down1(half)
        x = self.down2(quarter) + self.condition(quantities)[..., None, None]
        x = self.deep(torch.relu(x))
        x = self.up1(torch.cat([_doubled(x), quarter], 1))
        x = self.up2(torch.cat([_doubled(x), half], 1))
        found = functional.pixel_shuffle(self.leave(x), 2)
        return windows[:, :3] + found[:, :3], torch.sigmoid(found[:, 3:])


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


SIZES = {
    "mouth": PainterSizes(96, 64, (24, 48, 96)),
    "eye": PainterSizes(64, 48, (24, 48, 96)),
}
