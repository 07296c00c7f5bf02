"""What a first start needs to know of the shipped networks, found beforehand.

``prepared.safetensors`` holds the ranges of the convolutions' inputs, for int8, and torch's results
in float32 for the check's inputs. So a start neither measures the ranges (seconds) nor needs torch
for the check. ``python -m tools.prepare_networks`` writes the file; for other weights both are
found at their first start.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.networks.weights import Shipped
from hybridanim.types import Array

from .int8 import Range

FILE = Shipped(
    files.WEIGHTS / "prepared.safetensors",
    "83fc0b44047c21c6134f9cb494d553aee8b10cdcf79da16b6375d6e91bb60f21",
)


@dataclass(frozen=True)
class Prepared:
    """Of one weights file."""

    ranges: dict[str, dict[str, Range]]
    """Graph -> convolution -> range of its input; no graphs that stay in float32."""
    results: dict[str, Array]
    """Name of a sample -> float32 values, see ``verify.results``."""


def of_weights(sha256: str) -> Prepared | None:
    """What is known of the weights file with this SHA-256; None for files that are not shipped.

    Raises InputError when the package's file is missing or damaged.
    """
    return _read().get(sha256)


@cache
def _read() -> dict[str, Prepared]:
    path = FILE.checked()
    try:
        return read(path)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"prepared networks: expected a whole file at {FILE.path}, got {error}; reinstall"
        ) from error


def read(path: Path) -> dict[str, Prepared]:
    """What a file holds, by the SHA-256 of the weights; KeyError or ValueError for other names."""
    out: dict[str, Prepared] = {}
    ranges: dict[tuple[str, str, str], dict[str, Array]] = {}
    for name, value in load_file(path).items():
        sha256, kind, *rest = name.split("/")
        found = out.setdefault(sha256, Prepared({}, {}))
        if kind == "results":
            (sample,) = rest
            found.results[sample] = value
        else:
            graph, convolution, end = rest
            ranges.setdefault((sha256, graph, convolution), {})[end] = value
    for (sha256, graph, convolution), ends in ranges.items():
        found = Range(ends["low"], ends["high"])
        out[sha256].ranges.setdefault(graph, {})[convolution] = found
    return out


def write(found: dict[str, Prepared], path: Path) -> None:
    """Write such a file, atomically."""
    tensors: dict[str, Array] = {}
    for sha256, own in found.items():
        for sample, value in own.results.items():
            tensors[f"{sha256}/results/{sample}"] = value
        for graph, ranges in own.ranges.items():
            for convolution, one in ranges.items():
                for end, value in (("low", one.low), ("high", one.high)):
                    tensors[f"{sha256}/ranges/{graph}/{convolution}/{end}"] = value
    with files.atomic_write(path) as file:
        file.write(save({name: np.ascontiguousarray(v, np.float32) for name, v in tensors.items()}))
