"""Drawings of dense motion: optical flow colours, a deformed grid, occlusion, weights.

Canvas and DenseMotion in, new canvas out; the square of the motion fills the whole canvas. The
flow is backward (where a cell takes its pixels from), so it is shown negated: the direction in
which the content moves. Colour wheel after Baker et al. 2011, dark where nothing moves.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from hybridanim.geometry import grid_norm, resize_grid
from hybridanim.types import Array, DenseMotion, OpticalFlow

from . import primitives
from .primitives import Line

COMPASS = ((255, 168, 38), (222, 76, 168), (58, 142, 255), (52, 208, 146))  # right down left up
HUES = np.stack(
    [np.interp(np.arange(256) / 64, np.arange(5), [*c, c[0]]) for c in zip(*COMPASS, strict=True)],
    -1,
).astype(np.float32)  # (256, 3), clockwise from the right
REACHES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # full colour at this motion; few, so it rarely jumps


def moved_norm(motion: DenseMotion) -> Array:
    """(h, w, 2) float32: how far the content at each cell has come, in [-1, 1] units; no NaN."""
    h, w = motion.grid_norm.shape[:2]
    return np.nan_to_num(grid_norm(h, w) - motion.grid_norm, posinf=0, neginf=0)


def wheel(moved: Array, reach: float) -> Array:
    """(h, w, 2) motion to (h, w, 3) uint8: hue = direction, brightness = length up to ``reach``."""
    length, angle = cv2.cartToPolar(
        np.ascontiguousarray(moved[..., 0]), np.ascontiguousarray(moved[..., 1])
    )
    strength = np.sqrt(np.clip(length / reach, 0, 1))  # small motion stays visible
    hue = np.minimum(angle * (len(HUES) / 2 / np.pi), len(HUES) - 1).astype(np.int32)
    ground = np.array(primitives.DARK, np.float32)
    return (ground + (HUES[hue] - ground) * strength[..., None]).astype(np.uint8)


def reach_of(moved: Array) -> float:
    """The smallest of REACHES that 99 % of the motion stays below."""
    most = float(np.quantile(np.hypot(*np.moveaxis(moved, -1, 0)), 0.99)) if moved.size else 0.0
    return next((reach for reach in REACHES if most <= reach), REACHES[-1])


def tinted(under: Array, opacity: Array, over: Array) -> Array:
    """``over`` laid on ``under`` with an opacity (H, W) float32 for every pixel."""
    return cv2.blendLinear(under, np.ascontiguousarray(over), 1 - opacity, opacity)


def flow(canvas: Array, motion: DenseMotion, *, reach: float | None = None) -> Array:
    """Motion of the content as colour, with arrows and the wheel as legend.

    reach: motion of full brightness, in units where the square is 2 wide (None = from the motion).
    """
    out = primitives.copied(canvas)
    moved = moved_norm(motion)
    reach = reach or reach_of(moved)
    # colours are mixed at twice the grid, then enlarged: five times cheaper, without visible loss
    finer = cv2.resize(moved, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    out = cv2.resize(wheel(finer, reach), out.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    _put_arrows(out, finer)
    _put_wheel(out, reach)
    return out


def optical(canvas: Array, optical_flow: OpticalFlow) -> Array:
    """The driver's optical flow, transferred to the source; the canvas where its trust is 0."""
    out = primitives.copied(canvas)
    picture = flow(out, DenseMotion(optical_flow.grid_norm, optical_flow.trust))
    trust = cv2.resize(
        np.clip(optical_flow.trust, 0, 1), out.shape[1::-1], interpolation=cv2.INTER_LINEAR
    )
    return tinted(out, trust, picture)


def _put_arrows(out: Array, moved: Array, across: int = 14) -> None:
    height, width = out.shape[:2]
    steps = (np.arange(across) + 0.5) / across
    at = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    cell = (at * moved.shape[1::-1]).astype(int)
    step = moved[cell[:, 1], cell[:, 0]] * np.array([width, height]) / 2
    length = np.hypot(*step.T)
    far = length > 1.5
    # long arrows would cross: all shrink alike until the longest fills its own place
    step = step * min(1.0, min(width, height) / across / max(float(length.max(initial=0)), 1e-6))
    middle, step = at[far] * [width, height], step[far]
    side = np.stack([-step[:, 1], step[:, 0]], -1) * 0.16
    tip, neck = middle + step / 2, middle + step * 0.22
    shafts = np.stack([middle - step / 2, tip], 1)
    heads = np.stack([neck + side, tip, neck - side], 1)
    primitives.put_paths(out, [*shafts, *heads], primitives.TEXT, primitives.unit(out))


@lru_cache(maxsize=8)
def _wheel_picture(side: int) -> tuple[Array, Array]:
    place = grid_norm(side)
    radius = np.hypot(place[..., 0], place[..., 1])
    return wheel(place, 1.0), np.clip((1 - radius) * side / 2, 0, 1)[..., None]


