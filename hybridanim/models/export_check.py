"""Does a compiled graph say what the network says? Always asked after an export.

Two fixed inputs, smooth noise with keypoints at random and a photograph with a turned head, go
through the network in float32 and through the compiled graphs; compared are pictures, in levels of
255, because these are what counts: the paint over the moved source, or the keypoints' places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from .. import geometry, sparse_motion
from ..anchors import ANCHORS
from ..types import Array, Crop, HeadBox, Keypoints
from .export import Graph

Run = Callable[[str, dict[str, Array]], dict[str, Array]]  # graph name, inputs -> outputs

MEAN_LEVELS = {"f32": 0.05, "bf16": 0.75, "int8": 1.5}
"""Largest mean difference of a picture, in levels of 255, by precision."""
TAIL_LEVELS = {"f32": 1.0, "bf16": 12.0, "int8": 24.0}
"""Largest difference of all but one value in a thousand."""
PLACE_NORM = {"f32": 2e-4, "bf16": 0.02, "int8": 0.04}
"""Largest difference of a keypoint's place (2 is the window's side), or of its Jacobian's terms."""

_ASTRONAUT = Crop(85, 0, 280)  # of scikit-image's picture, and the head in it
_HEAD = HeadBox((224.7, 113.2), 112.4, 3.2)


def differences(graphs: list[Graph], run: Run) -> Iterator[tuple[str, float, float]]:
    """Name of the input, mean and tail (or, for a detector, twice the largest) difference."""
    by_name = {graph.name: graph for graph in graphs}
    if "detect" in by_name:
        side = by_name["detect"].inputs["picture"].shape[2]
        for name, picture in _pictures(side):
            inputs = {"picture": _batch(picture)}
            wanted, got = by_name["detect"].run(inputs), run("detect", inputs)
            most = max(float(np.abs(got[n] - wanted[n]).max()) for n in ("xy", "jacobian"))
            yield name, most, most
        return
    side = by_name["encode"].inputs["picture"].shape[2]
    count = by_name["move"].inputs["source_xy"].shape[1]
    for (name, picture), points in zip(_pictures(side), _keypoints(count), strict=True):
        wanted = _animated(lambda n, inputs: by_name[n].run(inputs), graphs, picture, points)
        got = _animated(run, graphs, picture, points)
        off = np.abs(wanted - got)
        yield name, float(off.mean()), float(np.quantile(off, 0.999))


def failure(graphs: list[Graph], run: Run, precision: str) -> str:
    """What is beyond the tolerance, in words; "" when all is well."""
    is_detector = graphs[0].name == "detect"
    limits = PLACE_NORM if is_detector else MEAN_LEVELS
    mean_limit, tail_limit = limits[precision], (limits if is_detector else TAIL_LEVELS)[precision]
    unit = "of half the window" if is_detector else "levels of 255"
    for name, mean, tail in differences(graphs, run):
        if not (mean <= mean_limit and tail <= tail_limit):  # not-a-number fails too
            return (
                f"on {name} the network in {precision} is off by {mean:.3g} and {tail:.3g} {unit},"
                f" allowed are {mean_limit:g} and {tail_limit:g}"
            )
    return ""


def _animated(
    run: Run, graphs: list[Graph], picture: Array, points: tuple[Keypoints, Keypoints]
) -> Array:
    """The blended picture, (side, side, 3) float32 in 0 to 255, by chaining the graphs."""
    known: dict[str, Array] = {"picture": _batch(picture)}
    for which, keypoints in zip(("source", "target"), points, strict=True):
        known[f"{which}_xy"] = keypoints.xy_norm[None]
        known[f"{which}_jacobian"] = keypoints.jacobian[None]
    for graph in graphs:
        # copied: a runtime may use its outputs' memory again
        known |= {
            k: v.copy() for k, v in run(graph.name, {n: known[n] for n in graph.inputs}).items()
        }
    grid = geometry.resize_grid(known["flow"][0], len(picture))
    moved = geometry.warp(picture, grid, cv2.INTER_LINEAR).astype(np.float32)
    alpha = known["alpha"][0, 0, ..., None]
    return alpha * 255 * known["paint"][0].transpose(1, 2, 0) + (1 - alpha) * moved


def _batch(picture: Array) -> Array:
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)


def _pictures(side: int) -> Iterator[tuple[str, Array]]:
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    yield "noise", cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    from skimage import data

    yield "a photograph", geometry.crop_image(data.astronaut(), _ASTRONAUT, side)


def _keypoints(count: int) -> Iterator[tuple[Keypoints, Keypoints]]:
    """Source's and target's for each picture."""
    rng = np.random.default_rng(1)
    xy = rng.uniform(-0.7, 0.7, (count, 2)).astype(np.float32)
    jacobian = 0.5 * np.eye(2) + 0.05 * rng.standard_normal((count, 2, 2))
    source = Keypoints(xy, jacobian.astype(np.float32), np.ones(count, np.float32))
    turned = geometry.similarity(1.05, 6.0)
    target = replace(
        source,
        xy_norm=(xy @ turned.T + np.float32(0.03)).astype(np.float32),
        jacobian=(turned @ source.jacobian).astype(np.float32),
    )
    yield source, target
    if count != len(ANCHORS):
        yield source, target
        return
    face = sparse_motion.rest(_HEAD, None, None, _ASTRONAUT)
    head = HeadBox((228.0, 117.0), 116.0, -6.0)
    yield face, sparse_motion.rest(head, None, None, _ASTRONAUT)
