"""Surface colour, normal and place -> light: two lamps, sky, translucent skin, highlights.

Linear light throughout. Diffuse light wraps round the terminator, most in red, as in skin; the
highlight is Blinn-Phong scaled by the painted gloss (Blinn 1977).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .raster import Array


@dataclass(frozen=True, slots=True)
class Light:
    """The lamps; directions point from the head to the lamp, in camera axes x right, y up."""

    key_direction: tuple[float, float, float] = (-0.5, 0.55, 0.75)
    key_rgb: tuple[float, float, float] = (1.12, 1.03, 0.93)
    fill_direction: tuple[float, float, float] = (0.85, 0.1, 0.5)
    fill_rgb: tuple[float, float, float] = (0.22, 0.25, 0.3)
    sky_rgb: tuple[float, float, float] = (0.26, 0.28, 0.3)
    ground_rgb: tuple[float, float, float] = (0.14, 0.12, 0.1)


WRAP = {"skin": (0.42, 0.24, 0.18), "other": (0.15, 0.15, 0.15)}
SHINE = {"skin": (0.16, 16.0), "eye": (3.0, 150.0), "other": (0.12, 14.0), "inside": (0.0, 1.0)}
INSIDE_TINT = (0.16, 0.05, 0.045)


def _unit(vector: tuple[float, ...]) -> Array:
    value = np.array(vector, np.float32)
    return value / np.linalg.norm(value)


def _lamp(normal: Array, direction: Array, wrap: Array) -> Array:
    """(N, 3) diffuse share of a lamp; ``wrap`` (N, 3) lets it reach behind the terminator."""
    cosine = (normal @ direction)[:, None]
    return np.maximum((cosine + wrap) / (1 + wrap), 0) ** 1.2


def shade(
    colour: Array, normal: Array, view: Array, materials: Array, names: list[str], light: Light
) -> Array:
    """(N, 3) float32 linear light.

    colour: (N, 4) linear RGB and gloss; normal, view: (N, 3) unit float32, camera axes with y up
    and z to the viewer; materials: (N,) index into ``names`` (keys of SHINE).
    """
    wrap = np.array([WRAP["skin" if n == "skin" else "other"] for n in names], np.float32)
    shine = np.array([SHINE[n] for n in names], np.float32)[materials]
    wrap = wrap[materials]
    key, fill = _unit(light.key_direction), _unit(light.fill_direction)
    up = (normal[:, 1:2] + 1) / 2
    sky, ground = np.array(light.sky_rgb, np.float32), np.array(light.ground_rgb, np.float32)
    total = ground + (sky - ground) * up
    total = total + _lamp(normal, key, wrap) * np.array(light.key_rgb, np.float32)
    total += _lamp(normal, fill, wrap) * np.array(light.fill_rgb, np.float32)
    result = colour[:, :3] * total
    half = view + key
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    facing = np.clip(np.einsum("ij,ij->i", normal, half), 0, 1)
    highlight = shine[:, 0] * colour[:, 3] * np.power(facing, shine[:, 1])
    edge = np.power(1 - np.clip(np.einsum("ij,ij->i", normal, view), 0, 1), 4)
    highlight += 0.1 * colour[:, 3] * edge
    tint = np.array([INSIDE_TINT if n == "inside" else (1, 1, 1) for n in names], np.float32)
    return (result + highlight[:, None]) * tint[materials]