def _put_wheel(out: Array, reach: float) -> None:
    side = max(24, round(0.17 * min(out.shape[:2])))
    pad = round(0.2 * side)
    if min(out.shape[:2]) < side + 2 * pad:
        return
    disc, cover = _wheel_picture(side)
    y, x = out.shape[0] - side - pad, out.shape[1] - side - pad
    primitives.shade(
        out, (x - pad // 2, y - pad // 2, side + pad, side + pad), primitives.DARK, 0.7
    )
    part = out[y : y + side, x : x + side]
    part[:] = (part * (1 - cover) + disc * cover).astype(np.uint8)
    percent = f"{50 * reach:g} % of the width"
    primitives.put_note(out, [Line(f"full colour = {percent}")])


@lru_cache(maxsize=8)
def _lattice(side: int, cells: int) -> Array:
    """(side, side) float32 coverage of a regular lattice."""
    sheet = np.zeros((side, side), np.uint8)
    at = np.linspace(0, side - 1, cells + 1)
    across = [np.array([[0, v], [side - 1, v]]) for v in at]
    down = [path[:, ::-1] for path in across]
    lines = [primitives.fixed_point(path) for path in across + down]
    cv2.polylines(
        sheet, lines, False, 255, max(1, round(side / 340)), cv2.LINE_AA, primitives.SHIFT
    )
    return sheet.astype(np.float32) / 255


def grid(canvas: Array, motion: DenseMotion, *, cells: int = 20) -> Array:
    """A square grid on the source, deformed by the motion, over the picture.

    canvas: the result (or the source, to see where its places go). Lines are brighter and blue
    where the grid has moved; where they fold over, so does the motion.
    """
    out = cv2.convertScaleAbs(primitives.copied(canvas), alpha=0.6)
    height, width = out.shape[:2]
    side = max(height, width)
    place = np.nan_to_num(motion.grid_norm, nan=9, posinf=9, neginf=-9)
    place = resize_grid(np.clip(place, -9, 9), side) if len(place) else grid_norm(side)
    if height != width:
        place = cv2.resize(place, (width, height))
    lattice = _lattice(side, cells)
    x, y = (np.ascontiguousarray((place[..., i] + 1) * (side / 2) - 0.5) for i in (0, 1))
    line = cv2.remap(lattice, x, y, cv2.INTER_LINEAR, borderValue=0)
    length = np.hypot(*np.moveaxis(moved_norm(motion), -1, 0)) * (50 / 0.05)
    moved = cv2.resize(np.clip(length, 0, 50).astype(np.uint8), (width, height))
    moved = np.minimum(moved, 50).astype(np.float32) / 50  # full at 2.5 % of the width
    for share, colour in ((0.4 * (1 - moved), primitives.DIM), (0.95 * moved, primitives.SKY)):
        out = tinted(out, line * share, primitives.solid(*out.shape[:2], colour))
    return out


def occlusion(canvas: Array, motion: DenseMotion) -> Array:
    """Heat over the grey picture where the source shows nothing and the result must be painted."""
    out = primitives.copied(canvas)
    grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    hidden = np.clip(1 - np.nan_to_num(motion.occlusion, nan=0.0), 0, 1)
    hidden = cv2.resize(hidden, out.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    heat = cv2.applyColorMap((255 * hidden).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    opacity = np.clip(2.5 * hidden, 0, 0.88).astype(np.float32)
    out = tinted(cv2.convertScaleAbs(grey, alpha=0.45), opacity, heat)
    _put_heat_bar(out)
    primitives.put_note(out, [Line(f"to paint: {100 * hidden.mean():.1f} % of the square")])
    return out


def _put_heat_bar(out: Array) -> None:
    size = primitives.text_px(out, 0.7)
    width, height = round(0.24 * out.shape[1]), round(0.7 * size)
    x, y = out.shape[1] - width - size, size
    ramp = np.linspace(0, 255, max(1, width)).astype(np.uint8)[None]
    bar = cv2.applyColorMap(np.repeat(ramp, max(1, height), 0), cv2.COLORMAP_INFERNO)[..., ::-1]
    primitives.shade(
        out, (x - size // 2, y - size // 2, width + size, height + 2 * size), primitives.DARK, 0.7
    )
    part = out[y : y + height, max(x, 0) : max(x, 0) + width]
    part[:] = bar[: part.shape[0], : part.shape[1]]
    below = y + height + 0.15 * size
    primitives.put_text(out, "seen", (x, below), primitives.TEXT, size_px=size)
    primitives.put_text(
        out, "hidden", (x + width, below), primitives.TEXT, size_px=size, align=(1, 0)
    )


def weights(canvas: Array, motion: DenseMotion) -> Array:
    """Which local map moves each place: one colour a keypoint, stronger where its weight is larger.

    The background stays grey. Without weights the picture is dimmed and has a note.
    """
    out = cv2.convertScaleAbs(primitives.copied(canvas), alpha=0.55)
    share = motion.weights
    if share is None or not share.size:
        primitives.put_note(out, [Line("this motion has no weights")])
        return out
    best = np.argmax(np.nan_to_num(share), axis=0)
    most = np.take_along_axis(np.nan_to_num(share), best[None], 0)[0]
    colours = np.array([(0, 0, 0), *(point_hue(k) for k in range(len(share) - 1))], np.uint8)
    opacity = np.where(best > 0, 0.25 + 0.5 * np.clip(most, 0, 1), 0).astype(np.float32)
    size = out.shape[1::-1]
    opacity = cv2.resize(opacity, size, interpolation=cv2.INTER_NEAREST)
    return tinted(out, opacity, cv2.resize(colours[best], size, interpolation=cv2.INTER_NEAREST))


def point_hue(index: int) -> tuple[int, int, int]:
    """Hues a golden angle apart, in three brightnesses: neighbours differ in both."""
    hsv = np.array([[[(index * 111) % 180, 190, (255, 170, 215)[index % 3]]]], np.uint8)
    red, green, blue = (int(c) for c in cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])
    return red, green, blue


def motion(canvas: Array, motion: DenseMotion) -> Array:
    """The picture for the stage as a whole: flow in colour, blended with the grid."""
    return cv2.addWeighted(flow(canvas, motion), 0.55, grid(canvas, motion), 0.45, 0)
