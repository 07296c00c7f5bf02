"""A photograph -> the same as a drawing, a painting, a print or a bad photograph; OpenCV only.

Pictures are (H, W, 3) uint8 RGB, in and out, of the same size. Equal pictures give equal results.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def grey(image: Array) -> Array:
    """A grey photograph."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def pencil(image: Array) -> Array:
    """A pencil sketch: light over its own blur, so that only edges leave a line."""
    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    line = np.minimum(light / np.maximum(cv2.GaussianBlur(light, (0, 0), 6), 1), 1)
    shade = 0.86 + 0.14 * np.clip(light / 170, 0, 1)
    grain = np.random.default_rng(0).normal(0, 0.03, light.shape).astype(np.float32)
    drawn = np.clip(line * shade + cv2.GaussianBlur(grain, (0, 0), 0.8), 0, 1)
    return np.round(drawn[..., None] * np.array([250, 247, 238])).astype(np.uint8)


def oil(image: Array) -> Array:
    """An oil painting: each place takes the mean colour of its neighbourhood's commonest light."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    twice = cv2.resize(bgr, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)  # for finer strokes
    painted = cv2.resize(cv2.xphoto.oilPainting(twice, 4, 1), bgr.shape[1::-1])
    return cv2.cvtColor(painted, cv2.COLOR_BGR2RGB)


def etching(image: Array) -> Array:
    """Three layers of hatching; each begins where it is darker, and swells with the darkness."""
    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    light = cv2.createCLAHE(2.0, (4, 4)).apply(light).astype(np.float32) / 255
    light = cv2.GaussianBlur(light, (0, 0), 1.0)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]].astype(np.float32)
    ink = np.zeros_like(light)
    for angle_deg, spacing_px, start in ((40, 5.0, 0.85), (-50, 5.0, 0.5), (0, 4.0, 0.25)):
        a = np.deg2rad(angle_deg)
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * (x * np.sin(a) + y * np.cos(a)) / spacing_px)
        thick = np.clip((start - light) / start, 0, 1) * 0.75
        ink = np.maximum(ink, np.clip((wave - 1 + thick) * 5 + 0.5, 0, 1) * (thick > 0))
    edge = np.clip(light / np.maximum(cv2.GaussianBlur(light, (0, 0), 4), 0.02), 0, 1)
    ink = np.maximum(ink, np.clip((0.9 - edge) * 4, 0, 1))
    paper, black = np.array([243, 234, 214]), np.array([36, 28, 26])
    return np.round(paper + (black - paper) * ink[..., None]).astype(np.uint8)


def halftone(image: Array, spacing_px: float = 5.0) -> Array:
    """Newsprint: dots on a turned grid, as large as the place is dark."""
    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    y, x = np.mgrid[: light.shape[0], : light.shape[1]].astype(np.float32)
    u, v = (x + y) / np.sqrt(2), (x - y) / np.sqrt(2)
    wave = np.cos(2 * np.pi * u / spacing_px) + np.cos(2 * np.pi * v / spacing_px)
    ink = np.clip((0.5 + 0.25 * wave - 0.97 * light) * 4 + 0.5, 0, 1)
    paper, black = np.array([238, 232, 218]), np.array([28, 28, 32])
    return np.round(paper + (black - paper) * ink[..., None]).astype(np.uint8)


def low_light(image: Array) -> Array:
    """A snapshot in a dark room: an eighth of the light, bluish, with the noise of a small lens."""
    linear = np.power(image.astype(np.float32) / 255, 2.2) * np.array([0.1, 0.115, 0.15])
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, image.shape).astype(np.float32)
    linear = linear + noise * (0.0035 + 0.05 * np.sqrt(np.maximum(linear, 0)) * 0.35)
    return np.round(255 * np.power(np.clip(linear, 0, 1), 1 / 2.2)).astype(np.uint8)


def small(image: Array, side_px: int = 150) -> Array:
    """A thumbnail, compressed hard and enlarged again."""
    height, width = image.shape[:2]
    scale = side_px / max(height, width)
    less = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, stored = cv2.imencode(
        ".jpg", cv2.cvtColor(less, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 45]
    )
    decoded = cv2.imdecode(stored, cv2.IMREAD_COLOR)
    assert decoded is not None  # encoded just above
    less = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return cv2.resize(less, (width, height), interpolation=cv2.INTER_CUBIC)
