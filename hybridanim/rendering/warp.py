"""Source and DenseMotion -> picture: the source's own pixels, moved (docs/guide/rendering.md).

Two layers. The person is a layer of premultiplied colour and coverage (Porter and Duff 1984) that
follows the backward flow; behind it is the source itself, inpainted where the person was.
The person's layer is what is left of the source when the background's share is taken away, so that
without motion the two add up to the source exactly, whatever the matte's faults, and where the
matte is unsure the result tends to a plain warp instead of a wrong cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.config import RenderConfig
from hybridanim.resampling import disc, feathered, smoothstep
from hybridanim.types import Array, DenseMotion, Source

_FLAGS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
_SURE, _DOUBT = 0.7, 0.25  # a matte above is the person, below perhaps not
_SHEET_FADE = 0.15  # share of the side over which a bent picture comes to rest
_FINER = 4  # samples a cell of the smooth flow
_STILL_PX = 0.02  # motion below this is not worth a resampling
_BAND_PX = 32768  # pixels worked on at once; 512x512 takes twice as long in one piece


@dataclass(frozen=True, slots=True)
class Prepared:
    """What rendering needs of one source; made once by ``prepare``."""

    image: Array  # (S, S, 3) uint8 RGB, the source
    person: Array  # (S, S, 4) float32, premultiplied RGB in grey levels, coverage in [0, 1]
    behind: Array  # (S, S, 3) float32 RGB in grey levels, the source without the person
    coverage: Array  # (64, 64) float32 in [0, 1], coverage in cells
    reach: Array  # (64, 64) float32, 1 in cells that hold any of the person's layer
    follow: Array  # (64, 64) float32 in [0, 1], share of the motion that a cell takes
    pinned: tuple[bool, bool, bool, bool]  # left, top, right, bottom: meets the picture around it
    config: RenderConfig


def prepare(source: Source, config: RenderConfig) -> Prepared:
    """Split the source into the person's layer and what is behind; once per source."""
    image, size = source.image, source.image.shape[0]
    cells = (64, 64)
    if config.composite == "sheet" or _is_vague(source.subject):  # one layer, bent
        alpha = np.ones((size, size, 1), np.float32)
        colour, behind = image.astype(np.float32), image.astype(np.float32)
        near = feathered(source.subject > _DOUBT, _SHEET_FADE * size)
        follow = cv2.resize(near, cells, interpolation=cv2.INTER_AREA)
    else:
        alpha = source.subject[..., None].astype(np.float32)
        colour, behind = _layers(
            image.astype(np.float32), alpha, source.inpainted_background.astype(np.float32)
        )
        follow = np.ones(cells, np.float32)
    person = np.concatenate([colour, alpha], axis=-1)
    held = (np.abs(person).max(axis=-1) > 1e-3).astype(np.float32)
    coverage = cv2.resize(np.ascontiguousarray(alpha[..., 0]), cells, interpolation=cv2.INTER_AREA)
    reach = cv2.resize(held, cells, interpolation=cv2.INTER_AREA)
    reach = cv2.dilate((reach > 0).astype(np.float32), np.ones((3, 3), np.uint8))
    pinned = pinned_sides(source) if config.paste_back else (False, False, False, False)
    return Prepared(image, person, behind, coverage, reach, follow, pinned, config)


def pinned_sides(source: Source) -> tuple[bool, bool, bool, bool]:
    """Left, top, right, bottom: the sides of the crop where the source picture goes on."""
    crop, (height, width) = source.crop, source.picture.shape[:2]
    right, bottom = crop.x_px + crop.side_px, crop.y_px + crop.side_px
    return crop.x_px > 0, crop.y_px > 0, right < width, bottom < height


def _is_vague(subject: Array) -> bool:
    """Has the mask no edge anywhere, so that layers would show ghosts of it?"""
    small = cv2.resize(subject, (128, 128), interpolation=cv2.INTER_AREA)
    return float(np.abs(np.gradient(small)).max()) < 0.13  # wide shapes 0.08, cuts above 0.4


