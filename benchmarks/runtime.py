"""Milliseconds of each learned graph by runtime and precision, and what that changes in a picture.

    python -m benchmarks.runtime --json OUT [--weights PATH]

The shipped weights (or others) on scikit-image's astronaut with a turned head, two threads, warm;
median, inter-quartile range and least over the frames. "levels" is the mean difference of the
blended picture from eager float32 (``torch f32``), of 255.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hybridanim import geometry
from hybridanim.config import RuntimeConfig
from hybridanim.networks.weights import DETECTOR, RENDERER, read_weights
from hybridanim.rendering.learned import Compositor
from hybridanim.runtime import networks, sample_inputs
from hybridanim.runtime.torch_backend import TorchAnimator, TorchDetector

from .speed import machine, summary

_WARM_UP, _THREADS = 10, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--weights", type=Path, default=RENDERER.path)
    parser.add_argument("--frames", type=int, default=60)
    given = parser.parse_args()
    torch.set_num_threads(_THREADS)
    figures = {
        "animator": animators(given.weights, given.frames),
        "detector": detectors(given.frames),
        "composite": composites(given.frames),
        "machine": machine(),
    }
    print(json.dumps(figures, indent=2))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def animators(weights: Path, frames: int) -> dict[str, Any]:
    net = read_weights(weights).animator
    assert net is not None
    found: dict[str, Any] = {}
    reference = TorchAnimator(net, bf16=False)
    sample = sample_inputs.checks(reference.side_px, len(net.motion.log_reach))[1]
    wanted = picture_of(reference, sample)
    for name, nets in runs("animator", weights, reference, TorchAnimator(net, bf16=True)):
        encoded = nets.encode(sample.picture)
        moved = nets.move(encoded, sample.source, sample.target)
        found[name] = {
            "encode": timed(lambda nets=nets: nets.encode(sample.picture), frames // 4),
            "move": timed(
                lambda nets=nets, at=encoded: nets.move(at, sample.source, sample.target), frames
            ),
            "paint": timed(lambda nets=nets, m=moved: nets.paint(m.features), frames),
            "levels": round(float(np.abs(picture_of(nets, sample) - wanted).mean()), 3),
        }
    return found


def detectors(frames: int) -> dict[str, Any]:
    net = read_weights(DETECTOR.path).detector
    assert net is not None
    picture = sample_inputs.batch(sample_inputs.checks(net.size, 1)[1].picture)
    reference = TorchDetector(net, bf16=False)
    wanted = reference(picture)[0]
    found = {}
    for name, run in runs("detector", DETECTOR.path, reference, TorchDetector(net, bf16=True)):
        off = np.abs(run(picture)[0] - wanted).mean()
        found[name] = {
            "detect": timed(lambda run=run: run(picture), frames),
            "places_norm": float(f"{off:.2g}"),
        }
    return found


def runs(part: str, weights: Path, *by_torch: Any) -> list[tuple[str, Any]]:
    """Every runtime and precision, exported anew."""
    out = [(f"torch {nets.runtime_info.precision}", nets) for nets in by_torch]
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("f32", "bf16", "int8"):
            config = RuntimeConfig("openvino", precision, Path(folder))
            load = networks.animator if part == "animator" else networks.detector
            nets: Any = load(weights, config)
            name = f"{nets.runtime_info.runtime} {precision}"
            out.append((name, nets if part == "animator" else nets._network))
    return out


def picture_of(nets: Any, sample: sample_inputs.Sample) -> np.ndarray:
    """The blended picture as float32."""
    encoded = nets.encode(sample.picture)
    moved = nets.move(encoded, sample.source, sample.target)
    paint, alpha = nets.paint(moved.features)
    grid = geometry.resize_grid(moved.flow, len(paint))
    still = geometry.warp(sample.picture, grid, cv2.INTER_LINEAR)
    return alpha[..., None] * paint + (1 - alpha[..., None]) * still


def composites(frames: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    paint = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    alpha = rng.random((256, 256), np.float32)
    flow = 0.95 * geometry.grid_norm(64)
    found = {}
    for size in (256, 512, 1024):
        blend = Compositor(cv2.resize(paint, (size, size)))
        found[size] = timed(lambda blend=blend: blend(flow, paint, alpha), frames)
    return found


def timed(run: Callable[[], Any], frames: int) -> dict[str, float]:
    times = []
    for _ in range(frames + _WARM_UP):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    # the least beside the median: on a shared machine it is what an idle one would give
    return summary(times[_WARM_UP:]) | {"least": round(min(times), 2)}


if __name__ == "__main__":
    main()
