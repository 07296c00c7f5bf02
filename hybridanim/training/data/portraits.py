"""A picture -> a clip of synthetic smooth motion: one more identity without a video.

Every frame is the picture under an affine and a thin-plate spline, known in closed form; keypoints
of the picture follow exactly, places by inverting the map, Jacobians by its derivative. For a face
a Gaussian window limits the motion to the head, so that the border does not move, as in a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.types import Array

_LATTICE = 4  # control points a side of the spline
_STEPS = 12  # of Newton's method; 6 are enough to a thousandth of a pixel


@dataclass(frozen=True, slots=True)
class MotionRange:
    """Limits of the synthetic motion."""

    turn_deg: float = 12.0
    """Largest rotation."""
    grow: float = 0.1
    """Largest change of scale, either way."""
    shear: float = 0.06
    """Largest shear and stretch."""
    shift_norm: float = 0.12
    """Largest translation."""
    spline_norm: float = 0.035
    """Standard deviation of the spline's displacements."""


@dataclass(frozen=True, slots=True)
class PortraitWarp:
    """Map from a frame to the picture: picture = place + window(place) displacement(place)."""

    affine: Array  # (2, 3), the displacement's linear part and shift
    knots: Array  # (N, 2)
    weights: Array  # (N, 2) of the spline's kernel
    centre: Array  # (2,) of the window
    reach: float  # its sigma, or inf: everything moves

    def __call__(self, xy: Array) -> Array:
        """Places of the picture that a frame shows at (..., 2)."""
        return xy + self._window(xy)[..., None] * self._displacement(xy)

    def derivative(self, xy: Array) -> Array:
        """(..., 2, 2) of the map at (..., 2)."""
        window, displacement = self._window(xy), self._displacement(xy)
        away = xy[..., None, :] - self.knots
        square = np.maximum((away**2).sum(-1), 1e-12)
        # d (r^2 log r^2) = 2 (log r^2 + 1) (x - knot)
        slope = 2 * (np.log(square) + 1)[..., None] * away
        spline = np.einsum("...nj,ni->...ij", slope, self.weights)
        out = window[..., None, None] * (self.affine[:, :2] + spline)
        if np.isfinite(self.reach):
            fall = -window[..., None] * (xy - self.centre) / self.reach**2
            out = out + displacement[..., :, None] * fall[..., None, :]
        return np.eye(2) + out

    def inverse(self, xy: Array) -> Array:
        """Places at which a frame shows the picture's places (..., 2), by Newton's method."""
        found = np.array(xy, np.float64)
        for _ in range(_STEPS):
            step = np.linalg.solve(self.derivative(found), (self(found) - xy)[..., None])
            found -= step[..., 0]
        return found

    def _displacement(self, xy: Array) -> Array:
        square = ((xy[..., None, :] - self.knots) ** 2).sum(-1)
        kernel = square * np.log(np.maximum(square, 1e-12))
        return kernel @ self.weights + xy @ self.affine[:, :2].T + self.affine[:, 2]

    def _window(self, xy: Array) -> Array:
        if not np.isfinite(self.reach):
            return np.ones(xy.shape[:-1])
        return np.exp(-0.5 * ((xy - self.centre) ** 2).sum(-1) / self.reach**2)


def smooth_warps(
    count: int,
    rng: np.random.Generator,
    motion: MotionRange,
    *,
    centre: Array | None = None,
    reach: float = np.inf,
) -> list[PortraitWarp]:
    """A smooth sequence of maps, the first one the identity; none folds the picture."""
    axis = np.linspace(-1, 1, _LATTICE)
    knots = np.dstack(np.meshgrid(axis, axis)).reshape(-1, 2) * 0.9
    solve = np.linalg.inv(_system(knots))
    size = 6 + 2 * len(knots)
    # a few sines a parameter: smooth, never the same twice
    phases, speeds = rng.uniform(0, 2 * np.pi, (2, size)), rng.uniform(0.5, 2.0, (2, size))
    middle = np.zeros(2) if centre is None else centre
    out = []
    for i in range(count):
        angle = 2 * np.pi * i / max(1, count)
        wave = (np.sin(speeds * angle + phases) - np.sin(phases)).mean(0) / 1.2
        out.append(_warp(wave, knots, solve, motion, middle, reach))
    return out


def animate(
    picture: Array, rows: dict[str, Array], path: list[PortraitWarp]
) -> tuple[Array, dict[str, Array]]:
    """Frames (N, S, S, 3) of a square picture under a sequence of maps, and its keypoints.

    rows: keypoint sets of the picture, (K, 7) each -> (N, K, 7).
    """
    grid = geometry.grid_norm(len(picture)).astype(np.float64)
    frames = np.array([geometry.warp(picture, warp(grid), cv2.INTER_CUBIC) for warp in path])
    moved = {
        name: np.array([move_keypoints(one, warp) for warp in path]) for name, one in rows.items()
    }
    return frames, moved


def move_keypoints(rows: Array, warp: PortraitWarp) -> Array:
    """Keypoints (K, 7) of the picture in a frame."""
    out = np.array(rows, np.float64)
    xy = warp.inverse(out[:, :2])
    inverse = np.linalg.inv(warp.derivative(xy))
    out[:, :2] = xy
    out[:, 2:6] = (inverse @ out[:, 2:6].reshape(-1, 2, 2)).reshape(-1, 4)
    return out.astype(np.float32)


def _system(knots: Array) -> Array:
    """The spline's equations: kernel, and no affine part of its own (Bookstein 1989)."""
    square = ((knots[:, None] - knots[None]) ** 2).sum(-1)
    flat = np.column_stack([np.ones(len(knots)), knots])
    top = np.hstack([square * np.log(np.maximum(square, 1e-12)), flat])
    return np.vstack([top, np.hstack([flat.T, np.zeros((3, 3))])])


def _warp(
    wave: Array, knots: Array, solve: Array, motion: MotionRange, middle: Array, reach: float
) -> PortraitWarp:
    """One map; wave: a number of about -1 to 1 for each parameter."""
    angle, scale = np.deg2rad(motion.turn_deg) * wave[0], np.exp(motion.grow * wave[1])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.array([[1 + motion.shear * wave[2], motion.shear * wave[3]], [0, 1]])
    shift = motion.shift_norm * np.array([wave[4], wave[5]])
    shifts = motion.spline_norm * wave[6 : 6 + 2 * len(knots)].reshape(-1, 2)
    found = solve @ np.vstack([shifts, np.zeros((3, 2))])
    # displacement = (linear - 1)(z - middle) + shift + spline(z)
    own = linear - np.eye(2) + found[len(knots) + 1 :].T
    start = shift - (linear - np.eye(2)) @ middle + found[len(knots)]
    warp = PortraitWarp(np.column_stack([own, start]), knots, found[: len(knots)], middle, reach)
    return _unfolded(warp)


def _unfolded(warp: PortraitWarp) -> PortraitWarp:
    """Weaken the map until it folds nothing and stretches nothing by more than 2.5."""
    grid = geometry.grid_norm(24).astype(np.float64)
    for _ in range(20):
        stretch = np.linalg.svd(warp.derivative(grid), compute_uv=False)
        is_turned = np.linalg.det(warp.derivative(grid)).min() <= 0
        if not is_turned and stretch.max() < 2.5 and stretch.min() > 0.4:
            return warp
        warp = PortraitWarp(
            0.8 * warp.affine, warp.knots, 0.8 * warp.weights, warp.centre, warp.reach
        )
    return warp
