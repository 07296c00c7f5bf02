"""How often each labelled frame is drawn: rare looks more often than common ones.

For the close looks, mouth and eyes, frames are balanced within each clip: the widths, openings and
lids that the teacher saw there are drawn about equally often, so half-shut lids, smiles and pursed
lips count as much as the resting face. Clips in which more happens count more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridanim.face import mesh
from hybridanim.types import Array, HeadPose

_QUANTITIES = {"mouth": [1, 0], "eye": [4]}  # columns of mesh.openings
_BINS = {"mouth": (0.03, 0.015), "eye": (0.04,)}  # widths of the histograms' bins
_COMMON = 0.05  # share of a clip's frames up to which a bin is rare
_MOST_LIVELY = 3.0  # weight of clips in which much happens


def weights(points: Array, poses: Sequence[HeadPose], clips: Array, kind: str = "face") -> Array:
    """(N,) shares of frames to draw for a kind of window, sum 1.

    points: (N, 478, 3) labels; clips: (N,) number of the clip. Clips count by the square root of
    their length.
    """
    found = mesh.openings(points)
    yaw = np.abs(np.degrees(np.arcsin(np.clip([p.rotation[0, 2] for p in poses], -1, 1))))
    pitch = np.abs(np.degrees([np.arctan2(-p.rotation[1, 2], p.rotation[2, 2]) for p in poses]))
    weight = 2.0 * (yaw > 12) + 2.0 * (yaw > 25) + 1.0 * (pitch > 14)
    if kind in _QUANTITIES:
        weight = (1.0 + weight / 3) * _rarity(found[:, _QUANTITIES[kind]], _BINS[kind], clips)
    else:
        weight += 1.0 + 3.0 * (found[:, 4] < 0.17) + 2.0 * (found[:, 0] > 0.07)
    length = np.bincount(clips)[clips]
    weight = weight / np.sqrt(np.maximum(length, 12))
    return weight / weight.sum()


def _rarity(values: Array, widths: Sequence[float], clips: Array) -> Array:
    """(N,) how rare the quantities (N, Q) are within their clips, and how much these vary.

    The mean within a clip is 1 where nothing happens, and grows with the number of bins.
    """
    out = np.ones(len(values))
    for clip in np.unique(clips):
        rows = clips == clip
        parts, lively = [], []
        for value, width in zip(values[rows].T, widths, strict=True):
            _, bins, counts = np.unique(
                np.floor(value / width), return_inverse=True, return_counts=True
            )
            rare = 1 / np.maximum(counts / len(value), _COMMON)[bins.ravel()]
            parts.append(rare / rare.mean())
            lively.append(value.std() / width)
        out[rows] = np.mean(parts, 0) * np.clip(2 * np.mean(lively), 1, _MOST_LIVELY)
    return out
