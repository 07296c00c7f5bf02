"""Network of imagined motion: a recurrent variational autoencoder over short pieces of motion.

A piece is ``piece`` rows of normalised features. One step: prior p(z | h, c) or, in training,
posterior q(z | h, c, next rows) -> z; decoder (h, z, c, last rows) -> the next rows, relative to
the last one, with ``overlap`` rows more, which are blended into the piece that follows, so that
pieces have no seam; h <- GRU(h, rows, c). h starts from the first row and the first pose. Blinks
are a rate, the logit of one that begins in each row (Chung et al., NeurIPS 2015, for the recurrent
latent; numpy's twin of it is ``hybridanim.motion.imagined_network``).

Shapes: B sequences, F features, C = conditions: standardised statistics and the first pose.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .imagined_motion_sizes import FREE_SHARE, SLOPE, ImagineSizes


class State(NamedTuple):
    """What goes from one piece to the next."""

    hidden: Tensor  # (B, hidden)
    last: Tensor  # (B, F), the last row
    tail: Tensor  # (B, overlap, F), rows beyond it of the last piece


@dataclass(frozen=True)
class Step:
    """One piece and the distributions of its latent: mean and log of the variance."""

    state: State
    rows: Tensor  # (B, piece, F)
    prior: tuple[Tensor, Tensor]
    posterior: tuple[Tensor, Tensor] | None


class Perceptron(nn.Module):
    """Linear layers with leaky ReLUs between."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        pairs = itertools.pairwise(widths)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, first width) -> (B, last width)."""
        for layer in self.layers[:-1]:
            x = nn.functional.leaky_relu(layer(x), SLOPE)
        return self.layers[-1](x)


class ImaginedMotionNetwork(nn.Module):
    """See the module."""

    limits: Tensor  # (F,) largest normalised features

    def __init__(self, sizes: ImagineSizes | None = None) -> None:
        super().__init__()
        self.sizes = s = sizes or ImagineSizes()
        given = s.hidden + s.conditions
        self.start = Perceptron(s.features + s.conditions, s.hidden)
        self.enter = Perceptron(s.piece * s.features + s.conditions, s.width)
        self.recur = nn.GRUCell(s.width, s.hidden)
        self.prior = Perceptron(given, s.width, 2 * s.latent)
        seen = given + (s.piece + s.overlap) * s.features
        self.posterior = Perceptron(seen, s.width, 2 * s.latent)
        last = (1 + s.overlap) * s.features
        made = (s.piece + s.overlap) * s.features
        self.decoder = Perceptron(given + s.latent + last, s.width, s.width, made)
        self.blink = Perceptron(given + 2, s.width // 4, s.piece)
        self.register_buffer("limits", torch.full((s.features,), 4.0))
        last_layer = self.decoder.layers[-1]
        assert isinstance(last_layer, nn.Linear)
        with torch.no_grad():
            last_layer.weight.mul_(0.1)

    def begin(self, first: Tensor, conditions: Tensor) -> State:
        """The state before the row that follows ``first`` (B, F)."""
        hidden = torch.tanh(self.start(torch.cat([first, conditions], 1)))
        return State(hidden, first, first[:, None].expand(-1, self.sizes.overlap, -1))

    def forward(
        self, state: State, conditions: Tensor, noise: Tensor, ahead: Tensor | None
    ) -> Step:
        """One piece. noise: (B, latent), standard normal. ahead: the true next rows, (B, piece +
        overlap, F), for the posterior; None: the prior.
        """
        given = torch.cat([state.hidden, conditions], 1)
        prior = _distribution(self.prior(given))
        posterior = None
        if ahead is not None:
            relative = (ahead - state.last[:, None]).flatten(1)
            posterior = _distribution(self.posterior(torch.cat([given, relative], 1)))
        mean, log_variance = prior if posterior is None else posterior
        latent = mean + (0.5 * log_variance).exp() * noise
        rows, tail = self._decoded(state, given, latent)
        entered = self.enter(torch.cat([rows.flatten(1), conditions], 1))
        hidden = self.recur(nn.functional.leaky_relu(entered, SLOPE), state.hidden)
        return Step(State(hidden, rows[:, -1], tail), rows, prior, posterior)

    def _decoded(self, state: State, given: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        s = self.sizes
        tail = (state.tail - state.last[:, None]).flatten(1)
        found = self.decoder(torch.cat([given, latent, state.last, tail], 1))
        made = found.view(-1, s.piece + s.overlap, s.features) + state.last[:, None]
        made = bounded(made, self.limits)
        share = torch.arange(1, s.overlap + 1, device=made.device) / (s.overlap + 1)
        blended = state.tail + share[:, None] * (made[:, : s.overlap] - state.tail)
        return torch.cat([blended, made[:, s.overlap : s.piece]], 1), made[:, s.piece :]

    def blink_logits(self, state: State, conditions: Tensor, since_s: Tensor) -> Tensor:
        """(B, piece) logits of a blink that begins; since_s: (B,) time since the last one."""
        past = torch.stack([(-since_s / 0.5).exp(), (-since_s / 3.0).exp()], 1)
        return self.blink(torch.cat([state.hidden, conditions, past], 1))


def _distribution(found: Tensor) -> tuple[Tensor, Tensor]:
    mean, log_variance = found.chunk(2, 1)
    return mean, 6 * torch.tanh(log_variance / 6)


def bounded(values: Tensor, limits: Tensor) -> Tensor:
    """Values kept within +-limits, softly beyond ``FREE_SHARE`` of them."""
    free = FREE_SHARE * limits
    inside = values.clamp(-free, free)
    rest = limits - free
    return inside + rest * torch.tanh((values - inside) / rest)
