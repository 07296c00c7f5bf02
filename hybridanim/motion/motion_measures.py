"""Measures of motion: windows of tracks -> features, distances between sets of them, statistics.

The Frechet distance is that of Heusel et al. (NeurIPS 2017) of hand-made features in the place of a
network's: per window the mean, deviation and mean speed of pose, lids, mouth and the expression's
quantities, and how they change together; standardised by the real windows, then the first principal
components of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridanim.types import Array

from .motion_track import EXPRESSION, LIDS, MOUTH, RATE_HZ, SHIFT, TURN, quantities

WINDOW = 64  # rows
_COMPONENTS = 20
_LEAST = 1e-4


@dataclass(frozen=True)
class Figures:
    """Statistics of motion that people can read."""

    blinks_per_minute: float
    turn_deg_s: float  # mean speed of the head
    turn_range_deg: float  # mean range of yaw, pitch and roll together in a window
    mouth_speed: float  # mean speed of the opening, heights of the face a second
    mouth_range: float  # mean range in a window
    smile: float  # mean height of the corners
    shake: float  # mean second difference of the turn over its first: 2 = noise, 0 = smooth
    closed: float  # share of the blinks that shut the lids by more than nine tenths


def features(values: Array) -> Array:
    """(D,) of a window (``WINDOW``, WIDTH)."""
    shape = quantities(values[:, EXPRESSION])
    signals = np.column_stack([values[:, : EXPRESSION.start], 5 * shape]).astype(np.float64)
    change = np.diff(signals, axis=0) * RATE_HZ
    speed = np.log(np.abs(change).mean(0) + _LEAST)
    bend = np.log(np.abs(np.diff(change, axis=0)).mean(0) + _LEAST)
    deviation = np.log(signals.std(0) + _LEAST)
    mouth, turn = signals[:, MOUTH], signals[:, TURN]
    together = [_correlation(mouth, np.linalg.norm(turn - turn.mean(0), axis=1)),
                _correlation(turn[:, 0], turn[:, 1]),
                _correlation(turn[:, 1], signals[:, SHIFT][:, 0]),
                _correlation(turn[:, 0], signals[:, SHIFT][:, 1]),
                _correlation(mouth, signals[:, LIDS].mean(1))]  # fmt: skip
    return np.concatenate([signals.mean(0), deviation, speed, bend, together])


def _correlation(a: Array, b: Array) -> float:
    deviation = a.std() * b.std()
    return 0.0 if deviation < 1e-9 else float(((a - a.mean()) * (b - b.mean())).mean() / deviation)


@dataclass(frozen=True)
class Space:
    """Features as principal components of real windows."""

    mean: Array
    basis: Array  # (D, components)

    @classmethod
    def of(cls, real: Array) -> Space:
        """real: (N, D) features."""
        mean, deviation = real.mean(0), real.std(0) + 1e-6
        _, _, right = np.linalg.svd((real - mean) / deviation, full_matrices=False)
        return cls(mean, right[:_COMPONENTS].T / deviation[:, None])

    def __call__(self, found: Array) -> Array:
        """(N, D) features -> (N, components)."""
        return (found - self.mean) @ self.basis


def frechet(a: Array, b: Array) -> float:
    """Frechet distance (squared) between the Gaussians of two sets, (N, components) each."""
    first, second = np.cov(a.T), np.cov(b.T)
    sizes, axes = np.linalg.eigh(first)
    root = (axes * np.sqrt(np.maximum(sizes, 0))) @ axes.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    apart = a.mean(0) - b.mean(0)
    return float(apart @ apart + np.trace(first + second) - 2 * shared)


def diversity(found: Array) -> float:
    """Mean distance of two members of a set, (N, components)."""
    apart = np.linalg.norm(found[:, None] - found[None], axis=-1)
    return float(apart.sum() / max(1, len(found) * (len(found) - 1)))


def figures(tracks: Sequence[tuple[Array, Array, Array]]) -> Figures:
    """Of tracks: values (T, WIDTH), blinks (T,) and where they begin (T,) bool."""
    minutes = sum(len(values) for values, _, _ in tracks) / RATE_HZ / 60
    blinks = sum(int(onsets.sum()) for _, _, onsets in tracks)
    deepest = [blink[start : start + 12].max() for _, blink, onsets in tracks
               for start in np.flatnonzero(onsets)]  # fmt: skip
    turns = [np.rad2deg(values[:, TURN].astype(np.float64)) for values, _, _ in tracks]
    change = np.concatenate([np.diff(one, axis=0) for one in turns])
    bend = np.concatenate([np.diff(one, n=2, axis=0) for one in turns])
    spans = [_spans(np.column_stack([turn, values[:, MOUTH]]))
             for turn, (values, _, _) in zip(turns, tracks, strict=True)]  # fmt: skip
    span = np.concatenate(spans).mean(0)
    mouth = np.concatenate([np.diff(values[:, MOUTH]) for values, _, _ in tracks])
    smiles = np.concatenate([quantities(v[:, EXPRESSION])[:, 2:4].mean(1) for v, _, _ in tracks])
    return Figures(
        blinks_per_minute=blinks / minutes,
        turn_deg_s=float(np.linalg.norm(change, axis=1).mean() * RATE_HZ),
        turn_range_deg=float(np.linalg.norm(span[:3])),
        mouth_speed=float(np.abs(mouth).mean() * RATE_HZ),
        mouth_range=float(span[3]),
        smile=float(smiles.mean()),
        shake=float(np.abs(bend).mean() / max(1e-9, np.abs(change).mean())),
        closed=float(np.mean(np.array(deepest) > 0.9)) if deepest else 1.0,
    )


def _spans(values: Array) -> Array:
    """(N, columns) range in each window; of the whole where it is shorter."""
    starts = range(0, max(1, len(values) - WINDOW + 1), WINDOW // 2)
    return np.stack([np.ptp(values[s : s + WINDOW], 0) for s in starts])
