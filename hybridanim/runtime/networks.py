"""Weights file, RuntimeConfig -> callable networks, by OpenVINO if installed, otherwise torch.

OpenVINO runs models that are built from the weights file, checked once and cached on disk in
compiled form; torch is imported only where it runs the networks (docs/guide/runtime.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hybridanim import extras
from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.networks.models import MONKEYNET
from hybridanim.networks.weights import DETECTOR, RENDERER, Header, read_header

from . import openvino_backend
from .base import AnimatorNetworks
from .detector import LearnedDetector


def animator(
    path: str | Path | None = None,
    config: RuntimeConfig | None = None,
    header: Header | None = None,
) -> AnimatorNetworks:
    """Load dense motion network and generator of a weights file, or the shipped ones.

    header: the file's header if it has been read already. Raises InputError when the file has no
    animator, or the chosen runtime is not available.
    """
    file = RENDERER.checked() if path is None else Path(path)
    return _load("animator", file, config or RuntimeConfig(), header or read_header(file))


def detector(
    path: str | Path | None = None,
    config: RuntimeConfig | None = None,
    header: Header | None = None,
) -> LearnedDetector:
    """Load the keypoint detector of a weights file, or the shipped one; see ``animator``."""
    file = DETECTOR.checked() if path is None else Path(path)
    header = header or read_header(file)
    network = _load("detector", file, config or RuntimeConfig(), header)
    sizes = header.detector or {}
    return LearnedDetector(
        network,
        count=sizes["count"],
        size=sizes["size"],
        window=header.window,
        extent_norm=1.0 if header.model == MONKEYNET else None,  # affines are of heatmaps there
    )


def _load(part: str, path: Path, config: RuntimeConfig, header: Header) -> Any:
    """Load "animator" or "detector" on the first runtime that works."""
    if (header.sizes if part == "animator" else header.detector) is None:
        raise InputError(
            f"weights: expected a file with {_article(part)}, got {path}, which has none; give"
            " another with --weights"
        )
    notes: list[str] = []
    if config.runtime != "torch":
        found = openvino_backend.load(part, path, config, notes)
        if found is not None:
            return found
        if config.runtime == "openvino":
            raise InputError(
                f"--runtime openvino: expected it to run {path.name}, got: {'; '.join(notes)};"
                " choose --runtime torch"
            )
    if not extras.has_torch():
        raise InputError(_unavailable(path, config, notes))
    from . import torch_backend  # imports torch

    return torch_backend.load(part, path, config, notes)


def _unavailable(path: Path, config: RuntimeConfig, notes: list[str]) -> str:
    """What is said where torch should run the networks and is not installed."""
    if config.runtime == "torch":
        return (
            f"--runtime torch: expected the package torch, found none; {extras.TRAIN}, or leave"
            " --runtime out"
        )
    return (
        f"networks: expected OpenVINO to run {path.name}, got: {'; '.join(notes)}; torch may run"
        f" it: {extras.TRAIN}"
    )


def _article(part: str) -> str:
    return f"an {part}" if part[0] in "aeiou" else f"a {part}"
