"""Appearance of the drawn head: colours, beard, glasses, long hair and the wall behind.

The clip's own person is ``Looks()``; the gallery's portraits are others. Colours are sRGB. What a
look adds is painted into patches of the atlas that are otherwise empty, or is another mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .raster import Array
from .surfaces import Mesh, bump, grid_triangles, noise, smooth_step

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Looks:
    """How the person looks; equal looks give equal pixels."""

    hair_rgb: Rgb | None = None  # None: as the tone has it
    lips_rgb: Rgb | None = None
    iris_rgb: Rgb = (92, 66, 40)
    cloth_rgb: tuple[Rgb, Rgb] = ((38, 62, 86), (150, 166, 170))  # broad and narrow stripes
    wall_rgb: Rgb | None = None  # a plain wall of this colour in place of the room
    beard: float = 0.0  # 0 none, 0.4 stubble, 1 full
    glasses: bool = False
    long_hair: bool = False


def palette(tone: tuple[Rgb, Rgb, Rgb], looks: Looks) -> tuple[Rgb, Rgb, Rgb]:
    """Skin, lips and hair of a tone, with the look's own where it names them."""
    skin, lips, hair = tone
    return skin, looks.lips_rgb or lips, looks.hair_rgb or hair


def beard_mask(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """(H, W) in [0, 1] over rest coordinates in cm: cheeks below a line, chin, upper lip."""
    side = np.abs(x)
    ragged = noise(rng, x.shape, 8, 2)
    line = np.interp(side, [0, 2.4, 3.4, 4.6, 5.6, 6.6], [-4.95, -5.1, -5.6, -5.0, -3.2, -1.0])
    inside = smooth_step(0.3, -0.5, y - line + 0.5 * ragged) * (side < 50)
    lips = smooth_step(1.25, 0.95, np.hypot(side / 2.75, (y + 6.85) / 0.98))
    return np.clip(inside - 1.2 * lips, 0, 1)


def strands(rng: np.random.Generator, size: int) -> Array:
    """(size, size) shade of long hair, about 1, streaked downwards."""
    across = rng.uniform(-1, 1, (3, size)).astype(np.float32)
    streaks = np.repeat(across, -(-size // 3), axis=0)[:size]
    soft = noise(rng, (size, size), 60, 3) + noise(rng, (size, size), 14, 2)
    return np.clip(1 + 0.3 * streaks + 0.35 * soft, 0.3, 2.0)


def long_hair() -> Mesh:
    """A curtain from the crown to below the shoulders, open in front; both sides are drawn."""
    angle = np.linspace(0.31 * np.pi, 1.69 * np.pi, 71)
    y = np.linspace(7.5, -17.0, 40)
    half = np.interp(y, [-17, -12, -6, 0, 4, 7.5], [9.3, 9.5, 9.1, 8.7, 8.3, 7.0])[:, None]
    deep = np.interp(y, [-17, -10, -2, 4, 7.5], [7.0, 9.0, 10.9, 11.0, 9.0])[:, None]
    wave = 1 + 0.025 * np.sin(0.55 * y[:, None] + 5 * angle) + 0.02 * np.sin(23 * angle)
    x, z = half * wave * np.sin(angle), -1.0 + deep * wave * np.cos(angle)
    ends = 1.1 * np.sin(9 * angle) * smooth_step(-10, -17, y)[:, None]
    xyz = np.stack([x, y[:, None] + ends, z], axis=-1).reshape(-1, 3)
    u, v = np.meshgrid(np.linspace(0, 1, len(angle)), np.linspace(0, 1, len(y)))
    outside = grid_triangles(len(y), len(angle))
    both = np.concatenate([outside, outside[:, ::-1]])
    return Mesh(xyz, np.stack([u, v], axis=-1).reshape(-1, 2), both)


def glasses(eye_x: float, front_z: float) -> Mesh:
    """Two rims, a bridge and two temples of round wire."""
    turn = np.linspace(0, 2 * np.pi, 41)
    lines = []
    for side in (-1, 1):
        x = side * (eye_x + 0.15) + 2.35 * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.8
        y = -0.35 + 1.85 * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.8
        z = front_z - 0.035 * x * x
        lines.append(np.stack([x, y, z], axis=-1))
        outer = side * (eye_x + 2.45)
        z = np.linspace(front_z - 0.035 * outer * outer, -1.0, 9)
        x = np.linspace(outer, side * 7.6, 9)
        lines.append(np.stack([x, np.full(9, 0.35), z], axis=-1))
    x = np.linspace(-1.05, 1.05, 9)
    lines.append(np.stack([x, 0.25 + 0.35 * bump(x, 0.8), front_z + 0.1 - 0.03 * x * x], axis=-1))
    parts, triangles, start = [], [], 0
    for line in lines:
        xyz, faces = _wire(line, 0.2)
        parts.append(xyz)
        triangles.append(faces + start)
        start += len(xyz)
    xyz = np.concatenate(parts)
    return Mesh(xyz, np.full((len(xyz), 2), 0.5), np.concatenate(triangles))


def _wire(line: Array, radius: float, sides: int = 8) -> tuple[Array, Array]:
    """A tube round a polyline (N, 3); both of its sides are drawn."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    helper = np.where(np.abs(along[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(along, helper)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = np.cross(along, first)
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    around = first[:, None] * np.cos(turn)[:, None] + second[:, None] * np.sin(turn)[:, None]
    xyz = line[:, None] + radius * around
    faces = grid_triangles(len(line), sides + 1)
    return xyz.reshape(-1, 3), np.concatenate([faces, faces[:, ::-1]])
