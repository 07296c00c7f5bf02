"""Weights file of the landmark networks: one part for each kind of window."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridanim.face.face_windows import KINDS
from hybridanim.types import Array

from . import size_limits, small_file
from .small_file import FileKind

if TYPE_CHECKING:
    from .face_points import PointNetwork

FILE = FileKind(
    "landmark networks",
    "face-points-1",
    "reinstall, or train them with python -m calibration.face_points",
)
_MOST_CHANNELS, _MOST_LAYERS, _MOST_HIDDEN, _MOST_COMPONENTS = 512, 8, 2048, 512


def write(networks: Mapping[str, PointNetwork], path: str | Path) -> None:
    """Write networks by the name of their window kind; weights in half precision."""
    tensors = {}
    for name, net in networks.items():
        tensors |= small_file.state_of(net, f"{name}.")
    sizes = {name: asdict(net.sizes) for name, net in networks.items()}
    small_file.write(FILE, tensors, sizes, path)


def read_arrays(path: str | Path) -> tuple[dict[str, dict[str, Any]], dict[str, Array]]:
    """Sizes of each network, and all tensors as float32 arrays, names prefixed by the network's.

    Raises InputError as ``small_file.read_arrays``.
    """
    return small_file.read_arrays(FILE, path, small_file.check_each(_shapes))


def read(path: str | Path) -> dict[str, PointNetwork]:
    """The networks of a file in evaluation mode, by the name of their window kind; imports torch.

    Raises InputError as ``read_arrays``.
    """
    from .face_points import PointNetwork, PointSizes

    sizes, tensors = read_arrays(path)
    networks = {}
    try:
        for name, given in sizes.items():
            net = PointNetwork(PointSizes(**{**given, "channels": tuple(given["channels"])}))
            small_file.fill(net, small_file.part(tensors, name))
            networks[name] = net.eval()
    except (TypeError, RuntimeError) as error:
        raise FILE.damaged(Path(path), error) from error
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


def _shapes(name: str, sizes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors' shapes that the sizes say; ValueError for sizes that no network has."""
    _check(name, sizes)
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
            small_file.norm_shapes(expected, conv, norm, (count, inputs, side, side))
        before = count
    return expected


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