def _layers(image: Array, alpha: Array, inpainted_background: Array) -> tuple[Array, Array]:
    """Premultiplied person and what is behind, (S, S, 3) float32 each, adding up to the image.

    Behind the certain person and next to its outline is the inpainted background, so the person's
    layer also holds hairs that the matte missed. Where the matte is uncertain, the picture itself
    is behind: errors of the inpainting would move with the person and glow.
    """
    margin_px = max(1, image.shape[0] // 64)  # hairs are missed this far out
    matte = alpha[..., 0]
    sure = (matte > _SURE).astype(np.float32)
    near = np.maximum(
        cv2.dilate(sure, disc(margin_px)), cv2.dilate(sure, disc(2 * margin_px)) * (matte > 0.05)
    )  # a blurred outline is mixed with the person's colour further out
    near = cv2.GaussianBlur(near, (0, 0), margin_px / 4)[..., None]
    near[near < 0.01] = 0  # a blur never quite ends
    share = np.maximum(near, np.clip((alpha - _DOUBT) / (_SURE - _DOUBT), 0, 1))
    behind = image + share * (inpainted_background - image)
    return (image - (1 - alpha) * behind).astype(np.float32), behind.astype(np.float32)


def render(prepared: Prepared, motion: DenseMotion) -> Array:
    """Move the person by the flow and composite: (S, S, 3) uint8 RGB.

    Pixels that the person neither leaves nor enters are those of the source, bit for bit, unless
    the background moves. Where ``motion.occlusion`` is low at the person's edge, what is behind
    shows; inside the person the neighbouring content is drawn over such places by the flow itself.
    """
    size = prepared.image.shape[0]
    flow = _calmed_flow(motion, prepared)
    out, behind = prepared.image.copy(), prepared.behind
    touched = _touched(prepared, flow, size)
    if motion.background is not None:
        behind, touched = _panned(prepared, motion), np.ones_like(touched)
    if not touched.any():
        return out
    across_px, down_px = _upsampled(flow * (size / 2), size)
    shown = _shown(prepared, motion, flow, size)
    for rows, columns in _bands(touched, size):
        x = across_px[rows, columns] + np.arange(columns.start, columns.stop, dtype=np.float32)
        y = down_px[rows, columns] + np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        part = None if shown is None else shown[rows, columns, None]
        out[rows, columns] = _composited(prepared, behind[rows, columns], x, y, part)
    return out


def _panned(prepared: Prepared, motion: DenseMotion) -> Array:
    """What is behind as a moving camera shows it, (S, S, 3), at rest where it must be."""
    size = prepared.image.shape[0]
    drift = _faded(_drift(motion), prepared)
    x, y = _upsampled(drift * (size / 2), size)
    along = np.arange(size, dtype=np.float32)
    return cv2.remap(
        prepared.behind, x + along, y + along[:, None], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def _drift(motion: DenseMotion) -> Array:
    """Displacement (2, h, w) float32, normalised, of the background alone; 0 where it stands."""
    grid = geometry.grid_norm(*motion.grid_norm.shape[:2])
    if motion.background is None:
        return np.zeros((2, *grid.shape[:2]), np.float32)
    moved = grid @ motion.background[:, :2].T + motion.background[:, 2]
    return np.moveaxis(moved - grid, -1, 0).astype(np.float32)


def _composited(
    prepared: Prepared, behind: Array, x: Array, y: Array, shown: Array | None
) -> Array:
    """One band: the person's layer from the places x, y over what is behind, (h, w, 3) uint8."""
    flags = _FLAGS[prepared.config.interpolation]
    moved = cv2.remap(prepared.person, x, y, flags, borderMode=cv2.BORDER_REPLICATE)
    if shown is not None:
        moved *= shown
    free = 1 - np.clip(cv2.extractChannel(moved, 3), 0, 1)
    colour = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
    return cv2.add(cv2.multiply(behind, cv2.merge([free] * 3)), colour, dtype=cv2.CV_8U)


def _calmed_flow(motion: DenseMotion, prepared: Prepared) -> Array:
    """Displacement (2, h, w) float32 in normalised units, fading to nothing at the crop's border.

    A crop that is pasted back must meet the picture around it without a step.
    """
    h, w = motion.grid_norm.shape[:2]
    flow = np.moveaxis(motion.grid_norm - geometry.grid_norm(h, w), -1, 0)
    drift = _drift(motion)
    follow = cv2.resize(prepared.follow, (w, h), interpolation=cv2.INTER_LINEAR)
    return _faded(drift + (flow - drift) * follow, prepared)


def _faded(flow: Array, prepared: Prepared) -> Array:
    """A displacement (2, h, w) that ends at the pinned sides of the crop, float32."""
    h, w = flow.shape[1:]
    pin_border = prepared.config.pin_border
    if pin_border > 0 and any(prepared.pinned):
        left, top, right, bottom = prepared.pinned
        flow = flow * _ramp(h, pin_border, top, bottom)[:, None] * _ramp(w, pin_border, left, right)
    return np.ascontiguousarray(flow, dtype=np.float32)


@cache
def _ramp(cells: int, share: float, at_start: bool, at_end: bool) -> Array:
    """0 in the two outermost cells of a side, rising smoothly to 1 over ``share`` of the length."""
    first = np.arange(cells) if at_start else np.full(cells, cells)
    last = np.arange(cells)[::-1] if at_end else np.full(cells, cells)
    t = np.clip((np.minimum(first, last) - 1) / max(1.0, share * cells), 0, 1)
    return smoothstep(t).astype(np.float32)


@cache
def _spline_inverse(cells: int) -> Array:
    """(cells, cells): values at the cells -> cubic B-spline coefficients, ends left straight."""
    matrix = np.diag(np.full(cells, 4.0)) + np.eye(cells, k=1) + np.eye(cells, k=-1)
    matrix[0, :2], matrix[-1, -2:] = (6, 0), (0, 6)
    return np.linalg.inv(matrix / 6).astype(np.float32)


@cache
def _spline_taps(cells: int) -> tuple[Array, Array]:
    """Which four of the padded coefficients make each fine sample, (4, n), and their weights."""
    at = (np.arange(_FINER * cells) + 0.5) / _FINER - 0.5
    first = np.floor(at).astype(int)
    t = at - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 0 * t, t**3]) / 6
    weights[2] = 1 - weights.sum(axis=0)
    return first + np.arange(4)[:, None] + 1, weights.astype(np.float32)


