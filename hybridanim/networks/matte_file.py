"""Weights file of the matting network."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.face.matte_window import CHANNELS
from hybridanim.types import Array

from . import size_limits

if TYPE_CHECKING:
    from .matte import MatteNetwork

FORMAT = "matte-1"
_MOST_BYTES = 32 << 20
_MOST_CHANNELS, _MOST_LEVELS, _MOST_PX = 512, 6, 512
_MOST_VALUE = 1e6  # of a weight; trained ones stay below 1000
_FIX = "reinstall, or train it with python -m calibration.matte"


def write(net: MatteNetwork, path: str | Path) -> None:
    """Write a network; weights in half precision."""
    from safetensors.torch import save

    tensors = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    with files.atomic_write(path) as file:
        file.write(save(tensors, {"format": FORMAT, "sizes": json.dumps(asdict(net.sizes))}))


def read_arrays(path: str | Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Sizes of the network, and its tensors as float32 arrays.

    Raises InputError when the file is missing, damaged, not one of this program's, or holds numbers
    that are not finite, or absurd.
    """
    file = Path(path)
    paths.expect_readable("matting network", file)
    if not paths.is_file(file) or file.stat().st_size > _MOST_BYTES:
        raise InputError(f"matting network: expected a file of at most 32 MB at {file}; {_FIX}")
    try:
        with safe_open(file, "numpy") as opened:
            table = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        if table.get("format") != FORMAT:
            raise ValueError(f"format {table.get('format')!r}")
        if any(value.dtype.kind != "f" for value in tensors.values()):
            raise ValueError("numbers that are not floats")
        with np.errstate(over="ignore"):
            tensors = {key: value.astype(np.float32) for key, value in tensors.items()}
        if not all((np.abs(value) <= _MOST_VALUE).all() for value in tensors.values()):
            raise ValueError(f"numbers beyond {_MOST_VALUE:g}, or not-a-number")
        if any((v < 0).any() for k, v in tensors.items() if k.endswith("running_var")):
            raise ValueError("a negative variance")
        sizes = json.loads(table["sizes"])
        _check(sizes)
        wrong = set(_shapes(sizes).items()) ^ {(k, v.shape) for k, v in tensors.items()}
        if wrong:
            raise ValueError(f"tensor {min(wrong)[0]} of another shape")
    except (
        SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError
    ) as error:  # fmt: skip
        raise _damaged(file, error) from error
    return sizes, tensors


def read(path: str | Path) -> MatteNetwork:
    """The network of a file in evaluation mode; imports torch.

    Raises InputError as ``read_arrays``.
    """
    import torch

    from .matte import MatteNetwork, MatteSizes

    sizes, tensors = read_arrays(path)
    net = MatteNetwork(MatteSizes(**{**sizes, "channels": tuple(sizes["channels"])}))
    counters = {k: v for k, v in net.state_dict().items() if k.endswith("_tracked")}
    net.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()} | counters)
    return net.eval()


def _damaged(file: Path, error: Exception) -> InputError:
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(
        f"matting network: expected the network of this program in {file}, got {line}; {_FIX}"
    )


def _check(sizes: dict[str, Any]) -> None:
    """Raise ValueError for sizes such as no network of this program has."""
    if sizes.keys() != {"window_px", "inputs", "channels", "last"}:
        raise ValueError(f"sizes {sorted(sizes)}")
    size_limits.expect_within("inputs", sizes["inputs"], CHANNELS, CHANNELS)
    size_limits.expect_within("last", sizes["last"], 1, _MOST_CHANNELS)
    size_limits.expect_within("levels", len(sizes["channels"]), 1, _MOST_LEVELS)
    for count in sizes["channels"]:
        size_limits.expect_within("channels", count, 1, _MOST_CHANNELS)
    cell = 1 << len(sizes["channels"])
    size_limits.expect_within("window_px", sizes["window_px"], cell, _MOST_PX)
    if sizes["window_px"] % cell:
        raise ValueError(f"a window of {sizes['window_px']} pixels, not a multiple of {cell}")


def _shapes(sizes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that the sizes say."""
    counts = sizes["channels"]
    convolutions: list[tuple[str, str, int, int, int]] = []
    for i, (before, after) in enumerate(zip([sizes["inputs"], *counts], counts, strict=False)):
        convolutions.append((f"down.{i}.0", f"down.{i}.1", before, after, 5 if i == 0 else 3))
        body = f"down.{i}.3.body"
        convolutions.append((f"{body}.0", f"{body}.1", after, after, 3))
        convolutions.append((f"{body}.3", f"{body}.4", after, after, 3))
    for i, (count, below) in enumerate(pairwise(counts)):
        convolutions.append((f"up.{i}.0", f"up.{i}.1", below + count, count, 3))
    last = sizes["last"]
    convolutions.append(("last.0", "last.1", counts[0] + sizes["inputs"], last, 3))
    shapes: dict[str, tuple[int, ...]] = {"last.3.weight": (1, last, 1, 1), "last.3.bias": (1,)}
    for conv, norm, before, after, side in convolutions:
        shapes[f"{conv}.weight"] = (after, before, side, side)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (after,)
    return shapes
