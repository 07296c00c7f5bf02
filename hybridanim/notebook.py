"""Widgets for a notebook: ``from hybridanim.notebook import Studio`` (extra notebook).

Studio lives in apps.notebook; this module lends it to users under the package's name, with one
sentence where ipywidgets is missing.
"""

from typing import TYPE_CHECKING, Any

from . import extras

if TYPE_CHECKING:
    from apps.notebook.studio import Studio

__all__ = ["Studio"]


def __getattr__(name: str) -> Any:
    # as in hybridanim/__init__.py: no module below imports it from here
    if name == "Studio":
        extras.expect_notebook("hybridanim.notebook")
        from apps.notebook.studio import Studio

        return Studio
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
