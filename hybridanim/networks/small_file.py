"""Weights files of the small networks: tensors in half precision, sizes as JSON in the metadata.

What landmark networks, painters and the matting network share; each says its own sizes and shapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.types import Array

if TYPE_CHECKING:
    from torch import Tensor, nn

_MOST_BYTES = 32 << 20
_MOST_VALUE = 1e6  # of a weight; trained ones stay below 1000


@dataclass(frozen=True)
class FileKind:
    """What a file is called in messages, its format, and what to do where it is missing."""

    what: str
    format: str
    fix: str

    def damaged(self, file: Path, error: Exception) -> InputError:
        """The error for a file that holds something else."""
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        return InputError(
            f"{self.what}: expected the networks of this program in {file}, got {line}; {self.fix}"
        )


def state_of(net: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """A network's tensors as a file holds them, names after the prefix."""
    return {
        prefix + key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }


def write(kind: FileKind, tensors: dict[str, Tensor], sizes: Any, path: str | Path) -> None:
    """Write tensors, of ``state_of``, and sizes, anything that JSON can hold."""
    from safetensors.torch import save

    with files.atomic_write(path) as file:
        file.write(save(tensors, {"format": kind.format, "sizes": json.dumps(sizes)}))


def read_arrays(
    kind: FileKind, path: str | Path, check: Callable[[Any, dict[str, Array]], None]
) -> tuple[Any, dict[str, Array]]:
    """Sizes and tensors, as float32 arrays. check: raises ValueError for unfit ones.

    Raises InputError when the file is missing, damaged, not one of this program's, or holds numbers
    that are not finite, or absurd.
    """
    file = Path(path)
    paths.expect_readable(kind.what, file)
    if not paths.is_file(file) or file.stat().st_size > _MOST_BYTES:
        raise InputError(f"{kind.what}: expected a file of at most 32 MB at {file}; {kind.fix}")
    try:
        with safe_open(file, "numpy") as opened:
            table = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        if table.get("format") != kind.format:
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
        check(sizes, tensors)
    except (
        SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError
    ) as error:  # fmt: skip
        raise kind.damaged(file, error) from error
    return sizes, tensors


def check_each(
    check: Callable[[str, dict[str, Any]], Mapping[str, tuple[int, ...]]],
) -> Callable[[Any, dict[str, Array]], None]:
    """A check of a file of several networks; of one, it gives the shapes that its sizes say."""

    def checked(sizes: Any, tensors: dict[str, Array]) -> None:
        if not isinstance(sizes, dict) or not sizes:
            raise ValueError("no networks")
        for name, given in sizes.items():
            expect_shapes(part(tensors, name), check(name, given), f"{name}.")

    return checked


def expect_shapes(
    tensors: Mapping[str, Array], expected: Mapping[str, tuple[int, ...]], prefix: str = ""
) -> None:
    """Raise ValueError unless there are these tensors, of these shapes."""
    wrong = {k: v.shape for k, v in tensors.items()}.items() ^ expected.items()
    if wrong:
        raise ValueError(f"tensor {prefix}{min(wrong)[0]} of another shape")


def part(tensors: Mapping[str, Array], name: str) -> dict[str, Array]:
    """The tensors of one network of a file, by its own names."""
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}


def norm_shapes(
    shapes: dict[str, tuple[int, ...]], conv: str, norm: str, weight: tuple[int, int, int, int]
) -> None:
    """Add those of a convolution without bias, of this weight, and of its batch norm."""
    shapes[f"{conv}.weight"] = weight
    for name in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"{norm}.{name}"] = weight[:1]


def fill(net: nn.Module, tensors: Mapping[str, Array]) -> None:
    """Load a network's tensors, by its own names; its counters of batches stay. Imports torch."""
    import torch

    counters = {k: v for k, v in net.state_dict().items() if k.endswith("_tracked")}
    net.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()} | counters)
