"""A checkpoint -> the weights that the program loads: the averaged network alone."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import InputError
from ..models import build, renderer
from ..models.build import Animator, FastSizes


def read(checkpoint: Path) -> tuple[Animator, FastSizes]:
    """The averaged network of a training run, and its sizes."""
    if not checkpoint.is_file():
        raise InputError(
            f"{checkpoint}: expected a checkpoint, found nothing; give the folder's checkpoint.pt"
        )
    state = torch.load(checkpoint, weights_only=True)
    sizes = build.read_sizes(state["sizes"])
    net = build.fast(sizes)
    net.load_state_dict(state["average"])
    return net.eval(), sizes


def export(checkpoint: Path, weights: Path) -> str:
    """Write the averaged network as safetensors; returns the file's sha256."""
    return renderer.save(*read(checkpoint), weights)
