"""Segmentation of one picture, slower and better than that of a video frame.

RGB picture -> faces (found or given) -> a colour model of each person, with their skin in shade and
their hair -> P(skin) from colour and from the position relative to the faces -> a cut along the
picture's edges (GrabCut, Rother et al. 2004) -> removal of regions that can be no part of a body.
Without a face the generic colour model is used.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.config import SegmentConfig
from hybridanim.face.cascade import detect_faces
from hybridanim.profiles import SkinProfile
from hybridanim.types import Array, FaceBox, SkinMask

from . import blobs, skin_model
from .face_search import scaled
from .skin_model import Cloud

_FACE_SHARE, _BODY_SHARE, _FAR_SHARE = 0.3, 0.2, 0.1  # prior P(skin) in, below, far off a face
_RING_WEIGHT = 0.4  # of the ring around the heads (mostly hair) in the background histogram
_OWN_SHARE = 0.6  # weight of a person's own face in their skin; the rest is that of all faces
_HAIR_WEIGHT = 0.6
_SURE, _NOT = 242, 13  # of 255: above is fixed as skin, below as background in the cut
_LONGEST_PX = 640
_ROUNDS = 3
_SEARCH_PX = 1100  # longer side of the enlarged picture in the second search
_LARGEST_SCALE = 2.0  # largest enlargement there
_LEAST_PX = 24  # the cascade's own window
_LEAST_SCORE, _LEAST_SHARE = 1.5, 0.75  # cascade score and share of skin pixels of a second hit
_MOST_SIMILAR = 0.4  # largest Bhattacharyya coefficient of a face and the region above
_OPENING = 0.12  # opening radius in face widths: links thinner than twice this are cut
_THICKEST = 0.6  # largest half thickness of a limb, in widths of the largest face
_THINNEST = 0.1  # least half thickness of a region, in median face widths
_LEAST_AREA = 0.02  # in squared median face widths


def segment_still(
    image: Array,
    config: SegmentConfig,
    profile: SkinProfile | None = None,
    face: FaceBox | None = None,
) -> SkinMask:
    """Segment one (H, W, 3) uint8 RGB picture; slower and better than ``video.step``.

    face: the person whose colours are learned; without it, those of every face that is found. The
    mask has at most one blob, the head. ``lost`` says why when there is no skin.
    """
    yuv = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)
    faces = [face] if face else find_faces(image, yuv)
    if config.cloud == "fixed":
        mask = skin_model.fixed_mask(yuv, config.u_range, config.v_range)
    else:
        mask = still_mask(image, faces, profile)
    if not cv2.countNonZero(mask):
        return SkinMask(np.zeros(image.shape[:2], np.uint8), lost="no skin in the picture")
    first = faces[0] if faces else blobs.head_by_shape(mask)
    if first is None:
        return SkinMask(mask, face=None)
    head = cv2.bitwise_and(mask, blobs.head_ellipse(mask.shape[:2], first))
    found = (blobs.head_blob(head, first, 1.0),)
    return SkinMask(mask, found, blobs.median_uv(yuv, head), face=faces[0] if faces else None)


def still_mask(image: Array, faces: list[FaceBox], profile: SkinProfile | None) -> Array:
    """Skin mask (H, W) uint8, 0 or 255, of an (H, W, 3) uint8 RGB picture.

    Computed at 640 pixels on the longer side at most, then upsampled by a guided filter.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _LONGEST_PX / max(height, width))
    if scale == 1:
        return _mask(image, faces, profile)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = _mask(small, [scaled(f, scale) for f in faces], profile)
    soft = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    radius = max(2, round(2 / scale))
    return cv2.inRange(cv2.ximgproc.guidedFilter(image, soft, radius, 50.0), 128, 255)


def _mask(image: Array, faces: list[FaceBox], profile: SkinProfile | None) -> Array:
    return remove_non_body(_cut(image, _likelihood(image, faces, profile)), faces)


