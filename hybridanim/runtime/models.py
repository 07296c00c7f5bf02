"""Tensors of a weights file -> OpenVINO models of the networks, without torch.

The models ``encode``, ``move``, ``paint`` and ``detect`` compute what the torch modules of the same
weights do (``runtime.graphs``); ``tests/runtime/test_models.py`` compares them for every switch.
Inputs and outputs are float32 arrays of fixed size, batch 1, named as those of ``graphs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hybridanim.networks import constants
from hybridanim.networks.sizes import DetectorSizes, FastSizes
from hybridanim.types import Array

from . import layers
from .layers import Affine, Layers, named_model


class _Points(NamedTuple):
    """Keypoints as nodes."""

    x: Any  # (K, 1)
    y: Any
    jacobian: Affine


def animator(sizes: FastSizes, tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Models ``encode``, ``move`` and ``paint`` of ``networks.build.Animator``."""
    return {
        "encode": _encode(sizes, Layers(tensors)),
        "move": _Move(sizes, Layers(tensors)).model(),
        "paint": _paint(sizes, Layers(tensors)),
    }


def detector(sizes: DetectorSizes, tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Model ``detect`` of ``networks.keypoint_detector.KeypointDetector``."""
    net, size = Layers(tensors), sizes.size
    picture = net.input("picture", 1, 3, size, size)
    body = net.unet(net.block(net.unfolded(picture), "stem"), "body", sizes.widths)
    count, side = sizes.seen or sizes.count, size // 2
    logits = net.shaped(net.convolution(body, "heat"), 1, count, side * side)
    heat = net.ops.softmax(logits / net.constant(constants.TEMPERATURE), 2)
    heat = net.shaped(heat, 1, count, side, side)
    mean, spread = _moments(net, heat, count, side)
    if sizes.seen:
        return named_model("detect", [picture], _shaped(net, mean, spread, sizes.count, count))
    coarse = net.pooled(body, sizes.pool) if sizes.pool > 1 else body
    maps = net.convolution(net.block(coarse, "turn"), "affine")
    if sizes.pool > 1:
        heat = net.pooled(heat, sizes.pool) * net.constant(sizes.pool**2)
    cells = side // sizes.pool
    maps = net.shaped(maps, count, 4, cells, cells)
    jacobian = net.summed(net.shaped(heat, count, 1, cells, cells) * maps, [2, 3])
    found = {"xy": mean, "jacobian": net.shaped(jacobian, 1, count, 2, 2), "spread": spread}
    return named_model("detect", [picture], found)


def _moments(net: Layers, heat: Any, count: int, side: int) -> tuple[Any, Any]:
    """``keypoint_detector.moments``: mean (1, K, 2) and spread (1, K)."""
    at = net.constant(layers.grid(side)[:, 0, 0][None])  # (1, 1, side)
    lines = [net.summed(heat, 2), net.summed(heat, 3)]  # of columns and rows, (1, K, side)
    means = [net.summed(line * at, 2, keep=True) for line in lines]
    apart = [at - mean for mean in means]
    squares = [net.summed(line * (off * off), 2) for line, off in zip(lines, apart, strict=True)]
    variance = net.clamped((squares[0] + squares[1]) / net.constant(2), 1e-8)
    return net.concat(means, 2), net.ops.sqrt(variance)


def _shaped(net: Layers, mean: Any, spread: Any, count: int, seen: int) -> dict[str, Any]:
    """``KeypointDetector._shaped``."""

    def combined(matrix: Array, rows: Any) -> Any:
        """Matrix (K, M), rows (1, M, D) -> (K, D); no matrix product: these may be coarse."""
        return net.summed(net.constant(matrix[:, :, None]) * rows, 1)

    places, affines = net.tensors["places"], net.tensors["affines"]
    middle = net.mean(mean, 1, keep=True)
    offsets = mean - middle
    columns = net.shaped(combined(affines.reshape(2 * count, seen), offsets), 1, count, 2, 2)
    jacobian = net.ops.transpose(columns, net.ops.constant(np.array([0, 1, 3, 2])))
    weight = np.abs(places)
    weight = weight / weight.sum(1, keepdims=True)
    xy = middle + net.shaped(combined(places, offsets), 1, count, 2)
    width = net.shaped(combined(weight, net.shaped(spread, 1, seen, 1)), 1, count)
    return {"xy": xy, "jacobian": jacobian, "spread": width}


def _encode(sizes: FastSizes, net: Layers) -> Any:
    """``Generator.encode``."""
    side = sizes.picture_px
    picture = net.input("picture", 1, 3, side, side)
    fine = net.block(net.unfolded(picture), "generator.outer")
    deep = net.block(fine, "generator.inner", 2)
    for i in range(sizes.encoder_blocks):
        deep = net.residual(deep, f"generator.encoder.{i}")
    found = {"small": net.pooled(picture, 4), "deep": deep, "fine": fine}
    return named_model("encode", [picture], found)["encode"]


def _paint(sizes: FastSizes, net: Layers) -> Any:
    """``Generator.forward``, without the blend."""
    side, at = sizes.picture_px, sizes.picture_px // 4
    count = len(net.tensors["motion.log_reach"])
    hints = 2 * constants.OPENINGS if sizes.openings else 0
    channels = sizes.motion_features + count + 4 * hints
    picture = net.input("picture", 1, 3, side, side)
    source = net.input("deep", 1, sizes.deep, at, at)
    detail = net.input("fine", 1, sizes.fine, 2 * at, 2 * at)
    flow = net.input("flow", 1, at, at, 2)
    shown = net.input("occlusion", 1, 1, at, at)
    features = net.input("features", 1, channels, at, at)
    places = net.first(flow)
    half, full = (net.last(net.resized_flow(places, at, to)) for to in (side // 2, side))
    deep = net.warp(source, flow) * shown
    x = net.block(net.concat([deep, features, shown]), "generator.enter")
    for i in range(sizes.blocks):
        x = net.residual(x, f"generator.bottleneck.{i}")
    x = net.up(x, "generator.up")
    fine = net.warp(detail, half) * net.doubled(shown)
    parts = [x, fine, net.unfolded(net.warp(picture, full))]
    if hints:
        parts.append(net.shuffled(net.split(features, [channels - 4 * hints, 4 * hints])[1]))
    x = net.block(net.concat(parts), "generator.join")
    out = net.convolution(net.block(x, "generator.refine"), "generator.last")
    colour, blend = net.split(out, [12, 4])
    paint, alpha = (net.ops.sigmoid(net.shuffled(part)) for part in (colour, blend))
    if not sizes.blend:
        alpha = net.constant(np.ones((1, 1, side, side)))
    inputs = [picture, source, detail, flow, shown, features]
    return named_model("paint", inputs, {"paint": paint, "alpha": alpha})["paint"]


class _Move:
    """``networks.dense_motion.DenseMotion`` as a model; names as there."""

    def __init__(self, sizes: FastSizes, net: Layers) -> None:
        self.sizes, self.net = sizes, net
        self.side = side = sizes.picture_px // 4
        self.count = count = len(net.tensors["motion.log_reach"])
        self.small = net.input("small", 1, 3, side, side)
        self.inputs = [self.small]
        for which in ("source", "target"):
            self.inputs.append(net.input(f"{which}_xy", 1, count, 2))
            self.inputs.append(net.input(f"{which}_jacobian", 1, count, 2, 2))
        self.background = net.input("background", 1, 2, 3)
        self.inputs.append(self.background)
        self.optical = net.input("optical", 1, 3, side, side) if sizes.optical else None
        if self.optical is not None:
            self.inputs.append(self.optical)
        self.grid = net.constant(layers.grid(side))
        self.reach = np.exp(net.tensors["motion.log_reach"]).reshape(1, -1, 1, 1)

    def model(self) -> Any:
        """``DenseMotion.forward``."""
        net, sizes, count = self.net, self.sizes, self.count + 1
        source, target, scale = self._points()
        rows = self._rows(source, target)
        near, before, prior = self._prior(source, target, scale)
        start = net.combined(rows, net.ops.softmax(prior, 1), self.side)
        x = [near - before, *self._candidates(rows, start)]
        if sizes.openings:
            x += self._openings(source, target, self.grid, start)
        followed = None
        if self.optical is not None:
            followed, more = self._followed(start)
            x += more
        stem = net.block(net.concat(x), "motion.stem")
        body = net.unet(stem, "motion.body", sizes.motion_widths)
        out = net.convolution(body, "motion.head")
        logits, shown, residual, *share = net.split(
            out, [count, 1, 2, *([1] if sizes.optical else [])]
        )
        masks = net.ops.softmax(net.ops.add(logits, prior), 1)
        flow = net.combined(rows, masks, self.side)
        flow = flow + net.ops.multiply(residual, net.constant(constants.RESIDUAL))
        if followed is not None:
            flow = flow + net.ops.sigmoid(share[0]) * (followed - flow)
        occlusion = net.ops.sigmoid(net.ops.add(shown, net.constant(constants.SHOWN_BIAS)))
        if not sizes.occlusion:
            occlusion = net.constant(np.ones((1, 1, self.side, self.side)))
        features = [net.convolution(body, "motion.features"), near]
        if sizes.openings:
            fine, twice = net.constant(layers.grid(2 * self.side)), 2 * self.side
            moved = net.resized_flow(flow, self.side, twice)
            hints = self._openings(source, target, fine, moved)
            features.append(net.unfolded(net.concat(hints)))
        found = {"flow": net.last(flow), "occlusion": occlusion, "masks": masks}
        found["features"] = net.concat(features)
        return named_model("move", self.inputs, found)["move"]

    def _points(self) -> tuple[_Points, _Points, Any]:
        """Source and target, and the source's face scale (1, 1, 1, 1)."""
        net, found = self.net, []
        for i in (1, 3):
            x, y = net.split(net.shaped(self.inputs[i], self.count, 2), [1, 1])
            found.append(_Points(x, y, net.affine(self.inputs[i + 1], self.count)))
        scale = net.face_scale(found[0].jacobian)
        if not self.sizes.jacobians:  # translations: all Jacobians of the source's face scale
            one = net.ops.multiply(scale, net.constant(np.ones((self.count, 1))))
            none = net.constant(np.zeros((self.count, 1)))
            still = Affine(one, none, none, one)
            found = [points._replace(jacobian=still) for points in found]
        return found[0], found[1], net.shaped(scale, 1, 1, 1, 1)

    def _rows(self, source: _Points, target: _Points) -> Any:
        """``blocks.affines``, (K + 1, 6)."""
        net = self.net
        times = net.ops.multiply
        m = net.product(source.jacobian, net.inverse(target.jacobian))
        x = net.ops.subtract(source.x, times(m.a, target.x) + times(m.b, target.y))
        y = net.ops.subtract(source.y, times(m.c, target.x) + times(m.d, target.y))
        rows = net.concat([m.a, m.b, x, m.c, m.d, y])
        return net.concat([net.shaped(self.background, 1, 6), rows], 0)

    def _prior(self, source: _Points, target: _Points, scale: Any) -> tuple[Any, Any, Any]:
        """Gaussians of target and source; logits of the closed form."""
        net = self.net
        across, down = net.split(self.grid, [1, 1])
        near, before = (
            _square(net, across, self._per_keypoint(points.x))
            + _square(net, down, self._per_keypoint(points.y))
            for points in (target, source)
        )
        loud = net.tensors["motion.loud"]
        sigma = net.constant(self.reach) * scale
        # wider for the input: a Gaussian narrower than a cell does not encode its position
        wider = net.constant(np.maximum(self.reach, constants.LEAST_INPUT_SIGMA)) * scale
        half, precision = (net.constant(0.5) / (value * value) for value in (sigma, wider))
        logits = net.constant(loud[1:].reshape(1, -1, 1, 1)) - near * half
        background = net.constant(np.full((1, 1, self.side, self.side), loud[0]))
        gaussians = [net.ops.exp(net.ops.negative(value) * precision) for value in (near, before)]
        return gaussians[0], gaussians[1], net.concat([background, logits])

    def _per_keypoint(self, column: Any) -> Any:
        return self.net.shaped(column, 1, self.count, 1, 1)

    def _candidates(self, rows: Any, start: Any) -> list[Any]:
        """The source warped by each local map and by the closed form, and the latter's flow."""
        net, side, count = self.net, self.side, self.count + 1
        cells = net.constant(layers.grid(side).reshape(1, 2, -1).transpose(0, 2, 1))
        linear, shift = net.split(net.shaped(rows, count, 2, 3), [2, 1], 2)
        maps = net.ops.matmul(cells, linear, False, True)  # (K + 1, cells, 2)
        maps = maps + net.shaped(shift, count, 1, 2)
        # one tall grid instead of K + 1 copies of the picture
        moved = net.warp(self.small, net.shaped(maps, 1, count * side, side, 2))
        moved = net.shaped(moved, 1, 3 * count, side, side)
        shift = (start - self.grid) * net.constant(4)
        return [moved, net.warp(self.small, net.last(start)), shift]

    def _followed(self, start: Any) -> tuple[Any, list[Any]]:
        """The flow with the driver's optical flow, and the network's inputs from it."""
        net = self.net
        places, trust = net.split(self.optical, [2, 1])
        apart = net.ops.multiply(trust, net.ops.subtract(places, start))
        flow = start + apart
        return flow, [net.warp(self.small, net.last(flow)), apart * net.constant(4), trust]

    def _openings(self, source: _Points, target: _Points, grid: Any, moved: Any) -> list[Any]:
        """Masks of mouth and eyes: the target's on the grid, the source's where it is shown."""
        return [_opening(self.net, target, grid), _opening(self.net, source, moved)]


def _opening(net: Layers, points: _Points, places: Any) -> Any:
    """``mouth_eye_masks.openings``: (1, 3, H, W) at places (1, 2, H, W)."""
    soft = net.constant(constants.SOFT_FACE) * net.shaped(
        net.face_scale(points.jacobian), 1, 1, 1, 1
    )
    rows, times = np.array(constants.opening_rows()), net.ops.multiply

    def corner(column: Any, which: int) -> Any:
        return net.shaped(net.picked(column, rows[:, which]), 1, len(rows), 1, 1)

    (left_x, right_x, *lids_x), (left_y, right_y, *lids_y) = (
        [corner(column, which) for which in range(4)] for column in (points.x, points.y)
    )
    axis_x, axis_y = right_x - left_x, right_y - left_y
    square = net.clamped(axis_x * axis_x + axis_y * axis_y, 1e-6)
    length = net.ops.sqrt(square)
    down_x, down_y = net.ops.negative(axis_y) / length, axis_x / length
    half = net.constant(0.5)
    middle_x, middle_y = (left_x + right_x) * half, (left_y + right_y) * half

    def along_and_down(x: Any, y: Any) -> tuple[Any, Any]:
        off_x, off_y = net.ops.subtract(x, middle_x), net.ops.subtract(y, middle_y)
        along = (off_x * axis_x + off_y * axis_y) * net.constant(2) / square
        return along / net.constant(constants.OPENING_REACH), off_x * down_x + off_y * down_y

    heights = []
    for x, y in zip(lids_x, lids_y, strict=True):  # the parabola through both corners and this one
        beyond, height = along_and_down(x, y)
        heights.append(height / net.clamped(net.constant(1) - beyond * beyond, 0.4))
    along, depth = along_and_down(*net.split(places, [1, 1]))
    bow = net.constant(1) - along * along
    above, below = depth - times(heights[0], bow), times(heights[1], bow) - depth
    inside = net.ops.minimum(net.ops.minimum(above, below) / soft, bow * net.constant(8))
    return net.clamped(inside, 0, 1)


def _square(net: Layers, one: Any, two: Any) -> Any:
    apart = net.ops.subtract(one, two)
    return apart * apart
