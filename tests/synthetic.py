"""Seeded pictures and clips whose truth is known: the oracles of the other tests.

A picture moved by known maps (with exact flow), an occluder that passes with its mask, flat skin
scenes with labels, relighting, and the drawn talking head at low resolution. No downloads. Maps are
(H, W, 2) float32 x, y in pixels; pixel (0, 0) is the centre of the first pixel; affines are 2x3.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from tools import make_driving
from tools.driving_head.surfaces import look_up

Array = NDArray[Any]

SKIN_RGB = {"light": (226, 178, 150), "medium": (196, 140, 106), "dark": (112, 74, 54)}


def photograph(size: int = 256) -> Array:
    """(size, size, 3) uint8: scikit-image's astronaut photograph, head and shoulders."""
    part = data.astronaut()[0:320, 64:384]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)


def textured(height: int, width: int, seed: int = 0) -> Array:
    """(H, W, 3) uint8 with corners everywhere, bluish-grey, nowhere the colour of skin."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for cell, weight in ((24, 1.0), (9, 0.8), (4, 0.5)):
        coarse = rng.uniform(-1, 1, (height // cell + 3, width // cell + 3)).astype(np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grey = np.clip(118 + 55 * total, 0, 255)[..., None]
    return np.clip(grey * np.array([0.72, 0.9, 1.05]), 0, 255).astype(np.uint8)


def pixel_grid(height: int, width: int) -> Array:
    """(H, W, 2) float32: every pixel's own x, y."""
    return np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)


