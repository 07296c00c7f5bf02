"""Packages that report to their makers, imported so that they do not.

Importing OpenVINO's model converter, which its PyTorch front end needs, sends an event to an
analytics host and keeps an identifier of the user in the home folder, through the package
``openvino_telemetry``. Where that package cannot be imported, OpenVINO uses a stub of its own that
does nothing. All imports of OpenVINO in this repository come through ``openvino``.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, cast

_TELEMETRY = "openvino_telemetry"


def openvino(module: str = "openvino") -> Any:
    """The package ``openvino``, or a module of it by its dotted name, without its telemetry.

    Raises ImportError where it is not installed.
    """
    cast("dict[str, Any]", sys.modules)[_TELEMETRY] = None  # importing it raises ImportError
    return importlib.import_module(module)
