"""Tensors of a Monkey-Net's weights file -> OpenVINO models of its networks, without torch.

The models ``encode``, ``move``, ``paint`` and ``detect`` compute what ``networks.monkeynet`` does
(``runtime.graphs``); ``tests/runtime/test_monkeynet.py`` compares them for every switch. Inputs and
outputs are float32 arrays of fixed size, batch 1; skip connections are ``skip0``, ``skip1``, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from hybridanim.networks import constants
from hybridanim.networks.sizes import MonkeyNetSizes
from hybridanim.types import Array

from . import layers
from .layers import Layers, named_model


def animator(sizes: MonkeyNetSizes, tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Models ``encode``, ``move`` and ``paint`` of ``networks.monkeynet.MonkeyNet``."""
    return {
        **_encode(sizes, Layers(tensors)),
        **_move(sizes, Layers(tensors)),
        **_paint(sizes, Layers(tensors)),
    }


def detector(sizes: MonkeyNetSizes, tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Model ``detect`` of ``networks.monkeynet.CovarianceDetector``."""
    net, count, side = Layers(tensors), sizes.count, sizes.motion_px
    picture = net.input("picture", 1, 3, sizes.detector_px, sizes.detector_px)
    body = net.unet(net.block(net.unfolded(picture), "stem"), "body", sizes.detector_widths)
    logits = net.shaped(net.convolution(body, "heat"), 1, count, side * side)
    heat = net.ops.softmax(logits / net.constant(constants.TEMPERATURE), 2)
    heat = net.shaped(heat, 1, count, side, side)
    at = net.constant(layers.grid(side)[:, 0, 0][None])  # (1, 1, side)
    lines = [net.summed(heat, 2), net.summed(heat, 3)]  # of columns and rows, (1, K, side)
    means = [net.summed(line * at, 2, keep=True) for line in lines]
    across, down = (at - mean for mean in means)
    xx = net.summed(lines[0] * (across * across), 2, keep=True)
    yy = net.summed(lines[1] * (down * down), 2, keep=True)
    lower = net.summed(heat * net.shaped(down, 1, count, side, 1), 2)  # (1, K, side)
    xy = net.summed(lower * across, 2, keep=True)
    spread = net.ops.sqrt(net.clamped((xx + yy) / net.constant(2), 1e-8))
    found = {"xy": net.concat(means, 2), "jacobian": _root(net, sizes, xx, xy, yy)}
    found["spread"] = net.shaped(spread, 1, count)
    return named_model("detect", [picture], found)


def _root(net: Layers, sizes: MonkeyNetSizes, xx: Any, xy: Any, yy: Any) -> Any:
    """``square_root(bounded(...))`` of [[xx, xy], [xy, yy]], each (1, K, 1): (1, K, 2, 2)."""
    count = sizes.count
    if not sizes.covariances:
        still = constants.FIXED_VARIANCE**0.5 * np.eye(2)
        return net.constant(np.tile(still, (1, count, 1, 1)))
    half = net.constant(0.5)
    lean = half * net.ops.subtract(xx, yy)
    apart = net.ops.sqrt(lean * lean + xy * xy + net.constant(1e-12))
    lacking = net.constant(constants.LEAST_VARIANCE) - (half * net.ops.add(xx, yy) - apart)
    lacking = net.ops.relu(lacking)
    xx, yy = net.ops.add(xx, lacking), net.ops.add(yy, lacking)
    area = net.ops.subtract(net.ops.multiply(xx, yy), net.ops.multiply(xy, xy))
    area = net.ops.sqrt(net.clamped(area, 1e-12))
    below = net.ops.sqrt(xx + yy + net.constant(2) * area)
    entries = [(xx + area) / below, xy / below, xy / below, (yy + area) / below]
    return net.shaped(net.concat(entries, 2), 1, count, 2, 2)


def _encode(sizes: MonkeyNetSizes, net: Layers) -> dict[str, Any]:
    """``MonkeyNet.encode``."""
    side = sizes.picture_px
    picture = net.input("picture", 1, 3, side, side)
    skips = [net.block(picture, "generator.first")]
    for i in range(len(sizes.widths) - 1):
        skips.append(net.block(skips[-1], f"generator.down.{i}", 2))
    found = {"small": net.pooled(picture, side // sizes.motion_px)}
    found |= {f"skip{i}": skip for i, skip in enumerate(skips)}
    return named_model("encode", [picture], found)


def _move(sizes: MonkeyNetSizes, net: Layers) -> dict[str, Any]:
    """``DisplacedMotion.forward``."""
    side, count = sizes.motion_px, sizes.count
    small = net.input("small", 1, 3, side, side)
    inputs = [small]
    for which in ("source", "target"):
        inputs.append(net.input(f"{which}_xy", 1, count, 2))
        inputs.append(net.input(f"{which}_jacobian", 1, count, 2, 2))
    grid = net.constant(layers.grid(side))
    before, after = (_heatmaps(net, inputs[i], inputs[i + 1], count, side) for i in (1, 3))
    near = after - before
    shifts = net.shaped(net.ops.subtract(inputs[1], inputs[3]), count, 2)
    shifts = net.concat([net.constant(np.zeros((1, 2))), shifts], 0)  # (K + 1, 2)
    x = [near]
    if sizes.source:
        cells = net.constant(layers.grid(side).reshape(2, -1).T[None])  # (1, cells, 2)
        tall = cells + net.shaped(shifts, count + 1, 1, 2)
        moved = net.warp(small, net.shaped(tall, 1, (count + 1) * side, side, 2))
        x.append(net.shaped(moved, 1, 3 * (count + 1), side, side))
    body = net.unet(net.block(net.concat(x), "motion.stem"), "motion.body", sizes.motion_widths)
    logits, residual = net.split(net.convolution(body, "motion.head"), [count + 1, 2])
    masks = net.ops.softmax(logits, 1)
    flow = grid
    if sizes.flow and sizes.coarse:
        shares = net.shaped(masks, count + 1, side * side)
        flow = grid + net.shaped(net.ops.matmul(shifts, shares, True, False), 1, 2, side, side)
    if sizes.flow and sizes.residual:
        flow = flow + net.ops.multiply(residual, net.constant(constants.RESIDUAL))
    occlusion = net.constant(np.ones((1, 1, side, side)))
    found = {"flow": net.last(flow), "occlusion": occlusion, "masks": masks, "features": near}
    return named_model("move", inputs, found)


def _heatmaps(net: Layers, xy: Any, jacobian: Any, count: int, side: int) -> Any:
    """``networks.monkeynet.heatmaps``, (1, K, side, side)."""
    matrix = net.affine(jacobian, count)
    inverse = [net.shaped(value, 1, count, 1, 1) for value in net.inverse(matrix)]
    middle = net.split(net.shaped(xy, count, 2), [1, 1])
    grid = net.split(net.constant(layers.grid(side)), [1, 1])
    x, y = (
        net.ops.subtract(at, net.shaped(place, 1, count, 1, 1))
        for at, place in zip(grid, middle, strict=True)
    )
    along, down = (inverse[i] * x + inverse[i + 1] * y for i in (0, 2))
    area = net.clamped(net.ops.abs(net.determinant(matrix)), 1e-4)
    peak = net.constant(constants.HEAT_MEAN * 4 / (2 * np.pi)) / net.shaped(area, 1, count, 1, 1)
    return peak * net.ops.exp(net.constant(-0.5) * (along * along + down * down))


def _paint(sizes: MonkeyNetSizes, net: Layers) -> dict[str, Any]:
    """``MonkeyNet.paint``, without the warped source."""
    side, count, widths = sizes.picture_px, sizes.count, sizes.widths
    sides = [side >> i for i in range(len(widths))]
    skips = [
        net.input(f"skip{i}", 1, width, at, at)
        for i, (width, at) in enumerate(zip(widths, sides, strict=True))
    ]
    flow = net.input("flow", 1, sizes.motion_px, sizes.motion_px, 2)
    near = net.input("features", 1, count, sizes.motion_px, sizes.motion_px)
    moved: list[Any] = list(skips)
    if sizes.flow:
        places = net.first(flow)
        grids = (net.last(net.resized_flow(places, sizes.motion_px, at)) for at in sides)
        moved = [net.warp(skip, to) for skip, to in zip(skips, grids, strict=True)]

    def heat(at: int) -> Any:
        return near if at == sizes.motion_px else net.pooled(near, sizes.motion_px // at)

    x = net.block(net.concat([moved[-1], heat(sides[-1])]), "generator.enter")
    x = net.residual(x, "generator.middle")
    for i, level in enumerate(reversed(range(len(list(pairwise(widths)))))):
        parts = [net.up(x, f"generator.up.{i}"), moved[level]]
        if sides[level] <= sizes.motion_px:
            parts.append(heat(sides[level]))
        x = net.block(net.concat(parts), f"generator.join.{i}")
    for i in range(sizes.blocks):
        x = net.residual(x, f"generator.refine.{i}")
    paint = net.ops.sigmoid(net.convolution(x, "generator.last"))
    alpha = net.constant(np.ones((1, 1, side, side)))
    return named_model("paint", [*skips, flow, near], {"paint": paint, "alpha": alpha})
