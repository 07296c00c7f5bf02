"""Windows of the landmark networks: the levelled face, each eye, the mouth.

A window is a (2, 3) similarity, window pixels from picture pixels. Its place comes from the head's
pose and, for eyes and mouth, from the points of the face; its size from the pose's scale alone, so
it neither jumps nor changes its size when lids and lips move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridanim.resampling import window_of
from hybridanim.types import Array, HeadPose

from . import mesh


@dataclass(frozen=True, slots=True)
class WindowKind:
    """One kind of window, and the mesh points that its network finds in it."""

    name: str
    width_px: int
    height_px: int
    width_heads: float  # width in sides of the head box
    points: tuple[int, ...]  # of the mesh


FACE = WindowKind("face", 96, 96, 1.5, tuple(range(mesh.COUNT)))
EYE = WindowKind("eye", 48, 32, 0.32, (*mesh.EYES[0], *mesh.IRISES[0]))
"""The left eye; the right one is mirrored."""
MOUTH = WindowKind("mouth", 64, 48, 0.52, (*mesh.OUTER_LIPS, *mesh.INNER_LIPS))
KINDS = {kind.name: kind for kind in (FACE, EYE, MOUTH)}


def window(
    kind: WindowKind,
    centre_xy_px: Array,
    scale_px: float,
    roll_rad: float,
    *,
    is_mirrored: bool = False,
) -> Array:
    """(2, 3) float64 window from picture: centre in the middle, levelled by the roll."""
    zoom = kind.width_px / (kind.width_heads * scale_px)
    cosine, sine = zoom * np.cos(roll_rad), zoom * np.sin(roll_rad)
    linear = np.array([[cosine, sine], [-sine, cosine]])
    if is_mirrored:
        linear[0] *= -1
    middle = np.array([kind.width_px - 1, kind.height_px - 1]) / 2
    return np.column_stack([linear, middle - linear @ np.asarray(centre_xy_px, float)])


def face_window(pose: HeadPose) -> Array:
    """The window of the face at this pose."""
    return window(FACE, pose.shift_px, pose.scale_px, pose.roll_rad)


def eye_window(xy_px: Array, pose: HeadPose, side: int) -> Array:
    """The window of the left (side 0) or the right eye (1, mirrored); xy_px: (478, 2)."""
    centre = xy_px[list(mesh.EYES[side])].mean(0)
    return window(EYE, centre, pose.scale_px, pose.roll_rad, is_mirrored=side == 1)


def mouth_window(xy_px: Array, pose: HeadPose) -> Array:
    """The window of the mouth; xy_px: (478, 2)."""
    centre = xy_px[list(mesh.OUTER_LIPS)].mean(0)
    return window(MOUTH, centre, pose.scale_px, pose.roll_rad)


def cut(grey: Array, matrix: Array, kind: WindowKind) -> Array:
    """(height, width) uint8 window of a grey picture, without aliasing; edge pixels repeat."""
    return window_of(grey, matrix, (kind.width_px, kind.height_px))


def normalised(windows: Array) -> Array:
    """(N, 1, H, W) float32 network input of (N, H, W) uint8 windows: mean 0, deviation about 1."""
    values = windows.astype(np.float32)
    mean = values.mean((1, 2), keepdims=True)
    gain = 1 / (values.std((1, 2), keepdims=True) + 4.0)  # flat windows are not amplified
    return ((values - mean) * gain)[:, None]
