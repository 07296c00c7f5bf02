"""Weights file of the landmark networks: one part for each kind of window."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.face.face_windows import KINDS
from hybridanim.types import Array

from . import size_limits

if TYPE_CHECKING:
    from .face_points import PointNetwork

FORMAT = "face-points-1"
_MOST_BYTES = 32 << 20
_MOST_CHANNELS, _MOST_LAYERS, _MOST_HIDDEN, _MOST_COMPONENTS = 512, 8, 2048, 512
_MOST_VALUE = 1e6  # of a weight; trained ones stay below 1000
_FIX = "reinstall, or train them with python -m calibration.face_points"


def write(networks: Mapping[str, PointNetwork], path: str | Path) -> None:
    """Write networks by the name of their window kind; weights in half precision."""
    from safetensors.torch import save

    tensors = {
        f"{name}.{key}": (value.half() if value.is_floating_point() else value).contiguous()
        for name, net in networks.items()
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    sizes = {name: asdict(net.sizes) for name, net in networks.items()}
    with files.atomic_write(path) as file:
        file.write(save(tensors, {"format": FORMAT, "sizes": json.dumps(sizes)}))


def read_arrays(path: str | Path) -> tuple[dict[str, dict[str, Any]], dict[str, Array]]:
    """Sizes of each network, and all tensors as float32 arrays, names prefixed by the network's.

    Raises InputError when the file is missing, damaged, not one of this program's, or holds numbers
    that are not finite, or absurd.
    """
    file = Path(path)
    paths.expect_readable("landmark networks", file)
    if not paths.is_file(file) or file.stat().st_size > _MOST_BYTES:
        raise InputError(f"landmark networks: expected a file of at most 32 MB at {file}; {_FIX}")
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
        if not isinstance(sizes, dict) or not sizes:
            raise ValueError("no networks")
        for name, given in sizes.items():
            _check(name, given)
            _check_shapes(name, given, tensors)
    except (
        SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError
    ) as error:  # fmt: skip
        raise _damaged(file, error) from error
    return sizes, tensors


def read(path: str | Path) -> dict[str, PointNetwork]:
    """The networks of a file in evaluation mode, by the name of their window kind; imports torch.

    Raises InputError as ``read_arrays``.
    """
    import torch

    from .face_points import PointNetwork, PointSizes

    sizes, tensors = read_arrays(path)
    networks = {}
    try:
        for name, given in sizes.items():
            net = PointNetwork(PointSizes(**{**given, "channels": tuple(given["channels"])}))
            own = {
                key.removeprefix(f"{name}."): torch.from_numpy(value)
                for key, value in tensors.items()
                if key.startswith(f"{name}.")
            }
            counters = {k: v for k, v in net.state_dict().items() if k.endswith("_tracked")}
            net.load_state_dict(own | counters)
            networks[name] = net.eval()
    except (TypeError, RuntimeError) as error:
        raise _damaged(Path(path), error) from error
    return networks


def mean(networks: Sequence[PointNetwork]) -> PointNetwork:
    """A network whose weights are the mean of these, of one size; ValueError for other sizes.

    Trainings that started from the same weights may be averaged (Wortsman et al. 2022, Model
    soups).
    """
    first, *others = networks
    if any(other.sizes != first.sizes for other in others):
        raise ValueError("networks of several sizes")
    out, states = copy.deepcopy(first), [one.state_dict() for one in networks]
    out.load_state_dict(
        {
            key: sum(state[key] for state in states) / len(states)
            if value.is_floating_point()
            else value
            for key, value in states[0].items()
        }
    )
    return out


def _damaged(file: Path, error: Exception) -> InputError:
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(
        f"landmark networks: expected the networks of this program in {file}, got {line}; {_FIX}"
    )


def _check_shapes(name: str, sizes: dict[str, Any], tensors: dict[str, Array]) -> None:
    """Raise ValueError unless the tensors have the shapes that the sizes say."""
    channels, length = sizes["channels"], sizes["points"] * sizes["dimensions"]
    cells = 1
    for side in (sizes["width_px"], sizes["height_px"]):
        for _ in channels:
            side = (side + 1) // 2
        cells *= side
    expected: dict[str, tuple[int, ...]] = {
        "mean": (length,),
        "basis": (sizes["components"], length),
        "head.1.weight": (sizes["hidden"], channels[-1] * cells),
        "head.1.bias": (sizes["hidden"],),
        "head.3.weight": (sizes["components"] + 1, sizes["hidden"]),
        "head.3.bias": (sizes["components"] + 1,),
    }
    before, layer = 1, 0
    for i, count in enumerate(channels):
        kernel = 5 if i == 0 else 3
        convolutions = [(f"features.{layer}", f"features.{layer + 1}", before, kernel)]
        layer += 3
        if i > 0:
            body = f"features.{layer}.body"
            convolutions += [(f"{body}.0", f"{body}.1", count, 3)]
            convolutions += [(f"{body}.3", f"{body}.4", count, 3)]
            layer += 1
        for conv, norm, inputs, side in convolutions:
            expected[f"{conv}.weight"] = (count, inputs, side, side)
            for part in ("weight", "bias", "running_mean", "running_var"):
                expected[f"{norm}.{part}"] = (count,)
        before = count
    own = {k.removeprefix(f"{name}."): v.shape for k, v in tensors.items()
           if k.startswith(f"{name}.")}  # fmt: skip
    if own != expected:
        wrong = sorted(set(own.items()) ^ set(expected.items()))[0]
        raise ValueError(f"tensor {name}.{wrong[0]} of another shape")


def _check(name: str, sizes: dict[str, Any]) -> None:
    """Raise ValueError for sizes of another window, or such as no network of this program has."""
    kind = KINDS[name]
    numbers = {
        "width_px": (kind.width_px, kind.width_px),
        "height_px": (kind.height_px, kind.height_px),
        "points": (len(kind.points), len(kind.points)),
        "dimensions": (2, 3),
        "components": (1, _MOST_COMPONENTS),
        "hidden": (1, _MOST_HIDDEN),
    }
    if sizes.keys() != numbers.keys() | {"channels"}:
        raise ValueError(f"{name} of sizes {sorted(sizes)}")
    for key, (least, most) in numbers.items():
        size_limits.expect_within(f"{name}, {key}", sizes[key], least, most)
    size_limits.expect_within(f"{name}, layers", len(sizes["channels"]), 1, _MOST_LAYERS)
    for count in sizes["channels"]:
        size_limits.expect_within(f"{name}, channels", count, 1, _MOST_CHANNELS)
