"""The batches that training learns from, and the layout of their keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hybridanim.face.anchors import ANCHORS, FOLLOW, REACH_BOX, WATCHED
from hybridanim.networks import mouth_eye_masks
from hybridanim.networks.blocks import Points
from hybridanim.types import Array


class Batch(NamedTuple):
    """Pairs of frames, (B, 3, S, S) float32 in [0, 1]; without given keypoints, no points."""

    source: Tensor
    driving: Tensor
    source_points: Points | None = None
    driving_points: Points | None = None
    background: Tensor | None = None  # (B, 2, 3) float32, source <- driving, normalised
    optical: Tensor | None = None  # (B, 3, S/4, S/4), see DenseMotion; added by flow_teacher


@dataclass(frozen=True, slots=True)
class Layout:
    """What the data needs to know about keypoints; arrays are (K,) unless stated otherwise."""

    mirror: Array  # int, index of the same keypoint in the mirrored picture
    reach: Array  # float32, sigma in units of the canonical face
    follow: Array  # float32, share of the head's motion that the keypoint takes
    watched: Array  # bool, lids and lips
    opening: Array  # (3, 4) int, mouth and eyes: left corner, right corner, above, below

    @property
    def count(self) -> int:
        """K."""
        return len(self.mirror)


def anchor_layout() -> Layout:
    """The layout of the classical anchors."""
    names = [anchor.name for anchor in ANCHORS]
    swapped = {"left": "right", "right": "left"}
    mirror = [
        names.index("_".join([swapped.get(head, head), *rest]))
        for head, *rest in (name.split("_") for name in names)
    ]
    opening = mouth_eye_masks.rows().numpy()
    return Layout(np.array(mirror), REACH_BOX, FOLLOW, WATCHED, opening)


def collate(rows: list[tuple[Array, ...]]) -> Batch:
    """Results of ``pairs.pair`` to one batch."""
    source, driving, *more = (np.stack(part) for part in zip(*rows, strict=True))
    pictures = as_pictures(source), as_pictures(driving)
    if not more:
        return Batch(*pictures)
    before, after, behind = more
    return Batch(*pictures, as_points(before), as_points(after), torch.from_numpy(behind))


def as_pictures(images: Array) -> Tensor:
    """(B, S, S, 3) float32 to (B, 3, S, S), channels last in memory."""
    found = torch.from_numpy(images).permute(0, 3, 1, 2)
    return found.contiguous(memory_format=torch.channels_last)


def as_points(rows: Array) -> Points:
    """(B, K, 6 or 7) to torch."""
    found = torch.from_numpy(np.asarray(rows, np.float32))
    return Points(found[..., :2].contiguous(), found[..., 2:6].unflatten(-1, (2, 2)))
