"""Detected and true keypoints -> loss: places, Jacobians, openings, motion, heatmap widths.

All lengths are in units of the face in the window, so that a large face does not count more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hybridanim.face.anchors import REACH_BOX
from hybridanim.networks.blocks import Points, face_scale, inverse_2x2
from hybridanim.networks.keypoint_detector import Detection
from hybridanim.runtime.detector import CELLS_BASE
from hybridanim.training.config import DistillLosses

from .windows import Windows, distance_pairs

_SOFT = 0.003  # of the face: errors below it count squared
_USUAL_REACH = 0.09
_EMPTY_SPREAD = 0.35  # normalised: the width that a heatmap without a face should have


class DistillObjective:
    """Windows and what was detected in them -> loss and its terms."""

    def __init__(self, weights: DistillLosses) -> None:
        self._weights = weights
        self._importance = torch.from_numpy((_USUAL_REACH / REACH_BOX) ** 0.7)
        self._openings = torch.from_numpy(distance_pairs())

    def __call__(self, batch: Windows, found: Detection) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum, and each term by the name of its weight."""
        truth = Points(batch.rows[..., :2], batch.rows[..., 2:].unflatten(-1, (2, 2)))
        scale = face_scale(truth)
        shown = batch.is_shown.float()[:, None]
        off = (found.points.xy - truth.xy) / scale[:, None, None]  # (B, K, 2)
        terms = {
            "place": _mean(_soft_length(off) * self._importance, shown),
            "jacobian": _mean(relative_error(found.points.jacobian, truth.jacobian), shown),
            "opening": _mean(_soft_length(self._between_ends(off)), shown),
            "motion": self._motion_error(off, batch),
            "spread": self._spread_error(found.spread, off.detach() * scale[:, None, None], batch),
        }
        total = sum(getattr(self._weights, name) * term for name, term in terms.items())
        assert isinstance(total, Tensor)
        return total, terms

    def _between_ends(self, off: Tensor) -> Tensor:
        """(B, P, 2): error of the vector between the two ends of an opening."""
        return off[:, self._openings[:, 0]] - off[:, self._openings[:, 1]]

    def _motion_error(self, off: Tensor, batch: Windows) -> Tensor:
        """Change of the places' error between the two frames of a pair."""
        if not batch.pairs:
            return off.new_zeros(())
        pairs = off[: 2 * batch.pairs].unflatten(0, (-1, 2))
        shown = batch.is_shown[: 2 * batch.pairs : 2].float()[:, None]
        return _mean(_soft_length(pairs[:, 1] - pairs[:, 0]) * self._importance, shown)

    def _spread_error(self, spread: Tensor, off: Tensor, batch: Windows) -> Tensor:
        """Log ratio of the heatmap's width to the narrowest width plus the place's error."""
        cells = batch.pictures.shape[-1] // 2
        width = CELLS_BASE * 2 / cells + off.norm(dim=-1)
        width = torch.where(batch.is_shown[:, None], width, torch.full_like(width, _EMPTY_SPREAD))
        return (spread.log() - width.log()).abs().mean()


def relative_error(found: Tensor, truth: Tensor) -> Tensor:
    """(B, K): mean |J_truth^-1 J - I| over the four elements."""
    still = torch.eye(2, device=found.device)
    return (inverse_2x2(truth) @ found - still).abs().mean((-2, -1))


def _soft_length(off: Tensor) -> Tensor:
    """Length along the last axis, squared near zero (pseudo-Huber)."""
    return (off.square().sum(-1) + _SOFT**2).sqrt() - _SOFT


def _mean(values: Tensor, shown: Tensor) -> Tensor:
    """Mean over the rows that are shown; values (B, N), shown (B, 1)."""
    return (values * shown).sum() / (shown.sum() * values.shape[1]).clamp(min=1)
