"""Picture -> realism scores of its patches, and the activations of each block.

Four strided convolutions without padding and instance norms, then a 1x1 convolution (Isola et al.
2017); spectral norms (Miyato et al. 2018) are optional. Module names are those of the published
first-order model, so that its weights can be loaded.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm


class _Down(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, norm: bool, pool: bool, spectral: bool):
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, 4)
        self.conv = spectral_norm(conv) if spectral else conv
        self.norm = nn.InstanceNorm2d(outputs, affine=True) if norm else nn.Identity()
        self._pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm(self.conv(x)), 0.2)
        return functional.avg_pool2d(x, 2) if self._pool else x


class PatchDiscriminator(nn.Module):
    """Patch discriminator at one scale."""

    def __init__(
        self, inputs: int = 3, widths: tuple[int, ...] = (64, 128, 256, 512), *, spectral: bool
    ) -> None:
        super().__init__()
        ends = len(widths) - 1
        self.down_blocks = nn.ModuleList(
            _Down(a, b, norm=i > 0, pool=i < ends, spectral=spectral)
            for i, (a, b) in enumerate(zip((inputs, *widths[:-1]), widths, strict=True))
        )
        conv = nn.Conv2d(widths[-1], 1, 1)
        self.conv = spectral_norm(conv) if spectral else conv

    def forward(self, picture: Tensor) -> tuple[list[Tensor], Tensor]:
        """picture: (B, 3, H, W). Returns the activations of every block, and the patch scores."""
        kept = []
        x = picture
        for block in self.down_blocks:
            x = block(x)
            kept.append(x)
        return kept, self.conv(x)