def find_faces(image: Array, yuv: Array) -> list[FaceBox]:
    """Faces whose colours may be learned, in pixels of the picture, highest score first.

    image, yuv: the same (H, W, 3) uint8 picture in RGB and YUV. A false hit in clothes or furniture
    would corrupt the colour model, so hits must be skin-coloured (unless none is, as under coloured
    light), of similar size, and not weak hits on the body below a stronger one. Small faces from a
    second search of the enlarged picture come last; that search has more false hits, so these must
    also differ from the region above them: on a wall or a shirt the colour continues there.
    """
    found = detect_faces(image, min_frac=0.045, max_side_px=800)
    likely = skin_model.probability(yuv, skin_model.generic_cloud().table(0.5))
    skinny = [f for f in found if _skin_share(yuv, likely, f) > 0.4]
    kept: list[FaceBox] = []
    for face in skinny or [f for f in found if f.score > 2]:
        if not any(_is_same(face, k) or _is_on_body(face, k) for k in kept):
            kept.append(face)
    usual_px = float(np.median([f.width_px for f in kept])) if kept else 0.0
    kept = [f for f in kept if len(kept) < 3 or usual_px / 2 < f.width_px < 1.8 * usual_px]
    return kept + _small_faces(image, yuv, likely, kept)


def _small_faces(image: Array, yuv: Array, likely: Array, sure: list[FaceBox]) -> list[FaceBox]:
    """Hits in the enlarged picture that the first search missed."""
    found: list[FaceBox] = []
    for face in _search_enlarged(image):
        if face.score < _LEAST_SCORE or _skin_share(yuv, likely, face) < _LEAST_SHARE:
            continue
        is_known = any(_is_same(face, k) for k in sure + found)
        if is_known or any(_is_under(face, k, 5.0) for k in sure):
            continue
        if _similarity_above(yuv, face) <= _MOST_SIMILAR:
            found.append(face)
    usual_px = float(np.median([f.width_px for f in sure or found])) if sure or found else 0.0
    return [f for f in found if 0.6 * usual_px < f.width_px < 1.6 * usual_px]


def _search_enlarged(image: Array) -> list[FaceBox]:
    scale = min(_LARGEST_SCALE, _SEARCH_PX / max(image.shape[:2]))
    if min(image.shape[:2]) * scale < _LEAST_PX:
        return []
    how = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    big = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
    least = _LEAST_PX / min(big.shape[:2])
    found = detect_faces(big, min_frac=least, max_side_px=max(big.shape[:2]))
    return [scaled(face, 1 / scale) for face in found]


def _skin_share(yuv: Array, likely: Array, face: FaceBox) -> float:
    inside = skin_model.face_pixels(yuv, face)
    return cv2.mean(cv2.inRange(likely, 100, 255), inside)[0] / 255


def _is_same(a: FaceBox, b: FaceBox) -> bool:
    (ax, ay), (bx, by) = a.center_xy_px, b.center_xy_px
    near_x = abs(ax - bx) < 0.3 * (a.width_px + b.width_px)
    return near_x and abs(ay - by) < 0.3 * (a.height_px + b.height_px)


def _is_under(low: FaceBox, high: FaceBox, heights: float) -> bool:
    """Whether box ``low`` lies on the body below ``high``, down to ``heights`` face heights."""
    (ax, ay), (bx, by) = low.center_xy_px, high.center_xy_px
    return abs(ax - bx) < 1.2 * high.width_px and by < ay < by + heights * high.height_px


def _is_on_body(weak: FaceBox, sure: FaceBox) -> bool:
    return _is_under(weak, sure, 7.0) and weak.score < 0.6 * sure.score


def _similarity_above(yuv: Array, face: FaceBox) -> float:
    """Bhattacharyya coefficient, 0 to 1, of the face's colours and those around its upper half."""
    inside = skin_model.histogram(yuv, skin_model.face_pixels(yuv, face), (0.7, 0.7))
    around = skin_model.histogram(
        yuv, _hair_region(yuv.shape[:2], face, (1.5, 1.9), (1.1, 1.4)), (0.7, 0.7)
    )
    return float(np.sqrt(inside * around).sum())


