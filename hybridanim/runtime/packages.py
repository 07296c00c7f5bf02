"""Packages that a part of the runtime needs beyond the required ones."""

from __future__ import annotations

import importlib.util

from hybridanim.errors import InputError

_INSTALL = {  # package -> what brings it
    "onnx": '"hybridanim[export]" (in a checkout: pip install "onnx>=1.16,<2")',
    "openvino": '"openvino>=2025.2"',
}


def expect_for_export() -> None:
    """Raise InputError unless the packages to write and read ONNX are installed."""
    for name, what in _INSTALL.items():
        if importlib.util.find_spec(name) is None:
            raise InputError(f"export: expected the package {name}, found none; pip install {what}")
