"""Batch and result -> the loss of the renderer and its terms; the training of a discriminator.

Each term has its weight in ``LossWeights``; a term with weight 0 is not computed where that saves
time. With given keypoints of a face, lids, lips and what lies between them count more. LSGAN
(Mao et al. 2017) with feature matching (Wang et al. 2018); spectral norms keep the discriminator
from getting ahead of the generator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hybridanim.networks import blocks, mouth_eye_masks
from hybridanim.networks.blocks import Points
from hybridanim.networks.discriminator import PatchDiscriminator
from hybridanim.training import equivariance, losses
from hybridanim.training.config import LossWeights
from hybridanim.training.data.batch import Batch, Layout
from hybridanim.training.distributed import ProcessGroup
from hybridanim.training.equivariance import RandomWarp

from . import flow_teacher
from .flow_teacher import FlowTarget
from .learner import Learned

_SEEN_PX = 128  # side of the largest picture that the perceptual network is shown
_WIDTHS = (32, 64, 128, 128)  # of the discriminator
_BETAS = (0.5, 0.999)  # of its optimiser


class DiscriminatorTrainer:
    """The discriminator and its optimiser."""

    def __init__(
        self,
        learning_rate: float,
        group: ProcessGroup | None = None,
        device: torch.device | None = None,
        *,
        inputs: int = 3,
        widths: tuple[int, ...] = _WIDTHS,
        spectral: bool = True,
    ) -> None:
        self._group = group or ProcessGroup()
        self._net = PatchDiscriminator(inputs, widths, spectral=spectral).to(device)
        self._optimiser = torch.optim.Adam(self._net.parameters(), learning_rate, _BETAS)

    def generator_losses(self, found: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """The generator's terms ``gan`` and ``matching``; found, truth: (B, 3, H, W)."""
        self._net.requires_grad_(False)
        with torch.no_grad():
            real, _ = self._net(truth)
        made, scores = self._net(found)
        return {
            "gan": losses.generator_gan_loss(scores),
            "matching": losses.feature_matching_loss(real, made),
        }

    def learn(self, found: Tensor, truth: Tensor) -> Tensor:
        """One step of the discriminator, after the generator's own backward pass; its loss."""
        self._net.requires_grad_(True)
        _, real = self._net(truth)
        _, made = self._net(found.detach())
        loss = losses.discriminator_loss(real, made)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._group.average_gradients(self._net.parameters())
        self._optimiser.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """The part of a checkpoint."""
        return {"net": self._net.state_dict(), "optimiser": self._optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over that part of a checkpoint."""
        self._net.load_state_dict(state["net"])
        self._optimiser.load_state_dict(state["optimiser"])


class Objective:
    """Batch and result -> loss and its terms."""

    def __init__(
        self,
        weights: LossWeights,
        layout: Layout | None,
        network: Path | None,
        *,
        scales: int = 1,
        device: torch.device | None = None,
    ) -> None:
        """layout: layout of given keypoints, or None; network, scales: for the perceptual term."""
        self._weights, self._scales = weights, scales
        self._watched = self._reach = self._openings = None
        if layout is not None:
            self._watched = torch.from_numpy(layout.watched).to(device)
            self._reach = torch.from_numpy(layout.reach).to(device)
            self._openings = mouth_eye_masks.rows().to(device)
        use = weights.perceptual > 0 and network is not None
        self._perceptual = losses.perceptual(network).to(device) if use and network else None
        self.discriminator: DiscriminatorTrainer | None = None

    def __call__(
        self,
        batch: Batch,
        learned: Learned,
        warp: RandomWarp | None = None,
        flow_target: FlowTarget | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum, and each term by the name of its weight."""
        weights, truth, painted = self._weights, batch.driving, learned.result.painted
        weight = self._pixel_weights(batch.driving_points, truth)
        terms = {
            "l1": losses.weighted_l1(painted.picture, truth, weight),
            "gradient": losses.gradient_l1(painted.picture, truth, weight),
            "warped_l1": losses.weighted_l1(painted.warped, truth, weight)
            + losses.gradient_l1(painted.warped, truth, weight),
            "paint_l1": losses.weighted_l1(painted.paint, truth, weight)
            + losses.gradient_l1(painted.paint, truth, weight),
            "alpha": painted.alpha.mean(),
        }
        if weights.unneeded_paint:
            terms["unneeded_paint"] = losses.unneeded_paint_loss(painted.alpha, batch.source, truth)
        if warp is not None and learned.warped is not None:
            places, affines = equivariance.losses(warp, learned.driving, learned.warped)
            terms |= {"equivariance": places, "equivariance_jacobian": affines}
        if flow_target is not None:
            terms["flow"] = flow_teacher.loss(learned.result.motion.flow, flow_target)
        if self._perceptual is not None:
            terms["perceptual"] = self._perceptual_term(
                painted.picture, truth, batch.driving_points
            )
        if self.discriminator is not None:
            terms |= self.discriminator.generator_losses(painted.picture, truth)
        total = sum(getattr(weights, name) * term for name, term in terms.items())
        assert isinstance(total, Tensor)
        return total, terms

    def _pixel_weights(self, points: Points | None, truth: Tensor) -> Tensor | None:
        """(B, 1, S, S) weights of the pixels of a face; None for other objects."""
        if points is None or self._watched is None:
            return None
        assert self._reach is not None and self._openings is not None
        weights, size = self._weights, truth.shape[-1]
        weight = losses.emphasis(points, self._watched, self._reach, size, weights.emphasis)
        if not weights.opened:
            return weight
        grid = blocks.grid_norm(size, size, truth)
        opened = mouth_eye_masks.openings(points, self._openings, grid)
        return weight + weights.opened * opened.amax(1, keepdim=True)

    def _perceptual_term(self, found: Tensor, truth: Tensor, points: Points | None) -> Tensor:
        """Perceptual term: one half of the batch whole at 128 pixels, of the other half faces."""
        half, factor = max(1, len(found) // 2), truth.shape[-1] // _SEEN_PX
        if factor <= 1 or points is None or half == len(found):
            pictures = [_shrunk(x[:half], factor) for x in (found, truth)]
        else:
            near = (losses.near_face(x[half:], points.xy[half:], _SEEN_PX) for x in (found, truth))
            whole = (_shrunk(x[:half], factor) for x in (found, truth))
            pictures = [torch.cat(pair) for pair in zip(whole, near, strict=True)]
        return self._at_scales(pictures[0], pictures[1])

    def _at_scales(self, found: Tensor, truth: Tensor) -> Tensor:
        """Mean of the perceptual term at this size, at half of it, ..."""
        assert self._perceptual is not None
        total = self._perceptual(found, truth)
        for _ in range(self._scales - 1):
            found, truth = _shrunk(found, 2), _shrunk(truth, 2)
            total = total + self._perceptual(found, truth)
        return total / self._scales


def _shrunk(picture: Tensor, factor: int) -> Tensor:
    return functional.avg_pool2d(picture, factor) if factor > 1 else picture
