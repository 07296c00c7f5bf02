"""Settings of a painter's training -> the number of pairs a step at which the device is fastest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from hybridanim.networks.painters import SIZES, PainterNetwork
from hybridanim.training import batch_size
from hybridanim.training import device as devices

from .trainer import PainterConfig

_CANDIDATES = (16, 32, 64, 128, 256, 512)
_MOST_S = 10.0


def fastest(config: PainterConfig, report: Callable[[str], None]) -> int:
    """Pairs a step, tried on windows without content; on a processor that of the settings."""
    device = devices.pick(config.device)
    if device.type == "cpu":
        return config.batch
    with torch.random.fork_rng(devices=[]):
        step = steps(config, device)
        found = batch_size.fastest(step, device, _CANDIDATES, most_s=_MOST_S, report=report)
    torch.cuda.empty_cache()
    return found


def steps(config: PainterConfig, device: torch.device) -> Callable[[int], None]:
    """A function that does one step, without the optimiser's and the discriminator's."""
    sizes = SIZES[config.kind]
    net = PainterNetwork(sizes).to(device)
    net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def step(count: int) -> None:
        windows = torch.rand(count, sizes.inputs, sizes.height_px, sizes.width_px, device=device)
        windows = windows.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            colour, alpha = net(windows, torch.zeros(count, sizes.quantities, device=device))
        (colour.float().mean() + alpha.float().mean()).backward()

    return step


def with_batch(config: PainterConfig, batch: int) -> PainterConfig:
    """The settings with that many pairs a step, and a learning rate that grows with its root."""
    rate = config.learning_rate * min(4.0, (batch / config.batch) ** 0.5)
    return replace(config, batch=batch, learning_rate=rate)
