"""Comparison of a compiled network with the network itself, run after every build.

Fixed inputs (``sample_inputs.checks``) are processed by both. For an animator the blended pictures
are compared, in levels of 0 to 255, at every fifth pixel of every fifth row; for a detector the
keypoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.types import Array

from . import sample_inputs

Run = Callable[[str, dict[str, Array]], dict[str, Array]]  # graph name, inputs -> outputs
Inputs = Mapping[str, Mapping[str, tuple[int, ...]]]  # graph name, in order -> input -> shape

MEAN_LEVELS = {"f32": 0.02, "int8": 0.5, "bf16": 1.0}
"""Largest mean difference of a picture, in levels of 0 to 255, by precision."""
TAIL_LEVELS = {"f32": 0.5, "int8": 8.0, "bf16": 16.0}
"""Largest 99.9th percentile of the difference, in levels of 0 to 255, by precision."""
PLACE_NORM = {"f32": 5e-4, "int8": 0.02, "bf16": 0.02}
"""Largest difference of a keypoint's position or Jacobian entry, normalised, by precision."""
_STEP_PX = 5  # odd: no multiple of the blocks that the painter's last layer unfolds


def results(graphs: Inputs, run: Run) -> dict[str, Array]:
    """Name of each sample -> float32 values to compare: picture (h, w, 3), or keypoints (K, 6)."""
    return dict(_results(graphs, run))


def _results(graphs: Inputs, run: Run) -> Iterator[tuple[str, Array]]:
    if "detect" in graphs:
        for sample in sample_inputs.checks(graphs["detect"]["picture"][2], 1):
            found = run("detect", {"picture": sample_inputs.batch(sample.picture)})
            xy, jacobian = found["xy"][0], found["jacobian"][0]
            yield sample.name, np.concatenate([xy, jacobian.reshape(-1, 4)], 1)
        return
    side, count = graphs["encode"]["picture"][2], graphs["move"]["source_xy"][1]
    for sample in sample_inputs.checks(side, count, sample_inputs.sigma_of(graphs["paint"])):
        picture = blended(sample.picture, chained(run, graphs, sample.inputs()))
        yield sample.name, np.asarray(picture[::_STEP_PX, ::_STEP_PX], np.float32)


def failure(wanted: Mapping[str, Array], found: Mapping[str, Array], precision: str) -> str:
    """Text about the first difference beyond the tolerance; "" if there is none.

    wanted, found: of ``results``, in float32 and in this precision.
    """
    for name, value in wanted.items():
        if not np.isfinite(found[name]).all():
            return f"on {name} it gives inf or not-a-number"
        off = np.abs(found[name] - value)
        is_detector = off.ndim == 2
        mean, tail = float(off.mean()), float(np.quantile(off, 0.999))
        limits = MEAN_LEVELS[precision], TAIL_LEVELS[precision]
        unit = "levels of 255"
        if is_detector:  # the largest difference counts
            mean = tail = float(off.max())
            limits, unit = (PLACE_NORM[precision],) * 2, "of half the window"
        if not (mean <= limits[0] and tail <= limits[1]):
            return (
                f"on {name} it is off by {mean:.3g} (one in a thousand by {tail:.3g}) {unit},"
                f" allowed are {limits[0]:g} and {limits[1]:g}"
            )
    return ""


def chained(run: Run, graphs: Inputs, inputs: dict[str, Array]) -> dict[str, Array]:
    """Run the graphs in order; inputs and all outputs by name, copied."""
    known = dict(inputs)
    for graph, own in graphs.items():
        found = run(graph, {name: known[name] for name in own})
        known |= {name: value.copy() for name, value in found.items()}
    return known


def blended(picture: Array, output: dict[str, Array]) -> Array:
    """Blend paint and warped source, (side, side, 3) in 0 to 255; output: of ``chained``."""
    grid = geometry.resize_grid(output["flow"][0], len(picture))
    moved = geometry.warp(picture, grid, cv2.INTER_LINEAR).astype(np.float32)
    alpha = output["alpha"][0, 0, ..., None]
    return alpha * 255 * output["paint"][0].transpose(1, 2, 0) + (1 - alpha) * moved
