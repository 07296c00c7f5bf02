"""Several processes that train one network together, each on its share of every batch.

torchrun starts the processes. After every backward pass they average their gradients and the
running statistics of the norms (backend gloo), so all of them hold the same weights at any time and
one checkpoint serves any number of processes. One process alone is a group of size one and
exchanges nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as distributed
from torch import Tensor, nn

_TIMEOUT = timedelta(hours=1)  # the main process validates while the others wait


class ProcessGroup:
    """The rank of this process, and what it exchanges with the others."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def from_torchrun(cls) -> ProcessGroup:
        """The group that torchrun started, or a group of one process."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if not distributed.is_initialized():
            distributed.init_process_group("gloo", timeout=_TIMEOUT)
        return cls(distributed.get_rank(), size)

    @property
    def is_main(self) -> bool:
        """Whether this process saves, validates and reports (rank 0)."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the group."""
        self._average([p.grad for p in parameters if p.grad is not None])

    def average_statistics(self, net: nn.Module) -> None:
        """Replace every floating-point buffer by its mean over the group."""
        self._average([buffer for buffer in net.buffers() if buffer.is_floating_point()])

    def from_main(self, value: float) -> float:
        """The main process's value; whatever all processes decide by must be the same for all."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(shared, 0)
        return float(shared)

    def _average(self, tensors: list[Tensor]) -> None:
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])  # one exchange
        distributed.all_reduce(flat)
        parts = (flat / self.size).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.reshape(tensor.shape))