def _hair_region(
    shape: tuple[int, int], face: FaceBox, outer: tuple[float, float], inner: tuple[float, float]
) -> Array:
    """(H, W) uint8, 255 between two ellipses around the head, above the face's centre.

    outer, inner: full axes of the ellipses in face widths and heights.
    """
    x, y = face.center_xy_px
    w, h = face.width_px, face.height_px
    mask = np.zeros(shape, np.uint8)
    cv2.ellipse(mask, ((x, y - 0.15 * h), (outer[0] * w, outer[1] * h), 0.0), 255, -1)
    cv2.ellipse(mask, ((x, y + 0.1 * h), (inner[0] * w, inner[1] * h), 0.0), 0, -1)
    mask[max(0, int(y)) :] = 0
    return mask


def _likelihood(image: Array, faces: list[FaceBox], profile: SkinProfile | None) -> Array:
    """(H, W) uint8, 255 x P(skin | colour, place)."""
    yuv = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)
    seen = [(face, skin_model.face_pixels(yuv, face)) for face in faces]
    seen = [(face, mask) for face, mask in seen if cv2.countNonZero(mask)]
    faces, masks = [face for face, _ in seen], [mask for _, mask in seen]
    own = [skin_model.shaded_histogram(yuv, mask) for mask in masks]
    shades = own + ([skin_model.profile_histogram(profile)] if profile is not None else [])
    if not shades:
        return skin_model.probability(yuv, skin_model.generic_cloud().table(_BODY_SHARE))
    shared = np.mean(shades, axis=0).astype(np.float32)
    ring = _ring_histogram(yuv, faces, masks)
    skins, rings = [shared], [_RING_WEIGHT * ring]
    for skin, face, mask in zip(own, faces, masks, strict=True):
        skins += [_OWN_SHARE * skin + (1 - _OWN_SHARE) * shared] * 2
        rings += [_RING_WEIGHT * ring, _surround_histogram(yuv, face, mask, ring)]
    return _refit_background(yuv, faces, skins, rings)


def _refit_background(
    yuv: Array, faces: list[FaceBox], skins: list[Array], rings: list[Array]
) -> Array:
    """(H, W) uint8, 255 x P(skin), alternating with refits of the background histogram.

    skins, rings: by the labels of _nearest_face, histograms of skin (sum 1) and of the surroundings
    of the head (sum below 1: their share in the background).
    """
    shape = yuv.shape[:2]
    place, nearest, bins = _prior_map(shape, faces), _nearest_face(shape, faces), _bin_index(yuv)
    heads = _ellipses(shape, faces, 1.3, 1.5)
    other = skin_model.generic_cloud().other
    likely = np.zeros(shape, np.uint8)
    for _ in range(_ROUNDS + 1):
        clouds = [
            Cloud(skin, (1 - float(ring.sum())) * other + ring, 1.0)
            for skin, ring in zip(skins, rings, strict=True)
        ]
        tables = np.stack([cloud.table().ravel() for cloud in clouds])
        likely = _apply_prior((255 * tables[nearest, bins]).astype(np.uint8), place)
        away = cv2.inRange(likely, 0, 127)
        away[heads > 0] = 0
        if cv2.countNonZero(away) < 100:
            break
        other = skin_model.histogram(yuv, away, (1.0, 0.7))
    return likely


