"""Augmentation of one training window: its view, colours, degradation and occluders.

It covers what the detector meets at run time: windows that are displaced against the head, rolled
heads, unusual light, cheap cameras, hands in front of the face, other backgrounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim import resampling
from hybridanim.motion import keypoints
from hybridanim.training.data.augment import draw_colour
from hybridanim.types import Array, HeadBox

_MIRROR = np.diag([-1.0, 1.0])
_BORDERS = (cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)


@dataclass(frozen=True)
class WindowAugment:
    """How strongly the training windows are augmented: more than the tracker's own errors."""

    flip: float = 0.5
    """Share of mirrored windows."""
    shift_heads: float = 0.13
    """Largest error of the window's middle, each way; most are small."""
    grow: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest error of the window's size; most are small."""
    roll_deg: float = 38.0
    """Largest rotation of the picture; most are small."""
    shear: float = 0.06
    """Largest stretch and shear, for other shapes of faces."""
    colour: float = 0.3
    """Largest change of brightness, contrast and saturation; a third of it for hue."""
    occlude: float = 0.2
    """Share of windows with an occluder in front of the face."""
    degrade: float = 0.4
    """Share of windows that are blurred, shrunk, grey, unevenly lit, compressed or noisy."""
    cover_face: float = 0.04
    """Share of windows whose whole face is covered: there the heatmaps shall be wide."""


PLAIN = WindowAugment(0, 0, (1, 1), 0, 0, 0, 0, 0, 0)
"""No augmentation."""


@dataclass(frozen=True, slots=True)
class View:
    """A window of a square frame."""

    matrix: Array  # (2, 3) float64, window normalised from frame normalised
    is_flipped: bool


def draw_view(
    head: HeadBox, side_px: int, augment: WindowAugment, rng: np.random.Generator
) -> View:
    """A random view: a window of 2.5 heads round the head, displaced within ``augment``.

    head: in pixels of a frame of side_px; in the window it may be shifted, scaled, rolled, sheared.
    """
    size = 2 * head.size_px / side_px
    middle = (np.array(head.center_xy_px) + 0.5) * 2 / side_px - 1
    is_usual = rng.random() < 0.7  # most windows are nearly right
    by, turned, right, down = (
        np.clip(rng.normal(0, 0.3, 4), -1, 1) if is_usual else rng.uniform(-1, 1, 4)
    )
    grow = augment.grow[1] ** by if by > 0 else augment.grow[0] ** -by
    turn_deg = turned * augment.roll_deg
    if augment.roll_deg:
        turn_deg -= rng.uniform(0, 1) * head.roll_deg
    a = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    deform = np.eye(2) + rng.uniform(-1, 1, (2, 2)) * augment.shear
    linear = turn @ deform * (2 / (keypoints.CROP_HEADS * size * grow))
    is_flipped = bool(rng.random() < augment.flip)
    if is_flipped:
        linear = linear @ _MIRROR
    shift = np.array([right, down]) * augment.shift_heads * 2 / keypoints.CROP_HEADS
    place = np.array([0, -2 * keypoints.CROP_RISE]) + shift
    return View(np.column_stack([linear, place - linear @ middle]), is_flipped)


def keypoints_in_view(rows: Array, view: View, mirror: Array) -> Array:
    """Keypoints (K, 6) of the frame, (K, 6) in the window; exact."""
    linear, shift = view.matrix[:, :2], view.matrix[:, 2]
    xy = rows[:, :2] @ linear.T + shift
    jacobian = linear @ rows[:, 2:6].reshape(-1, 2, 2)
    if view.is_flipped:  # a mirrored picture mirrors the canonical face, too
        xy, jacobian = xy[mirror], (jacobian @ _MIRROR)[mirror]
    return np.concatenate([xy, jacobian.reshape(-1, 4)], 1).astype(np.float32)


def cut(frame: Array, view: View, size: int, border: int = cv2.BORDER_REPLICATE) -> Array:
    """The view of a square frame, (size, size, 3) uint8, without aliasing."""
    side = frame.shape[0]
    linear = view.matrix[:, :2] * (size / side)  # window pixels from frame pixels
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    part, left = resampling.halved(frame, min(1.0, scale))
    if left < 0.95:
        part = resampling.softened(part, max(0.5, left))
    inner = part.shape[0]
    # pixel = (norm + 1) side / 2 - 1/2 in either picture
    small = view.matrix[:, :2] * (size / inner)
    centre = np.full(2, inner / 2 - 0.5)
    shift = size / 2 * (view.matrix[:, 2] + 1) - 0.5 - small @ centre
    return cv2.warpAffine(
        part,
        np.column_stack([small, shift]),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=(128, 128, 128),
    )


