"""Comparison of a compiled graph with its network, run after every export.

Fixed inputs (``sample_inputs.checks``) are processed by the network in float32 and by the compiled
graphs. For an animator the blended pictures are compared, in levels of 0 to 255; for a detector the
keypoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.types import Array

from . import sample_inputs
from .graphs import Graph

Run = Callable[[str, dict[str, Array]], dict[str, Array]]  # graph name, inputs -> outputs

MEAN_LEVELS = {"f32": 0.02, "int8": 0.5, "bf16": 1.0}
"""Largest mean difference of a picture, in levels of 0 to 255, by precision."""
TAIL_LEVELS = {"f32": 0.5, "int8": 8.0, "bf16": 16.0}
"""Largest 99.9th percentile of the difference, in levels of 0 to 255, by precision."""
PLACE_NORM = {"f32": 5e-4, "int8": 0.02, "bf16": 0.02}
"""Largest difference of a keypoint's position or Jacobian entry, normalised, by precision."""


def differences(graphs: list[Graph], run: Run) -> Iterator[tuple[str, float, float]]:
    """Yield name of the sample, mean and 99.9th percentile of the difference.

    For a detector both numbers are the largest difference.
    """
    eager = {graph.name: graph.run for graph in graphs}
    picture = graphs[0].inputs["picture"]
    if graphs[0].name == "detect":
        for sample in sample_inputs.checks(picture.shape[2], 1):
            inputs = {"picture": sample_inputs.batch(sample.picture)}
            wanted, got = eager["detect"](inputs), run("detect", inputs)
            most = max(float(np.abs(got[n] - wanted[n]).max()) for n in ("xy", "jacobian"))
            yield sample.name, most, most
        return
    count = graphs[1].inputs["source_xy"].shape[1]
    for sample in sample_inputs.checks(picture.shape[2], count):
        inputs = sample.inputs()
        wanted = blended(sample.picture, chained(lambda n, i: eager[n](i), graphs, inputs))
        off = np.abs(wanted - blended(sample.picture, chained(run, graphs, inputs)))
        yield sample.name, float(off.mean()), float(np.quantile(off, 0.999))


def failure(graphs: list[Graph], run: Run, precision: str) -> str:
    """Text about the first difference beyond the tolerance; "" if there is none."""
    is_detector = graphs[0].name == "detect"
    limits = PLACE_NORM if is_detector else MEAN_LEVELS
    mean_limit, tail_limit = limits[precision], (limits if is_detector else TAIL_LEVELS)[precision]
    unit = "of half the window" if is_detector else "levels of 255"
    for name, mean, tail in differences(graphs, run):
        if not (mean <= mean_limit and tail <= tail_limit):  # not-a-number fails too
            return (
                f"on {name} it is off by {mean:.3g} (one in a thousand by {tail:.3g}) {unit},"
                f" allowed are {mean_limit:g} and {tail_limit:g}"
            )
    return ""


def chained(run: Run, graphs: list[Graph], inputs: dict[str, Array]) -> dict[str, Array]:
    """Run the graphs in order; inputs and all outputs by name, copied."""
    known = dict(inputs)
    for graph in graphs:
        found = run(graph.name, {name: known[name] for name in graph.inputs})
        known |= {name: value.copy() for name, value in found.items()}
    return known


def blended(picture: Array, output: dict[str, Array]) -> Array:
    """Blend paint and warped source, (side, side, 3) in 0 to 255; output: of ``chained``."""
    grid = geometry.resize_grid(output["flow"][0], len(picture))
    moved = geometry.warp(picture, grid, cv2.INTER_LINEAR).astype(np.float32)
    alpha = output["alpha"][0, 0, ..., None]
    return alpha * 255 * output["paint"][0].transpose(1, 2, 0) + (1 - alpha) * moved
