"""Sizes of the networks; needs no torch.

``FastSizes`` is meant for a CPU: about 10 GFLOP per frame at 256x256, not counting the encoding of
the source. ``OBJECT`` and ``OBJECT_DETECTOR`` are smaller, for object categories trained from
scratch in a quarter of an hour. ``MonkeyNetSizes`` are of a Monkey-Net with its detector. Each
Boolean switch disables one part, for ablations.
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


@dataclass(frozen=True)
class MonkeyNetSizes:
    """Sizes of Monkey-Net; the defaults are for pictures of 64x64, ``monkeynet`` gives others."""

    count: int = 10
    """Number of keypoints."""
    picture_px: int = 64
    """Side of the generator's input and output pictures, in pixels."""
    motion_px: int = 32
    """Side of heatmaps, masks and flow; the detector's input has twice that."""
    detector_widths: tuple[int, ...] = (16, 32, 48, 64)
    """Channels of the detector's U-Net at ``motion_px``, half of it, ..."""
    motion_widths: tuple[int, ...] = (32, 48, 64, 96)
    """Channels of the motion network at ``motion_px``, half of it, ..."""
    widths: tuple[int, ...] = (16, 32, 64, 96)
    """Channels of the generator at ``picture_px``, half of it, ...: one skip connection each."""
    blocks: int = 2
    """Residual blocks after the generator's decoder."""
    covariances: bool = True
    """Give heatmaps the covariance of the detector's; False: the fixed variance 0.01."""
    flow: bool = True
    """Warp the skip connections by the dense motion; False: not at all."""
    coarse: bool = True
    """Let masks combine the keypoints' displacements; False: the flow is the residual alone."""
    residual: bool = True
    """Add the residual flow; False: the flow is the masks' alone."""
    source: bool = True
    """Show the motion network the source, shifted by each displacement; False: heatmaps alone."""

    @property
    def detector_px(self) -> int:
        """Side of the detector's input, in pixels."""
        return 2 * self.motion_px


_MONKEYNET_WIDTHS = (16, 32, 64, 96, 128, 128, 128)
_DEEPEST_PX, _FINE_PX, _LARGE_PX = 8, 128, 512


def monkeynet(size: int) -> MonkeyNetSizes:
    """Sizes for pictures of that side, a multiple of 32: the deepest skip has 8 cells or more."""
    levels = 1
    while size % 2**levels == 0 and size // 2**levels >= _DEEPEST_PX:
        levels += 1
    step = 2 if size < _FINE_PX else 8 if size >= _LARGE_PX and size % 64 == 0 else 4
    widths = _MONKEYNET_WIDTHS[: min(levels, len(_MONKEYNET_WIDTHS))]
    return MonkeyNetSizes(picture_px=size, motion_px=size // step, widths=widths)


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


def read_monkeynet_sizes(table: dict[str, Any]) -> MonkeyNetSizes:
    """Sizes of a Monkey-Net, as ``read_sizes``."""
    size_limits.check_monkeynet(table)
    return MonkeyNetSizes(**_tuples(table))


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in table.items()}