def fill_outside(frame: Array, view: View, window: Array, other: Array, kind: float) -> Array:
    """The window with what lies outside the frame filled: border, mirror image or other picture.

    kind: random number in [0, 1) that decides; window: the view with the border repeated.
    """
    if kind < 0.45:
        return window
    if kind < 0.6:
        return cut(frame, view, len(window), _BORDERS[1])
    inside = cut(np.full_like(frame, 255), view, len(window), _BORDERS[2])  # grey is outside
    inside = np.clip((inside.astype(np.float32) - 128) / 127, 0, 1)
    mixed = other + inside * (window.astype(np.float32) - other)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def occluded(window: Array, other: Array, rng: np.random.Generator, most: int = 2) -> Array:
    """The window with one or more hand-like occluders, in skin colour or of another picture."""
    size = len(window)
    out = window
    for _ in range(rng.integers(1, most + 1)):
        mask = np.zeros((size, size), np.uint8)
        middle = rng.normal(0.5, 0.2, 2) * size
        axes = np.exp(rng.uniform(np.log(0.04), np.log(0.2), 2)) * size
        angle = rng.uniform(0, 180)
        cv2.ellipse(mask, (tuple(middle), tuple(2 * axes), angle), 255, -1)
        for _ in range(rng.integers(0, 5)):  # fingers
            way = np.deg2rad(angle + rng.normal(0, 40))
            end = middle + rng.uniform(1, 2.2) * axes.max() * np.array([np.cos(way), np.sin(way)])
            points = [tuple(int(v) for v in p) for p in (middle, end)]
            cv2.line(mask, points[0], points[1], 255, max(2, int(0.05 * size)))
        soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.5))[..., None] / np.float32(255)
        out = out + soft * (_occluder_texture(window, other, rng) - out)
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)


def _occluder_texture(window: Array, other: Array, rng: np.random.Generator) -> Array:
    """(S, S, 3) float32: the colour of the face with uneven light, or the other picture."""
    if rng.random() < 0.4:
        return other.astype(np.float32)
    size = len(window)
    y, x = rng.integers(int(0.4 * size), int(0.7 * size), 2)
    skin = window[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1)) * rng.uniform(0.75, 1.2)
    waves = cv2.resize(rng.normal(0, 14, (6, 6)).astype(np.float32), (size, size))
    return (skin + waves[..., None]).astype(np.float32)


def face_covered(window: Array, other: Array) -> Array:
    """The window with the whole face replaced by an enlarged corner of the other picture."""
    size = len(window)
    corner = other[: size // 3, : size // 3]
    patch = cv2.resize(corner, (size, size), interpolation=cv2.INTER_LINEAR)
    mask = np.zeros((size, size), np.float32)
    cv2.ellipse(mask, (size // 2, size // 2), (int(0.42 * size), int(0.5 * size)), 0, 0, 360, 1, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 3)[..., None]
    return (window + mask * (patch.astype(np.float32) - window)).astype(np.uint8)


def colour_jittered(window: Array, augment: WindowAugment, rng: np.random.Generator) -> Array:
    """uint8 to float32 in [0, 1] with random colours and gamma, sometimes grey."""
    if not augment.colour:
        return window.astype(np.float32) / 255
    found = cv2.transform(window.astype(np.float32) / 255, draw_colour(augment.colour, rng))
    if rng.random() < 0.1:
        found = np.repeat(found @ np.array([0.299, 0.587, 0.114], np.float32)[:, None], 3, 1)
        found = found.reshape(window.shape)
    found = np.clip(found, 0, 1)
    if rng.random() < 0.4:
        found = found ** np.float32(np.exp(rng.uniform(-0.6, 0.6)))
    return found


@dataclass(frozen=True, slots=True)
class Degradation:
    """Random degradation by a camera and a codec; the same for both frames of a pair."""

    blur_px: float
    shrink: float
    slope: Array  # (2,) of the light, per half window
    quality: int  # of JPEG; 0: none
    noise: float


def draw_degradation(augment: WindowAugment, rng: np.random.Generator) -> Degradation:
    """Mostly one or two faults at a time."""
    if rng.random() >= augment.degrade:
        return Degradation(0, 1, np.zeros(2), 0, 0)
    has = rng.random(5) < 0.35
    return Degradation(
        float(has[0] * rng.uniform(0.4, 1.4)),
        float(np.exp(has[1] * rng.uniform(0, 1.1))),
        has[2] * rng.normal(0, 0.3, 2),
        int(has[3] * rng.integers(15, 80)),
        float(has[4] * rng.uniform(0.005, 0.06)),
    )


def degraded(window: Array, fault: Degradation, rng: np.random.Generator) -> Array:
    """float32 in [0, 1] with these faults; noise is drawn from ``rng``."""
    size = len(window)
    if fault.slope.any():
        x = np.linspace(-1, 1, size, dtype=np.float32)
        light = 1 + fault.slope[0] * x[None] + fault.slope[1] * x[:, None]
        window = np.clip(window * np.maximum(light, 0.2)[..., None].astype(np.float32), 0, 1)
    if fault.shrink > 1:
        less = max(24, round(size / fault.shrink))
        window = cv2.resize(window, (less, less), interpolation=cv2.INTER_AREA)
        window = cv2.resize(window, (size, size), interpolation=cv2.INTER_LINEAR)
    if fault.blur_px:
        window = cv2.GaussianBlur(window, (0, 0), fault.blur_px)
    if fault.noise:
        window = window + rng.standard_normal(window.shape, np.float32) * np.float32(fault.noise)
        window = np.clip(window, 0, 1)
    if fault.quality:
        coded = (255 * window + 0.5).astype(np.uint8)
        _, data = cv2.imencode(".jpg", coded, [cv2.IMWRITE_JPEG_QUALITY, fault.quality])
        window = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32) / 255
    return window
