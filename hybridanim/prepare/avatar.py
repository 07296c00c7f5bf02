"""Source -> Avatar, once: the textures of what turns of the head uncover, painted from the source.

The atlas of the shell (``motion.head_shell``) continues what lies inside of the person's outline as
its mirror image, as far as it is hair; the rest is covered by patches of the source's hair, in the
colours of the outline. The ears and jaws of people with short hair are not continued: behind them
there is hair of the same head, and below it the neck. Long hair is continued down to the neck.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.face import mesh
from hybridanim.face.face_model import FaceModel
from hybridanim.motion import head_mesh, z_buffer
from hybridanim.motion.head_mesh import SourceHead
from hybridanim.resampling import masked_blur, smoothstep
from hybridanim.types import Array, Avatar, Source

from . import quilting

_PATCHES = (0.16, 0.1, 0.06)  # sides of patches of hair, heads
_FINE = 0.3  # sigma below which it is detail, sides of a patch
_LEAST_PATCHES, _MOST_PATCHES = 25, 200
_MOST_PX = 2048  # longer side of an atlas
_INSET = 0.03  # of the texture from the sure person, heads
_BAND = 0.22  # of hair along the outline, at most, heads
_CROWN = -0.5  # height from which upwards the outline is hair
_OUTER = 0.35  # share of the way from outline to face that is hair at the crown
_ALIKE = 25.0  # grey levels of hair and skin that do not differ
_NAPE = (0.5, 0.85)  # heights between which short hair ends behind
_NECK = 0.15  # of skin along the outline of the neck, heads
_ROW = 0.03  # sigma of the smooth colours of the neck, heads
_SHADE = 0.18  # how much darker the middle behind is
_TONE = 0.06  # sigma that divides colour and detail, heads
_LIGHT = 0.18  # reach of the comparison of both halves' light, heads
_LIGHT_CELLS, _MOST_LIGHT = 128, 2.5  # of its map; largest factor
_HUE = 0.15  # largest difference of the logarithms of channels that is one of light
_EVIDENCE = (0.15, 0.4)  # share of one side's area of the other's, from which they are compared
_ROTATIONS = 16  # of the exemplar


def paint(source: Source, model: FaceModel) -> Avatar | None:
    """Paint the avatar of a prepared source; None without a fitted face."""
    head = head_mesh.build(source, model)
    if head is None:
        return None
    return Avatar(*_shell(source, head), *_other(source, head))


@dataclass(frozen=True)
class _Columns:
    """The strips of the shell, interpolated to the W columns of the atlas; H rows of arc."""

    start: Array  # (W, 2)
    inward: Array  # (W, 2)
    sure: Array  # (W,)
    band: Array  # (W,) to the face
    level: Array  # (W,)
    arc: Array  # (H,)

    def places(self, depth: Array) -> Array:
        """(..., W, 2) places of the source at a depth (..., W) inside the sure outline."""
        return self.start + self.inward * (self.sure + depth)[..., None]


def _columns(head: SourceHead, side_px: float) -> _Columns:
    """Columns of an atlas at the scale of a source of that side."""
    strips = head.shell.strips
    width = int(np.clip(strips.outline * side_px / 2, 48, _MOST_PX))
    height = int(np.clip(strips.length * side_px / 2, 16, _MOST_PX))
    u, v = ((np.arange(n) + 0.5) / n for n in (width, height))

    def at(values: Array) -> Array:
        if values.ndim == 2:
            return np.stack([at(column) for column in values.T], -1)
        return np.interp(2 * u - 1, strips.u, values)

    sure = at(strips.sure) + _INSET * head.pose.scale_px
    return _Columns(
        at(strips.start), at(strips.inward), sure, at(strips.band), at(strips.height),
        v * strips.length,
    )  # fmt: skip


def _shell(source: Source, head: SourceHead) -> tuple[Array, Array]:
    """(h, w, 3) uint8 atlas of the shell, and where it is painted, (h, w) bool."""
    image, scale = source.image, head.pose.scale_px
    colours = _colours(image, head)
    columns = _columns(head, len(image))
    own, known, tone, is_hair = _own(image, columns, colours, scale)
    detail = _quilted(source, head, colours, own, known, columns)
    sigma = _TONE * scale * len(image) / 2
    base = is_hair[:, None] * tone + (1 - is_hair[:, None]) * colours.hair
    base = cv2.GaussianBlur(base[None], (0, 0), sigma)[0]
    length = head.shell.strips.length
    far = smoothstep(np.clip(columns.arc / (0.5 * length), 0, 1))[:, None, None]
    out = base + 0.7 * far * (colours.hair - base) + detail
    first, last = _NAPE
    level = columns.level
    nape = smoothstep(np.clip((level - first) / (last - first), 0, 1)) * (1 - is_hair)
    out += nape[:, None] * (_below(source, columns, scale) - out)
    shade = 1 - _SHADE * smoothstep(np.clip(columns.arc / length, 0, 1))
    atlas = np.clip(np.rint(out * shade[:, None, None]), 0, 255).astype(np.uint8)
    return atlas, ~known & (nape < 0.5)


@dataclass(frozen=True)
class _Colours:
    hair: Array  # (3,)
    skin: Array  # (3,)

    def is_hair(self, colours: Array) -> Array:
        """(...) in [0, 1]: whether colours (..., 3) are the hair's rather than the skin's."""
        if np.linalg.norm(self.hair - self.skin) < _ALIKE:
            return np.ones(colours.shape[:-1])
        to_hair, to_skin = (
            np.linalg.norm(colours - one, axis=-1) for one in (self.hair, self.skin)
        )
        share = to_skin / np.maximum(to_hair + to_skin, 1e-3)
        return smoothstep(np.clip((share - 0.4) / 0.2, 0, 1))


def _colours(image: Array, head: SourceHead) -> _Colours:
    """Median colours of the middle of the face, and of the outline at the crown."""
    face = head.rest[:468, :2]
    middle = face.mean(0)
    places = middle + 0.6 * (face - middle)
    skin = np.median(geometry.warp(image, places[None], cv2.INTER_LINEAR)[0], 0)
    columns = _columns(head, 256)
    crown = columns.level < _CROWN
    depth = np.linspace(0, _OUTER, 12)[:, None] * (columns.band - columns.sure)
    hair = geometry.warp(image, columns.places(depth), cv2.INTER_LINEAR)[:, crown]
    return _Colours(np.median(hair.reshape(-1, 3), 0), skin)


def _back_and_forth(value: Array, length: Array) -> Array:
    """A place in [0, length] that goes to and fro as the value grows."""
    phase = np.abs(value) % (2 * length)
    return np.where(phase > length, 2 * length - phase, phase)


def _own(
    image: Array, columns: _Columns, colours: _Colours, scale: float
) -> tuple[Array, Array, Array, Array]:
    """What lies inside of the outline, mirrored at it.

    Returns colours (H, W, 3), where they are hair (H, W) bool, their mean per column (W, 3), and
    whether that is hair (W,) in [0, 1].
    """
    depth = np.repeat(columns.arc[:, None], len(columns.level), 1)
    own = geometry.warp(image, columns.places(depth), cv2.INTER_LINEAR).astype(np.float32)
    margin = round(0.02 * scale * len(image) / 2)
    likely = cv2.GaussianBlur(colours.is_hair(own).astype(np.float32), (0, 0), 1.5)
    limit = np.minimum(_BAND * scale, np.where(columns.level < 1, columns.band, _BAND * scale))
    known = (likely > 0.6) & (depth < limit)
    known = np.minimum.accumulate(known, 0)  # up to the first place that is not
    known[: -margin or None] &= known[margin:]
    known[len(known) - margin :] = False
    count = known.sum(0).astype(np.float32)
    mean = (own * known[..., None]).sum(0) / np.maximum(count, 1)[:, None]
    tone = np.where(count[:, None] > 2, mean, own[:3].mean(0))
    sigma = max(1.0, _TONE * scale * len(image) / 4)
    is_hair = np.clip(count / max(1.0, 0.04 * scale * len(image) / 2), 0, 1)
    is_hair = np.where(columns.level < _CROWN, np.maximum(is_hair, 0.5), is_hair)
    both = cv2.GaussianBlur(
        np.column_stack([tone * is_hair[:, None], is_hair])[None].astype(np.float32), (0, 0), sigma
    )[0]
    return own, known, both[:, :3] / np.maximum(both[:, 3:], 1e-3), both[:, 3]


def _quilted(
    source: Source, head: SourceHead, colours: _Colours,
    own: Array, known: Array, columns: _Columns,
) -> Array:  # fmt: skip
    """(H, W, 3) the atlas's detail, its unknown part covered by patches of hair; 0 without any."""
    hair = _hair(source, head, colours)
    scale_px = head.pose.scale_px * len(source.image) / 2
    angle = np.degrees(np.arctan2(columns.inward[:, 0], columns.inward[:, 1]))
    which = np.round(angle / 360 * _ROTATIONS).astype(int) % _ROTATIONS
    numbers, which = np.unique(which, return_inverse=True)
    for size in _PATCHES:
        side = max(4, round(size * scale_px))
        centres = _places_of(hair, side)
        if len(centres) >= _LEAST_PATCHES:
            fine = _detail(source.image, hair, _FINE * side)
            numbers_deg = numbers * 360 / _ROTATIONS
            turned = [quilting.patches(fine, centres, degrees, side) for degrees in numbers_deg]
            return quilting.cover(_detail(own, known, _FINE * side), known, turned, which)
    return np.where(known[..., None], _detail(own, known, 0.03 * scale_px), np.float32(0))


