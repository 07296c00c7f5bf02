"""Eight-bit convolutions of an OpenVINO model, by ranges measured on sample inputs.

Post-training quantisation with ``FakeQuantize``: weights symmetric per output channel, inputs per
input channel, so that channels of different ranges share a convolution. Half of the difference
(as a logarithm) is moved into the weights (Xiao et al., SmoothQuant, ICML 2023). Everything else,
especially the geometry of the flow, stays in float32: bfloat16 resolves positions to half a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridanim import quiet
from hybridanim.types import Array

_MARGIN = 1.5  # factor on the measured ranges, so that larger motion is not clipped
_LEAST = 1e-3  # least range of a channel relative to the largest one
_LEVELS = 256
_EXACT = ("heat", "affine")  # positions and Jacobians of a detector stay in float32


@dataclass(frozen=True)
class Range:
    """Range of one convolution's input, per channel."""

    low: Array  # (C,) float32
    high: Array  # (C,) float32


def convolutions(model: Any) -> list[Any]:
    """Convolutions in the model's order, which is the same in a clone."""
    return [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]


class Watch:
    """Runs a model in float32 and keeps the range of each convolution's input."""

    def __init__(self, core: Any, model: Any) -> None:
        """core: ``openvino.Core``."""
        opset13 = quiet.openvino().opset13

        self._names = [min(n for n in p.get_names() if not n.isdecimal()) for p in model.outputs]
        watched = model.clone()
        nodes = convolutions(watched)
        watched.add_results([opset13.result(node.input_value(0)) for node in nodes])
        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        self._request = core.compile_model(watched, "CPU", exact).create_infer_request()
        self._ranges: dict[str, Range | None] = {node.get_friendly_name(): None for node in nodes}
        self._is_finite = True

    def __call__(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Run the model: input name -> array to output name -> array."""
        self._request.infer(inputs)
        count = len(self._names)
        found = [self._request.get_output_tensor(i).data for i in range(count + len(self._ranges))]
        for (name, before), value in zip(self._ranges.items(), found[count:], strict=True):
            low, high = value.min((0, 2, 3)), value.max((0, 2, 3))
            if before is not None:
                low, high = np.minimum(before.low, low), np.maximum(before.high, high)
            self._ranges[name] = Range(low, high)
        self._is_finite &= all(bool(np.isfinite(value).all()) for value in found)
        return {name: value.copy() for name, value in zip(self._names, found, strict=False)}

    @property
    def is_finite(self) -> bool:
        """Whether all outputs and inputs of convolutions were finite so far."""
        return self._is_finite

    @property
    def ranges(self) -> dict[str, Range]:
        """By the convolutions' names, over all runs so far."""
        return {name: found for name, found in self._ranges.items() if found is not None}


def quantised(model: Any, ranges: Mapping[str, Range]) -> Any:
    """Return a copy of the model with eight-bit convolutions; ranges: of ``Watch``."""
    copy = model.clone()
    for node in convolutions(copy):
        if node.get_friendly_name() not in _EXACT:
            _quantise(node, ranges[node.get_friendly_name()])
    copy.validate_nodes_and_infer_types()
    return copy


def _quantise(node: Any, found: Range) -> None:
    opset13 = quiet.openvino().opset13

    weights = _weights(node)
    is_signed = bool(found.low.min() < 0)
    reach = _MARGIN * np.maximum(np.abs(found.low), np.abs(found.high))
    reach = np.maximum(reach, max(_LEAST * float(reach.max()), 1e-9))
    strength = np.abs(weights).max((0, 2, 3)) + 1e-9
    scale = np.sqrt(reach / strength)  # inputs are divided by it, weights multiplied
    top = float((reach / scale).max())
    reach = (top * scale)[None, :, None, None]
    below = 128 / 127 if is_signed else 0.0  # zero has to be one of the levels
    low, lowest = -below * reach, -below * top
    inputs = opset13.fake_quantize(
        node.input_value(0), *map(_constant, (low, reach, lowest, top)), _LEVELS
    )
    weights = weights * scale[None, :, None, None]
    most = np.abs(weights).max((1, 2, 3), keepdims=True) + 1e-9
    kernel = opset13.fake_quantize(
        _constant(weights), *map(_constant, (-most, most, -most, most)), _LEVELS - 1
    )
    node.input(0).replace_source_output(inputs.output(0))
    node.input(1).replace_source_output(kernel.output(0))


def _weights(node: Any) -> Array:
    """Weights (out, in, h, w) float32: a constant, possibly followed by a conversion."""
    value = node.input_value(1).get_node()
    while value.get_type_name() != "Constant":
        value = value.input_value(0).get_node()
    return np.array(value.data, np.float32)


def _constant(value: Array | float) -> Any:
    opset13 = quiet.openvino().opset13

    array = np.asarray(value, np.float32)
    return opset13.constant(array if array.ndim else array.reshape(1, 1, 1, 1))
