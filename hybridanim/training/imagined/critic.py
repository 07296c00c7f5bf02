"""Adversarial critic of sequences, as the video discriminator of MoCoGAN (Tulyakov et al. 2018).

Temporal convolutions over rows, their changes and the conditions; scores of pieces of a window, by
the hinge loss, and a second head that tells the window's statistics, which asks the generator to
obey them. R1 (Mescheder et al. 2018) keeps it smooth.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (80, 96, 112)
_PENALTY = 2.0  # of R1
_TOLD = 1.0  # of the statistics' error


class Critic(nn.Module):
    """(B, T, F) rows and (B, C) conditions -> scores (B, T / 8) and statistics (B, S)."""

    speed: Tensor  # (F,) deviation of the change from row to row

    def __init__(self, features: int, conditions: int, statistics: int, speed: Tensor) -> None:
        super().__init__()
        self.register_buffer("speed", speed)
        sides = [2 * features, *_WIDTHS]
        self.layers = nn.ModuleList(nn.Conv1d(a, b, 5, 2, 2) for a, b in itertools.pairwise(sides))
        self.told = nn.Linear(2 * _WIDTHS[-1], statistics)
        self.mapped = nn.Conv1d(_WIDTHS[-1] + conditions, 96, 3, 1, 1)
        self.score = nn.Conv1d(96, 1, 1)

    def forward(self, rows: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        change = (rows[:, 1:] - rows[:, :-1]) / self.speed
        x = torch.cat([rows[:, 1:], change], 2).transpose(1, 2)
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
        told = self.told(torch.cat([x.mean(2), x.amax(2)], 1))
        given = conditions[..., None].expand(-1, -1, x.shape[2])
        x = functional.leaky_relu(self.mapped(torch.cat([x, given], 1)), 0.2)
        return self.score(x)[:, 0], told


class CriticTrainer:
    """A critic and its optimiser."""

    def __init__(self, critic: Critic, learning_rate: float) -> None:
        self.critic = critic
        self._optimiser = torch.optim.Adam(critic.parameters(), learning_rate, (0.5, 0.95))

    def losses(self, made: Tensor, conditions: Tensor) -> dict[str, Tensor]:
        """What the generator descends."""
        score, told = self.critic(made, conditions)
        wanted = conditions[:, : told.shape[1]]
        return {"adversary": -score.mean(), "obeys": (told - wanted).abs().mean()}

    def learn(
        self, made: Tensor, made_conditions: Tensor, real: Tensor, conditions: Tensor
    ) -> Tensor:
        """One step on a batch of each; returns the hinge loss."""
        real = real.detach().requires_grad_(True)
        score, told = self.critic(real, conditions)
        slope = torch.autograd.grad(score.mean(1).sum(), real, create_graph=True)[0]
        other, _ = self.critic(made.detach(), made_conditions)
        hinge = functional.relu(1 - score).mean() + functional.relu(1 + other).mean()
        wanted = conditions[:, : told.shape[1]]
        loss = hinge + _TOLD * (told - wanted).square().mean()
        loss = loss + _PENALTY * slope.square().sum((1, 2)).mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        return hinge.detach()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"critic": self.critic.state_dict(), "optimiser": self._optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint."""
        self.critic.load_state_dict(state["critic"])
        self._optimiser.load_state_dict(state["optimiser"])
