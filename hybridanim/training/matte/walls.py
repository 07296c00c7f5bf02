"""Backgrounds for composited people: other clips' walls, flat and dark colours, noise."""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.types import Array

from .footage import Footage


def wall(footage: Footage, person: Array, mask: Array, rng: np.random.Generator) -> Array:
    """An (n, n, 3) uint8 background for a person; person, mask: the window of the person.

    Many are coloured like the person near the mask's edge, or dark: there the edge is hard to see.
    """
    n, kind = len(mask), rng.random()
    if kind < 0.35:
        return _part(footage.walls[int(rng.integers(len(footage.walls)))], n, rng)
    if kind < 0.47:  # another scene, with its person
        return _part(footage.images[int(rng.integers(len(footage.images)))], n, rng)
    if kind < 0.72:
        colour = _edge_colour(person, mask, rng)
    elif kind < 0.86:
        colour = rng.uniform(0, 45, 3)
    else:
        colour = rng.uniform(0, 255, 3)
    return _plain(colour, n, rng)


def _part(picture: Array, n: int, rng: np.random.Generator) -> Array:
    height, width = picture.shape[:2]
    side = int(rng.uniform(0.35, 1.0) * min(height, width))
    y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    part = picture[y : y + side, x : x + side]
    part = cv2.resize(part, (n, n), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        part = part[:, ::-1]
    if rng.random() < 0.3:
        part = cv2.GaussianBlur(part, (0, 0), rng.uniform(1, 6))
    return np.ascontiguousarray(part)


def _edge_colour(person: Array, mask: Array, rng: np.random.Generator) -> Array:
    """A colour of the person near the edge of the upper half: hair, mostly."""
    inside = mask > 0.9
    rim = inside & (cv2.erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0)
    rim[int(0.6 * len(rim)) :] = False
    rows = np.flatnonzero(rim)
    if not len(rows):
        return rng.uniform(0, 255, 3)
    row = int(rng.choice(rows))
    near = person.reshape(-1, 3)[rows[np.abs(rows - row) < 3 * len(mask)]]
    return near.mean(0) * rng.uniform(0.7, 1.2) + rng.normal(0, 8, 3)


def _plain(colour: Array, n: int, rng: np.random.Generator) -> Array:
    """One colour, or a ramp between two, with blotches and grain."""
    out = np.broadcast_to(np.asarray(colour, np.float32), (n, n, 3)).copy()
    if rng.random() < 0.5:
        angle, at = rng.uniform(0, 2 * np.pi), np.linspace(-0.5, 0.5, n, dtype=np.float32)
        ramp = np.float32(np.cos(angle)) * at[None] + np.float32(np.sin(angle)) * at[:, None]
        out += ramp[..., None] * rng.normal(0, 50, 3).astype(np.float32)
    if rng.random() < 0.6:
        coarse = int(rng.integers(3, 24))
        blotches = rng.standard_normal((coarse, coarse, 3), np.float32)
        if rng.random() < 0.6:
            blotches[:] = blotches.mean(2, keepdims=True)
        out += cv2.resize(blotches, (n, n), interpolation=cv2.INTER_CUBIC) * rng.uniform(2, 30)
    out += rng.standard_normal((n, n, 1), np.float32) * np.float32(rng.uniform(0, 8))
    return np.clip(out, 0, 255).astype(np.uint8)
