"""Changes of a window that move its points, or cover them: bent faces, glasses."""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.types import Array

_NODES = (4, 3)  # of the bending, across and down
_INVERSION_STEPS = 4  # of a fixed-point iteration; the bending is gentle, so it contracts


def bent(
    window: Array, xy_px: Array, deviation_px: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The window (H, W) uint8 under a smooth random deformation, and its points (N, 2) there.

    deviation_px: of the shifts at the nodes of a coarse grid, between which they are interpolated
    (elastic deformation; Simard et al. 2003). Mouths and lids become wider, narrower, higher, askew
    while the rest of the window hardly changes.
    """
    height, width = window.shape
    nodes = rng.normal(0, deviation_px, (_NODES[1], _NODES[0], 2)).astype(np.float32)
    shift = cv2.resize(nodes, (width, height), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    out = cv2.remap(
        window, x + shift[..., 0], y + shift[..., 1], cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE
    )
    there = xy_px.astype(np.float32)
    for _ in range(_INVERSION_STEPS):  # out(q) shows window(q + shift(q)): q = p - shift(q)
        at = there[None]
        moved = cv2.remap(
            shift, at[..., 0], at[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
        )
        there = xy_px.astype(np.float32) - moved[0]
    return out, there


def with_glasses(window: Array, rng: np.random.Generator) -> Array:
    """The window (H, W) uint8 of an eye behind glasses: a rim, and a lens clear, dark or mirroring.

    The lens is an ellipse about the eye; what it mirrors is a gradient and a bright band.
    """
    height, width = window.shape
    centre = np.array([width, height]) / 2 + rng.normal(0, 0.06 * width, 2)
    axes = width * rng.uniform([0.75, 0.5], [1.2, 1.0])
    box = (tuple(map(float, centre)), tuple(map(float, axes)), float(rng.normal(0, 8)))
    values = window.astype(np.float32)
    if rng.random() < 0.5:  # otherwise clear
        lens = np.zeros((height, width), np.float32)
        cv2.ellipse(lens, box, 1.0, -1)
        angle = rng.uniform(0, 2 * np.pi)
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        along = np.cos(angle) * x + np.sin(angle) * y
        mirrored = rng.uniform(0, 200) + rng.uniform(-80, 80) * along
        mirrored += rng.uniform(0, 120) * (np.abs(along - rng.uniform(-0.8, 0.8)) < 0.15)
        cover = (rng.uniform(0.2, 0.95) * lens).astype(np.float32)
        values = values + cover * (mirrored.astype(np.float32) - values)
    out = np.clip(values, 0, 255).astype(np.uint8)
    cv2.ellipse(out, box, int(rng.integers(0, 256)), int(rng.integers(1, 4)), cv2.LINE_AA)
    return out
