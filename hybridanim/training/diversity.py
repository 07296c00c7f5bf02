"""Which rows of a table of looks are as different from each other as possible."""

from __future__ import annotations

import numpy as np

from hybridanim.types import Array


def most_different(looks: Array, count: int) -> list[int]:
    """Rows, the most usual one first, then each the one that is farthest from those before it.

    looks: (N, D) in units in which a difference of 1 counts the same in each column.
    """
    if not count or not len(looks):
        return []
    chosen = [int(((looks - np.median(looks, 0)) ** 2).sum(1).argmin())]
    nearest = np.full(len(looks), np.inf)
    while len(chosen) < min(count, len(looks)):
        nearest = np.minimum(nearest, ((looks - looks[chosen[-1]]) ** 2).sum(-1))
        nearest[chosen[-1]] = -1.0
        chosen.append(int(nearest.argmax()))
    return chosen
