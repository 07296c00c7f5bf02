"""Errors of detected keypoints against a teacher's: places, openings, Jacobians, jitter.

All but the network is numpy, so any tracker's keypoints can be measured the same way.
"""

from __future__ import annotations

import numpy as np
import torch

from hybridanim.face.anchors import ANCHORS
from hybridanim.networks.keypoint_detector import KeypointDetector
from hybridanim.training.data.cache import Clip
from hybridanim.types import Array

from .windows import distance_pairs, plain_windows

_NAMES = [anchor.name for anchor in ANCHORS]
_PARTS: dict[str, tuple[str, ...]] = {
    "lids": ("lid",),
    "eye corners": ("outer_eye", "inner_eye"),
    "brows": ("brow",),
    "nose": ("nose",),
    "mouth": ("lip", "mouth"),
    "chin and jaw": ("chin", "jaw"),
    "cheeks and temples": ("cheek", "temple", "forehead"),
    "hair and ears": ("crown", "hair", "ear"),
    "neck and shoulders": ("neck", "shoulder"),
}
GROUPS: dict[str, Array] = {}
for _name, _words in _PARTS.items():
    _taken = set().union(*(rows.tolist() for rows in GROUPS.values()))
    GROUPS[_name] = np.array(
        [
            k
            for k, anchor in enumerate(_NAMES)
            if any(word in anchor for word in _words) and k not in _taken
        ]
    )
ON_FACE: Array = np.array([k for k, anchor in enumerate(ANCHORS) if anchor.landmarks])
"""Anchors with landmarks; hair, neck and shoulders follow them."""
_EYES = [
    [_NAMES.index(f"{side}_{end}_eye") for end in ("outer", "inner")] for side in ("left", "right")
]


def between_eyes(xy: Array) -> Array:
    """(N,) distance between the middles of the eyes, of places (N, K, 2)."""
    left, right = (xy[:, eye].mean(1) for eye in _EYES)
    return np.linalg.norm(right - left, axis=1)


def place_error(found: Array, truth: Array) -> Array:
    """(N, K) percent of the distance between the eyes; found, truth: (N, K, 2 or more)."""
    off = np.linalg.norm(found[..., :2] - truth[..., :2], axis=-1)
    return 100 * off / between_eyes(truth[..., :2])[:, None]


def unbiased_error(found: Array, truth: Array) -> Array:
    """(N, K) percent: ``place_error`` without each keypoint's mean offset over a clip of N frames.

    Only this part of the error matters to motion transfer, which uses differences between frames.
    """
    off = found[..., :2] - truth[..., :2]
    length = np.linalg.norm(off - off.mean(0), axis=-1)
    return 100 * length / between_eyes(truth[..., :2])[:, None]


def affine_error(found: Array, truth: Array) -> Array:
    """(N, K) percent: mean |J_truth^-1 J_found - I| of rows (N, K, 6 or more)."""
    ours, theirs = (rows[..., 2:6].reshape(*rows.shape[:2], 2, 2) for rows in (found, truth))
    return 100 * np.abs(np.linalg.inv(theirs) @ ours - np.eye(2)).mean((-2, -1))


def openings(xy: Array) -> Array:
    """(N, 2): mean gap of both eyes, and gap of the mouth, over the distance between the eyes.

    Unlike ``pairs.openings``, in one unit for both, so that it compares with ``place_error``.
    """
    ends = xy[:, distance_pairs()[:3]][..., :2]
    wide = np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=-1)
    wide = wide / between_eyes(xy[..., :2])[:, None]
    return np.stack([wide[:, :2].mean(1), wide[:, 2]], 1)


def jitter(xy: Array) -> float:
    """Mean length of the second difference over time of (N, K, 2), in distances of the eyes.

    nan if there are fewer than three frames.
    """
    if len(xy) < 3:
        return float("nan")
    second = np.linalg.norm(np.diff(xy, 2, axis=0), axis=-1)
    return float(second.mean() / between_eyes(xy).mean())


@torch.no_grad()
def detect_rows(net: KeypointDetector, pictures: Array, chunk: int = 16) -> Array:
    """(N, K, 7): keypoints as data/cache.py packs them, with the spread instead of the confidence.

    pictures: (N, S, S, 3) float32 in [0, 1].
    """
    net.eval()
    out = []
    for i in range(0, len(pictures), chunk):
        batch = torch.from_numpy(pictures[i : i + chunk]).permute(0, 3, 1, 2)
        found = net.detect(batch.contiguous(memory_format=torch.channels_last))
        out.append(
            torch.cat(
                [found.points.xy, found.points.jacobian.flatten(2), found.spread[..., None]], 2
            )
        )
    return torch.cat(out).numpy()


def validate(
    net: KeypointDetector, clips: list[Clip], points: str, size: int, *, per_clip: int
) -> dict[str, float]:
    """Means over clips of the errors in fixed windows, in percent, and of the heatmaps' spread."""
    rows: list[list[float]] = []
    for number, clip in enumerate(clips):
        usable = np.flatnonzero(np.isfinite(clip.points[points]).all((1, 2)))
        frames = usable[np.linspace(0, len(usable) - 1, min(per_clip, len(usable))).astype(int)]
        pictures, truth = plain_windows(clip, points, frames, size, seed=1 + number)
        found = detect_rows(net, pictures)
        place = place_error(found, truth)
        eyes, mouth = (openings(found) - openings(truth)).T
        rows.append(
            [
                place.mean(),
                *(place[:, GROUPS[name]].mean() for name in ("lids", "mouth")),
                affine_error(found, truth).mean(),
                100 * np.abs(eyes).mean(),
                100 * np.abs(mouth).mean(),
                float(found[..., 6].mean()),
            ]
        )
    names = ("place", "lids", "mouth", "jacobian", "eyes_open", "mouth_open", "spread")
    return {name: float(value) for name, value in zip(names, np.mean(rows, 0), strict=True)}
