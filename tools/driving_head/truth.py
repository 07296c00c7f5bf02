"""Ground truth of a rendered frame: angles, landmarks, labels, and flow to any other frame.

Pixels: x right, y down, (0, 0) the centre of the first pixel. Head angles in degrees: yaw positive
to the picture's right, pitch positive up, roll positive clockwise on the screen.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .raster import Array, Visible
from .script import Pose
from .surfaces import look_up

HEAD, LEFT_HAND, RIGHT_HAND = 1, 2, 3
# name -> rest position x, y in cm and block of the grid (0 above the eyes, 1 between, 2 below the
# mouth); left and right as seen in the picture
LANDMARKS = {
    "left_brow_outer": (-5.1, 1.7, 0),
    "left_brow_middle": (-3.6, 2.45, 0),
    "left_brow_inner": (-1.45, 2.12, 0),
    "right_brow_inner": (1.45, 2.12, 0),
    "right_brow_middle": (3.6, 2.45, 0),
    "right_brow_outer": (5.1, 1.7, 0),
    "left_eye_outer": (-4.7, 0.0, 0),
    "left_eye_inner": (-1.6, 0.0, 0),
    "left_lid_top": (-3.15, 0.0, 0),
    "left_lid_bottom": (-3.15, 0.0, 1),
    "right_eye_inner": (1.6, 0.0, 0),
    "right_eye_outer": (4.7, 0.0, 0),
    "right_lid_top": (3.15, 0.0, 0),
    "right_lid_bottom": (3.15, 0.0, 1),
    "nose_bridge": (0.0, 0.2, 0),
    "nose_tip": (0.0, -3.7, 1),
    "nose_left": (-1.75, -4.0, 1),
    "nose_right": (1.75, -4.0, 1),
    "nose_base": (0.0, -4.85, 1),
    "mouth_left": (-2.5, -6.8, 1),
    "mouth_right": (2.5, -6.8, 1),
    "lip_top": (0.0, -6.1, 1),
    "lip_bottom": (0.0, -7.7, 2),
    "inner_lip_top": (0.0, -6.8, 1),
    "inner_lip_bottom": (0.0, -6.8, 2),
    "chin": (0.0, -10.9, 2),
    "jaw_left": (-4.7, -8.2, 2),
    "jaw_right": (4.7, -8.2, 2),
}
LANDMARK_NAMES = tuple(LANDMARKS)


@dataclass(frozen=True, slots=True)
class Flow:
    """Where the surface seen at each pixel of one frame lies in another frame."""

    xy_px: Array  # (H, W, 2) float32 displacement; 0 on the background, which stands still
    known: Array  # (H, W) bool: background, or one surface over the whole pixel
    visible: Array  # (H, W) bool: known, and seen in the other frame too


@dataclass(frozen=True, slots=True, repr=False)
class RenderedFrame:
    """A picture and its truth."""

    image: Array  # (H, W, 3) uint8 RGB
    index: int
    time_s: float
    pose: Pose
    labels: Array  # (H, W) uint8: 0 no skin, 1 head and neck, 2 left hand, 3 right hand
    parts: Array  # (H, W) uint8: 0 background, else 1 + position in scene.PARTS
    landmarks_xy_px: Array  # (L, 2) float32, in the order of LANDMARK_NAMES
    landmarks_visible: Array  # (L,) bool: faces the camera and nothing is before it
    landmarks_xyz_cm: Array  # (L, 3) float32: the same in head coordinates, with the expression
    camera: Array  # (3, 3) float64 pinhole matrix
    surface: Visible  # what every sample sees, for ``flow_to``
    vertices_xy_px: Array  # (V, 2) float64
    triangles: Array  # (T, 3) int64
    samples: int  # samples a pixel side

    @property
    def rotation_deg(self) -> tuple[float, float, float]:
        """Yaw, pitch, roll."""
        return self.pose.yaw_deg, self.pose.pitch_deg, self.pose.roll_deg

    @property
    def skin(self) -> Array:
        """(H, W) uint8, 255 on all skin."""
        return np.where(self.labels > 0, 255, 0).astype(np.uint8)

    def landmark(self, name: str) -> tuple[float, float]:
        """x, y in pixels of a landmark by name."""
        x, y = self.landmarks_xy_px[LANDMARK_NAMES.index(name)]
        return float(x), float(y)

    def flow_to(self, other: RenderedFrame) -> Flow:
        """Exact motion of the surface from this frame to another one of the same scene and size."""
        height, width = self.labels.shape
        shape = (height * self.samples, width * self.samples)
        here = self.surface.interpolate(self.vertices_xy_px, self.triangles)
        there = self.surface.interpolate(other.vertices_xy_px, other.triangles)
        motion = np.zeros((shape[0] * shape[1], 2), np.float32)
        motion[self.surface.sample] = there - here
        covered = np.zeros(shape[0] * shape[1], np.float32)
        covered[self.surface.sample] = 1
        share = _mean(covered.reshape(shape), self.samples)
        flow = _mean(motion.reshape(*shape, 2), self.samples)
        steady = _steady(motion.reshape(*shape, 2), self.samples)
        known = ((share == 0) | (share == 1)) & steady
        return Flow(flow, known, known & self._seen_in(other, flow, share > 0))

    def _seen_in(self, other: RenderedFrame, flow: Array, on_surface: Array) -> Array:
        """The other frame's own surface, followed back, must come from here (within a pixel)."""
        height, width = self.labels.shape
        grid = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
        target = grid + flow
        back = _backward(other, self)
        reach = look_up(back, target, cv2.INTER_NEAREST, 1e6)
        miss = np.linalg.norm(flow + reach, axis=-1)
        empty = (other.parts == 0).astype(np.uint8)
        gone = look_up(empty, target, cv2.INTER_NEAREST, 1) > 0
        return np.where(on_surface, ~gone & (miss < 1.0), gone & (miss < 1.0))


def _backward(frame: RenderedFrame, target: RenderedFrame) -> Array:
    """Flow of ``frame`` to ``target`` at pixel centres, nearest sample."""
    height, width = frame.labels.shape
    shape = (height * frame.samples, width * frame.samples)
    motion = np.zeros((shape[0] * shape[1], 2), np.float32)
    here = frame.surface.interpolate(frame.vertices_xy_px, frame.triangles)
    there = frame.surface.interpolate(target.vertices_xy_px, target.triangles)
    motion[frame.surface.sample] = there - here
    middle = frame.samples // 2
    return motion.reshape(*shape, 2)[middle :: frame.samples, middle :: frame.samples]


def _mean(image: Array, samples: int) -> Array:
    """Average over each pixel's samples."""
    if samples == 1:
        return image
    size = (image.shape[1] // samples, image.shape[0] // samples)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _steady(motion: Array, samples: int) -> Array:
    """True where the samples of a pixel agree within half a pixel: one surface, no edge."""
    high, low = motion[::samples, ::samples], motion[::samples, ::samples]
    for dy in range(samples):
        for dx in range(samples):
            part = motion[dy::samples, dx::samples]
            high, low = np.maximum(high, part), np.minimum(low, part)
    return (high - low).max(axis=-1) < 0.5
