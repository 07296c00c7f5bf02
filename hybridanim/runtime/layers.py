"""Layers of the networks and the algebra of ``networks.blocks``, as OpenVINO operations.

Everything is of batch 1 and of fixed size. Features are (1, C, H, W), positions (1, 2, H, W): x and
y, normalised. Batch norms are folded into the convolutions before them. A convolution has the name
of its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from hybridanim import quiet
from hybridanim.networks.constants import LEAST_DETERMINANT, NORM_EPSILON
from hybridanim.types import Array


def request_of(graph: Any, threads: int) -> Any:
    """A request of a small network's model, which one frame runs after the other.

    threads: 0: OpenVINO's own choice, at most 2.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or 2,
        "ENABLE_CPU_PINNING": False,
    }
    return _core().compile_model(graph, "CPU", settings).create_infer_request()


@cache
def _core() -> Any:
    return quiet.openvino().Core()


class Affine(NamedTuple):
    """2x2 matrices [[a, b], [c, d]], four nodes of (K, 1)."""

    a: Any
    b: Any
    c: Any
    d: Any


class Layers:
    """Makes operations from a network's tensors."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        """tensors: by the names of the torch module's state."""
        self.ops = quiet.openvino("openvino.opset13")
        self.tensors = tensors

    def constant(self, value: Array | float | Sequence[float]) -> Any:
        """A float32 constant."""
        return self.ops.constant(np.asarray(value, np.float32))

    def _whole(self, value: int | Sequence[int]) -> Any:
        return self.ops.constant(np.asarray(value, np.int64))

    def input(self, name: str, *shape: int) -> Any:
        """A parameter of the graph."""
        return self.ops.parameter(list(shape), np.float32, name=name)

    def convolution(self, x: Any, name: str, stride: int = 1, norm: str = "") -> Any:
        """Convolution with bias, with the batch norm of that name if one is given."""
        weight, bias = folded(self.tensors, name, norm)
        pad = [weight.shape[2] // 2] * 2
        found = self.ops.convolution(x, self.constant(weight), [stride] * 2, pad, pad, [1, 1])
        found.set_friendly_name(name)
        return found + self.constant(bias.reshape(1, -1, 1, 1))

    def block(self, x: Any, name: str, stride: int = 1) -> Any:
        """``blocks.ConvBlock``."""
        return self.ops.relu(self.convolution(x, f"{name}.conv", stride, f"{name}.norm"))

    def up(self, x: Any, name: str) -> Any:
        """``blocks.Up``."""
        return self.block(self.doubled(x), name)

    def residual(self, x: Any, name: str) -> Any:
        """``blocks.Residual``."""
        inner = self.block(x, f"{name}.first")
        return x + self.convolution(inner, f"{name}.conv", norm=f"{name}.norm")

    def unet(self, x: Any, name: str, widths: Sequence[int]) -> Any:
        """``blocks.UNet``."""
        kept = []
        levels = len(list(pairwise(widths)))
        for i in range(levels):
            kept.append(x)
            x = self.block(x, f"{name}.down.{i}", 2)
        x = self.residual(x, f"{name}.middle")
        for i, skip in enumerate(reversed(kept)):
            joined = self.concat([self.up(x, f"{name}.up.{i}"), skip])
            x = self.block(joined, f"{name}.join.{i}")
        return x

    def doubled(self, x: Any) -> Any:
        """Twice the height and width, nearest neighbour."""
        return self.ops.interpolate(
            x, self.constant([2, 2]), "nearest", "scales", axes=self._whole([2, 3]),
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip

    def unfolded(self, x: Any, factor: int = 2) -> Any:
        """Return torch's pixel_unshuffle."""
        return self.ops.space_to_depth(x, "depth_first", factor)

    def shuffled(self, x: Any, factor: int = 2) -> Any:
        """Return torch's pixel_shuffle."""
        return self.ops.depth_to_space(x, "depth_first", factor)

    def pooled(self, x: Any, factor: int) -> Any:
        """Mean of each factor x factor cells."""
        size, none = [factor, factor], [0, 0]
        return self.ops.avg_pool(x, size, none, none, size, True)

    def warp(self, picture: Any, places: Any) -> Any:
        """Sample (1, C, h, w) at (1, H, W, 2), bilinearly; edge pixels repeat outside."""
        how = {"align_corners": False, "mode": "bilinear", "padding_mode": "border"}
        return self.ops.grid_sample(picture, places, how)

    def resized_flow(self, flow: Any, size: int, to: int) -> Any:
        """``blocks.resize_flow`` of square positions (1, 2, size, size)."""
        shift = flow - self.constant(grid(size))
        sizes, axes = self._whole([to, to]), self._whole([2, 3])
        # half-pixel centres
        moved = self.ops.interpolate(shift, sizes, "linear_onnx", "sizes", axes=axes)
        return moved + self.constant(grid(to))

    def last(self, positions: Any) -> Any:
        """(1, 2, H, W) -> (1, H, W, 2)."""
        return self.ops.transpose(positions, self._whole([0, 2, 3, 1]))

    def first(self, positions: Any) -> Any:
        """(1, H, W, 2) -> (1, 2, H, W)."""
        return self.ops.transpose(positions, self._whole([0, 3, 1, 2]))

    def concat(self, parts: Sequence[Any], axis: int = 1) -> Any:
        """Join along an axis, channels by default."""
        return self.ops.concat(list(parts), axis)

    def split(self, x: Any, lengths: Sequence[int], axis: int = 1) -> list[Any]:
        """Cut along an axis, channels by default."""
        found = self.ops.variadic_split(x, self._whole(axis), self._whole(lengths))
        return [found.output(i) for i in range(len(lengths))]

    def shaped(self, x: Any, *shape: int) -> Any:
        """Reshape; -1 stands for what is left."""
        return self.ops.reshape(x, self._whole(shape), special_zero=False)

    def picked(self, x: Any, indices: Array | int, axis: int = 0) -> Any:
        """Rows of x, by their indices."""
        return self.ops.gather(
            x, self.ops.constant(np.asarray(indices, np.int64)), self._whole(axis)
        )

    def summed(self, x: Any, axis: int | Sequence[int], *, keep: bool = False) -> Any:
        """Sum along axes."""
        return self.ops.reduce_sum(x, self._whole(axis), keep)

    def mean(self, x: Any, axis: int | Sequence[int], *, keep: bool = False) -> Any:
        """Mean along axes."""
        return self.ops.reduce_mean(x, self._whole(axis), keep)

    def clamped(self, x: Any, least: float, most: float = np.inf) -> Any:
        """Limit to a range."""
        return self.ops.clamp(x, least, most)

    def less(self, x: Any, limit: float) -> Any:
        """Whether x is less than a limit."""
        return self.ops.less(x, self.constant(limit))

    # the algebra of local affines

    def affine(self, jacobian: Any, count: int) -> Affine:
        """The entries of (1, K, 2, 2)."""
        return Affine(*self.split(self.shaped(jacobian, count, 4), [1, 1, 1, 1]))

    def determinant(self, m: Affine) -> Any:
        """Determinants (K, 1)."""
        return self.ops.multiply(m.a, m.d) - self.ops.multiply(m.b, m.c)

    def inverse(self, m: Affine) -> Affine:
        """``blocks.inverse_2x2``."""
        area = self.determinant(m)
        least = self.ops.select(
            self.less(area, 0), self.constant(-LEAST_DETERMINANT), self.constant(LEAST_DETERMINANT)
        )
        area = self.ops.select(self.less(self.ops.abs(area), LEAST_DETERMINANT), least, area)
        a, b, c, d = (self.ops.divide(value, area) for value in m)
        return Affine(d, self.ops.negative(b), self.ops.negative(c), a)

    def product(self, one: Affine, two: Affine) -> Affine:
        """Matrix products."""
        times = self.ops.multiply
        return Affine(
            times(one.a, two.a) + times(one.b, two.c),
            times(one.a, two.b) + times(one.b, two.d),
            times(one.c, two.a) + times(one.d, two.c),
            times(one.c, two.b) + times(one.d, two.d),
        )

    def face_scale(self, m: Affine) -> Any:
        """``blocks.face_scale``, (1, 1)."""
        return self.mean(self.ops.sqrt(self.ops.abs(self.determinant(m))), 0, keep=True)

    def combined(self, rows: Any, masks: Any, side: int) -> Any:
        """``blocks.combine``: rows (K + 1, 6), masks (1, K + 1, side, side) -> positions."""
        cells = side * side
        field = self.ops.matmul(rows, self.shaped(masks, -1, cells), True, False)  # (6, cells)
        field = self.shaped(field, 2, 3, cells)
        found = self.summed(field * self.constant(homogeneous(side)), 1)
        return self.shaped(found, 1, 2, side, side)


def grid(side: int) -> Array:
    """``blocks.grid_norm`` as (1, 2, side, side) float32."""
    at = (2 * np.arange(side, dtype=np.float32) + 1) / np.float32(side) - 1
    return np.stack(np.meshgrid(at, at))[None].astype(np.float32)


def homogeneous(side: int) -> Array:
    """(1, 3, cells) of x, y, 1."""
    cells = grid(side).reshape(1, 2, -1)
    return np.concatenate([cells, np.ones_like(cells[:, :1])], 1)


def folded(tensors: Mapping[str, Array], conv: str, norm: str) -> tuple[Array, Array]:
    """A convolution's weights and bias with the batch norm that follows it, if one has a name."""
    weight, bias = tensors[f"{conv}.weight"], tensors.get(f"{conv}.bias", np.float32(0))
    if norm:
        gain = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + NORM_EPSILON)
        weight = weight * gain[:, None, None, None]
        bias = tensors[f"{norm}.bias"] + gain * (bias - tensors[f"{norm}.running_mean"])
    return weight.astype(np.float32), np.asarray(bias, np.float32)


def named_model(name: str, inputs: list[Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """The model by its name, with names of its ports."""
    model = quiet.openvino().Model(list(outputs.values()), inputs, name)
    for port, given in zip(model.inputs, inputs, strict=True):
        port.get_tensor().set_names({given.get_friendly_name()})
    for port, called in zip(model.outputs, outputs, strict=True):
        port.get_tensor().set_names({called})
    return {name: model}
