"""Keeps the best averaged weights of a run, and says when waiting for better ones is in vain."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Best:
    """The lowest validation error so far, and when it was seen."""

    patience: float  # share of the run without a better one after which to stop; 0: never
    error: float = math.inf
    progress: float = 0.0  # share of the run that was done when it was seen

    def is_better(self, error: float, progress: float) -> bool:
        """Whether these weights are the best so far; remembers it."""
        if not error < self.error:
            return False
        self.error, self.progress = error, progress
        return True

    def is_in_vain(self, progress: float) -> bool:
        """Whether patience has run out."""
        if not self.patience or math.isinf(self.error):
            return False
        return progress - self.progress >= self.patience

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"error": self.error, "progress": self.progress}

    def restore(self, state: dict[str, float]) -> None:
        """From a checkpoint."""
        self.error, self.progress = state["error"], state["progress"]
