"""A run's whole state on disk, replaced as a whole, so that a kill leaves the old one or the new.

The animator's weights are under ``net`` and ``average`` (those that are exported), a detector's
under ``detector`` and ``detector_average``.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch

from hybridanim.networks.build import DetectorSizes

from .animator.learner import Learner

CHECKPOINT = "checkpoint.pt"


def network_state(net: Learner, average: Learner, detector: DetectorSizes | None) -> dict[str, Any]:
    """The networks' part, with the sizes that they need."""
    state: dict[str, Any] = {
        "net": net.animator.state_dict(),
        "average": average.animator.state_dict(),
        "sizes": dataclasses.asdict(net.animator.sizes),
    }
    if net.detector is not None and average.detector is not None and detector is not None:
        state |= {
            "detector": net.detector.state_dict(),
            "detector_average": average.detector.state_dict(),
            "detector_sizes": dataclasses.asdict(detector),
        }
    return state


def restore_networks(state: dict[str, Any], net: Learner, average: Learner) -> None:
    """The networks' part, strictly."""
    for learner, kept, located in (
        (net, "net", "detector"),
        (average, "average", "detector_average"),
    ):
        learner.animator.load_state_dict(state[kept])
        if learner.detector is not None:
            learner.detector.load_state_dict(state[located])


def write(state: dict[str, Any], path: Path) -> None:
    """Replace the file as a whole."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
