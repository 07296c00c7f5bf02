"""Graphs -> ONNX files for any runtime, with a text that describes inputs and outputs.

One file per graph, opset 16, float32, fixed sizes, batch norms folded. Each file is read back and
run by OpenVINO, and has to agree with the network.
"""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch

from hybridanim import extras, files, quiet
from hybridanim.types import Array

from . import graphs as networks
from . import verify
from .graphs import Graph

OPSET = 16  # the first with GridSample
_MEANING = {
    "picture": "RGB in [0, 1]; of the animator the source, of the detector its window",
    "small": "the source at a quarter of its side",
    "deep": "features of the source at a quarter of its side",
    "fine": "features of the source at half of its side",
    "source_xy": "the source's keypoints",
    "source_jacobian": "their local affines, canonical object -> source",
    "target_xy": "where the keypoints are to go",
    "target_jacobian": "their local affines there",
    "background": "affine source <- target of what is behind; 1 0 0, 0 1 0 where it stands",
    "optical": "the driver's optical flow: x and y as in flow, and trust in [0, 1]; 0 where none",
    "flow": "for each cell, x and y of the place in the source that it shows",
    "occlusion": "1 where the source shows what is wanted, 0 where it must be painted",
    "masks": "share of the background and of each keypoint's local map; sum to one",
    "features": "what the painter reads beside the flow",
    "paint": "RGB in [0, 1]",
    "alpha": "share of the paint in the picture: alpha * paint + (1 - alpha) * moved source",
    "xy": "keypoints",
    "jacobian": "their local affines, canonical object -> window",
    "spread": "standard deviation of each heatmap, an axis; wide is unsure",
}
_SKIP = "features of the source, a skip connection of the painter"
_MONKEYNET = {
    "source_jacobian": "symmetric roots of their covariances",
    "target_jacobian": "the same where they are to go",
    "features": "heatmaps of the target minus those of the source",
    "small": "the source at the side of the flow",
    "occlusion": "1 everywhere: this model has none",
    "alpha": "1 everywhere: the paint is the picture",
    "jacobian": "symmetric roots of the heatmaps' covariances",
}
_WHEN = {
    "encode": "once per source",
    "move": "per frame: keypoints to motion",
    "paint": "per frame: motion to paint",
    "detect": "per driving frame: window to keypoints",
}


def write(graphs: list[Graph], folder: Path) -> list[Path]:
    """Write one file per graph into an existing folder, atomically; return their paths."""
    extras.expect_for_export()
    paths = []
    for graph in graphs:
        path = folder / f"{graph.name}.onnx"
        with files.atomic_write(path) as file:
            file.write(onnx_bytes(graph))
        paths.append(path)
    return paths


def onnx_bytes(graph: Graph) -> bytes:
    """One graph as an ONNX file."""
    example = tuple(torch.from_numpy(value.copy()) for value in graph.inputs.values())
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's: every size here is fixed
        torch.onnx.export(
            graph.module,
            example,
            written,  # pyright: ignore[reportArgumentType]
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=False,
        )
    return written.getvalue()


def failure(graphs: list[Graph], folder: Path) -> str:
    """Difference between files, run by OpenVINO, and network beyond the tolerance; "" if none."""
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    core = quiet.openvino().Core()
    models = {g.name: core.compile_model(folder / f"{g.name}.onnx", "CPU", exact) for g in graphs}

    def run(name: str, inputs: dict[str, Array]) -> dict[str, Array]:
        found = models[name](inputs)
        outputs = next(graph.outputs for graph in graphs if graph.name == name)
        return {output: found[output] for output in outputs}

    found = verify.results(networks.input_shapes(graphs), run)
    return verify.failure(networks.results(graphs), found, "f32")


def _meaning(name: str, graphs: list[Graph]) -> str:
    """What an array is; a Monkey-Net's keypoints and features are others than the animator's."""
    if name.startswith("skip"):
        return _SKIP
    is_monkeynet = any("skip0" in graph.inputs for graph in graphs)
    return _MONKEYNET.get(name, _MEANING[name]) if is_monkeynet else _MEANING[name]


def readme(graphs: list[Graph], origin: dict[str, Any]) -> str:
    """Text that is written next to the files: inputs, outputs, conventions and origin."""
    lines = [
        "Networks of hybridanim as ONNX files",
        "",
        f"Opset {OPSET}, float32, fixed sizes, one picture at a time. Pictures are (1, 3, H, W).",
        "Places are x, y in [-1, 1] from the outer edge of a square picture's first pixel to the",
        "outer edge of its last (GridSample with align_corners = 0).",
    ]
    for graph in graphs:
        lines += ["", f"{graph.name}.onnx  ({_WHEN[graph.name]})"]
        shapes = {"in ": graph.inputs, "out": graph.run(graph.inputs)}
        for which, arrays in shapes.items():
            lines += [
                f"  {which} {name:<16} {list(value.shape)!s:<18} {_meaning(name, graphs)}"
                for name, value in arrays.items()
            ]
    return "\n".join([*lines, "", "From " + json.dumps(origin), ""])
