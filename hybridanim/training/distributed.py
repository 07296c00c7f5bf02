"""Several processes that train one network together, each on its share of every batch.

Started by torchrun, they average their gradients and the running statistics of the norms after
every backward pass (gloo), so all hold the same weights at any time and one checkpoint serves any
number of them. A process alone is a team of one, and nothing is exchanged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as together
from torch import Tensor, nn

_PATIENCE = timedelta(hours=1)  # the first process validates while the others wait


class Team:
    """A process and its place among the others."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def from_torchrun(cls) -> Team:
        """The team that torchrun started, or a team of one."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if not together.is_initialized():
            together.init_process_group("gloo", timeout=_PATIENCE)
        return cls(together.get_rank(), size)

    @property
    def leads(self) -> bool:
        """Whether this process saves, measures and reports."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every gradient becomes the mean over the team."""
        self._average([p.grad for p in parameters if p.grad is not None])

    def average_statistics(self, net: nn.Module) -> None:
        """Every floating-point buffer becomes the mean over the team."""
        self._average([buffer for buffer in net.buffers() if buffer.is_floating_point()])

    def agreed(self, value: float) -> float:
        """The leader's value: what all decide by must be the same for all."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        together.broadcast(shared, 0)
        return float(shared)

    def _average(self, tensors: list[Tensor]) -> None:
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])  # one exchange
        together.all_reduce(flat)
        parts = (flat / self.size).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.reshape(tensor.shape))
