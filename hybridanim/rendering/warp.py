"""Source and DenseMotion -> picture, by warping the source's pixels (docs/guide/rendering.md).

Two layers. The person is a layer of premultiplied colour and coverage (Porter and Duff 1984) that
is warped by the backward flow; the background is the source, inpainted where the person was. The
person's layer is the source minus the background's contribution. Without motion the two therefore
add up to the source exactly, whatever the errors of the matte, and where the matte is uncertain the
result tends to a plain warp instead of a wrong cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.config import RenderConfig
from hybridanim.resampling import disc, feathered, smoothstep
from hybridanim.types import Array, DenseMotion, Source, Uncovered

from . import mouth
from .mouth import MouthPaint

_FLAGS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
_SURE, _DOUBT = 0.7, 0.25  # matte above: certainly the person; below: possibly not
_SHEET_FADE = 0.15  # share of the side over which motion fades out in sheet mode
_FINER = 4  # samples per cell of the upsampled flow
_FINE_CELLS = 128  # cells from which on the flow is upsampled linearly
_CONTINUED = 14  # the person goes on beyond the picture by this part of its side
_STILL_PX = 0.02  # motion below this is not resampled
_FRINGE = (0.3, 0.75)  # coverage of the person from which it is kept, or all of it, before a layer
_LEAST_SHARE = 0.02  # of the other half of the head, that is looked at
_BAND_PX = 32768  # pixels per band; a 512x512 picture in one band takes twice as long

Box = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True, slots=True)
class Prepared:
    """Per-source data of the renderer; made once by ``prepare``."""

    image: Array  # (S, S, 3) uint8 RGB, the source
    person: Array  # (S + 2 P, S + 2 P, 4) float32, premultiplied RGB in grey levels, coverage
    background: Array  # (S, S, 3) float32 RGB in grey levels, the source without the person
    coverage: Array  # (64, 64) float32 in [0, 1], mean coverage per cell
    reach: Array  # (64, 64) float32, 1 in and next to cells with a part of the person's layer
    follow: Array  # (64, 64) float32 in [0, 1], factor of the flow per cell
    pinned: tuple[bool, bool, bool, bool]  # left, top, right, bottom: motion fades out there
    config: RenderConfig
    pad: int = 0  # P, by which the person's layer goes on beyond the picture
    mouth: MouthPaint | None = None  # inside of a mouth that the source shuts
    # of a source with an avatar, in two layers
    shell: Array | None = None  # (h, w, 3) uint8 RGB, ``Avatar.behind``
    other: Array | None = None  # (S, S, 4) uint8, as ``person``, for the head's other half
    symmetry: Array | None = None  # (n, n) float32, ``Avatar.symmetry``


def prepare(source: Source, config: RenderConfig) -> Prepared:
    """Split the source into the person's layer and the background; once per source."""
    image, size = source.image, source.image.shape[0]
    cells = (64, 64)
    is_sheet = config.composite == "sheet" or _is_vague(source.subject)
    if is_sheet:  # one layer
        alpha = np.ones((size, size, 1), np.float32)
        colour, background = image.astype(np.float32), image.astype(np.float32)
        near = feathered(source.subject > _DOUBT, _SHEET_FADE * size)
        follow = cv2.resize(near, cells, interpolation=cv2.INTER_AREA)
    else:
        alpha = source.subject[..., None].astype(np.float32)
        colour, background = _layers(
            image.astype(np.float32), alpha, source.inpainted_background.astype(np.float32)
        )
        follow = np.ones(cells, np.float32)
    person = np.concatenate([colour, alpha], axis=-1)
    covered = (np.abs(person).max(axis=-1) > 1e-3).astype(np.float32)
    coverage = cv2.resize(np.ascontiguousarray(alpha[..., 0]), cells, interpolation=cv2.INTER_AREA)
    reach = cv2.resize(covered, cells, interpolation=cv2.INTER_AREA)
    reach = cv2.dilate((reach > 0).astype(np.float32), np.ones((3, 3), np.uint8))
    pinned = pinned_sides(source) if config.paste_back else (False, False, False, False)
    pad = 0 if any(pinned) else max(2, size // _CONTINUED)
    return Prepared(
        image, _continued(person, pad), background, coverage, reach, follow, pinned, config,
        pad, mouth.prepare(source), *_avatar(source, is_sheet),
    )  # fmt: skip


def _avatar(source: Source, is_sheet: bool) -> tuple[Array | None, Array | None, Array | None]:
    """``shell``, ``other`` and ``symmetry`` of ``Prepared``; none where nothing is behind."""
    avatar = source.avatar
    if avatar is None or is_sheet:
        return None, None, None
    alpha = source.subject[..., None].astype(np.float32)
    other = np.concatenate([avatar.other * alpha, 255 * alpha], -1)
    return avatar.behind, np.rint(other).astype(np.uint8), avatar.symmetry


def _continued(person: Array, pad: int) -> Array:
    """The person's layer (S, S, 4) continued by ``pad`` pixels beyond each side.

    Where the person reaches the side the layer is mirrored there, which looks more like hair and
    cloth than streaks, and fades; elsewhere it is empty.
    """
    if pad == 0:
        return person
    out = cv2.copyMakeBorder(person, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
    reaches = np.clip(2 * person[..., 3] - 0.5, 0, 1)
    around = cv2.copyMakeBorder(reaches, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    ramp = np.ones(len(out), np.float32)
    ramp[:pad] = smoothstep((np.arange(pad, dtype=np.float32) + 0.5) / pad)
    ramp[-pad:] = ramp[:pad][::-1]
    around *= np.minimum(ramp, ramp[:, None])
    around[pad:-pad, pad:-pad] = 1
    return out * around[..., None]


def pinned_sides(source: Source) -> tuple[bool, bool, bool, bool]:
    """Left, top, right, bottom: sides of the crop beyond which the source picture continues."""
    crop, (height, width) = source.crop, source.picture.shape[:2]
    right, bottom = crop.x_px + crop.side_px, crop.y_px + crop.side_px
    return crop.x_px > 0, crop.y_px > 0, right < width, bottom < height


def _is_vague(subject: Array) -> bool:
    """Whether the mask (S, S) has no sharp edge, so that two layers would show ghosting."""
    small = cv2.resize(subject, (128, 128), interpolation=cv2.INTER_AREA)
    return (
        float(np.abs(np.gradient(small)).max()) < 0.13
    )  # measured: vague masks 0.08, mattes above 0.4


def _layers(image: Array, alpha: Array, inpainted_background: Array) -> tuple[Array, Array]:
    """Premultiplied person and background, (S, S, 3) float32 each, whose sum is the image.

    image, inpainted_background: (S, S, 3) float32; alpha: (S, S, 1). The inpainted background is
    used under the certain person and next to its outline, so that the person's layer also contains
    hairs that the matte missed. Where the matte is uncertain, the background is the picture itself:
    errors of the inpainting would move with the person and glow.
    """
    margin_px = max(1, image.shape[0] // 64)  # hairs are missed up to this distance
    matte = alpha[..., 0]
    sure = (matte > _SURE).astype(np.float32)
    near = np.maximum(
        cv2.dilate(sure, disc(margin_px)), cv2.dilate(sure, disc(2 * margin_px)) * (matte > 0.05)
    )  # a blurred outline contains the person's colour further out
    near = cv2.GaussianBlur(near, (0, 0), margin_px / 4)[..., None]
    near[near < 0.01] = 0  # cut off the tail of the blur
    share = np.maximum(near, np.clip((alpha - _DOUBT) / (_SURE - _DOUBT), 0, 1))
    background = image + share * (inpainted_background - image)
    return (image - (1 - alpha) * background).astype(np.float32), background.astype(np.float32)


def render(prepared: Prepared, motion: DenseMotion) -> Array:
    """Warp the person by the flow and composite: (S, S, 3) uint8 RGB.

    Pixels that the person neither leaves nor enters equal the source bit for bit, unless the
    background moves. Where ``motion.occlusion`` is low at the person's edge, the background is
    visible; inside the person the flow stretches the neighbouring content over such places.
    """
    size = prepared.image.shape[0]
    flow = _pinned_flow(motion, prepared)
    out, background = prepared.image.copy(), prepared.background
    touched = _touched(prepared, flow, size)
    if motion.background is not None:
        background, touched = _moved_background(prepared, motion), np.ones_like(touched)
    if prepared.shell is not None and motion.behind is not None:
        touched |= _arrives(motion.behind, touched)
    if not touched.any():
        return out
    shell, other = _shell_layer(prepared, motion), _other_layer(prepared, motion)
    across_px, down_px = _upsampled(flow * (size / 2), size)
    shown = _shown(prepared, motion, flow, size)
    for band in _bands(touched, size):
        rows, columns = band
        x = across_px[band] + np.arange(columns.start, columns.stop, dtype=np.float32)
        y = down_px[band] + np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        moved = _moved_person(prepared, x, y)
        if other is not None and prepared.other is not None:
            moved, _ = _with_layer(moved, prepared.other, other, band, size)
        if shown is not None:
            moved = cv2.multiply(moved, cv2.merge([shown[band]] * 4))
        behind = background[band]
        if shell is not None and prepared.shell is not None:
            behind, before = _with_layer(behind, prepared.shell, shell, band, size)
            if before is not None:
                _without_fringe(moved[before[0]], before[1])
        out[band] = _composited(moved, behind)
    if motion.interior is not None and prepared.mouth is not None:
        mouth.fill(out, motion.interior, motion.teeth, prepared.mouth)
    return out


def _arrives(layer: Uncovered, like: Array) -> Array:
    """(h, w) bool: cells of ``like`` that the layer covers, and those next to them."""
    share = cv2.dilate(layer.share, np.ones((3, 3), np.uint8))
    h, w = like.shape
    return cv2.resize(share, (w, h), interpolation=cv2.INTER_LINEAR) > 0


def _with_layer(
    under: Array, atlas: Array, layer: Array, band: Box, size: int
) -> tuple[Array, tuple[Box, Array] | None]:
    """A band (h, w, C) float32 of the output (S, S) with a layer of an atlas before it.

    atlas: (H, W, C) uint8; its fourth channel is coverage, 255 = 1. layer: of ``_as_layer``. Also
    returns which part of the band the layer covers, and its share there. Where it is empty, that is
    None, and the band itself is returned.
    """
    box = _box_of(layer[..., 2], band, size)
    if box is None:
        return under, None
    places, share = _finer_layer(layer, box, size)
    seen = cv2.remap(atlas, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    rows, columns = (
        slice(n.start - m.start, n.stop - m.start) for n, m in zip(box, band, strict=True)
    )
    seen = seen.astype(np.float32)
    if seen.shape[2] == 4:
        seen[..., 3] /= 255
    out = under.copy()
    below = np.ascontiguousarray(under[rows, columns])
    out[rows, columns] = cv2.blendLinear(seen, below, share, 1 - share)
    return out, ((rows, columns), share)


def _without_fringe(moved: Array, share: Array) -> None:
    """Take the outermost part of the person (h, w, 4) away before a layer's share (h, w), in place.

    Along the outline the person's layer still has some of the source's background, which would draw
    a line through the hair.
    """
    low, high = _FRINGE
    inside = np.clip((moved[..., 3] - low) / (high - low), 0, 1)
    kept = 1 - share * (1 - smoothstep(inside))
    moved[...] = cv2.multiply(np.ascontiguousarray(moved), cv2.merge([kept] * 4))


def _as_layer(layer: Uncovered, height: int, width: int) -> Array:
    """(h, h, 3) float32: places in pixels of an atlas (height, width), and the share."""
    return cv2.merge(
        [
            (layer.atlas_norm[..., 0] + 1) * np.float32(width / 2) - np.float32(0.5),
            (layer.atlas_norm[..., 1] + 1) * np.float32(height / 2) - np.float32(0.5),
            layer.share,
        ]
    )


def _box_of(share: Array, band: Box, size: int) -> Box | None:
    """Rows and columns of a band of the output (S, S) in which a share (h, h) is not zero."""
    cells, start = len(share), []
    for span in band:
        start.append(max(0, span.start * cells // size - 1))
        share = share[start[-1] : -(-span.stop * cells // size) + 1].T
    spans = []
    for axis, span in enumerate(band):
        hit = np.flatnonzero(share.any(1 - axis))
        if not len(hit):
            return None
        first = max(span.start, int((start[axis] + hit[0] - 1) * size // cells))
        last = min(span.stop, int(-(-(start[axis] + hit[-1] + 2) * size // cells)))
        if first >= last:
            return None
        spans.append(slice(first, last))
    return spans[0], spans[1]


def _finer_layer(layer: Array, box: Box, size: int) -> tuple[Array, Array]:
    """A layer of ``_as_layer`` at full resolution: places (h, w, 2) and share (h, w) of a box."""
    scale = len(layer) / size
    shift = [(0.5 + n.start) * scale - 0.5 for n in (box[1], box[0])]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    found = cv2.warpAffine(
        layer, matrix, (box[1].stop - box[1].start, box[0].stop - box[0].start),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    x, y, share = cv2.split(found)
    return cv2.merge([x, y]), share


def _moved_background(prepared: Prepared, motion: DenseMotion) -> Array:
    """Warp the background by its affine, (S, S, 3) float32; no motion at pinned sides."""
    size = prepared.image.shape[0]
    drift = _faded(_drift(motion), prepared)
    x, y = _upsampled(drift * (size / 2), size)
    along = np.arange(size, dtype=np.float32)
    return cv2.remap(
        prepared.background, x + along, y + along[:, None], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def _drift(motion: DenseMotion) -> Array:
    """Displacement (2, h, w) float32 of the background, normalised; 0 without its motion."""
    grid = geometry.grid_norm(*motion.grid_norm.shape[:2])
    if motion.background is None:
        return np.zeros((2, *grid.shape[:2]), np.float32)
    moved = grid @ motion.background[:, :2].T + motion.background[:, 2]
    return np.moveaxis(moved - grid, -1, 0).astype(np.float32)


def _moved_person(prepared: Prepared, x: Array, y: Array) -> Array:
    """(h, w, 4) the person's layer sampled at x, y pixels."""
    flags = _FLAGS[prepared.config.interpolation]
    pad = np.float32(prepared.pad)
    border = cv2.BORDER_CONSTANT if prepared.pad else cv2.BORDER_REPLICATE
    return cv2.remap(prepared.person, x + pad, y + pad, flags, borderMode=border)


def _composited(moved: Array, background: Array) -> Array:
    """(h, w, 3) uint8: a premultiplied layer (h, w, 4) over the background."""
    free = 1 - np.clip(cv2.extractChannel(moved, 3), 0, 1)
    colour = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
    return cv2.add(cv2.multiply(background, cv2.merge([free] * 3)), colour, dtype=cv2.CV_8U)


def _shell_layer(prepared: Prepared, motion: DenseMotion) -> Array | None:
    """The layer behind the person, as ``_as_layer`` gives it; None without one."""
    if prepared.shell is None or motion.behind is None:
        return None
    share = _faded(motion.behind.share[None], prepared)[0]
    return _as_layer(replace(motion.behind, share=share), *prepared.shell.shape[:2])


def _other_layer(prepared: Prepared, motion: DenseMotion) -> Array | None:
    """Where the output shows the other half of the head, likewise; None for nowhere."""
    if prepared.other is None or prepared.symmetry is None or motion.mirrored is None:
        return None
    mirrored, size = motion.mirrored, len(prepared.image)
    share = mirrored.share * geometry.warp(prepared.symmetry, mirrored.atlas_norm, cv2.INTER_LINEAR)
    share[share < _LEAST_SHARE] = 0
    share = _faded(share[None], prepared)[0]
    return _as_layer(replace(mirrored, share=share), size, size)


def _pinned_flow(motion: DenseMotion, prepared: Prepared) -> Array:
    """Displacement (2, h, w) float32, normalised, fading to zero at pinned sides of the crop.

    A crop that is pasted back has to continue in the picture around it without a step.
    """
    h, w = motion.grid_norm.shape[:2]
    flow = np.moveaxis(motion.grid_norm - geometry.grid_norm(h, w), -1, 0)
    drift = _drift(motion)
    follow = cv2.resize(prepared.follow, (w, h), interpolation=cv2.INTER_LINEAR)
    return _faded(drift + (flow - drift) * follow, prepared)


def _faded(flow: Array, prepared: Prepared) -> Array:
    """Fade a displacement (2, h, w), or another map, to zero at the pinned sides; float32."""
    h, w = flow.shape[1:]
    pin_border = prepared.config.pin_border
    if pin_border > 0 and any(prepared.pinned):
        left, top, right, bottom = prepared.pinned
        flow = flow * _ramp(h, pin_border, top, bottom)[:, None] * _ramp(w, pin_border, left, right)
    return np.ascontiguousarray(flow, dtype=np.float32)


@cache
def _ramp(cells: int, share: float, at_start: bool, at_end: bool) -> Array:
    """(cells,) float32: 0 in the two outermost cells of a side, rising to 1 over ``share``."""
    first = np.arange(cells) if at_start else np.full(cells, cells)
    last = np.arange(cells)[::-1] if at_end else np.full(cells, cells)
    t = np.clip((np.minimum(first, last) - 1) / max(1.0, share * cells), 0, 1)
    return smoothstep(t).astype(np.float32)


@cache
def _spline_inverse(cells: int) -> Array:
    """Matrix (cells, cells): cell values -> cubic B-spline coefficients; natural ends."""
    matrix = np.diag(np.full(cells, 4.0)) + np.eye(cells, k=1) + np.eye(cells, k=-1)
    matrix[0, :2], matrix[-1, -2:] = (6, 0), (0, 6)
    return np.linalg.inv(matrix / 6).astype(np.float32)


@cache
def _spline_taps(cells: int) -> tuple[Array, Array]:
    """Indices (4, n) of the padded coefficients of each fine sample, and their weights (4, n)."""
    at = (np.arange(_FINER * cells) + 0.5) / _FINER - 0.5
    first = np.floor(at).astype(int)
    t = at - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 0 * t, t**3]) / 6
    weights[2] = 1 - weights.sum(axis=0)
    return first + np.arange(4)[:, None] + 1, weights.astype(np.float32)


def _finer(coefficients: Array) -> Array:
    """Evaluate spline coefficients (h, n) at four samples per cell down the rows: (4 h, n)."""
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
    """Upsample a displacement (2, h, w) to x and y at full resolution, (S, S) float32 each.

    Cubic B-splines up to four samples per cell, then bilinear. Bilinear alone shows creases at 16
    pixels per cell, OpenCV's cubic distorts affine motion, and splines at full resolution cost ten
    times as much.
    """
    h, w = flow.shape[1:]
    if h >= _FINE_CELLS:  # of a mesh, whose flow is linear in parts and has cuts
        return [cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR) for part in flow]
    down, across = _spline_inverse(h), _spline_inverse(w)
    # cv2.gemm, since numpy's threads wait for each other on a busy machine
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
    """(h, w) bool: cells whose pixels can differ from the source, dilated by three cells."""
    h, w = flow.shape[1:]
    moving = np.abs(flow).max(axis=0) > _STILL_PX * 2 / size
    arriving = _sampled(prepared.reach, flow)
    leaving = cv2.resize(prepared.reach, (w, h), interpolation=cv2.INTER_LINEAR)
    touched = moving & ((arriving > 0) | (leaving > 0))
    return (
        cv2.dilate(touched.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    )  # the spline's support


def _bands(touched: Array, size: int) -> Iterator[tuple[slice, slice]]:
    """Slices of pixel rows and columns that cover the touched cells, in cache-sized bands."""
    h, w = touched.shape
    step = max(1, _BAND_PX * h // size**2)
    for first in range(0, h, step):
        hit = np.flatnonzero(touched[first : first + step].any(axis=0))
        if len(hit):
            rows = slice(first * size // h, min(h, first + step) * size // h)
            yield rows, slice(hit[0] * size // w, -(-(hit[-1] + 1) * size // w))


def _sampled(cells: Array, flow: Array) -> Array:
    """Warp a (64, 64) map by the displacement (2, h, w): (h, w) float32."""
    h, w = flow.shape[1:]
    grid = np.moveaxis(flow, 0, -1) + geometry.grid_norm(h, w)
    return geometry.warp(cells, grid, cv2.INTER_LINEAR)


def _shown(prepared: Prepared, motion: DenseMotion, flow: Array, size: int) -> Array | None:
    """Visible share of the person's layer, (S, S) float32 in [0, 1]; None for all of it.

    Occluded cells well inside the person keep their (stretched) content: a hole that shows the
    background would look worse. The occlusion of a head's mesh is not used: its flow already takes
    the person away from what is uncovered, and the map would eat into hair and outlines next to it.
    """
    if motion.coverage is not None and prepared.shell is not None:
        hidden = _faded((1 - motion.coverage)[None], prepared)[0]
        return cv2.resize(1 - hidden, (size, size), interpolation=cv2.INTER_LINEAR)
    if motion.reasons is not None:
        return None
    missing = 1 - np.clip(motion.occlusion, 0, 1)
    if not (missing > 0.02).any():
        return None
    around = cv2.GaussianBlur(_sampled(prepared.coverage, flow), (0, 0), 2.0)
    inside = np.clip((around - 0.6) / 0.3, 0, 1)
    shown = 1 - missing * (1 - inside)
    return np.clip(cv2.resize(shown, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)
