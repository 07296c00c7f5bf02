"""Labelled frames -> augmented windows with the person's mask in them.

The person stays before its own background or is put before another one; then the light, colours and
medium of the whole window change. Where the window reaches beyond the frame there is no truth. A
batch is a function of the seed, the step and the size alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim.face import matte_window
from hybridanim.resampling import FILL, masked_blur
from hybridanim.types import Array

from . import dolls, looks
from .footage import Footage
from .walls import wall

_DOLLS, _MOVED, _PAINTED = 0.1, 0.55, 0.22  # shares: drawn; before another wall; filtered
_FILLED = 0.6  # share of windows within the frame
_MARGIN = 2  # pixels of a frame's edge without truth


@dataclass(frozen=True, slots=True)
class Batch:
    """Network input and what it should give."""

    windows: Array  # (B, 4, n, n) float32
    masks: Array  # (B, 1, n, n) float32 in [0, 1]
    known: Array  # (B, 1, n, n) float32, 1 where there is a truth


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a frame."""

    image: Array  # (n, n, 3) uint8
    mask: Array  # (n, n) float32 in [0, 1]
    known: Array  # (n, n) float32, 0 or 1
    face: Array  # (n, n) float32, see matte_window


def batch(footage: Footage, count: int, n: int, rng: np.random.Generator) -> Batch:
    """``count`` augmented windows of n x n pixels; every clip is drawn equally often."""
    numbers = np.unique(footage.clips)
    found = []
    for number in rng.choice(numbers, count):
        row = int(rng.choice(np.flatnonzero(footage.clips == number)))
        found.append(_drawn(n, rng) if rng.random() < _DOLLS else variant(footage, row, n, rng))
    return stacked(found)


def stacked(found: list[Window]) -> Batch:
    """Windows as a batch."""
    return Batch(
        np.array([matte_window.network_input(one.image, one.face) for one in found]),
        np.array([one.mask for one in found], np.float32)[:, None],
        np.array([one.known for one in found], np.float32)[:, None],
    )


def variant(footage: Footage, row: int, n: int, rng: np.random.Generator) -> Window:
    """One augmented window of a frame."""
    placed = _inside if rng.random() < _FILLED else _around
    matrix = placed(footage, row, n, rng)
    window = cut(footage, row, matrix, n)
    if rng.random() < 0.25:  # the face is known by its box alone
        heads = n / np.sqrt(abs(np.linalg.det(matrix[:, :2]))) / footage.heads[row, 2]
        window = _with_box(window, heads, n, rng)
    if rng.random() < _MOVED:
        window = _moved(footage, window, rng)
    return _looking(window, rng)


def _inside(footage: Footage, row: int, n: int, rng: np.random.Generator) -> Array:
    """(2, 3) window from frame that the frame fills nearly everywhere."""
    size = np.array(footage.masks[row].shape[::-1], float)
    side = min(size.min(), footage.heads[row, 2] * rng.uniform(1.7, 2.8)) * rng.uniform(0.85, 1.02)
    free = np.maximum(size - side, 0) / 2
    middle = np.clip(footage.heads[row, :2] + rng.normal(0, 0.15, 2) * side,
                     size / 2 - free, size / 2 + free)  # fmt: skip
    return _turned(middle, side, n, 0.3, rng)


def _around(footage: Footage, row: int, n: int, rng: np.random.Generator) -> Array:
    """(2, 3) window from frame, the head in its middle; it may reach far beyond the frame."""
    heads = rng.uniform(1.8, 3.0) if rng.random() < 0.6 else rng.uniform(3.0, 4.8)
    middle = footage.heads[row, :2] + rng.normal(0, 0.05 * heads, 2) * footage.heads[row, 2]
    return _turned(middle, heads * footage.heads[row, 2], n, 1.0, rng)


def _turned(
    middle: Array, side_px: float, n: int, strength: float, rng: np.random.Generator
) -> Array:
    """(2, 3) window from picture: rolled, stretched, perhaps mirrored."""
    angle = np.deg2rad(rng.normal(0, 9 * strength))
    stretch, shear = np.exp(rng.normal(0, 0.07)), rng.normal(0, 0.04 * strength)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = n / side_px * turn @ np.array([[stretch, shear], [0, 1 / stretch]])
    if rng.random() < 0.5:
        linear[0] *= -1
    return np.column_stack([linear, (n - 1) / 2 - linear @ middle])


def cut(footage: Footage, row: int, matrix: Array, n: int) -> Window:
    """The window of a frame under a (2, 3) map, window pixels from frame pixels."""
    image, mask = footage.images[row], footage.masks[row]
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if zoom < 0.67:
        sigma = float(np.sqrt(0.25 / zoom**2 - 1 / 6))
        image, mask = (cv2.GaussianBlur(one, (0, 0), sigma) for one in (image, mask))
    known = np.zeros(mask.shape, np.uint8)
    known[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = 255
    size = (n, n)
    outline = footage.outlines[row] @ matrix[:, :2].T + matrix[:, 2]
    return Window(
        cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_CONSTANT, borderValue=FILL),
        cv2.warpAffine(mask, matrix, size) / np.float32(255),
        (cv2.warpAffine(known, matrix, size) > 250).astype(np.float32),
        matte_window.face_shape(outline, n),
    )


def _with_box(window: Window, heads: float, n: int, rng: np.random.Generator) -> Window:
    """The window with the ellipse of a head box instead of the face's own shape."""
    total = max(float(window.face.sum()), 1e-3)
    at = np.arange(n)
    x, y = float((window.face.sum(0) @ at) / total), float((window.face.sum(1) @ at) / total)
    radius = n / heads * 0.5 * np.exp(rng.normal(0, 0.12))
    x, y = np.array([x, y]) + rng.normal(0, 0.05 * n / heads, 2)
    face = matte_window.face_shape(matte_window.ellipse((x, y), radius), n)
    return Window(window.image, window.mask, window.known, face)


def _moved(footage: Footage, window: Window, rng: np.random.Generator) -> Window:
    """The person before another background; its edge has its own colours alone."""
    image, mask = window.image.astype(np.float32), window.mask
    sure = (mask > 0.95).astype(np.float32)
    own = np.where(sure[..., None] > 0, image, masked_blur(image, sure, 2.5))
    if rng.random() < 0.4:  # another light on the person than on the wall
        own = own * np.exp(rng.normal(-0.05, 0.25)) * np.exp(rng.normal(0, 0.08, 3))
    behind = wall(footage, window.image, mask, rng).astype(np.float32)
    alpha = mask[..., None]
    mixed = np.clip(alpha * own + (1 - alpha) * behind, 0, 255)
    if rng.random() < 0.5:  # nothing says where the frame ended
        mixed = np.where(window.known[..., None] > 0, mixed, np.where(alpha > 0, mixed, behind))
    else:
        mixed = np.where(window.known[..., None] > 0, mixed, np.array(FILL))
    return Window(np.clip(mixed, 0, 255).astype(np.uint8), mask, window.known, window.face)


def _looking(window: Window, rng: np.random.Generator) -> Window:
    image = looks.painted(window.image, rng) if rng.random() < _PAINTED else window.image
    return Window(looks.relit(image, rng), window.mask, window.known, window.face)


def _drawn(n: int, rng: np.random.Generator) -> Window:
    image, mask, outline = dolls.doll(n, rng)
    face = matte_window.face_shape(outline, n)
    return _looking(Window(image, mask, np.ones((n, n), np.float32), face), rng)
