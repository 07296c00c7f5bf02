"""Everything that is not the skin grid of the head: eyes, mouth, ears, neck, clothes, hands.

Each part is a Mesh in head coordinates (hands: their own, wrist at the origin, fingers up, palm to
the viewer), together with its patch of the texture atlas.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .head import EYEBALL, MOUTH_Y
from .raster import Array
from .surfaces import Mesh, grid_triangles, soft_union, tube


def eyeball(centre: tuple[float, float, float]) -> Mesh:
    """Front of an eyeball; uv is the plain front view, 4.4 cm wide, iris in the middle."""
    across = np.linspace(-1.45, 1.45, 25)
    a, b = np.meshgrid(across, across[::-1])
    unit = np.stack([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)], axis=-1)
    local = unit * EYEBALL
    uv = np.stack([0.5 + local[..., 0] / 4.4, 0.5 - local[..., 1] / 4.4], axis=-1)
    xyz = local.reshape(-1, 3) + np.array(centre)
    return Mesh(xyz, uv.reshape(-1, 2), grid_triangles(25, 25))


def socket(side: int, eye_z: float) -> Mesh:
    """Flesh behind an eyeball, which a turned head shows at the corners."""
    across = np.linspace(0.7, 4.7, 5)
    x, y = np.meshgrid(across if side > 0 else -across[::-1], np.linspace(1.6, -1.6, 5))
    xyz = np.stack([x, y, np.full_like(x, eye_z - 0.1)], axis=-1).reshape(-1, 3)
    return Mesh(xyz, np.full((25, 2), 0.5), grid_triangles(5, 5))


def mouth_cavity() -> Mesh:
    """A dark ellipsoid inside the skull: whatever is seen through the mouth ends there."""
    y = -4.0 + 8.0 * np.sin(np.linspace(1.5, -1.5, 21))
    share = np.sqrt(np.clip(1 - np.square((y + 4.0) / 8.0), 1e-4, 1))
    rings = np.stack([y, 0 * y, 0 * y, 5.0 * share, 6.0 * share], axis=1)
    mesh = tube(rings, 33)
    return Mesh(mesh.xyz, np.full_like(mesh.uv, 0.5), mesh.triangles)


def teeth(top_y: float, bottom_y: float, front_z: float) -> Mesh:
    """A dental arch between two heights."""
    a, y = np.meshgrid(np.linspace(-1.2, 1.2, 33), np.linspace(top_y, bottom_y, 5))
    curl = 0.25 * np.square((y - top_y) / (bottom_y - top_y) - 0.4)
    x, z = 2.5 * np.sin(a), front_z - 2.6 * (1 - np.cos(a)) - curl
    uv = np.stack([(a / 1.2 + 1) / 2, np.full_like(a, 0.5)], axis=-1)
    xyz = np.stack([x, y, z], axis=-1)
    return Mesh(xyz.reshape(-1, 3), uv.reshape(-1, 2), grid_triangles(5, 33))


def tongue() -> Mesh:
    """A flat ellipsoid on the floor of the mouth."""
    a, b = np.meshgrid(np.linspace(-1.5, 1.5, 17), np.linspace(1.5, -1.5, 13))
    x = 1.7 * np.sin(a) * np.cos(b)
    y = MOUTH_Y - 0.85 + 0.7 * np.sin(b) - 0.12 * np.exp(-np.square(x / 0.3))
    z = 5.4 + 2.7 * np.cos(a) * np.cos(b)
    xyz = np.stack([x, y, z], axis=-1)
    return Mesh(xyz.reshape(-1, 3), np.full((xyz.size // 3, 2), 0.5), grid_triangles(13, 17))


def ear(side: int) -> Mesh:
    """A shell with a raised rim; side -1 is the picture's left."""
    radius, turn = np.meshgrid(np.linspace(0, 1, 14), np.linspace(0, 2 * np.pi, 41), indexing="ij")
    egg = 1 + 0.18 * np.sin(turn)  # wider above than at the lobe
    fore, up = 1.55 * radius * egg * np.cos(turn), 3.0 * radius * np.sin(turn)
    lobe = np.clip(-np.sin(turn), 0, 1) ** 2
    rim = np.exp(-np.square((radius - 0.84) / 0.12)) * (1 - 0.6 * lobe)
    inner = np.exp(-np.square((radius - 0.5) / 0.1)) * (np.cos(turn) < 0.6)
    out = 0.5 * rim + 0.2 * inner - 0.2 * np.exp(-np.square(radius / 0.3)) - 0.6 * (radius > 0.99)
    out = out + 0.45 * (1.4 - fore)  # attached in front, standing off behind
    xyz = np.stack([side * (6.6 + out), up - 1.4, fore - 0.6], axis=-1)
    uv = np.stack([0.5 + 0.48 * radius * np.cos(turn), 0.5 - 0.48 * radius * np.sin(turn)], -1)
    triangles = grid_triangles(14, 41)
    flat = xyz.reshape(-1, 3)
    a, b, c = (flat[triangles[:, k]] for k in range(3))
    away = np.cross(b - a, c - a)[:, 0].sum() * side
    return Mesh(flat, uv.reshape(-1, 2), triangles if away > 0 else triangles[:, ::-1].copy())


