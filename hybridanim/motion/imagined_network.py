"""The network of imagined motion by numpy: ``networks.imagined_motion`` without torch.

One sequence, float32. The layers are so small that a call costs a fifth of a millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hybridanim import files
from hybridanim.networks import imagined_motion_file
from hybridanim.networks.imagined_motion_file import Tables
from hybridanim.networks.imagined_motion_sizes import FREE_SHARE, SLOPE, ImagineSizes
from hybridanim.types import Array

WEIGHTS = files.WEIGHTS / "imagined_motion.safetensors"
WEIGHTS_SHA256 = "2a3a9da14c0c58388346897eda13613cede02bbc28f0d8fa7d3c8c4288660e75"


class NumpyState(NamedTuple):
    """What goes from one piece to the next."""

    hidden: Array  # (hidden,)
    last: Array  # (F,)
    tail: Array  # (overlap, F)


@dataclass(frozen=True, eq=False)
class NumpyNetwork:
    """See ``networks.imagined_motion.ImaginedMotionNetwork``, whose methods these are."""

    sizes: ImagineSizes
    tensors: Mapping[str, Array]
    tables: Tables

    def begin(self, first: Array, conditions: Array) -> NumpyState:
        """The state before the row that follows ``first`` (F,)."""
        hidden = np.tanh(self._through("start", np.concatenate([first, conditions])))
        return NumpyState(hidden, first, np.repeat(first[None], self.sizes.overlap, 0))

    def step(self, state: NumpyState, conditions: Array, noise: Array) -> tuple[NumpyState, Array]:
        """The next rows, (piece, F), of noise (latent,)."""
        s = self.sizes
        given = np.concatenate([state.hidden, conditions])
        mean, log_variance = np.split(self._through("prior", given), 2)
        latent = mean + np.exp(0.5 * 6 * np.tanh(log_variance / 6)) * noise
        tail = (state.tail - state.last).ravel()
        found = self._through("decoder", np.concatenate([given, latent, state.last, tail]))
        made = found.reshape(s.piece + s.overlap, s.features) + state.last
        made = _bounded(made, self.tensors["limits"])
        share = np.arange(1, s.overlap + 1, dtype=np.float32)[:, None] / (s.overlap + 1)
        blended = state.tail + share * (made[: s.overlap] - state.tail)
        rows = np.concatenate([blended, made[s.overlap : s.piece]])
        entered = self._through("enter", np.concatenate([rows.ravel(), conditions]))
        hidden = self._recur(_leaky(entered), state.hidden)
        return NumpyState(hidden, rows[-1], made[s.piece :]), rows

    def blink_logits(self, state: NumpyState, conditions: Array, since_s: float) -> Array:
        """(piece,) logits of a blink that begins in each row of the next piece."""
        past = np.exp(np.float32(-since_s) / np.array([0.5, 3.0], np.float32))
        return self._through("blink", np.concatenate([state.hidden, conditions, past]))

    def _through(self, name: str, x: Array) -> Array:
        count = sum(k.startswith(f"{name}.layers.") for k in self.tensors) // 2
        for i in range(count):
            weight, bias = (
                self.tensors[f"{name}.layers.{i}.{part}"] for part in ("weight", "bias")
            )
            x = weight @ x + bias
            x = _leaky(x) if i < count - 1 else x
        return x

    def _recur(self, x: Array, hidden: Array) -> Array:
        """One step of a gated recurrent unit (Cho et al. 2014)."""
        t = self.tensors
        of_x = np.split(t["recur.weight_ih"] @ x + t["recur.bias_ih"], 3)
        of_h = np.split(t["recur.weight_hh"] @ hidden + t["recur.bias_hh"], 3)
        reset, update = (_sigmoid(of_x[i] + of_h[i]) for i in (0, 1))
        new = np.tanh(of_x[2] + reset * of_h[2])
        return new + update * (hidden - new)


def _leaky(x: Array) -> Array:
    return np.where(x > 0, x, np.float32(SLOPE) * x)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (np.tanh(0.5 * x) + 1)


def _bounded(values: Array, limits: Array) -> Array:
    free = np.float32(FREE_SHARE) * limits
    inside = np.clip(values, -free, free)
    rest = limits - free
    return inside + rest * np.tanh((values - inside) / rest)


@cache
def load(path: str | Path | None = None) -> NumpyNetwork:
    """The network of a weights file, or the packaged one; loaded once.

    Raises InputError when the file is missing, damaged, or not one of this program's.
    """
    file = Path(path) if path else WEIGHTS
    if path is None and file.is_file():
        files.expect_sha256("imagined motion", file, WEIGHTS_SHA256)
    sizes, tensors, tables = imagined_motion_file.read_arrays(file)
    return NumpyNetwork(sizes, tensors, tables)
