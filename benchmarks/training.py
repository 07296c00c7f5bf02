"""How many pairs a second training does, compared with the published model at its own size.

    python -m benchmarks.training [--json OUT] [--steps 4]

Forward pass, L1 loss, backward pass and optimiser step on random pictures, and what it takes to
prepare the pairs, which the trainer does in another thread. CPU time of one thread counts, in
milliseconds a pair: it differs little when other programs run; a core that is free does 1000 over
that many pairs a second.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from hybridanim.face.anchors import ANCHORS
from hybridanim.networks import build, first_order
from hybridanim.networks.blocks import Points
from hybridanim.networks.sizes import OBJECT
from hybridanim.training.animator.learner import Learner
from hybridanim.training.data.augment import Augment
from hybridanim.training.data.batch import Batch, anchor_layout
from hybridanim.training.data.cache import TRACKED, Clip
from hybridanim.training.data.pairs import Pairs


def given_points(count: int, batch: int) -> Points:
    """Keypoints spread over the picture."""
    jacobian = torch.eye(2).expand(batch, count, 2, 2)
    return Points(torch.rand(batch, count, 2) - 0.5, jacobian)


class Published(nn.Module):
    """Detector and generator of the reference preset."""

    def __init__(self) -> None:
        super().__init__()
        self.detector, self.generator = (
            first_order.KeypointDetector(),
            first_order.Generator(),
        )

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """The source, moved."""
        points = self.detector(source), self.detector(driving)
        return self.generator(source, *points).picture


class Ours(nn.Module):
    """The learner on one batch, with given or learned keypoints."""

    def __init__(self, learner: Learner, count: int = 0) -> None:
        super().__init__()
        self.learner, self._count = learner, count

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """The source, moved."""
        batch = Batch(source, driving)
        if self._count:
            points, moved = (given_points(self._count, len(source)) for _ in range(2))
            batch = Batch(source, driving, points, moved)
        return self.learner(batch).result.painted.picture


def objects() -> Ours:
    """Both networks of the presets for objects."""
    return Ours(Learner(build.fast(OBJECT, torch.full((10,), 0.15)), build.detector()))


CASES: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "fast, given keypoints, 128 px": (lambda: Ours(Learner(build.fast()), 38), 128, 8),
    "fast, given keypoints, 256 px": (lambda: Ours(Learner(build.fast()), 38), 256, 4),
    "object, learned keypoints, 64 px": (objects, 64, 8),
    "object, learned keypoints, 128 px": (objects, 128, 8),
    "reference, learned keypoints, 128 px": (Published, 128, 2),
    "reference, learned keypoints, 256 px": (Published, 256, 2),
}


def cpu_ms(make: Callable[[], nn.Module], size: int, batch: int, steps: int) -> float:
    """CPU milliseconds a pair; the first step is left out."""
    torch.manual_seed(1)
    net = make().to(memory_format=torch.channels_last)  # pyright: ignore
    optimiser = torch.optim.AdamW(net.parameters())
    start_s = 0.0
    for step in range(steps + 1):
        if step == 1:
            start_s = time.process_time()
        source, driving = (
            torch.rand(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
            for _ in range(2)
        )
        with torch.autocast("cpu", torch.bfloat16):
            loss = (net(source, driving).float() - driving).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return 1000 * (time.process_time() - start_s) / (steps * batch)


def preparing_ms(size: int, count: int = 16) -> float:
    """CPU milliseconds to draw, augment and collate a pair out of cached frames of 256 pixels."""
    drawn = np.random.default_rng(0)
    rows = np.tile(np.array([0, 0, 0.3, 0, 0, 0.3, 1], np.float32), (20, len(ANCHORS), 1))
    rows[..., :2] = drawn.uniform(-0.3, 0.3, rows[..., :2].shape)
    frames = drawn.integers(0, 255, (20, 256, 256, 3)).astype(np.uint8)
    pairs = Pairs([Clip("a", "a", frames, {TRACKED: rows})], anchor_layout(), Augment(), seed=0)
    pairs.batch(0, count, size)
    start_s = time.process_time()
    pairs.batch(1, count, size)
    return 1000 * (time.process_time() - start_s) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--steps", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    figures = {}
    for name, (make, size, batch) in CASES.items():
        figures[name] = round(cpu_ms(make, size, batch, given.steps), 1)
        print(f"{name:40s} {figures[name]:8.1f} ms a pair, {1000 / figures[name]:6.1f} pairs/s")
    for size in (128, 256):
        name = f"preparing pairs, {size} px"
        figures[name] = round(preparing_ms(size), 1)
        print(f"{name:40s} {figures[name]:8.1f} ms a pair")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
