"""The number of samples a step, found by trying, on devices that are made up."""

import pytest
import torch

from hybridanim.training import batch_size

CPU = torch.device("cpu")


class Device:
    """Steps that take a fixed time and a time for each sample, up to a memory of some samples."""

    def __init__(self, fixed_s: float, sample_s: float, most: int = 10**9) -> None:
        self.fixed_s, self.sample_s, self.most, self.now_s = fixed_s, sample_s, most, 0.0
        self.tried: list[int] = []

    def step(self, count: int) -> None:
        if count > self.most:
            raise torch.OutOfMemoryError("made up")
        self.tried.append(count)
        self.now_s += self.fixed_s + count * self.sample_s

    def clock(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    "device, expected",
    [
        (Device(0.0, 0.1), 8),  # a processor: larger ones are no faster
        (Device(0.02, 0.0005), 128),  # an idle GPU: 1524/s of 128, and 1730/s of 256
        (Device(0.02, 0.0005, most=64), 64),  # the memory ends
        (Device(0.005, 0.001), 32),  # 865/s; 64 gives 928/s, which is 7 % more
        (Device(0.0, 3.0), 8),  # 25 seconds are over after the first
    ],
)
def test_the_smallest_that_is_nearly_fastest(device: Device, expected: int) -> None:
    lines: list[str] = []
    found = batch_size.fastest(device.step, CPU, clock=device.clock, report=lines.append)
    assert found == expected
    assert f"Batches of {expected}" in lines[0]


def test_the_time_is_limited() -> None:
    slow = Device(4.0, 0.01)
    batch_size.fastest(slow.step, CPU, clock=slow.clock)
    assert set(slow.tried) == {8}
