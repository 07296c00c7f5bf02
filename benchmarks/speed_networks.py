"""What networks cost: GFLOP of each, and the time of the published model in eager torch.

The reference is hybridanim/networks/first_order.py with random weights, which is right for speed:
for every frame its keypoint detector, dense motion network and generator at 256x256 in float32, as
its authors' program runs them. A multiplication with an addition counts as two operations;
sampling and elementwise work are not counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from hybridanim.networks import first_order as published
from hybridanim.networks.blocks import Points
from hybridanim.networks.weights import DETECTOR, read_animator, read_weights

FRAMES = 8


def reference() -> dict[str, Any]:
    """Milliseconds a frame of the published model, after one frame of warm-up."""
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    find, generate = published.KeypointDetector().eval(), published.Generator().eval()
    picture = torch.rand(1, 3, 256, 256)
    times = []
    with torch.inference_mode():
        source = find(picture)
        for _ in range(FRAMES + 1):
            start = time.perf_counter()
            generate(picture, source, find(picture))
            times.append(1000 * (time.perf_counter() - start))
    low, middle, high = np.percentile(times[1:], [25, 50, 75])
    return {
        "median_ms": round(float(middle), 1),
        "iqr_ms": round(float(high - low), 1),
        "fps": round(1000 / float(middle), 2),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def gflop() -> dict[str, float]:
    """Of one frame, or of one source for ``encode``."""
    net = read_animator()
    side = net.sizes.picture_px
    count = len(net.motion.log_reach)
    picture = torch.rand(1, 3, side, side)
    points = Points(torch.zeros(1, count, 2), torch.eye(2).expand(1, count, 2, 2))
    with torch.inference_mode():
        encoded = net.encode(picture)
        motion = net.motion(encoded.small, points, points)
        found = {
            "encode the source": counted(lambda: net.encode(picture)),
            "motion": counted(lambda: net.motion(encoded.small, points, points)),
            "render": counted(lambda: net.generator(encoded, motion)),
            "reference": _reference_gflop(),
        }
        weights = read_weights(DETECTOR.path)
        if weights.detector is not None and weights.detector_sizes is not None:
            find, size = weights.detector, weights.detector_sizes.size
            found["keypoint detector"] = counted(lambda: find(torch.rand(1, 3, size, size)))
    return found


def _reference_gflop() -> float:
    find, generate = published.KeypointDetector().eval(), published.Generator().eval()
    picture = torch.rand(1, 3, 256, 256)
    return counted(lambda: generate(picture, find(picture), find(picture))) - counted(
        lambda: find(picture)  # the source's keypoints are found once
    )


def counted(run: Callable[[], Any]) -> float:
    """GFLOP of a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return round(counter.get_total_flops() / 1e9, 2)