def _detail(image: Array, inside: Array, sigma_px: float) -> Array:
    """(h, w, 3) float32 the image without its smooth colours, where ``inside`` (h, w) bool."""
    image = image.astype(np.float32)
    smooth = masked_blur(image, inside.astype(np.float32), max(0.8, sigma_px))
    return np.where(inside[..., None], image - smooth, np.float32(0))


def _places_of(hair: Array, side_px: int) -> Array:
    """(n, 2) centres of patches, in any rotation, that show hair alone."""
    inside = cv2.distanceTransform(hair.astype(np.uint8), cv2.DIST_L2, 5) > 0.6 * side_px
    y, x = np.nonzero(inside)
    some = np.random.default_rng(1).permutation(len(x))[:_MOST_PATCHES]
    return np.stack([x[some], y[some]], -1)


def _hair(source: Source, head: SourceHead, colours: _Colours) -> Array:
    """(S, S) bool: hair of the source, for patches."""
    size, pose = len(source.image), head.pose
    grid = geometry.grid_norm(size)
    down = pose.rotation[:2, 1] / (np.linalg.norm(pose.rotation[:2, 1]) + 1e-9)
    face = head.rest[:468, :2]
    brows = face[np.array(mesh.BROWS).ravel()] @ down
    low = face[(face @ down) > brows.min()]
    sigma = max(0.5, 0.01 * pose.scale_px * size / 2)
    smooth = cv2.GaussianBlur(source.image.astype(np.float32), (0, 0), sigma)
    out = (colours.is_hair(smooth) > 0.7) & (source.subject > 0.95)
    out &= (grid - face[152]) @ down < 0
    hull = cv2.convexHull(np.round((low + 1) * size / 2 - 0.5).astype(np.int32))
    return out & (cv2.fillConvexPoly(np.zeros((size, size), np.uint8), hull, 1) == 0)


