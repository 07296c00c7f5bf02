"""Weights file of the painters: one part for each kind of window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridanim.face.paint_windows import CHANNELS, KINDS, QUANTITIES
from hybridanim.types import Array

from . import small_file
from .small_file import FileKind

if TYPE_CHECKING:
    from .painters import PainterNetwork

FILE = FileKind(
    "painters", "painters-1", "reinstall, or train them with python -m calibration.painters"
)
_MOST_CHANNELS = 512


def write(networks: Mapping[str, PainterNetwork], path: str | Path) -> None:
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


def read(path: str | Path) -> dict[str, PainterNetwork]:
    """The networks of a file in evaluation mode, by the name of their window kind; imports torch.

    Raises InputError as ``read_arrays``.
    """
    from .painters import PainterNetwork, PainterSizes

    sizes, tensors = read_arrays(path)
    networks = {}
    try:
        for name, given in sizes.items():
            net = PainterNetwork(PainterSizes(**{**given, "channels": tuple(given["channels"])}))
            small_file.fill(net, small_file.part(tensors, name))
            networks[name] = net.eval()
    except (TypeError, RuntimeError) as error:
        raise FILE.damaged(Path(path), error) from error
    return networks


def _check(name: str, sizes: dict[str, Any]) -> None:
    kind = KINDS[name]
    given = tuple(sizes[key] for key in ("width_px", "height_px", "inputs", "quantities"))
    if given != (kind.width_px, kind.height_px, CHANNELS, QUANTITIES):
        raise ValueError(f"{name} with windows and inputs {given}")
    channels = sizes["channels"]
    if len(channels) != 3 or not all(0 < n <= _MOST_CHANNELS for n in channels):
        raise ValueError(f"{name} of sizes {sizes}")


def _shapes(name: str, sizes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors' shapes that the sizes say; ValueError for sizes that no network has."""
    _check(name, sizes)
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
        small_file.norm_shapes(expected, conv, norm, (outputs, inputs, 3, 3))
    return expected