def _finer(coefficients: Array) -> Array:
    """(h, n) spline coefficients -> (4 h, n): four samples a cell downwards."""
    c = coefficients
    head = [3 * c[:1] - 2 * c[1:2], 2 * c[:1] - c[1:2]]
    tail = [2 * c[-1:] - c[-2:-1], 3 * c[-1:] - 2 * c[-2:-1]]
    padded = np.concatenate([*head, c, *tail])
    places, weights = _spline_taps(len(c))
    total = padded[places[0]] * weights[0][:, None]
    for place, weight in zip(places[1:], weights[1:], strict=True):
        total += padded[place] * weight[:, None]
    return total


def _upsampled(flow: Array, size: int) -> list[Array]:
    """Horizontal and vertical displacement at full resolution, (S, S) float32 each.

    A cubic spline to four samples a cell, bilinear from there. Bilinear alone creases at 16 pixels
    a cell; OpenCV's cubic bends affine motion; splines all the way cost ten times as much.
    """
    h, w = flow.shape[1:]
    down, across = _spline_inverse(h), _spline_inverse(w)
    # OpenCV's product: numpy's starts threads that wait for each other on a busy machine
    none = np.zeros((0, 0), np.float32)
    inner = [cv2.gemm(cv2.gemm(down, part, 1, none, 0), across.T, 1, none, 0) for part in flow]
    tall = _finer(np.concatenate(inner, axis=1)).reshape(_FINER * h, 2, w)
    fine = _finer(tall.transpose(2, 1, 0).reshape(w, -1)).reshape(_FINER * w, 2, _FINER * h)
    parts = [np.ascontiguousarray(fine[:, n].T) for n in (0, 1)]
    if parts[0].shape == (size, size):
        return parts
    if size < parts[0].shape[0]:
        return [geometry.warp(part, geometry.grid_norm(size), cv2.INTER_LINEAR) for part in parts]
    return [cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR) for part in parts]


def _touched(prepared: Prepared, flow: Array, size: int) -> Array:
    """(h, w) bool: cells whose pixels can differ from the source, and three more around them."""
    h, w = flow.shape[1:]
    moving = np.abs(flow).max(axis=0) > _STILL_PX * 2 / size
    arriving = _sampled(prepared.reach, flow)
    leaving = cv2.resize(prepared.reach, (w, h), interpolation=cv2.INTER_LINEAR)
    touched = moving & ((arriving > 0) | (leaving > 0))
    return cv2.dilate(touched.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0  # the spline's rings


def _bands(touched: Array, size: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of pixels that cover the touched cells, in bands that fit into a cache."""
    h, w = touched.shape
    step = max(1, _BAND_PX * h // size**2)
    for first in range(0, h, step):
        hit = np.flatnonzero(touched[first : first + step].any(axis=0))
        if len(hit):
            rows = slice(first * size // h, min(h, first + step) * size // h)
            yield rows, slice(hit[0] * size // w, -(-(hit[-1] + 1) * size // w))


def _sampled(cells: Array, flow: Array) -> Array:
    """A 64x64 map as seen through the flow, (h, w) float32."""
    h, w = flow.shape[1:]
    grid = np.moveaxis(flow, 0, -1) + geometry.grid_norm(h, w)
    return geometry.warp(cells, grid, cv2.INTER_LINEAR)


def _shown(prepared: Prepared, motion: DenseMotion, flow: Array, size: int) -> Array | None:
    """(S, S) float32 in [0, 1]: the share of the person's layer that may show; None for all of it.

    Occluded cells deep inside the person keep their (stretched) content: a hole there, filled with
    background, would be worse than any stretch.
    """
    missing = 1 - np.clip(motion.occlusion, 0, 1)
    if not (missing > 0.02).any():
        return None
    around = cv2.GaussianBlur(_sampled(prepared.coverage, flow), (0, 0), 2.0)
    inside = np.clip((around - 0.6) / 0.3, 0, 1)
    shown = 1 - missing * (1 - inside)
    return np.clip(cv2.resize(shown, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)
