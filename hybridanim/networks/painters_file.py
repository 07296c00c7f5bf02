"""Weights file of the painters: one part for each kind of window."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.face.paint_windows import CHANNELS, KINDS, QUANTITIES
from hybridanim.types import Array

if TYPE_CHECKING:
    from .painters import PainterNetwork

FORMAT = "painters-1"
_MOST_BYTES = 32 << 20
_MOST_CHANNELS = 512
_FIX = "reinstall, or train them with python -m calibration.painters"


def write(networks: Mapping[str, PainterNetwork], path: str | Path) -> None:
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
    that are not finite.
    """
    file = Path(path)
    paths.expect_readable("painters", file)
    if not paths.is_file(file) or file.stat().st_size > _MOST_BYTES:
        raise InputError(f"painters: expected a file of at most 32 MB at {file}; {_FIX}")
    try:
        with safe_open(file, "numpy") as opened:
            table = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        if table.get("format") != FORMAT:
            raise ValueError(f"format {table.get('format')!r}")
        tensors = {key: value.astype(np.float32) for key, value in tensors.items()}
        if not all(np.isfinite(value).all() for value in tensors.values()):
            raise ValueError("inf or not-a-number")
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


def read(path: str | Path) -> dict[str, PainterNetwork]:
    """The networks of a file in evaluation mode, by the name of their window kind; imports torch.

    Raises InputError as ``read_arrays``.
    """
    import torch

    from .painters import PainterNetwork, PainterSizes

    sizes, tensors = read_arrays(path)
    networks = {}
    try:
        for name, given in sizes.items():
            net = PainterNetwork(PainterSizes(**{**given, "channels": tuple(given["channels"])}))
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


def _damaged(file: Path, error: Exception) -> InputError:
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(
        f"painters: expected the networks of this program in {file}, got {line}; {_FIX}"
    )


def _check(name: str, sizes: dict[str, Any]) -> None:
    kind = KINDS[name]
    given = tuple(sizes[key] for key in ("width_px", "height_px", "inputs", "quantities"))
    if given != (kind.width_px, kind.height_px, CHANNELS, QUANTITIES):
        raise ValueError(f"{name} with windows and inputs {given}")
    channels = sizes["channels"]
    if len(channels) != 3 or not all(0 < n <= _MOST_CHANNELS for n in channels):
        raise ValueError(f"{name} of sizes {sizes}")


def _check_shapes(name: str, sizes: dict[str, Any], tensors: dict[str, Array]) -> None:
    """Raise ValueError unless the tensors have the shapes that the sizes say."""
    a, b, c = sizes["channels"]
    expected: dict[str, tuple[int, ...]] = {
        "condition.weight": (c, QUANTITIES),
        "condition.bias": (c,),
        "leave.weight": (16, a, 3, 3),
        "leave.bias": (16,),
    }
    layers = {"enter.0": (4 * CHANNELS, a), "down1.0": (a, b), "down2.0": (b, c)}
    layers |= {"up1": (b + c, b), "up2": (a + b, a)}
    convolutions = [(f"{at}.0", f"{at}.1", *counts) for at, counts in layers.items()]
    for at, count in (("enter.1", a), ("down1.1", b), ("down2.1", c), ("deep", c)):
        convolutions += [(f"{at}.body.{i}", f"{at}.body.{i + 1}", count, count) for i in (0, 3)]
    for conv, norm, inputs, outputs in convolutions:
        expected[f"{conv}.weight"] = (outputs, inputs, 3, 3)
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{norm}.{part}"] = (outputs,)
    own = {k.removeprefix(f"{name}."): v.shape for k, v in tensors.items()
           if k.startswith(f"{name}.")}  # fmt: skip
    if own != expected:
        wrong = sorted(set(own.items()) ^ set(expected.items()))[0]
        raise ValueError(f"tensor {name}.{wrong[0]} of another shape")