def affine_about(
    center_xy_px: tuple[float, float],
    *,
    scale: float = 1.0,
    turn_deg: float = 0.0,
    shear: float = 0.0,
    shift_xy_px: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """2x3 float64: scale, shear and clockwise turn about a centre, then a shift."""
    a = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    linear = scale * turn @ np.array([[1, shear], [0, 1]])
    center = np.array(center_xy_px)
    return np.column_stack([linear, center + np.array(shift_xy_px) - linear @ center])


def apply_affine(matrix: Array, xy_px: Array) -> Array:
    """2x3 affine of (..., 2) points."""
    return xy_px @ matrix[:, :2].T + matrix[:, 2]


def wandering_affines(count: int, size: int, seed: int = 0, strength: float = 1.0) -> list[Array]:
    """A smooth path of ``count`` affines about the middle, the first one the identity."""
    rng = np.random.default_rng(seed)
    phase, middle = rng.uniform(0.6, 1.4, 5), ((size - 1) / 2, (size - 1) / 2)
    path = []
    for i in range(count):
        wave = strength * np.sin(0.14 * i * phase)
        shift = (0.055 * size * wave[2], 0.04 * size * wave[3])
        path.append(
            affine_about(
                middle,
                scale=1 + 0.12 * wave[0],
                turn_deg=12 * wave[1],
                shear=0.08 * wave[4],
                shift_xy_px=shift,
            )
        )
    return path


@dataclass(frozen=True)
class MovedClip:
    """Frames of one picture, with exact maps both ways."""

    frames: list[Array]  # (H, W, 3) uint8
    to_picture: list[Array]  # (H, W, 2) per frame: where in the picture each frame pixel is from
    from_picture: list[Array]  # (H, W, 2) per frame: where in the frame each picture pixel went

    def flow(self, here: int, there: int) -> tuple[Array, Array]:
        """Displacement (H, W, 2) of frame ``here``'s pixels to frame ``there``, and where known."""
        path = self.to_picture[here]
        height, width = path.shape[:2]
        end = look_up(self.from_picture[there], path)
        known = inside(path, height, width) & inside(end, height, width)
        return end - pixel_grid(height, width), known


def inside(xy_px: Array, height: int, width: int, margin_px: float = 1.0) -> Array:
    """(...) bool: at least a margin inside the picture."""
    x, y = xy_px[..., 0], xy_px[..., 1]
    return (
        (x >= margin_px)
        & (y >= margin_px)
        & (x <= width - 1 - margin_px)
        & (y <= height - 1 - margin_px)
    )


def moved_picture(picture: Array, frame_from_picture: Sequence[Array]) -> MovedClip:
    """A clip of a picture under a global affine per frame."""
    grid = pixel_grid(*picture.shape[:2])
    there, back = [], []
    for matrix in frame_from_picture:
        inverse = cv2.invertAffineTransform(np.asarray(matrix, np.float64))
        there.append(apply_affine(matrix, grid).astype(np.float32))
        back.append(apply_affine(inverse, grid).astype(np.float32))
    return MovedClip([_look(picture, path) for path in back], back, there)


def warped_picture(picture: Array, displacements: Sequence[Array]) -> MovedClip:
    """A clip under smooth displacements (H, W, 2): a frame's pixel z shows the picture at z + d."""
    grid = pixel_grid(*picture.shape[:2])
    back = [grid + d.astype(np.float32) for d in displacements]
    there = [invert(path) for path in back]
    return MovedClip([_look(picture, path) for path in back], back, there)


def invert(path: Array, steps: int = 40) -> Array:
    """The inverse map of a smooth, invertible map near the identity, by fixed-point iteration."""
    grid = pixel_grid(*path.shape[:2])
    shift, guess = path - grid, grid.copy()
    limit = np.array([path.shape[1] - 1, path.shape[0] - 1], np.float32)
    for _ in range(steps):
        inside_xy = np.clip(guess, 0, limit)
        guess = grid - look_up(shift, inside_xy)
    return guess


def _look(picture: Array, path: Array) -> Array:
    x, y = np.ascontiguousarray(path[..., 0]), np.ascontiguousarray(path[..., 1])
    return cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def sinus_displacement(
    height: int, width: int, amplitude_px: float = 3.0, wavelength_px: float = 90.0
) -> Array:
    """(H, W, 2) float32 waves in x and y."""
    grid = pixel_grid(height, width)
    k = 2 * np.pi / wavelength_px
    return amplitude_px * np.dstack([np.sin(k * grid[..., 1]), np.cos(k * grid[..., 0])])


def local_affine_displacement(
    height: int, width: int, center_xy_px: tuple[float, float], radius_px: float, matrix: Array
) -> Array:
    """(H, W, 2) float32: exactly the affine within half the radius, fading to nothing at it."""
    grid = pixel_grid(height, width)
    distance = np.linalg.norm(grid - np.array(center_xy_px), axis=-1) / radius_px
    t = np.clip(2 - 2 * distance, 0, 1)
    fade = (t * t * (3 - 2 * t))[..., None]
    return (fade * (apply_affine(matrix, grid) - grid)).astype(np.float32)


def thin_plate_displacement(height: int, width: int, strength_px: float, seed: int = 0) -> Array:
    """(H, W, 2) float32 thin-plate spline through a 4x4 lattice of random displacements."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(0, 1, 4)
    knots = np.dstack(np.meshgrid(axis, axis)).reshape(-1, 2)
    target = rng.uniform(-strength_px, strength_px, (16, 2))
    system = np.zeros((19, 19))
    system[:16, :16] = _plate(np.linalg.norm(knots[:, None] - knots[None], axis=-1))
    system[:16, 16] = system[16, :16] = 1
    system[:16, 17:], system[17:, :16] = knots, knots.T
    weights = np.linalg.solve(system, np.vstack([target, np.zeros((3, 2))]))
    points = pixel_grid(height, width).reshape(-1, 2) / np.array([width - 1, height - 1])
    basis = _plate(np.linalg.norm(points[:, None] - knots[None], axis=-1))
    value = basis @ weights[:16] + weights[16] + points @ weights[17:]
    return value.reshape(height, width, 2).astype(np.float32)


def _plate(distance: Array) -> Array:
    return distance**2 * np.log(np.maximum(distance, 1e-9))


def pass_occluder(
    frames: Sequence[Array], *, start: int, end: int, radius_px: float, seed: int = 7
) -> tuple[list[Array], list[Array]]:
    """A textured disc that crosses left to right between two frames; frames and bool masks."""
    height, width = frames[0].shape[:2]
    cloth = textured(height, 3 * width, seed)[..., ::-1]
    pictures, masks = [], []
    grid = pixel_grid(height, width)
    for index, frame in enumerate(frames):
        share = (index - start) / max(1, end - start)
        x = -radius_px + share * (width + 2 * radius_px)
        mask = np.hypot(grid[..., 0] - x, grid[..., 1] - 0.5 * height) < radius_px
        mask &= start <= index <= end
        moved = np.roll(cloth, round(x), axis=1)[:, width : 2 * width]
        pictures.append(np.where(mask[..., None], moved, frame))
        masks.append(mask)
    return pictures, masks


def relight(
    image: Array, gain: float = 1.0, gamma: float = 1.0, cast: tuple[float, ...] = (1, 1, 1)
) -> Array:
    """(H, W, 3) uint8 under another light: out = 255 (gain cast (in / 255))^gamma, clipped."""
    value = np.clip(image.astype(np.float32) / 255 * gain * np.array(cast, np.float32), 0, 1)
    return np.round(255 * value**gamma).astype(np.uint8)


def skin_scene(
    height: int = 240,
    width: int = 320,
    *,
    tone: str = "medium",
    head: tuple[float, float, float] | None = (0.5, 0.42, 0.2),
    left_hand: tuple[float, float, float] | None = (0.2, 0.75, 0.09),
    right_hand: tuple[float, float, float] | None = (0.8, 0.75, 0.09),
    seed: int = 0,
) -> tuple[Array, Array]:
    """Flat skin ellipses on texture: (H, W, 3) uint8 and labels (1 head, 2 left, 3 right hand).

    Each part is (x, y, radius): shares of width, height and height; the head is 1.3 times as tall
    as wide; later parts lie before earlier ones.
    """
    rng = np.random.default_rng(seed)
    image = textured(height, width, seed).astype(np.float32)
    labels = np.zeros((height, width), np.uint8)
    grid = pixel_grid(height, width)
    colour = np.array(SKIN_RGB[tone], np.float32)
    for label, part in enumerate((head, left_hand, right_hand), start=1):
        if part is None:
            continue
        x, y, radius = part[0] * width, part[1] * height, part[2] * height
        tall = 1.3 if label == 1 else 1.0
        away = np.hypot(grid[..., 0] - x, (grid[..., 1] - y) / tall) / radius
        shading = (1.08 - 0.28 * away**2)[..., None] * colour
        labels[away < 1] = label
        image = np.where((away < 1)[..., None], shading, image)
    image += rng.normal(0, 2.5, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), labels


def interruptible() -> None:
    """``preexec_fn`` of a child that is to hear Ctrl-C also where the tests run in the background.

    A shell's background job ignores SIGINT, and so would its children.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@cache
def driving_head(
    start_s: float = 0.0,
    count: int = 24,
    size: int = 240,
    *,
    fps: int = 30,
    tone: str = "medium",
    hands: bool = True,
) -> tuple[make_driving.RenderedFrame, ...]:
    """The drawn talking head with its truth, low resolution, cached; see make_driving.

    Good places to start: 0 neutral then a turn, 2.9 nods, 4.3 speech and tilts, 6.0 a hand passes
    before the face. Frames are shared between tests: do not write to them.
    """
    options = make_driving.Options(
        width=size, height=size, fps=fps, tone=tone, hands=hands, zoom=1.25
    )
    return tuple(make_driving.render(start_s + i / fps, options) for i in range(count))
