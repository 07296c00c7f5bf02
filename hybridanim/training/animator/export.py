"""A checkpoint -> the weights that the program loads: the averaged networks alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hybridanim.errors import InputError
from hybridanim.networks import build
from hybridanim.networks import weights as files
from hybridanim.networks.build import Animator, DetectorSizes, FastSizes

from .learner import Learner


def read(checkpoint: Path) -> tuple[Animator, FastSizes]:
    """The averaged animator of a training run, and its sizes."""
    animator = _animator(_state(checkpoint))
    return animator, animator.sizes


def export(checkpoint: Path, weights: Path) -> str:
    """Write the averaged networks as safetensors; returns the file's sha256."""
    state = _state(checkpoint)
    detector = sizes = None
    if "detector_average" in state:
        sizes = build.read_detector_sizes(state["detector_sizes"])
        detector = build.detector(sizes)
        detector.load_state_dict(state["detector_average"])
    return write(Learner(_animator(state), detector), sizes, weights)


def write(net: Learner, detector: DetectorSizes | None, weights: Path) -> str:
    """Write networks as safetensors: for faces a renderer, for objects both; returns the sha256."""
    if net.detector is None:
        return files.write_weights(weights, animator=net.animator)
    return files.write_weights(
        weights,
        animator=net.animator,
        detector=net.detector,
        detector_sizes=detector,
        kind="object",
        window="frame",
    )


def _state(checkpoint: Path) -> dict[str, Any]:
    if not checkpoint.is_file():
        raise InputError(
            f"{checkpoint}: expected a checkpoint, found nothing; give the folder's checkpoint.pt"
        )
    return torch.load(checkpoint, weights_only=True, map_location="cpu")


def _animator(state: dict[str, Any]) -> Animator:
    reach = torch.ones_like(state["average"]["motion.log_reach"])
    net = build.fast(build.read_sizes(state["sizes"]), reach)
    net.load_state_dict(state["average"])
    return net.eval()
