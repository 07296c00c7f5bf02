"""Weights file of the landmark networks: one part for each kind of window."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.face.face_windows import KINDS

if TYPE_CHECKING:
    from .face_points import PointNetwork, PointSizes

FORMAT = "face-points-1"
_MOST_BYTES = 32 << 20
_MOST_CHANNELS, _MOST_LAYERS, _MOST_HIDDEN, _MOST_COMPONENTS = 512, 8, 2048, 512


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


def read(path: str | Path) -> dict[str, PointNetwork]:
    """The networks of a file in evaluation mode, by the name of their window kind.

    Raises InputError when the file is missing, damaged, not one of this program's, or holds numbers
    that are not finite.
    """
    import torch

    from .face_points import PointNetwork, PointSizes

    file = Path(path)
    paths.expect_readable("landmark networks", file)
    fix = "reinstall, or train them with python -m calibration.face_points"
    if not paths.is_file(file) or file.stat().st_size > _MOST_BYTES:
        raise InputError(f"landmark networks: expected a file of at most 32 MB at {file}; {fix}")
    try:
        with safe_open(file, "pt") as opened:
            table = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key).float() for key in opened.keys()}  # noqa: SIM118
        if table.get("format") != FORMAT:
            raise ValueError(f"format {table.get('format')!r}")
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise ValueError("inf or not-a-number")
        networks = {}
        for name, given in json.loads(table["sizes"]).items():
            sizes = PointSizes(**{**given, "channels": tuple(given["channels"])})
            _check(name, sizes)
            net = PointNetwork(sizes)
            own = {
                key.removeprefix(f"{name}."): value
                for key, value in tensors.items()
                if key.startswith(f"{name}.")
            }
            counters = {k: v for k, v in net.state_dict().items() if k.endswith("_tracked")}
            net.load_state_dict(own | counters)
            networks[name] = net.eval()
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"landmark networks: expected the networks of this program in {file}, got {line}; {fix}"
        ) from error
    return networks


def _check(name: str, sizes: PointSizes) -> None:
    kind = KINDS[name]
    window = (sizes.width_px, sizes.height_px, sizes.points)
    if window != (kind.width_px, kind.height_px, len(kind.points)):
        raise ValueError(f"{name} with windows and points {window}")
    fits = (
        sizes.dimensions in (2, 3)
        and len(sizes.channels) <= _MOST_LAYERS
        and max(sizes.channels) <= _MOST_CHANNELS
        and sizes.hidden <= _MOST_HIDDEN
        and sizes.components <= _MOST_COMPONENTS
    )
    if not fits:
        raise ValueError(f"{name} of sizes {sizes}")