def neck() -> Mesh:
    """From inside the skull down into the collar."""
    y = np.linspace(-4, -20, 25)
    half = np.interp(y, [-20, -17, -14, -9, -4], [9.0, 6.4, 5.3, 5.0, 4.8])
    deep = np.interp(y, [-20, -16, -9, -4], [7.5, 6.0, 5.6, 5.2])
    middle = np.interp(y, [-20, -9, -4], [-2.2, -1.6, -1.0])
    return tube(np.stack([y, 0 * y, middle, half, deep], axis=1))


def torso() -> Mesh:
    """Collar, shoulders and chest, clothed."""
    y = np.array([-14.4, -14.1, -14.4, -15.0, -16.0, -17.2, -18.6, -20.6, -23, -28, -34, -42, -50])
    half = np.array([5.4, 5.9, 6.3, 7.0, 9.2, 12.6, 16.0, 19.0, 20.6, 21.2, 20.8, 20.2, 20.0])
    deep = np.array([5.9, 6.4, 7.0, 7.3, 7.7, 8.3, 8.9, 9.6, 10.4, 11.0, 11.3, 11.4, 11.5])
    rings = np.stack([y, 0 * y, np.full_like(y, -1.9), half, deep], axis=1)
    t = np.linspace(0, len(y) - 1, 60)
    fine = np.stack([np.interp(t, np.arange(len(y)), rings[:, k]) for k in range(5)], axis=1)
    mesh = tube(fine, 96)
    uv = mesh.xyz[:, :2] / np.array([44.0, -44.0]) + np.array([0.5, -0.3])
    return Mesh(mesh.xyz, np.clip(uv, 0, 1), mesh.triangles)


FINGERS = (
    # base x, base y, tip x, tip y, radius at base and tip
    (-2.9, 8.6, -4.3, 14.6, 0.82, 0.62),
    (-1.0, 9.4, -1.5, 17.2, 0.9, 0.68),
    (1.1, 9.5, 1.35, 18.0, 0.92, 0.7),
    (3.0, 9.0, 4.1, 16.6, 0.9, 0.68),
)


HAND_BOX = (-6.8, 20.5, 15.5, 45.0)  # left, top, width, height of the hand's patch, cm


@cache
def hand() -> Mesh:
    """A right-pointing-thumb open hand and forearm, palm to the viewer."""
    parts = [
        (-2.3, 2.6, 0, -2.4, 8.0, 0, 1.7, 1.5),
        (-0.5, 2.4, 0, -0.7, 8.6, 0, 1.9, 1.5),
        (1.2, 2.4, 0, 1.1, 8.7, 0, 1.9, 1.5),
        (2.2, 3.0, 0, 2.7, 8.2, 0, 1.7, 1.5),
        (0, 1.0, 0, 0, -22, -1, 2.6, 4.2),
        (2.6, 3.4, 0.3, 5.0, 7.4, 0.9, 1.5, 1.0),
        (5.0, 7.4, 0.9, 6.2, 10.4, 0.9, 0.95, 0.72),
    ]
    for x0, y0, x1, y1, r0, r1 in FINGERS:
        xm, ym, rm = (x0 + x1) / 2, (y0 + y1) / 2, 0.93 * (r0 + r1) / 2
        parts += [(x0, y0, 0, xm, ym, 0.25, r0, rm), (xm, ym, 0.25, x1, y1, 0.1, rm, r1)]
    return soft_union(np.array(parts, float), 0.22, 0.42, 0.8)


@cache
def sleeve() -> Mesh:
    """The cuff and sleeve around the forearm."""
    y = np.array([-4.2, -4.0, -4.3, -6, -12, -20, -30, -45.0])
    half = np.array([3.3, 3.9, 4.2, 4.2, 4.8, 5.6, 6.4, 7.2])
    mesh = tube(np.stack([y, 0 * y, -0.4 + 0.0 * y, half, 0.9 * half], axis=1), 40)
    uv = mesh.xyz[:, :2] / np.array([44.0, -44.0]) + np.array([0.5, 0.0])
    return Mesh(mesh.xyz, np.clip(uv, 0, 1), mesh.triangles)


def mirrored(mesh: Mesh) -> Mesh:
    """The same mesh with x negated."""
    return Mesh(mesh.xyz * np.array([-1.0, 1, 1]), mesh.uv, mesh.triangles[:, ::-1].copy())


def hand_transform(xyz: Array, place: tuple[float, ...]) -> Array:
    """Put a hand at (x, y, z, roll_deg, yaw_deg): wrist position in cm, clockwise turn, turn."""
    x, y, z, roll, yaw = place
    a, b = np.deg2rad(roll), np.deg2rad(yaw)
    turn = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    tilt = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return xyz @ (tilt @ turn).T + np.array([x, y, z])