def _below(source: Source, columns: _Columns, scale: float) -> Array:
    """(H, W, 3) the atlas of neck and collar: the smooth colours along the outline, a little of
    the detail inside of it.
    """
    size = len(source.image)
    depth = _back_and_forth(columns.arc[:, None], np.full(len(columns.level), _NECK * scale))
    places = columns.places(depth)
    own = geometry.warp(source.image, places, cv2.INTER_LINEAR).astype(np.float32)
    person = geometry.warp(source.subject, places, cv2.INTER_LINEAR)
    inside = np.clip((person - 0.9) / 0.1, 0, 1)[..., None] + np.float32(1e-3)
    row = np.column_stack([(own * inside).sum(0), inside.sum(0)])[None].astype(np.float32)
    row = cv2.GaussianBlur(row, (0, 0), max(1.0, _ROW * scale * size / 2))
    tone = row[..., :3] / row[..., 3:]
    fine = own - cv2.GaussianBlur(own, (0, 0), max(1.0, _ROW * scale * size / 2))
    return tone + fine * inside


def _other(source: Source, head: SourceHead) -> tuple[Array, Array]:
    """The source in the light of the head's other half, (S, S, 3) uint8, for ``head_mirror``.

    The light is the ratio of the colours of counterparts that the source shows both, smooth over
    the head. Also returns where the head is symmetric, (n, n) float32 by place in the source: not
    where there is hair on one side and skin on the other.
    """
    size, pose = len(source.image), head.pose
    sigma = _TONE * pose.scale_px * size / 4
    smooth = cv2.GaussianBlur(source.image.astype(np.float32), (0, 0), max(0.5, sigma))
    mirror, xy = head.mirror, head.rest[:, :2]
    places = np.stack([xy, mirror.xy]).astype(np.float32)
    colours = geometry.warp(smooth, places, cv2.INTER_LINEAR) + 8
    person = geometry.warp(source.subject, places, cv2.INTER_LINEAR)
    ratio = np.log(colours[0] / colours[1])
    view = head.view
    weight = (view.around @ np.minimum(mirror.own_area, mirror.other_area)) * mirror.trust
    weight *= (person.min(0) > 0.9) * (head_share(head) > 0.9)
    # light changes brightness more than hue; what differs in hue is a mark, or not the same part
    hue = np.linalg.norm(ratio - ratio.mean(1, keepdims=True), axis=1)
    here, there = _colours(source.image, head).is_hair(colours - 8)
    weight *= np.exp(-((hue / _HUE) ** 2)) * (np.abs(here - there) < 0.5)
    own = (head.rest - np.append(pose.shift_px, 0)) @ pose.rotation / pose.scale_px
    own = own.astype(np.float32)
    rows = np.flatnonzero(weight > 0)
    if not len(rows):
        return source.image, np.zeros((_LIGHT_CELLS, _LIGHT_CELLS), np.float32)
    apart = (
        own[:, None] * np.array([-1, 1, 1], np.float32) - own[rows][None]
    )  # of each vertex's counterpart
    near = np.exp(-(apart**2).sum(-1) / (2 * _LIGHT**2)) * weight[rows]
    total = near.sum(1, keepdims=True)
    light = (near @ ratio[rows]) / (total + 0.003 * total.max())
    shown, depth = z_buffer.rasterise(head.rest, head.triangles, light, _LIGHT_CELLS)
    shown[np.isnan(depth)] = 0
    both = view.around @ np.stack([mirror.own_area, mirror.other_area], 1)
    evidence = both.min(1) / np.maximum(both.max(1), 1e-12)  # sides that turn away say nothing
    differ = smoothstep(np.clip(2 * np.abs(here - there) - 0.5, 0, 1))
    differ *= smoothstep(np.clip((evidence - _EVIDENCE[0]) / np.ptp(_EVIDENCE), 0, 1))
    alike = np.repeat(1 - differ[:, None], 3, 1)
    alike = z_buffer.rasterise(head.rest, head.triangles, alike, _LIGHT_CELLS)[0][..., 0]
    alike = cv2.GaussianBlur(alike, (0, 0), 0.04 * pose.scale_px * _LIGHT_CELLS / 2)
    limit = np.log(_MOST_LIGHT)
    factor = np.exp(np.clip(cv2.resize(shown, (size, size)), -limit, limit))
    other = np.clip(np.rint((source.image + 8.0) * factor - 8), 0, 255).astype(np.uint8)
    return other, np.clip(alike, 0, 1)


def head_share(head: SourceHead) -> Array:
    """(N,) share of the head's motion of each vertex."""
    share = np.ones(len(head.rest))
    share[468 : 468 + len(head.ring_weight)] = head.ring_weight[:, 0]
    return share
