"""Name of a device -> the device that a training runs on, and what it needs there."""

from __future__ import annotations

import numpy as np
import torch

from hybridanim.errors import InputError

NAMES = ("auto", "cpu", "cuda")


def pick(name: str) -> torch.device:
    """The device of that name, one of ``NAMES``; ``auto`` is the GPU where torch sees one.

    On a GPU, convolutions are timed and the fastest are taken, and what bfloat16 leaves to float32
    is multiplied as TF32. Raises InputError for other names, and for ``cuda`` without a GPU.
    """
    if name not in NAMES:
        raise InputError(f"--device: expected one of {', '.join(NAMES)}, got {name!r}; correct it")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        build = "a build for CPUs" if torch.version.cuda is None else "a CUDA build"
        raise InputError(
            f"--device cuda: expected a GPU that torch sees, found none (torch {torch.__version__},"
            f" {build}); give --device cpu, or check the driver and the build of torch"
        )
    if name == "cpu" or not has_gpu:
        return torch.device("cpu")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda")


def generator(device: torch.device, seed: list[int]) -> torch.Generator:
    """Random numbers on the device that depend on these numbers alone."""
    state = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] >> np.uint64(1)))


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
