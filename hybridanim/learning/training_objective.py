"""Batch and result -> the number that training brings down, and its terms.

Each term has its weight in ``LossWeights``; what has weight 0 is not computed where that saves
time.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..models.build import Animated
from . import losses
from .data import Batch, Layout
from .train_config import LossWeights
from .training_adversary import Adversary


class Objective:
    """Batch and result -> loss and its terms."""

    def __init__(self, weights: LossWeights, layout: Layout, network: Path | None) -> None:
        self._weights = weights
        self._watched = torch.from_numpy(layout.watched)
        self._reach = torch.from_numpy(layout.reach)
        use = weights.perceptual > 0 and network is not None
        self._perceptual = losses.Perceptual(network) if use and network else None
        self.adversary: Adversary | None = None

    def __call__(self, batch: Batch, result: Animated) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum, and each term by the name of its weight."""
        weights, truth, painted = self._weights, batch.driving, result.painted
        focus = losses.emphasis(
            batch.driving_points, self._watched, self._reach, truth.shape[-1], weights.emphasis
        )
        terms = {
            "l1": losses.weighted_l1(painted.picture, truth, focus),
            "gradient": losses.gradient_l1(painted.picture, truth, focus),
            "warped_l1": losses.weighted_l1(painted.warped, truth, focus)
            + losses.gradient_l1(painted.warped, truth, focus),
            "paint_l1": losses.weighted_l1(painted.paint, truth, focus)
            + losses.gradient_l1(painted.paint, truth, focus),
            "alpha": painted.alpha.mean(),
        }
        if self._perceptual is not None:
            terms["perceptual"] = self._look(painted.picture, truth)
        if self.adversary is not None:
            terms |= self.adversary.judge(painted.picture, truth)
        total = sum(getattr(weights, name) * term for name, term in terms.items())
        assert isinstance(total, Tensor)
        return total, terms

    def _look(self, found: Tensor, truth: Tensor) -> Tensor:
        """Perceptual term at 128 pixels on half of the batch: most of the gain, little time."""
        assert self._perceptual is not None
        half = max(1, len(found) // 2)
        found, truth = found[:half], truth[:half]
        while found.shape[-1] > 128:
            found, truth = (losses.functional.avg_pool2d(x, 2) for x in (found, truth))
        return self._perceptual(found, truth)