def _bin_index(yuv: Array) -> Array:
    """(H, W) int32 index of each pixel's colour into a flattened colour table."""
    _, us, vs = skin_model.BINS
    _, _, u_low, _, v_low, _ = skin_model.RANGES
    y, u, v = (yuv[..., k].astype(np.int32) for k in range(3))
    u_bin, v_bin = np.clip((u - u_low) // 4, 0, us - 1), np.clip((v - v_low) // 4, 0, vs - 1)
    return (y // 16 * us + u_bin) * vs + v_bin


def _nearest_face(shape: tuple[int, int], faces: list[FaceBox]) -> Array:
    """(H, W) int32: 1 + 2k where face k is nearest, 2 + 2k at its head, 0 without faces.

    Distances are in sizes of that face; downwards, where its body is, they count a quarter.
    """
    y_px, x_px = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    least = np.full(shape, np.inf, np.float32)
    label = np.zeros(shape, np.int32)
    for k, face in enumerate(faces):
        x, y = face.center_xy_px
        dx, dy = np.abs(x_px - x) / face.width_px, (y_px - y) / face.height_px
        distance = dx + np.where(dy > 0, dy / 4, -dy)
        is_nearer = distance < least
        at_head = (dx < 1.1) & (dy < 0.75) & (dy > -1.2)
        least[is_nearer] = distance[is_nearer]
        label[is_nearer] = 1 + 2 * k + at_head[is_nearer]
    return label


def _surround_histogram(yuv: Array, face: FaceBox, mask: Array, ring: Array) -> Array:
    """Histogram of ring and hair colours, weighted by their share in the background at this head.

    Blond and brown hair has the hue of shaded skin, so the region above the forehead is compared
    with the face under its actual light; colours more frequent in the face are taken for skin.
    """
    over = _hair_region(yuv.shape[:2], face, (1.3, 1.75), (1.15, 1.5))
    if cv2.countNonZero(over) < 20:
        return _RING_WEIGHT * ring
    hair = skin_model.histogram(yuv, over, (0.7, 0.7))
    skin = skin_model.histogram(yuv, mask, (0.7, 0.7))
    hair = _HAIR_WEIGHT * hair * np.clip(2 * hair / (hair + skin + 1e-9) - 1, 0, 1)
    weight = float(hair.sum())
    both = (1 - weight) * ring + hair
    return (_RING_WEIGHT + (1 - _RING_WEIGHT) * weight) * both


def _ring_histogram(yuv: Array, faces: list[FaceBox], masks: list[Array]) -> Array:
    """Histogram of colours around the heads that the faces do not have: hair, hats, background."""
    generic = skin_model.generic_cloud()
    if not masks:
        return generic.other
    skin = np.mean([skin_model.histogram(yuv, mask) for mask in masks], axis=0)
    likely = skin_model.probability(yuv, Cloud(skin, generic.other, 1.0).table())
    ring = cv2.inRange(likely, 0, 90)
    ring[_ellipses(yuv.shape[:2], faces, 0.95, 1.2) > 0] = 0
    ring[_ellipses(yuv.shape[:2], faces, 2.4, 2.6) == 0] = 0
    return skin_model.histogram(yuv, ring, (1.0, 0.7))


def _ellipses(shape: tuple[int, int], faces: list[FaceBox], wide: float, high: float) -> Array:
    """(H, W) uint8, 255 in ellipses with full axes of ``wide`` face widths, ``high`` heights."""
    mask = np.zeros(shape, np.uint8)
    for face in faces:
        axes = (wide * face.width_px, high * face.height_px)
        cv2.ellipse(mask, (face.center_xy_px, axes, 0.0), 255, -1)
    return mask


def _prior_map(shape: tuple[int, int], faces: list[FaceBox]) -> Array:
    """(H, W) float32 prior P(skin) by position: high in a face, medium below it, low elsewhere."""
    y_px, x_px = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    share = np.full(shape, _FAR_SHARE if faces else _BODY_SHARE, np.float32)
    for face in faces:
        x, y = face.center_xy_px
        dx, dy = (x_px - x) / face.width_px, (y_px - y) / face.height_px
        high = np.where(dy < -0.05, 0.74, 0.9)  # the hairline is nearer to the centre than the chin
        inside = np.exp(-2 * np.maximum((dx / 0.75) ** 2 + ((dy + 0.05) / high) ** 2 - 0.6, 0))
        distance2 = np.maximum(np.abs(dx) - 1, 0) ** 2 / 1.5**2 + np.maximum(dy - 2.5, 0) ** 2 / 9
        under = np.exp(-distance2) / (1 + np.exp(-6 * (dy - 0.3)))
        share = np.maximum(share, _FAR_SHARE + (_FACE_SHARE - _FAR_SHARE) * inside)
        share = np.maximum(share, _FAR_SHARE + (_BODY_SHARE - _FAR_SHARE) * under)
    return share


def _apply_prior(likely: Array, share: Array, base: float = 0.3) -> Array:
    """255 x P(skin | colour, place) from 255 x P(skin | colour), by Bayes' rule.

    share: (H, W) prior P(skin) of each place; base: the prior that ``likely`` was computed with.
    """
    p = np.clip(likely.astype(np.float32) / 255, 0.004, 0.996)
    odds = p / (1 - p) * (share / (1 - share)) * ((1 - base) / base)
    return (255 * odds / (1 + odds)).astype(np.uint8)


def _cut(image: Array, likely: Array) -> Array:
    """GrabCut of the likelihood: the mask's border on the picture's edges; (H, W), 0 or 255."""
    smooth = cv2.ximgproc.guidedFilter(image, likely, 4, 100.0)
    labels = np.where(smooth > 127, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[smooth > _SURE] = cv2.GC_FGD
    labels[smooth < _NOT] = cv2.GC_BGD
    skin = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not 10 < np.count_nonzero(skin) < skin.size - 10:
        return cv2.inRange(smooth, 128, 255)
    cv2.setRNGSeed(0)  # GrabCut's k-means draws from OpenCV's own generator
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(bgr, labels, (0, 0, 1, 1), *models, 2, cv2.GC_INIT_WITH_MASK)
    return np.where(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)), 255, 0).astype(np.uint8)


def remove_non_body(mask: Array, faces: list[FaceBox]) -> Array:
    """Remove regions that can be no part of a body by their thickness; (H, W) uint8, 0 or 255.

    Away from the heads nothing bare is much thicker than a face is wide (walls, tables and shirts
    are), and nothing is thinner than a finger (stripes, edges, cracks in wood are). Unchanged
    without faces.
    """
    if not faces:
        return mask
    usual_px = float(np.median([face.width_px for face in faces]))
    largest_px = max(face.width_px for face in faces)
    heads = np.zeros_like(mask)
    for face in faces:
        axes = (0.8 * face.width_px, face.height_px)
        cv2.ellipse(heads, (face.center_xy_px, axes, 0.0), 255, -1)
    thin = _without_thick(mask, heads, max(1, round(_OPENING * usual_px)), _THICKEST * largest_px)
    return _without_small(thin, usual_px)


def _without_thick(mask: Array, heads: Array, radius: int, thickest_px: float) -> Array:
    """Cut thin links between regions, then remove the thick ones that touch no head."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    core = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc)
    labels, half_px = _half_thickness_px(core, mask)
    is_thick = half_px > thickest_px
    is_thick[labels[heads > 0]] = False
    is_thick[0] = False
    thick = np.where(is_thick[labels], 255, 0).astype(np.uint8)
    square = np.ones(
        (2 * radius + 1, 2 * radius + 1), np.uint8
    )  # restores the corners that the opening removed
    return cv2.bitwise_and(mask, cv2.bitwise_not(cv2.dilate(thick, square)))


def _without_small(mask: Array, usual_px: float) -> Array:
    labels, half_px = _half_thickness_px(mask, mask)
    areas = np.bincount(labels.ravel(), minlength=len(half_px))
    keep = (areas >= _LEAST_AREA * usual_px**2) & (half_px >= _THINNEST * usual_px)
    keep[0] = False
    return np.where(keep[labels], 255, 0).astype(np.uint8)


def _half_thickness_px(regions: Array, mask: Array) -> tuple[Array, Array]:
    """Labels (H, W) int32 of ``regions``, and each one's largest distance to the mask's border."""
    labels = np.asarray(cv2.connectedComponents(regions)[1], np.int32)
    half_px = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(half_px, labels.ravel(), cv2.distanceTransform(mask, cv2.DIST_L2, 5).ravel())
    return labels, half_px
