"""The weights that are measured and shipped: an average over the steps, not the last step's.

Exponentially weighted (Polyak and Juditsky 1992), norms' statistics included; the memory is shorter
while the run is young.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, ema: float, step: int) -> None:
    """Move ``average`` towards ``net`` after ``step`` steps; ema: weight of the past, at most."""
    keep = min(ema, (1 + step) / (10 + step))
    theirs = net.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(theirs[name], 1 - keep)
        else:
            value.copy_(theirs[name])
