"""Packages that are extras, torch, Gradio and others: all else runs without them.

Each function looks for the package without importing it, which takes seconds.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from .errors import InputError

TRAIN = 'pip install "hybridanim[train]"'
"""What brings torch."""
_BATCH = 'pip install "hybridanim[batch]" (in a checkout: pip install "ray>=2.40,<3")'
UI = 'pip install "hybridanim[ui]"'
"""What brings Gradio, with FastAPI and uvicorn (in a checkout: pip install "gradio>=6.5,<7")."""
_NOTEBOOK = 'pip install "hybridanim[notebook]"'
_EXPORT = {  # package -> what brings it
    "onnx": '"hybridanim[export]" (in a checkout: pip install "onnx>=1.16,<2")',
    "openvino": '"openvino>=2025.2"',
}


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


def expect_ray() -> None:
    """Raise InputError unless Ray is installed."""
    if find_spec("ray") is None:
        raise InputError(f"--ray: expected the package ray, found none; {_BATCH}")


def ray() -> Any:
    """The package Ray; InputError where it is not installed."""
    expect_ray()
    import ray as found  # pyright: ignore[reportMissingImports]

    return found


def expect_for_export() -> None:
    """Raise InputError unless the packages to write and read ONNX are installed."""
    expect_torch("export")
    for name, what in _EXPORT.items():
        if find_spec(name) is None:
            raise InputError(f"export: expected the package {name}, found none; pip install {what}")


def optuna() -> Any:
    """The package optuna; InputError where it is not installed."""
    try:
        import optuna as found
    except ImportError as error:
        raise InputError(f"--tune: expected the package optuna, found none; {TRAIN}") from error
    return found


def expect_ui(what: str) -> None:
    """Raise InputError, which begins with these words, unless Gradio is installed."""
    if find_spec("gradio") is None:
        raise InputError(
            f"{what}: expected the package gradio, found none; {UI} (in a checkout: pip install"
            ' "gradio>=6.5,<7")'
        )


def expect_notebook(what: str) -> None:
    """Raise InputError, which begins with these words, unless ipywidgets is installed."""
    if find_spec("ipywidgets") is None:
        raise InputError(
            f"{what}: expected the package ipywidgets, found none; {_NOTEBOOK} (in a checkout: pip"
            ' install "ipywidgets>=8.1,<9")'
        )
