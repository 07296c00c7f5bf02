"""Expression -> head mesh: skull profiles, sculpted features, lids that close, a jaw that opens.

The skin is a grid of azimuth x height. At rest the eyes and the mouth are closed; the grid is cut
along the two slits, and lids and lips are displacement fields that part there, so every skin
point keeps its vertex and its texel in every expression. Lengths are centimetres in head axes: x
right in the picture, y up, z to the viewer; the origin is inside the skull, at eye level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from .raster import Array
from .surfaces import bump, grid_normals, grid_triangles, smooth_step

EYE_X, EYE_HALF, MOUTH_Y, MOUTH_HALF = 3.15, 1.5, -6.8, 2.45
EYEBALL = np.array([1.75, 1.35, 1.25])  # half axes: wider than tall, so that the corners are filled
CROWN_Y, BOTTOM_Y = 11.6, -11.8
_COLUMNS = 141
# height, front z, half width, back z, z of the widest place
_PROFILE = np.array(
    [
        (3.0, 9.5, 7.5, -10.0, -0.5),
        (1.5, 9.5, 7.3, -10.0, -0.3),
        (0.0, 9.15, 7.05, -9.7, 0.0),
        (-2.0, 9.0, 6.85, -9.0, 0.2),
        (-4.0, 9.0, 6.5, -8.0, 0.5),
        (-6.0, 9.0, 6.0, -7.0, 0.8),
        (-8.0, 8.9, 5.2, -5.5, 1.4),
        (-9.5, 8.75, 4.25, -3.5, 2.4),
        (-10.6, 8.3, 3.2, -1.0, 3.6),
        (-11.3, 7.4, 2.5, 0.8, 4.1),
        (-11.6, 6.6, 1.9, 2.2, 4.5),
        (-11.8, 5.0, 0.1, 4.8, 4.9),
    ]
)[::-1]


@dataclass(frozen=True, slots=True)
class Expression:
    """What the face does, each 0 at rest."""

    jaw: float = 0.0  # 0 closed, 1 wide open
    wide: float = 0.0  # -1 lips rounded and pushed out, 1 drawn wide
    smile: float = 0.0  # 0 to 1
    brows: float = 0.0  # -1 frown, 1 raised
    blink_left: float = 0.0  # 0 open, 1 shut; left as seen in the picture
    blink_right: float = 0.0
    gaze_x: float = 0.0  # cm on the eyeball, to the picture's right
    gaze_y: float = 0.0  # cm on the eyeball, up


def azimuth(s: Array) -> Array:
    """Grid coordinate in [-1, 1] to azimuth in radians, denser in front."""
    return np.pi * (0.5 * s + 0.5 * s**3)


def _skull(angle: Array, y: Array) -> tuple[Array, Array]:
    """Horizontal position x, z of the plain skull (no features)."""
    low = np.minimum(y, 3.0)
    front, width, back, middle = (
        PchipInterpolator(_PROFILE[:, 0], _PROFILE[:, k])(low) for k in range(1, 5)
    )
    # Above the brows the profiles close as a superellipse.
    top = np.clip((y - 3.0) / (CROWN_Y - 3.0), 0, 1)
    close = np.power(1 - top**2.3, 1 / 2.0)
    width = width * close
    front, back = middle + (front - middle) * close, middle + (back - middle) * close
    sine, cosine = np.sin(angle), np.cos(angle)
    power = np.where(cosine > 0, 2.3, 2.1)
    reach = np.power(np.maximum(1 - np.abs(sine) ** power, 0), 1 / power)
    z = np.where(cosine > 0, middle + (front - middle) * reach, middle + (back - middle) * reach)
    return width * sine, z


def _nose(x: Array, y: Array) -> Array:
    ridge = PchipInterpolator(
        [-5.2, -4.75, -4.4, -4.0, -3.6, -2.6, -1.0, 0.3, 1.3, 2.2],
        [0.0, 0.15, 1.2, 2.25, 2.55, 2.0, 1.2, 0.6, 0.3, 0.0],
    )(np.clip(y, -5.2, 2.2))
    width = np.interp(y, [-4.4, -3.4, -1.5, 0.5, 2], [0.92, 1.02, 0.98, 0.8, 1.0])
    wings = 0.95 * bump(np.abs(x) - 1.32, 0.48) * bump(y + 3.95, 0.58)
    return ridge * np.exp(-np.power(np.abs(x) / width, 2.0)) + wings


def mouth_shape(x: Array) -> Array:
    """1 in the middle of the mouth, 0 from its corners on."""
    return np.power(np.clip(1 - np.square(x / MOUTH_HALF), 0, 1), 0.75)


def _features(x: Array, y: Array) -> Array:
    """Height of the sculpted features over the skull, in z."""
    side, lips, m = np.abs(x), mouth_shape(x), y - MOUTH_Y
    z = _nose(x, y)
    z += 0.45 * bump(y - 1.75, 0.75) * bump(side - 2.7, 2.0)  # brow ridge
    z -= 0.75 * bump(side - 3.1, 1.6) * bump(y - 0.1, 1.15)  # socket
    z -= 0.75 * bump(side - 1.75, 0.75) * bump(y - 0.2, 1.0)  # inner corner
    z += 0.45 * bump(side - 4.7, 1.6) * bump(y + 2.2, 1.4)  # cheekbone
    z -= 0.35 * bump(side - 4.4, 1.2) * bump(y + 6.0, 1.6)  # cheek
    z += 0.6 * bump(x, 2.8) * bump(m, 2.0)  # the teeth push the lips out
    z += 0.38 * bump(m - 0.42, 0.4) * lips - 0.12 * bump(x, 0.28) * bump(m - 1.3, 0.6)
    z += 0.48 * bump(m + 0.55, 0.45) * lips - 0.3 * bump(m, 0.14) * lips
    z -= 0.45 * bump(y + 8.55, 0.6) * bump(x, 2.0)  # fold under the lip
    z += 0.7 * bump(y + 10.0, 1.05) * bump(x, 1.7)  # chin
    fold = side - np.interp(y, [-7.5, -4.0], [3.5, 1.9])
    return z - 0.16 * bump(fold, 0.4) * smooth_step(-7.8, -6.5, y) * smooth_step(-3.6, -4.4, y)


def hair_mask(angle: Array, y: Array) -> Array:
    """How far inside the hairline, in cm: positive in the hair."""
    line = np.interp(
        np.abs(angle),
        [0.0, 0.35, 0.7, 0.95, 1.1, 1.3, 1.5, 1.62, 1.75, 2.1, np.pi],
        [6.3, 6.6, 6.1, 4.6, 2.6, 0.3, -2.2, 0.8, -2.0, -6.5, -8.0],
    )
    return y - line


def surface(s: Array, y: Array) -> tuple[Array, Array, Array]:
    """Rest surface: grid coordinate s in [-1, 1] and height to x, z and azimuth."""
    angle = azimuth(s)
    x, z = _skull(angle, y)
    front = smooth_step(-0.05, 0.35, np.cos(angle))
    z = z + front * _features(x, y)
    depth = hair_mask(angle, y)
    strands = 0.16 * np.sin(37 * angle + 1.3 * y) + 0.12 * np.sin(61 * angle - 0.9 * y)
    thick = smooth_step(-0.05, 1.5, depth) * (0.75 + 0.55 * smooth_step(2, 9, y) + strands)
    return x * (1 + thick / 7.5), z + thick * np.cos(angle) * (1 - 0.4 * front), angle


def _rows() -> list[Array]:
    """Heights of the three blocks: above the eyes, eyes to mouth, below the mouth."""
    u = np.linspace(0, 1, 46)
    top = CROWN_Y * np.sin(np.pi / 2 * (0.15 * u + 0.85 * u**1.35))[::-1]
    u = np.linspace(0, 1, 40)
    middle = MOUTH_Y * (u - 0.12 * np.sin(2 * np.pi * u))
    u = np.linspace(0, 1, 34)
    low = MOUTH_Y + (BOTTOM_Y - MOUTH_Y) * (u - 0.1 * np.sin(2 * np.pi * u))
    return [top, middle, low]


class Head:
    """The skin and hair grid, its texture coordinates and its deformation."""

    def __init__(self) -> None:
        s = np.linspace(-1, 1, _COLUMNS)
        blocks, self._slices, triangles, start = [], [], [], 0
        for rows in _rows():
            grid_s, grid_y = np.meshgrid(s, rows)
            x, z, _ = surface(grid_s, grid_y)
            blocks.append(np.stack([x, grid_y, z, grid_s], axis=-1).reshape(-1, 4))
            triangles.append(grid_triangles(len(rows), _COLUMNS) + start)
            self._slices.append((start, len(rows)))
            start += grid_s.size
        data = np.concatenate(blocks)
        self.rest, self.triangles = data[:, :3], np.concatenate(triangles)
        self.uv = np.stack(
            [(data[:, 3] + 1) / 2, (CROWN_Y - data[:, 1]) / (CROWN_Y - BOTTOM_Y)], axis=1
        )
        counts = [rows * _COLUMNS for _, rows in self._slices]
        self._block = np.repeat([0, 1, 2], counts)  # 0 above the eyes, 2 below the mouth
        self._front = smooth_step(0.5, 3.5, self.rest[:, 2])
        middle = surface(np.array([0.4, 0.45]), np.array([0.0, 0.0]))
        depth = np.interp(EYE_X, middle[0], middle[1])
        self.eye_z = float(depth) - 0.95

    def deform(self, face: Expression) -> Array:
        """Vertex positions (V, 3) in head coordinates for an expression."""
        xyz = self.rest.copy()
        self._move_jaw(xyz, face)
        self._move_lips(xyz, face)
        self._move_brows(xyz, face)
        self._move_lids(xyz, face)
        return xyz

    def normals(self, xyz: Array) -> Array:
        """(V, 3) vertex normals; the two sides of a slit share theirs where it is not parted."""
        normal = np.empty_like(xyz)
        for start, rows in self._slices:
            part = slice(start, start + rows * _COLUMNS)
            grid = grid_normals(xyz[part].reshape(rows, _COLUMNS, 3))
            normal[part] = grid.reshape(-1, 3)
        for start, _ in self._slices[1:]:
            above, below = slice(start - _COLUMNS, start), slice(start, start + _COLUMNS)
            apart = np.linalg.norm(xyz[above] - xyz[below], axis=1) > 0.02
            mean = normal[above] + normal[below]
            mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
            normal[above] = np.where(apart[:, None], normal[above], mean)
            normal[below] = np.where(apart[:, None], normal[below], mean)
        return normal

    def vertex(self, x: float, y: float, block: int) -> int:
        """The front vertex nearest to rest position (x, y) in a block (0, 1 or 2)."""
        miss = np.square(self.rest[:, 0] - x) + np.square(self.rest[:, 1] - y)
        miss = miss + 1e3 * (self._block != block) + 1e3 * (self.rest[:, 2] < 1)
        return int(miss.argmin())

    def _move_jaw(self, xyz: Array, face: Expression) -> None:
        x, y, z = self.rest.T
        below = np.where(self._block == 2, MOUTH_Y - y, 0.0)
        bone = bump(x, 6.0) * smooth_step(-2.0, 4.5, z)
        weight = mouth_shape(x) + (bone - mouth_shape(x)) * smooth_step(0.0, 2.6, below)
        drop = 2.3 * face.jaw * weight * (self._block == 2) * self._front
        xyz[:, 1] -= drop
        xyz[:, 2] -= 0.35 * drop
        near = bump(y - MOUTH_Y, 1.2) * mouth_shape(x) * (self._block == 1)
        xyz[:, 1] += 0.28 * face.jaw * near
        # the cheeks above the corners are drawn down a little by the open jaw
        cheek = bump(np.abs(x) - 3.6, 1.6) * bump(y - MOUTH_Y, 2.2) * self._front
        xyz[:, 0] -= 0.25 * face.jaw * cheek * np.sign(x)

    def _move_lips(self, xyz: Array, face: Expression) -> None:
        x, y, _ = self.rest.T
        around = bump(y - MOUTH_Y, 2.0) * np.exp(-np.power(np.abs(x) / 4.2, 4)) * self._front
        across = np.clip(x / MOUTH_HALF, -1.4, 1.4)
        pull = (0.42 if face.wide > 0 else 0.72) * face.wide + 0.5 * face.smile
        xyz[:, 0] += pull * across * around
        purse = max(0.0, -face.wide)
        xyz[:, 2] += (0.75 * purse * bump(x, 2.0) - 0.3 * face.smile * np.abs(across)) * around
        corner = bump(np.abs(x) - MOUTH_HALF, 1.5) * bump(y - MOUTH_Y, 1.5) * self._front
        xyz[:, 1] += 0.62 * face.smile * corner
        apple = bump(np.abs(x) - 3.9, 1.5) * bump(y + 3.6, 1.5) * self._front
        xyz[:, 1] += 0.4 * face.smile * apple
        xyz[:, 2] += 0.35 * face.smile * apple

    def _move_brows(self, xyz: Array, face: Expression) -> None:
        x, y, _ = self.rest.T
        area = bump(y - 2.3, 1.5) * bump(np.abs(x) - 2.8, 3.0) * (self._block == 0) * self._front
        area = area * smooth_step(0.4, 1.6, y)
        xyz[:, 1] += 0.75 * face.brows * area

    def _move_lids(self, xyz: Array, face: Expression) -> None:
        x, y, z = self.rest.T
        u = (np.abs(x) - EYE_X) / EYE_HALF
        shape = np.power(np.clip(1 - np.square(u), 0, 1), 0.7) * (z > 3)
        shut = np.where(x < 0, face.blink_left, face.blink_right)
        inner = -np.clip(u, -1, 1) * 0.08  # the lid is highest a little inward of its middle
        lifted = (0.6 + inner + 0.1 * max(0.0, face.brows) + 0.3 * face.gaze_y) * shape
        low = (-0.36 + inner + 0.12 * face.smile) * shape
        upper = low + (lifted - low) * (1 - shut)
        fade = 1 - smooth_step(0.0, 1.75, np.abs(y))
        move = np.where(self._block == 0, upper, np.where(self._block == 1, low, 0.0)) * fade
        tilt = 0.09 * np.clip(u, -1.2, 1.2) * bump(u, 1.5) * bump(y, 1.5) * (z > 3)
        xyz[:, 1] += move + tilt
        for centre in (-EYE_X, EYE_X):
            inside = np.square((xyz[:, 0] - centre) / EYEBALL[0])
            inside = inside + np.square(xyz[:, 1] / EYEBALL[1])
            ball = self.eye_z + EYEBALL[2] * np.sqrt(np.maximum(1 - inside, 0))
            near = np.where((inside < 1) & (z > 3), ball + 0.1, -99.0)
            xyz[:, 2] = np.maximum(xyz[:, 2], near)
