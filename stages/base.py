"""Interface of the stages (Stage), and their timing in a run (Run)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hybridanim import schema
from hybridanim.runtime.base import RuntimeInfo
from hybridanim.types import Array


class Stage:
    """One step of the pipeline: typed values in, exactly one typed value out.

    A subclass sets ``name`` and implements ``__call__`` and ``draw``. State is kept in its fields,
    and ``reset`` restores the initial one. Capabilities are arguments of its constructor.
    """

    name: str = ""
    __call__: Callable[..., Any]  # each stage has its own inputs

    def __init__(self, config: Any) -> None:
        """config: the stage's own dataclass of settings."""
        self._config = config

    @property
    def runtime_info(self) -> RuntimeInfo | None:
        """Runtime of its networks; None for a stage without one."""
        return None

    def draw(self, canvas: Array, output: Any) -> Array:
        """Draw ``output`` on a copy of ``canvas``, (H, W, 3) uint8 RGB; for debug outputs only."""
        raise TypeError(f"{type(self).__name__} must implement draw")

    def reset(self) -> None:
        """Discard all state of earlier frames."""

    def adjust(self, **settings: Any) -> None:
        """Change settings of this stage's config between two frames; state is kept.

        Raises InputError for unknown names and unfit values.
        """
        self._config = schema.replaced(self._config, settings, f"adjust of {self.name}")


class Run:
    """Calls stages and times them; ``times_ms``: stage name -> milliseconds of the last call."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.times_ms: dict[str, float] = {}

    def __call__(self, stage: Stage, *inputs: Any) -> Any:
        """Run one stage on its inputs."""
        start = self._clock()
        output = stage(*inputs)
        self.times_ms[stage.name] = 1000 * (self._clock() - start)
        return output

    def times_of(self, *stages: Stage) -> dict[str, float]:
        """Times of the last calls of these stages: name -> milliseconds."""
        return {stage.name: self.times_ms[stage.name] for stage in stages}
