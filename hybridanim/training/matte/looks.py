"""Changes of a window's look: light, colour, blur, noise, JPEG, and filters that look painted."""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.types import Array

_LUMA = np.array([[0.299], [0.587], [0.114]], np.float32)
_LEAST_BRIGHT = 0.35  # of the window's brightest parts: darker pictures show nobody


def painted(image: Array, rng: np.random.Generator) -> Array:
    """An (n, n, 3) uint8 window as if it were painted or drawn."""
    kind = int(rng.integers(6))
    if kind == 0:
        out = cv2.stylization(image, sigma_s=rng.uniform(8, 40), sigma_r=rng.uniform(0.2, 0.6))
    elif kind == 1:
        strong = rng.uniform(0.2, 0.6)
        out = cv2.edgePreservingFilter(image, flags=1, sigma_s=rng.uniform(10, 50), sigma_r=strong)
    elif kind == 2:
        grey, colour = cv2.pencilSketch(
            image, sigma_s=rng.uniform(10, 50), sigma_r=rng.uniform(0.05, 0.12), shade_factor=0.04
        )
        out = np.repeat(grey[..., None], 3, 2) if rng.random() < 0.5 else colour
    elif kind == 3:
        out = cv2.bilateralFilter(image, 9, rng.uniform(40, 120), rng.uniform(3, 8))
    elif kind == 4:
        out = cv2.medianBlur(image, int(rng.choice([5, 7, 9])))
    else:  # few tones
        step = int(rng.integers(24, 64))
        out = cv2.medianBlur(image // step * step + step // 2, 3)
    if rng.random() < 0.4:  # canvas, brush strokes
        grain = rng.standard_normal(image.shape[:2], np.float32)
        grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.6, 3), sigmaY=rng.uniform(0.6, 3))
        grain *= rng.uniform(3, 14) / max(float(grain.std()), 1e-3)
        out = np.clip(out + grain[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.25:  # ink along edges
        edges = cv2.Canny(image, 60, 140)
        edges = cv2.dilate(edges, np.ones((2, 2), np.uint8)) if rng.random() < 0.5 else edges
        out = np.where(edges[..., None] > 0, out // 4, out)
    return np.asarray(out, np.uint8)


def relit(image: Array, rng: np.random.Generator) -> Array:
    """(n, n, 3) uint8 in other light and colours, blurred, noisy, compressed."""
    n = len(image)
    values = image.astype(np.float32) * np.float32(1 / 255)
    values = np.power(values, np.float32(np.exp(rng.normal(0, 0.3))))
    if rng.random() < 0.2:
        values = np.repeat(values @ _LUMA, 3, 2)
    elif rng.random() < 0.4:
        mixing = np.eye(3) + rng.normal(0, 0.15, (3, 3))
        values = values @ (mixing / mixing.sum(1, keepdims=True)).T.astype(np.float32)
    if rng.random() < 0.4:  # toned paper, coloured light
        values = values * np.exp(rng.normal(0, 0.22, 3)).astype(np.float32)
    if rng.random() < 0.4:  # light from one side; the far side may be black
        angle, at = rng.uniform(0, 2 * np.pi), np.linspace(-1, 1, n, dtype=np.float32)
        ramp = np.float32(np.cos(angle)) * at[None] + np.float32(np.sin(angle)) * at[:, None]
        steep = rng.uniform(0.5, 4)
        shade = 1 / (1 + np.exp(-steep * (ramp - rng.uniform(-0.4, 0.4)) * 2))
        low = rng.uniform(0.04, 0.7)
        values = values * (low + (1 - low) * shade)[..., None].astype(np.float32)
    if rng.random() < 0.15:
        values = values * np.float32(rng.uniform(0.25, 0.7))
    bright = float(np.quantile(values[::4, ::4], 0.98))
    values = values * np.float32(max(1.0, _LEAST_BRIGHT / max(bright, 1e-3)))
    middle = values.mean()
    values = middle + (values - middle) * np.float32(np.exp(rng.normal(0, 0.25)))
    values += np.float32(rng.normal(0, 0.06))
    if rng.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.3:
        noise = rng.standard_normal(values.shape, np.float32)
        values = values + noise * np.float32(rng.uniform(0, 0.06))
    out = np.clip(values * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))]
        out = cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(out, np.uint8)
