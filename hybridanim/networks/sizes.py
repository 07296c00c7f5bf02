"""Sizes of the networks; needs no torch.

``FastSizes`` is meant for a CPU: about 10 GFLOP per frame at 256x256, not counting the encoding of
the source. ``OBJECT`` and ``OBJECT_DETECTOR`` are smaller, for object categories trained from
scratch in a quarter of an hour. Each Boolean switch disables one part, for ablations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import size_limits


@dataclass(frozen=True)
class FastSizes:
    """Channels of the fast preset."""

    motion_widths: tuple[int, ...] = (48, 80, 112, 144)
    """Channels of the motion network at 1/4, 1/8, 1/16 and 1/32 of the picture."""
    motion_features: int = 32
    """Channels that the motion network passes to the generator."""
    deep: int = 80
    """Channels of the source's features at 1/4, and of the residual blocks."""
    fine: int = 20
    """Channels of the source's features at 1/2."""
    half: int = 48
    """Channels of the decoder at 1/2."""
    blocks: int = 4
    """Residual blocks per frame."""
    encoder_blocks: int = 3
    """Residual blocks once per source."""
    openings: bool = False
    """Give the networks masks of open eyes and mouth; needs the keypoints of a face."""
    picture_px: int = 256
    """Side of the networks' input and output pictures, in pixels."""
    jacobians: bool = True
    """Use the keypoints' local affines; False: local maps are translations, as in Monkey-Net."""
    occlusion: bool = True
    """Multiply the source's features by the occlusion map; False: no masking."""
    blend: bool = True
    """Blend paint with the warped source by alpha; False: all is paint (alpha = 1)."""
    optical: bool = False
    """Take the driver's optical flow as an input in addition to the keypoints."""


@dataclass(frozen=True)
class DetectorSizes:
    """Sizes of the keypoint detector."""

    count: int = 10
    """Number of keypoints."""
    widths: tuple[int, ...] = (16, 32, 48, 64)
    """Channels of its U-Net at 1/2, 1/4, 1/8 and 1/16 of its input."""
    size: int = 64
    """Side that its window is resized to, in pixels; heatmaps have half of it."""
    pool: int = 2
    """Downsampling factor of the Jacobian maps relative to the heatmaps."""
    seen: int = 0
    """Number of positions with a heatmap; a linear shape model gives keypoints and Jacobians.
    0: each keypoint has its own heatmap and Jacobian map."""


OBJECT = FastSizes(
    (32, 48, 64, 96), 16, deep=48, fine=12, half=32, blocks=2, encoder_blocks=1, picture_px=128
)
OBJECT_DETECTOR = DetectorSizes()
FACE_DETECTOR = DetectorSizes(38, (32, 64, 96, 128), 128, seen=30)  # 0.9 GFLOP


def read_sizes(table: dict[str, Any]) -> FastSizes:
    """Sizes from the table of a checkpoint or weights file; ValueError for impossible ones."""
    size_limits.check_animator(table)
    return FastSizes(**_tuples(table))


def read_detector_sizes(table: dict[str, Any]) -> DetectorSizes:
    """Sizes of a detector, as ``read_sizes``."""
    size_limits.check_detector(table)
    return DetectorSizes(**_tuples(table))


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in table.items()}
