"""Batch -> the animated source and the loss of Monkey-Net; the training of its discriminator.

Siarohin et al., CVPR 2019, section 3.5: LSGAN with a discriminator that sees a picture and the
heatmaps of the driving keypoints, feature matching over its activations, and L1 of the pixels.
The generator's loss reaches the detector through the heatmaps; the discriminator's own does not.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hybridanim.networks.blocks import Points
from hybridanim.networks.dense_motion import Motion
from hybridanim.networks.generator import Painted
from hybridanim.networks.monkeynet import MonkeyNet, heatmaps
from hybridanim.training.animator.objective import DiscriminatorTrainer
from hybridanim.training.config import MonkeyNetLosses
from hybridanim.training.data.batch import Batch


class Animation(NamedTuple):
    """One batch, animated."""

    painted: Painted
    motion: Motion
    source: Points
    driving: Points


def animated(net: MonkeyNet, batch: Batch) -> Animation:
    """The sources of a batch moved to their driving frames, by the net's own keypoints."""
    found = net.detector(torch.cat([batch.source, batch.driving]))
    (before, after), (one, other) = found.xy.chunk(2), found.jacobian.chunk(2)
    source, driving = Points(before, one), Points(after, other)
    painted, motion = net(batch.source, source, driving)
    return Animation(painted, motion, source, driving)


def with_heatmaps(picture: Tensor, points: Points) -> Tensor:
    """Input of the discriminator: (B, 3 + K, H, W), a picture and the keypoints' heatmaps."""
    height, width = picture.shape[2:]
    with torch.autocast(picture.device.type, enabled=False):
        return torch.cat([picture, heatmaps(points, height, width)], 1)


class Objective:
    """Batch and animation -> loss and its terms; a step of the discriminator."""

    def __init__(
        self, weights: MonkeyNetLosses, discriminator: DiscriminatorTrainer | None
    ) -> None:
        """discriminator: of ``with_heatmaps``; None where no term needs one."""
        self._weights, self.discriminator = weights, discriminator

    def __call__(self, batch: Batch, found: Animation) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum, and each term by the name of its weight."""
        painted, truth = found.painted, batch.driving
        terms = {
            "l1": (painted.picture - truth).abs().mean(),
            "warped_l1": (painted.warped - truth).abs().mean(),
        }
        if self.discriminator is not None:
            pair = (with_heatmaps(x, found.driving) for x in (painted.picture, truth))
            terms |= self.discriminator.generator_losses(*pair)
        total = sum(getattr(self._weights, name) * term for name, term in terms.items())
        assert isinstance(total, Tensor)
        return total, terms

    def learn(self, batch: Batch, found: Animation) -> dict[str, Tensor]:
        """The discriminator's step, after the generator's; its loss by its name."""
        if self.discriminator is None:
            return {}
        points = Points(*(x.detach() for x in found.driving))
        made, real = (
            with_heatmaps(x.detach(), points) for x in (found.painted.picture, batch.driving)
        )
        return {"discriminator": self.discriminator.learn(made, real)}
