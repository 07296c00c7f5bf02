"""Tensors of the first-order model -> OpenVINO models ``encode``, ``move``, ``paint``, ``detect``.

They compute what ``networks.first_order`` does; inputs and outputs are named as those of
``runtime.models``, float32, batch 1. Keypoints and flow are in this program's normalised units (-1
and 1 at the outer edges): a unit of the model's corner grid is ``FirstOrderSizes.unit`` of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hybridanim.networks import constants
from hybridanim.networks.first_order_file import KERNEL, VARIANCE, FirstOrderSizes, part
from hybridanim.types import Array

from .layers import Layers, folded, named_model

_HALF = KERNEL // 2
_MOTION = "dense_motion_network"


def detector(sizes: FirstOrderSizes, tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Model ``detect``; tensors: of a whole file."""
    net = _Net(part(tensors, "kp_detector"))
    picture = net.input("picture", 1, 3, sizes.picture_px, sizes.picture_px)
    small = net.blurred(picture, "down", sizes.detector_step)
    features = net.hourglass(small, "predictor", sizes.detector_depth)
    count, side = sizes.count, sizes.picture_px // sizes.detector_step - 2 * _HALF
    logits = net.shaped(net.head(features, "kp", 0), 1, count, side * side)
    heat = net.ops.softmax(logits / net.constant(constants.TEMPERATURE), 2)
    cells = net.constant(corner_grid(side))  # (1, 2, cells)
    xy = net.ops.matmul(heat, cells, False, True)  # (1, K, 2)
    # cells (1, 1, 2, n) - places (1, K, 2, 1)
    apart = net.shaped(cells, 1, 1, 2, side * side) - net.shaped(xy, 1, count, 2, 1)
    squares = net.mean(apart * apart, 2)
    spread = net.ops.sqrt(net.summed(heat * squares, 2))
    jacobian = net.constant(np.tile(np.eye(2), (1, count, 1, 1)))
    if sizes.jacobians:
        maps = net.head(features, "jacobian", 0)
        maps = net.shaped(maps, 1, sizes.jacobians, 4, side * side)
        mean = net.summed(net.shaped(heat, 1, count, 1, side * side) * maps, 3)
        jacobian = net.shaped(mean, 1, count, 2, 2)
    unit = net.constant(sizes.unit)
    return named_model("detect", [picture], {"xy": xy * unit, "jacobian": jacobian,
                                        "spread": spread * unit})  # fmt: skip


