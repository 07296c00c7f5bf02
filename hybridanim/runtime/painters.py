"""The painters at run time: windows of mouth and eyes -> colour and alpha, by OpenVINO or torch.

The graphs are built from the weights file directly, with the batch norms folded into the
convolutions, so that no start imports torch. The mouth is one window, the eyes are a batch of two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim import extras, files, quiet
from hybridanim.face.paint_windows import CHANNELS, KINDS, QUANTITIES
from hybridanim.networks import painters_file, small_file
from hybridanim.types import Array

from .layers import folded, request_of

WEIGHTS = files.WEIGHTS / "painters.safetensors"
WEIGHTS_SHA256 = "3f9a0466aa3ca9ebe75169597e00f8748d539133259f6e6f2b3534919ee96411"

Painter = Callable[[Array, Array], tuple[Array, Array]]
"""Windows (N, 9, H, W) and quantities (N, 6) float32 -> colour (N, 3, H, W), alpha (N, 1, H, W)."""


@cache
def load(path: str | Path | None = None, threads: int = 0) -> dict[str, Painter]:
    """The painters of a weights file, or the packaged ones; loaded once.

    threads: of OpenVINO; 0: its own choice, at most 2. Raises InputError when the file is missing,
    damaged, or not one of this program's.
    """
    file = Path(path) if path else WEIGHTS
    if path is None and file.is_file():
        files.expect_sha256("painters", file, WEIGHTS_SHA256)
    try:
        quiet.openvino()
    except ImportError:
        return _by_torch(file)
    sizes, tensors = painters_file.read_arrays(file)
    out: dict[str, Painter] = {}
    for name in sizes:
        own = small_file.part(tensors, name)
        out[name] = _caller(request_of(_graph(name, own), threads))
    return out


def _caller(request: Any) -> Painter:
    def run(windows: Array, quantities: Array) -> tuple[Array, Array]:
        given = [np.ascontiguousarray(part, np.float32) for part in (windows, quantities)]
        request.infer(given, share_inputs=True)
        return tuple(request.get_output_tensor(i).data.copy() for i in (0, 1))  # pyright: ignore[reportReturnType]

    return run


def _graph(name: str, tensors: Mapping[str, Array]) -> Any:
    """OpenVINO's model of ``networks.painters.PainterNetwork``."""
    ops = quiet.openvino("openvino.opset13")
    kind, batch = KINDS[name], 2 if name == "eye" else 1
    windows = ops.parameter([batch, CHANNELS, kind.height_px, kind.width_px], np.float32, "windows")
    given = ops.parameter([batch, QUANTITIES], np.float32, "quantities")

    def convolved(x: Any, weight: Array, bias: Array, stride: int = 1) -> Any:
        found = ops.convolution(x, ops.constant(weight), [stride] * 2, [1, 1], [1, 1], [1, 1])
        return ops.add(found, ops.constant(bias.reshape(1, -1, 1, 1)))

    def layer(x: Any, at: str, stride: int = 1) -> Any:
        return ops.relu(convolved(x, *folded(tensors, f"{at}.0", f"{at}.1"), stride))

    def residual(x: Any, at: str) -> Any:
        inner = ops.relu(convolved(x, *folded(tensors, f"{at}.body.0", f"{at}.body.1")))
        return ops.relu(
            ops.add(x, convolved(inner, *folded(tensors, f"{at}.body.3", f"{at}.body.4")))
        )

    def doubled(x: Any) -> Any:
        twice, axes = np.array([2.0, 2.0], np.float32), np.array([2, 3])
        return ops.interpolate(
            x, ops.constant(twice), "nearest", "scales", axes=ops.constant(axes),
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip

    half = residual(layer(ops.space_to_depth(windows, "depth_first", 2), "enter.0"), "enter.1")
    quarter = residual(layer(half, "down1.0", 2), "down1.1")
    x = residual(layer(quarter, "down2.0", 2), "down2.1")
    told = ops.matmul(given, ops.constant(tensors["condition.weight"]), False, True)
    told = ops.add(told, ops.constant(tensors["condition.bias"][None]))
    told = ops.reshape(told, ops.constant(np.array([batch, -1, 1, 1])), special_zero=False)
    x = residual(ops.relu(ops.add(x, told)), "deep")
    x = layer(ops.concat([doubled(x), quarter], 1), "up1")
    x = layer(ops.concat([doubled(x), half], 1), "up2")
    x = convolved(x, tensors["leave.weight"], tensors["leave.bias"])
    found = ops.depth_to_space(x, "depth_first", 2)
    parts = ops.variadic_split(found, ops.constant(1), ops.constant(np.array([3, 1])))
    shown = ops.variadic_split(windows, ops.constant(1), ops.constant(np.array([3, CHANNELS - 3])))
    colour = ops.add(shown.output(0), parts.output(0))
    return quiet.openvino().Model([colour, ops.sigmoid(parts.output(1))], [windows, given], name)


def _by_torch(file: Path) -> dict[str, Painter]:
    extras.expect_runtime("painters")
    import torch

    def caller(net: Any) -> Painter:
        def run(windows: Array, quantities: Array) -> tuple[Array, Array]:
            given = [
                torch.from_numpy(np.ascontiguousarray(p, np.float32)) for p in (windows, quantities)
            ]
            with torch.inference_mode():
                colour, alpha = net(*given)
            return colour.numpy(), alpha.numpy()

        return run

    return {name: caller(net) for name, net in painters_file.read(file).items()}
