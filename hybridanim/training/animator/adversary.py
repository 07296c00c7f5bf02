"""The discriminator's side of training: it learns to tell, and says how the result may be told.

LSGAN (Mao et al. 2017) with feature matching (Wang et al. 2018), both by weight; without weights
nothing of this runs. Spectral norms keep it from getting ahead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hybridanim.networks.discriminator import PatchDiscriminator
from hybridanim.training import losses
from hybridanim.training.distributed import Team

_WIDTHS = (32, 64, 128, 128)
_BETAS = (0.5, 0.999)


class Adversary:
    """The discriminator and its optimiser."""

    def __init__(
        self, learning_rate: float, team: Team | None = None, device: torch.device | None = None
    ) -> None:
        self._team = team or Team()
        self._net = PatchDiscriminator(widths=_WIDTHS, spectral=True).to(device)
        self._optimiser = torch.optim.Adam(self._net.parameters(), learning_rate, _BETAS)

    def judge(self, found: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """The generator's two terms for pictures (B, 3, H, W)."""
        self._net.requires_grad_(False)
        with torch.no_grad():
            real, _ = self._net(truth)
        made, scores = self._net(found)
        return {"gan": losses.fooling(scores), "matching": losses.matching(real, made)}

    def learn(self, found: Tensor, truth: Tensor) -> Tensor:
        """One step at telling them apart; call after the generator's own backward pass."""
        self._net.requires_grad_(True)
        _, real = self._net(truth)
        _, made = self._net(found.detach())
        loss = losses.telling(real, made)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._team.average_gradients(self._net.parameters())
        self._optimiser.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"net": self._net.state_dict(), "optimiser": self._optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._net.load_state_dict(state["net"])
        self._optimiser.load_state_dict(state["optimiser"])
