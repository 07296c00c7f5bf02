"""Drawn people: ellipses and polygons in flat colours, with exact masks.

Few clips show drawings; these teach what a drawn head with hair, neck and shoulders looks like.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.types import Array

_SUB = 4  # supersampling, so that edges are soft


def doll(n: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """One drawing: (n, n, 3) uint8, mask (n, n) float32, outline of the face (24, 2) in pixels."""
    size = n * _SUB
    unit = size * rng.uniform(0.16, 0.26)  # half of the face's width
    x, y = size * rng.uniform(0.42, 0.58), size * rng.uniform(0.38, 0.52)
    tilt = rng.normal(0, 9)
    wall = rng.uniform(0, 255, 3) if rng.random() < 0.6 else rng.uniform(0, 50, 3)
    image = np.broadcast_to(wall, (size, size, 3)).astype(np.uint8).copy()
    mask = np.zeros((size, size), np.uint8)
    hair = wall + rng.normal(0, 25, 3) if rng.random() < 0.35 else rng.uniform(0, 230, 3)
    skin = np.array([225, 170, 140]) * rng.uniform(0.35, 1.1) + rng.normal(0, 14, 3)

    def put(colour: Array, draw: str, *shape: object) -> None:
        tone = tuple(float(v) for v in np.clip(colour, 0, 255))
        for canvas, value in ((image, tone), (mask, 255)):
            if draw == "ellipse":
                cv2.ellipse(canvas, shape, value, -1)  # pyright: ignore[reportArgumentType, reportCallIssue]
            else:
                cv2.fillPoly(canvas, [np.rint(shape[0]).astype(np.int32)], value)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def ellipse(colour: Array, dx: float, dy: float, rx: float, ry: float) -> None:
        c, s = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
        at = (x + unit * (c * dx - s * dy), y + unit * (s * dx + c * dy))
        put(colour, "ellipse", at, (2 * rx * unit, 2 * ry * unit), tilt)

    wide = rng.uniform(1.08, 1.6)
    if rng.random() < 0.5:  # long hair behind the shoulders
        ellipse(hair, 0, rng.uniform(0.2, 0.9), wide * 1.05, rng.uniform(1.5, 2.2))
    top, broad = y + unit * rng.uniform(1.5, 1.9), unit * rng.uniform(1.5, 3.0)
    neck = unit * rng.uniform(0.4, 0.65)
    cloth = hair + rng.normal(0, 15, 3) if rng.random() < 0.2 else rng.uniform(0, 255, 3)
    put(cloth, "polygon", np.array([
        (x - neck, top), (x + neck, top), (x + broad, top + unit * rng.uniform(0.3, 0.9)),
        (x + 1.1 * broad, 2 * size), (x - 1.1 * broad, 2 * size),
        (x - broad, top + unit * rng.uniform(0.3, 0.9)),
    ]))  # fmt: skip
    low = top + 0.3 * unit
    corners = [(x - neck, y), (x + neck, y), (x + neck, low), (x - neck, low)]
    put(0.85 * skin, "polygon", np.array(corners))
    ellipse(hair, rng.normal(0, 0.08), -0.3, wide, rng.uniform(1.3, 1.7))
    for side in (-1, 1):
        if rng.random() < 0.6:
            ellipse(0.93 * skin, side * 1.02, 0.1, 0.15, 0.25)
    ellipse(skin, 0, 0.12, 1.0, rng.uniform(1.2, 1.35))
    _features(ellipse, rng)
    down = {"dsize": (n, n), "interpolation": cv2.INTER_AREA}
    outline = np.array(cv2.ellipse2Poly((0, 0), (1000, 1150), round(tilt), 0, 345, 15)) / 1000
    places = (np.array([x, y + 0.12 * unit]) + unit * outline + 0.5) / _SUB - 0.5
    return cv2.resize(image, **down), cv2.resize(mask, **down) / np.float32(255), places


def _features(ellipse, rng: np.random.Generator) -> None:
    """Eyes, brows, mouth and a nose."""
    dark, eye = rng.uniform(0, 90, 3), rng.uniform(0.1, 0.28)
    for side in (-1, 1):
        ellipse(np.full(3, 245.0), 0.42 * side, -0.05, eye * 1.2, eye * rng.uniform(0.5, 1.1))
        ellipse(dark, 0.42 * side, -0.05, eye * 0.6, eye * 0.6)
        ellipse(dark, 0.42 * side, -0.45, 0.22, 0.05)
    ellipse(np.array([170, 60, 60]) * rng.uniform(0.5, 1.2), 0, 0.75, rng.uniform(0.2, 0.4), 0.09)
    ellipse(np.array([150, 90, 70]) * rng.uniform(0.5, 1.2), 0, 0.35, 0.1, 0.05)
