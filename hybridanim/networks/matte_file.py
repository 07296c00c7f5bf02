"""Weights file of the matting network."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridanim.face.matte_window import CHANNELS
from hybridanim.types import Array

from . import size_limits, small_file
from .small_file import FileKind

if TYPE_CHECKING:
    from .matte import MatteNetwork

FILE = FileKind(
    "matting network", "matte-1", "reinstall, or train it with python -m calibration.matte"
)
_MOST_CHANNELS, _MOST_LEVELS, _MOST_PX = 512, 6, 512


def write(net: MatteNetwork, path: str | Path) -> None:
    """Write a network; weights in half precision."""
    small_file.write(FILE, small_file.state_of(net), asdict(net.sizes), path)


def read_arrays(path: str | Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Sizes of the network, and its tensors as float32 arrays.

    Raises InputError as ``small_file.read_arrays``.
    """

    def check(sizes: Any, tensors: dict[str, Array]) -> None:
        _check(sizes)
        small_file.expect_shapes(tensors, _shapes(sizes))

    return small_file.read_arrays(FILE, path, check)


def read(path: str | Path) -> MatteNetwork:
    """The network of a file in evaluation mode; imports torch.

    Raises InputError as ``read_arrays``.
    """
    from .matte import MatteNetwork, MatteSizes

    sizes, tensors = read_arrays(path)
    net = MatteNetwork(MatteSizes(**{**sizes, "channels": tuple(sizes["channels"])}))
    small_file.fill(net, tensors)
    return net.eval()


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
        small_file.norm_shapes(shapes, conv, norm, (after, before, side, side))
    return shapes
