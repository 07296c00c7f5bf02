"""The closed-form fits of the landmark cascade: ridge, reduced rank, calibrated classifier.

Hoerl and Kennard 1970 (ridge regression); Izenman 1975 (reduced-rank regression); Platt 1999
(scores into probabilities).
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from hybridanim.types import Array


def ridge(features: Array, targets: Array, strength: float) -> Array:
    """(D, T) float64 minimising |F W - Y|^2 + strength * n * mean(F^2) |W|^2.

    The last column of F (N, D) is 1 and its weights are not shrunk.
    """
    width = features.shape[1]
    gram, cross = np.zeros((width, width)), np.zeros((width, targets.shape[1]))
    for i in range(0, len(features), 4096):
        part = features[i : i + 4096]
        gram += part.T @ part
        cross += part.T @ targets[i : i + 4096]
    variance = (np.trace(gram) - gram[-1, -1]) / max(width - 1, 1)
    shrunk = np.append(np.ones(width - 1), 0)
    return linalg.solve(gram + np.diag(strength * variance * shrunk), cross, assume_a="pos")


def reduce_rank(weights: Array, predicted: Array, rank: int) -> tuple[Array, Array]:
    """Weights (D, R) and shift (R, T), float32, whose product is nearly ``weights`` (D, T).

    The R directions hold the most of what the weights predict, (N, T): reduced-rank regression.
    """
    predicted = predicted.astype(np.float64)
    _, vectors = np.linalg.eigh(predicted.T @ predicted)
    shift = vectors[:, : -rank - 1 : -1].T
    return (weights @ shift.T).astype(np.float32), shift.astype(np.float32)


def components(found: Array, count: int) -> tuple[Array, Array]:
    """Mean (L, D) and the ``count`` first principal directions (L, D, K) of (N, L, D)."""
    mean = found.mean(0, dtype=np.float64)
    bases = []
    for i in range(found.shape[1]):
        centred = found[:, i] - mean[i]
        _, vectors = np.linalg.eigh(centred.T @ centred)
        bases.append(vectors[:, : -count - 1 : -1])
    return mean.astype(np.float32), np.array(bases, np.float32)


def fit_judge(features: Array, good: Array, held: Array) -> Array:
    """(D,) weights of a logistic classifier: the probability of ``good``, bool (N,).

    Fitted where ``held`` is False, calibrated (Platt) where it is True.
    """
    sign = np.where(good, 1.0, -1.0)[:, None]
    judge = ridge(features[~held], sign[~held], 0.03)[:, 0]
    score = features[held] @ judge
    design = np.stack([score, np.ones_like(score)], 1)
    slope = np.array([4.0, 0.0])
    for _ in range(30):  # Newton's method on two numbers
        p = 1 / (1 + np.exp(-design @ slope))
        hessian = (design * (p * (1 - p) + 1e-6)[:, None]).T @ design + 1e-3 * np.eye(2)
        slope = slope + np.linalg.solve(hessian, design.T @ (good[held] - p))
    judge = judge * slope[0]
    judge[-1] += slope[1]
    return judge.astype(np.float32)
