"""What every stage owes (Stage), and how a run times them (Run)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from hybridanim.runtime.base import RuntimeInfo
from hybridanim.types import Array


class Stage:
    """One numbered step: typed values in, exactly one typed value out.

    A subclass sets ``name`` and implements ``__call__`` and ``draw``; state lives in its fields
    and ``reset`` makes it as new. What it can do is told by its constructor's arguments.
    """

    name: str = ""
    __call__: Callable[..., Any]  # each stage has its own inputs

    def __init__(self, config: Any) -> None:
        """config: the stage's own dataclass of settings."""
        self._config = config

    @property
    def runtime_info(self) -> RuntimeInfo | None:
        """Where its networks run; None for a stage without one."""
        return None

    def draw(self, canvas: Array, output: Any) -> Array:
        """Show ``output`` on a copy of ``canvas``, (H, W, 3) uint8 RGB; never on the fast path."""
        raise TypeError(f"{type(self).__name__} must implement draw")

    def reset(self) -> None:
        """Forget everything learned from earlier frames."""

    def adjust(self, **settings: Any) -> None:
        """Change settings of this stage's config between two frames; what is learned stays."""
        self._config = dataclasses.replace(self._config, **settings)


class Run:
    """Calls stages, timing each; ``times_ms`` maps stage name to the last call's milliseconds."""

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
        """The last times of these stages, in milliseconds by name."""
        return {stage.name: self.times_ms[stage.name] for stage in stages}
