"""Animate a picture with a driving video.

``from hybridanim import Pipeline, InputError`` is the public interface: ``Pipeline.load(...)``
takes the options of the command line as keywords (``stages.pipeline`` documents it), and everything
that a user gave and that cannot be used raises InputError. ``hybridanim.io`` reads and writes
pictures and videos. ``Motion.load(path)`` reads a motion file for ``Pipeline.replay``.

The packages below hold the parts of the pipeline, which ``stages`` puts in order. ``import
hybridanim`` alone is light: OpenCV and torch are imported with the first part that needs them.
"""

from typing import TYPE_CHECKING, Any

from . import environment as environment
from .errors import InputError

if TYPE_CHECKING:
    from stages.pipeline import Motion, Pipeline

__all__ = ["InputError", "Motion", "Pipeline", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The one import from a lower package into a higher one: users find the pipeline under the
    # package's name, and no module below imports it from here.
    if name in ("Motion", "Pipeline"):
        from stages import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
