"""torch is an extra: all but training and export runs without it.

Each function looks for the package without importing it, which takes seconds.
"""

from __future__ import annotations

from importlib.util import find_spec

from .errors import InputError

TRAIN = 'pip install "hybridanim[train]"'
"""What brings torch."""


def has_torch() -> bool:
    """Whether torch is installed."""
    try:
        return find_spec("torch") is not None
    except (ImportError, ValueError):
        return False


def expect_torch(what: str) -> None:
    """Raise InputError, which begins with these words, unless torch is installed."""
    if not has_torch():
        raise InputError(f"{what}: expected the package torch, found none; {TRAIN}")


def expect_runtime(what: str) -> None:
    """Raise InputError unless torch is installed; to be called where OpenVINO is not."""
    if not has_torch():
        raise InputError(
            f"{what}: expected the package openvino, or torch in its place, found neither;"
            " pip install openvino"
        )