def animator(sizes: FirstOrderSizes, tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Models ``encode``, ``move`` and ``paint``; tensors: of a whole file."""
    own = part(tensors, "generator")
    return {
        **_encode(sizes, _Net(own)),
        **_move(sizes, _Net(own)),
        **_paint(sizes, _Net(own)),
    }


def corner_grid(side: int) -> Array:
    """(1, 2, cells) float32 of x and y whose first and last cell centres are at -1 and 1."""
    at = np.linspace(-1, 1, side, dtype=np.float32)
    return np.stack(np.meshgrid(at, at)).reshape(1, 2, -1).astype(np.float32)


class _Net(Layers):
    """The model's own blocks."""

    def head(self, x: Any, name: str, pad: int = _HALF, norm: str = "") -> Any:
        """Convolution with bias and this padding; the norm after it is folded in."""
        weight, bias = folded(self.tensors, name, norm)
        pads = [pad, pad]
        found = self.ops.convolution(x, self.constant(weight), [1, 1], pads, pads, [1, 1])
        found.set_friendly_name(name)
        return found + self.constant(bias.reshape(1, -1, 1, 1))

    def blurred(self, x: Any, name: str, step: int) -> Any:
        """``first_order.AntiAlias``: blur, then every ``step``-th pixel from the first."""
        if step == 1:
            return x
        weight = self.tensors[f"{name}.weight"]
        pads = [weight.shape[-1] // 2] * 2
        kernel = self.constant(weight[:, None])  # a group for each channel
        return self.ops.group_convolution(x, kernel, [step, step], pads, pads, [1, 1])

    def hourglass(self, x: Any, name: str, depth: int) -> Any:
        """``first_order.Hourglass``."""
        kept = [x]
        for i in range(depth):
            kept.append(self.pooled(self.block(kept[-1], f"{name}.encoder.down_blocks.{i}"), 2))
        x = kept.pop()
        for i in range(depth):
            x = self.concat([self.up(x, f"{name}.decoder.up_blocks.{i}"), kept.pop()])
        return x

    def before(self, x: Any, name: str) -> Any:
        """Two convolutions, each after a norm and ReLU, and x."""
        tensors, norm = self.tensors, f"{name}.norm1"
        gain = tensors[f"{norm}.weight"]
        gain = gain / np.sqrt(tensors[f"{norm}.running_var"] + constants.NORM_EPSILON)
        shift = tensors[f"{norm}.bias"] - gain * tensors[f"{norm}.running_mean"]
        scale, add = (self.constant(value.reshape(1, -1, 1, 1)) for value in (gain, shift))
        inner = self.ops.relu(x * scale + add)
        inner = self.ops.relu(self.head(inner, f"{name}.conv1", 1, f"{name}.norm2"))
        return x + self.head(inner, f"{name}.conv2", 1)

    def sampled(self, picture: Any, places: Any) -> Any:
        """Sample (1, C, h, w) at normalised (1, H, W, 2), bilinearly; zeros outside.

        With the model's corner units turned into normalised ones this is its align_corners=True.
        """
        how = {"align_corners": False, "mode": "bilinear", "padding_mode": "zeros"}
        return self.ops.grid_sample(picture, places, how)


def _encode(sizes: FirstOrderSizes, net: _Net) -> dict[str, Any]:
    """The source's features, and the source at the size of the flow."""
    picture = net.input("picture", 1, 3, sizes.picture_px, sizes.picture_px)
    x = net.block(picture, "first")
    for i in range(sizes.halvings):
        x = net.pooled(net.block(x, f"down_blocks.{i}"), 2)
    small = net.blurred(picture, f"{_MOTION}.down", sizes.motion_step)
    return named_model("encode", [picture], {"small": small, "deep": x})


def _move(sizes: FirstOrderSizes, net: _Net) -> dict[str, Any]:
    """``first_order._DenseMotion.move``."""
    side, count, times = sizes.cells, sizes.count, net.ops.multiply
    small = net.input("small", 1, 3, side, side)
    inputs = [small]
    places, affines = [], []
    for which in ("source", "target"):
        xy, jacobian = (net.input(f"{which}_{k}", 1, count, *n) for k, n in (("xy", [2]),
                        ("jacobian", [2, 2])))  # fmt: skip
        inputs += [xy, jacobian]
        corner = net.ops.divide(net.shaped(xy, count, 2), net.constant(sizes.unit))
        places.append(net.split(corner, [1, 1]))
        affines.append(net.affine(jacobian, count))
    m = net.product(affines[0], net.inverse(affines[1]))
    (source_x, source_y), (target_x, target_y) = places
    x = net.ops.subtract(source_x, times(m.a, target_x) + times(m.b, target_y))
    y = net.ops.subtract(source_y, times(m.c, target_x) + times(m.d, target_y))
    still = net.constant(np.eye(2, 3).reshape(1, 6))
    rows = net.concat([still, net.concat([m.a, m.b, x, m.c, m.d, y])], 0)  # (K + 1, 6)
    cells = np.concatenate([corner_grid(side), np.ones((1, 1, side * side), np.float32)], 1)
    per_map = net.shaped(rows, count + 1, 2, 3)
    maps = net.ops.matmul(per_map, net.constant(cells), False, False)  # (K + 1, 2, cells)
    unit = net.constant(sizes.unit if sizes.align_corners else 1.0)
    tall = net.ops.transpose(maps * unit, net.ops.constant(np.array([0, 2, 1])))
    moved = net.sampled(small, net.shaped(tall, 1, (count + 1) * side, side, 2))
    moved = net.shaped(moved, 3, count + 1, side, side)
    moved = net.ops.transpose(moved, net.ops.constant(np.array([1, 0, 2, 3])))
    bells = net.ops.subtract(*(_bells(net, p, side) for p in (places[1], places[0])))
    bells = net.concat([net.constant(np.zeros((1, 1, side, side))), bells], 0)
    x = net.shaped(net.concat([bells, moved]), 1, 4 * (count + 1), side, side)
    x = net.hourglass(x, f"{_MOTION}.hourglass", sizes.motion_depth)
    masks = net.ops.softmax(net.head(x, f"{_MOTION}.mask"), 1)
    weight = net.shaped(masks, count + 1, 1, side * side)
    flow = net.summed(maps * weight, 0) * unit  # (2, cells)
    occlusion = net.constant(np.ones((1, 1, side, side)))
    if sizes.occlusion:
        occlusion = net.ops.sigmoid(net.head(x, f"{_MOTION}.occlusion"))
    found = {"flow": net.last(net.shaped(flow, 1, 2, side, side)), "occlusion": occlusion}
    return named_model("move", inputs, found | {"masks": masks})


def _bells(net: _Net, places: list[Any], side: int) -> Any:
    """Gaussians (K, 1, side, side) of the columns x and y (K, 1)."""
    grid, square = corner_grid(side).reshape(2, 1, 1, side, side), None
    for axis, column in enumerate(places):
        off = net.constant(grid[axis]) - net.shaped(column, -1, 1, 1, 1)
        square = off * off if square is None else square + off * off
    return net.ops.exp(net.ops.multiply(square, net.constant(-0.5 / VARIANCE)))


def _paint(sizes: FirstOrderSizes, net: _Net) -> dict[str, Any]:
    """The picture of a source's features and a motion; all of it is paint."""
    side = sizes.cells
    channels = len(net.tensors["final.weight"][0])
    if sizes.halvings:
        channels = len(net.tensors[f"down_blocks.{sizes.halvings - 1}.conv.weight"])
    deep = net.input("deep", 1, channels, side, side)
    flow = net.input("flow", 1, side, side, 2)
    shown = net.input("occlusion", 1, 1, side, side)
    x = net.sampled(deep, flow) * shown
    for i in range(sizes.blocks):
        x = net.before(x, f"bottleneck.r{i}")
    for i in range(sizes.halvings):
        x = net.up(x, f"up_blocks.{i}")
    paint = net.ops.sigmoid(net.head(x, "final"))
    alpha = net.constant(np.ones((1, 1, sizes.picture_px, sizes.picture_px)))
    return named_model("paint", [deep, flow, shown], {"paint": paint, "alpha": alpha})
