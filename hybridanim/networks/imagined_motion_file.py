"""Weights file of imagined motion: the network, how its features are normalised, and the moods.

Beside the network's own tensors it holds ``feature_mean``, ``feature_deviation`` (F,); ``basis``
(P, E) and ``basis_mean`` (E,), expressions as P principal components; ``statistic_mean``,
``statistic_deviation`` (S,); ``blink`` (rows,), how shut lids are from the row on in which a blink
begins; and ``mood.NAME`` (n, S), standardised statistics of windows of that mood.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridanim.types import Array

from . import size_limits, small_file
from .imagined_motion_sizes import ImagineSizes
from .small_file import FileKind

if TYPE_CHECKING:
    from torch import Tensor

    from .imagined_motion import ImaginedMotionNetwork

FILE = FileKind(
    "imagined motion", "imagined-1", "reinstall, or train it: python -m calibration.imagined_motion"
)
MOOD = "mood."
_MOST = 4096


@dataclass(frozen=True)
class Tables:
    """What the file holds beside the network; see the module."""

    feature_mean: Array
    feature_deviation: Array
    basis: Array
    basis_mean: Array
    statistic_mean: Array
    statistic_deviation: Array
    blink: Array
    moods: Mapping[str, Array]

    def tensors(self) -> dict[str, Array]:
        """By the names in the file."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "moods"}
        return plain | {MOOD + name: bank for name, bank in self.moods.items()}


def write(net: ImaginedMotionNetwork, tables: Tables, path: str | Path) -> None:
    """Write a network and its tables, in half precision."""
    import torch

    state: dict[str, Tensor] = small_file.state_of(net, "net.")
    for name, table in tables.tensors().items():
        state[name] = torch.from_numpy(table.copy()).half()
    small_file.write(FILE, state, asdict(net.sizes), path)


def read_arrays(path: str | Path) -> tuple[ImagineSizes, dict[str, Array], Tables]:
    """Sizes, the network's tensors by its own names, and the tables; all as float32 arrays.

    Raises InputError as ``small_file.read_arrays``.
    """
    sizes, tensors = small_file.read_arrays(FILE, path, _check)
    moods = {k.removeprefix(MOOD): v for k, v in tensors.items() if k.startswith(MOOD)}
    names = [f.name for f in fields(Tables) if f.name != "moods"]
    tables = Tables(**{name: tensors[name] for name in names}, moods=moods)
    return ImagineSizes(**sizes), small_file.part(tensors, "net"), tables


def read(path: str | Path) -> tuple[ImaginedMotionNetwork, Tables]:
    """The network in evaluation mode, and the tables; imports torch.

    Raises InputError as ``read_arrays``.
    """
    from .imagined_motion import ImaginedMotionNetwork

    sizes, tensors, tables = read_arrays(path)
    net = ImaginedMotionNetwork(sizes)
    small_file.fill(net, tensors)
    return net.eval(), tables


def _check(sizes: Any, tensors: dict[str, Array]) -> None:
    if sizes.keys() != {f.name for f in fields(ImagineSizes)}:
        raise ValueError(f"sizes {sorted(sizes)}")
    for name, value in sizes.items():
        size_limits.expect_within(name, value, 1, _MOST)
    s = ImagineSizes(**sizes)
    if s.overlap >= s.piece or s.conditions != s.statistics + 3:
        raise ValueError(f"sizes {sizes}")
    shapes: dict[str, tuple[int, ...]] = {f"net.{k}": v for k, v in _shapes(s).items()}
    shapes |= {
        "feature_mean": (s.features,), "feature_deviation": (s.features,),
        "basis": (s.components, s.coefficients), "basis_mean": (s.coefficients,),
        "statistic_mean": (s.statistics,), "statistic_deviation": (s.statistics,),
    }  # fmt: skip
    for name, value in tensors.items():
        if name == "blink" or name.startswith(MOOD):
            is_blink = name == "blink"
            if value.ndim != (1 if is_blink else 2) or not 1 <= len(value) <= _MOST:
                raise ValueError(f"tensor {name} of another shape")
            shapes[name] = value.shape if is_blink else (len(value), s.statistics)
    if "blink" not in shapes or not any(name.startswith(MOOD) for name in shapes):
        raise ValueError("no blink, or no moods")
    small_file.expect_shapes(tensors, shapes)
    for name in ("feature_deviation", "statistic_deviation"):
        if (tensors[name] <= 0).any():
            raise ValueError(f"a {name} that is not positive")


def _shapes(s: ImagineSizes) -> dict[str, tuple[int, ...]]:
    """The network's tensors."""
    given = s.hidden + s.conditions
    widths = {
        "start": (s.features + s.conditions, s.hidden),
        "enter": (s.piece * s.features + s.conditions, s.width),
        "prior": (given, s.width, 2 * s.latent),
        "posterior": (given + (s.piece + s.overlap) * s.features, s.width, 2 * s.latent),
        "decoder": (
            given + s.latent + (1 + s.overlap) * s.features, s.width, s.width,
            (s.piece + s.overlap) * s.features,
        ),
        "blink": (given + 2, s.width // 4, s.piece),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"limits": (s.features,)}
    for name, sides in widths.items():
        for i, (a, b) in enumerate(itertools.pairwise(sides)):
            shapes[f"{name}.layers.{i}.weight"] = (b, a)
            shapes[f"{name}.layers.{i}.bias"] = (b,)
    for kind, side in (("ih", s.width), ("hh", s.hidden)):
        shapes[f"recur.weight_{kind}"] = (3 * s.hidden, side)
        shapes[f"recur.bias_{kind}"] = (3 * s.hidden,)
    return shapes
