"""Keypoints of eyelids and lips -> soft masks of the open eyes and mouth.

From twelve small Gaussians a network learns only slowly how far a mouth is open; given the region
itself, it learns early what belongs inside. Each opening is the area between two parabolas through
its corners, in closed form, at negligible cost.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import blocks
from .blocks import Points
from .constants import OPENING_REACH, SOFT_FACE, opening_rows


def rows() -> Tensor:
    """Keypoint indices (3, 4) int64 of each opening: left corner, right corner, above, below."""
    return torch.tensor(opening_rows())


def openings(points: Points, rows: Tensor, places: Tensor) -> Tensor:
    """Masks (B, 3, H, W) in [0, 1]: 1 at positions between the lips or eyelids.

    rows: (3, 4) of ``rows``. places: (H, W, 2) or (B, H, W, 2), normalised, in the picture of the
    points.
    """
    four = points.xy[:, rows]  # (B, 3, 4, 2)
    left, right = four[:, :, 0], four[:, :, 1]
    axis = right - left
    square = axis.square().sum(-1).clamp(min=1e-6)
    middle = (left + right) / 2
    down = torch.stack([-axis[..., 1], axis[..., 0]], -1) / square.sqrt()[..., None]

    def along_and_down(offset: Tensor, dims: int) -> tuple[Tensor, Tensor]:
        shape = (*square.shape, *(1,) * dims)
        a, d = axis.reshape(*shape, 2), down.reshape(*shape, 2)
        along = 2 * (offset * a).sum(-1) / square.reshape(shape) / OPENING_REACH
        return along, (offset * d).sum(-1)

    beyond, height = along_and_down(four[:, :, 2:] - middle[:, :, None], 1)
    # the parabola through both corners and this keypoint
    height = height / (1 - beyond.square()).clamp(min=0.4)
    places = places[None] if places.ndim == 3 else places
    along, depth = along_and_down(places[:, None] - middle[:, :, None, None], 2)
    bow = 1 - along.square()
    above = depth - height[:, :, 0, None, None] * bow
    below = height[:, :, 1, None, None] * bow - depth
    soft = SOFT_FACE * blocks.face_scale(points)[:, None, None, None]
    inside = torch.minimum(torch.minimum(above, below) / soft, bow * 8)
    return inside.clamp(0, 1)
