"""Torch networks -> the parts that run on their own: for export, and to compare others with.

Inputs and outputs of a graph are float32 arrays of fixed size, batch 1; norms are folded.
``encode`` runs once per source, ``move`` and ``paint`` per frame, ``detect`` per driving frame.
``models`` makes OpenVINO's models of the same parts without torch. Imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hybridanim.networks.blocks import Points, folded
from hybridanim.networks.build import Animator
from hybridanim.networks.dense_motion import Motion
from hybridanim.networks.generator import Encoded
from hybridanim.networks.keypoint_detector import KeypointDetector
from hybridanim.networks.monkeynet import CovarianceDetector, MonkeyNet
from hybridanim.types import Array

from . import verify

OUTPUTS = {
    "encode": ("small", "deep", "fine"),
    "move": ("flow", "occlusion", "masks", "features"),
    "paint": ("paint", "alpha"),
    "detect": ("xy", "jacobian", "spread"),
}


@dataclass(frozen=True)
class Graph:
    """Part of a network, with names and examples of its inputs."""

    name: str  # a key of OUTPUTS
    module: nn.Module
    inputs: dict[str, Array]  # name -> float32 example of the exact shape
    own_outputs: tuple[str, ...] = ()  # where they are not those of OUTPUTS

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.own_outputs or OUTPUTS[self.name]

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Run the network itself, eagerly, in float32: name -> output."""
        with torch.inference_mode():
            found = self.module(*(torch.from_numpy(inputs[name]) for name in self.inputs))
        return dict(zip(self.outputs, (value.numpy() for value in found), strict=True))


class _Encode(nn.Module):
    def __init__(self, net: Animator) -> None:
        super().__init__()
        self.net = net

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net.encode(picture)[1:])


class _Move(_Encode):
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        small: Tensor,
        source_xy: Tensor,
        source_jacobian: Tensor,
        target_xy: Tensor,
        target_jacobian: Tensor,
        background: Tensor,
        optical: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        source, target = Points(source_xy, source_jacobian), Points(target_xy, target_jacobian)
        return tuple(self.net.motion(small, source, target, background, optical))


class _Paint(_Encode):
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        picture: Tensor,
        deep: Tensor,
        fine: Tensor,
        flow: Tensor,
        occlusion: Tensor,
        features: Tensor,
    ) -> tuple[Tensor, ...]:
        encoded = Encoded(picture, picture, deep, fine)  # small is not used here
        painted = self.net.generator(encoded, Motion(flow, occlusion, occlusion, features))
        return painted.paint, painted.alpha


class _Detect(nn.Module):
    def __init__(self, net: KeypointDetector | CovarianceDetector) -> None:
        super().__init__()
        self.net = net

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        found = self.net.detect(picture)
        return found.points.xy, found.points.jacobian, found.spread


def animator_graphs(net: Animator) -> list[Graph]:
    """Graphs ``encode``, ``move`` and ``paint`` of an animator."""
    net = folded(net.eval()).requires_grad_(False)
    side, count = net.sizes.picture_px, len(net.motion.log_reach)
    encode = Graph("encode", _Encode(net), {"picture": np.zeros((1, 3, side, side), np.float32)})
    encoded = encode.run(encode.inputs)
    points = {
        f"{which}_{what}": value
        for which in ("source", "target")
        for what, value in (
            ("xy", np.zeros((1, count, 2), np.float32)),
            ("jacobian", np.tile(np.eye(2, dtype=np.float32), (1, count, 1, 1))),
        )
    }
    points["background"] = np.eye(2, 3, dtype=np.float32)[None]
    if net.sizes.optical:
        points["optical"] = np.zeros((1, 3, *encoded["small"].shape[2:]), np.float32)
    move = Graph("move", _Move(net), {"small": encoded["small"], **points})
    moved = move.run(move.inputs)
    inputs = {
        **encode.inputs,
        **{name: encoded[name] for name in ("deep", "fine")},
        **{name: moved[name] for name in ("flow", "occlusion", "features")},
    }
    return [encode, move, Graph("paint", _Paint(net), inputs)]


class _EncodeSkips(nn.Module):
    def __init__(self, net: MonkeyNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        found = self.net.encode(picture)
        return (found.small, *found.skips)


class _MoveByHeatmaps(_EncodeSkips):
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        small: Tensor,
        source_xy: Tensor,
        source_jacobian: Tensor,
        target_xy: Tensor,
        target_jacobian: Tensor,
    ) -> tuple[Tensor, ...]:
        source, target = Points(source_xy, source_jacobian), Points(target_xy, target_jacobian)
        return tuple(self.net.motion(small, source, target))


class _PaintSkips(_EncodeSkips):
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *given: Tensor
    ) -> tuple[Tensor, ...]:
        *skips, flow, near = given
        paint = self.net.generator(skips, flow, near)
        return paint, torch.ones_like(paint[:, :1])


def monkeynet_graphs(net: MonkeyNet) -> list[Graph]:
    """Graphs ``encode``, ``move`` and ``paint`` of a Monkey-Net; its detector has its own."""
    net = folded(net.eval()).requires_grad_(False)
    side, count = net.sizes.picture_px, net.sizes.count
    names = tuple(f"skip{i}" for i in range(len(net.sizes.widths)))
    picture = np.zeros((1, 3, side, side), np.float32)
    encode = Graph("encode", _EncodeSkips(net), {"picture": picture}, ("small", *names))
    encoded = encode.run(encode.inputs)
    points = {
        "source_xy": np.zeros((1, count, 2), np.float32),
        "source_jacobian": np.tile(0.1 * np.eye(2, dtype=np.float32), (1, count, 1, 1)),
    }
    points |= {name.replace("source", "target"): value for name, value in points.items()}
    move = Graph("move", _MoveByHeatmaps(net), {"small": encoded["small"], **points})
    moved = move.run(move.inputs)
    inputs = {name: encoded[name] for name in names}
    inputs |= {name: moved[name] for name in ("flow", "features")}
    return [encode, move, Graph("paint", _PaintSkips(net), inputs)]


def detector_graphs(net: KeypointDetector | CovarianceDetector) -> list[Graph]:
    """Graph ``detect`` of a detector."""
    net = folded(net.eval()).requires_grad_(False)
    picture = np.zeros((1, 3, net.size, net.size), np.float32)
    return [Graph("detect", _Detect(net), {"picture": picture})]


def results(graphs: list[Graph]) -> dict[str, Array]:
    """What the networks give for the check's inputs, see ``verify.results``."""
    by_name = {graph.name: graph for graph in graphs}
    return verify.results(input_shapes(graphs), lambda name, inputs: by_name[name].run(inputs))


def input_shapes(graphs: list[Graph]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Shapes of the inputs, as ``verify.Inputs``."""
    return {g.name: {name: value.shape for name, value in g.inputs.items()} for g in graphs}
