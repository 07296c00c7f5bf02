"""One picture -> skin mask, with more care than a video frame can have.

Faces found (or given) -> a cloud of the people in the picture, with their skin in shade as well ->
P(skin) from colour and from where it lies beside the faces -> a cut along the picture's edges
(GrabCut, Rother et al. 2004). With no face, the generic cloud stands in.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..faces import detect_faces
from ..profiles import SkinProfile
from ..types import Array, FaceBox
from . import cloud as skin_cloud
from .cloud import Cloud
from .head_search import scaled

_FACE_SHARE, _BODY_SHARE, _FAR_SHARE = 0.3, 0.2, 0.1  # prior share of skin in, under, off a face
_RING_WEIGHT = 0.4  # of what lies around the heads in the background: hair, mostly
_SURE, _NOT = 242, 13  # of 255: pixels that the cut may not change
_LONGEST_PX = 640
_ROUNDS = 3


def find_faces(image: Array, yuv: Array) -> list[FaceBox]:
    """Cascade hits that may be learned from, surest first.

    A hit in clothes or furniture would spoil the cloud. So hits must be skin-coloured (unless none
    is, as under odd light), about as large as the others, and no weak hit on a sure one's body.
    """
    found = detect_faces(image, min_frac=0.045, max_side_px=800)
    likely = skin_cloud.probability(yuv, skin_cloud.generic_cloud().table(0.5))
    skinny = [f for f in found if _skin_share(yuv, likely, f) > 0.4]
    kept: list[FaceBox] = []
    for face in skinny or [f for f in found if f.score > 2]:
        if not any(_is_same(face, k) or _is_on_body(face, k) for k in kept):
            kept.append(face)
    usual_px = float(np.median([f.width_px for f in kept])) if kept else 0.0
    return [f for f in kept if len(kept) < 3 or usual_px / 2 < f.width_px < 1.8 * usual_px]


def _skin_share(yuv: Array, likely: Array, face: FaceBox) -> float:
    inside = skin_cloud.face_pixels(yuv, face)
    return cv2.mean(cv2.inRange(likely, 100, 255), inside)[0] / 255


def _is_same(a: FaceBox, b: FaceBox) -> bool:
    (ax, ay), (bx, by) = a.center_xy_px, b.center_xy_px
    near_x = abs(ax - bx) < 0.3 * (a.width_px + b.width_px)
    return near_x and abs(ay - by) < 0.3 * (a.height_px + b.height_px)


def _is_on_body(weak: FaceBox, sure: FaceBox) -> bool:
    (ax, ay), (bx, by) = weak.center_xy_px, sure.center_xy_px
    is_under = abs(ax - bx) < 1.2 * sure.width_px and by < ay < by + 7 * sure.height_px
    return is_under and weak.score < 0.6 * sure.score


def still_mask(image: Array, faces: list[FaceBox], profile: SkinProfile | None) -> Array:
    """(H, W) uint8, 0 or 255, of a (H, W, 3) uint8 RGB picture; worked out at up to 640 px."""
    height, width = image.shape[:2]
    scale = min(1.0, _LONGEST_PX / max(height, width))
    if scale == 1:
        return _cut(image, _likelihood(image, faces, profile))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = _cut(small, _likelihood(small, [scaled(f, scale) for f in faces], profile))
    soft = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    radius = max(2, round(2 / scale))
    return cv2.inRange(cv2.ximgproc.guidedFilter(image, soft, radius, 50.0), 128, 255)


def _likelihood(image: Array, faces: list[FaceBox], profile: SkinProfile | None) -> Array:
    """(H, W) uint8, 255 x P(skin | colour, place)."""
    yuv = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)
    generic = skin_cloud.generic_cloud()
    masks = [skin_cloud.face_pixels(yuv, face) for face in faces]
    masks = [mask for mask in masks if cv2.countNonZero(mask)]
    shades = [skin_cloud.shaded_histogram(yuv, mask) for mask in masks]
    if profile is not None:
        shades.append(skin_cloud.histogram_of_profile(profile))
    if not shades:
        return skin_cloud.probability(yuv, generic.table(_BODY_SHARE))
    skin = np.mean(shades, axis=0).astype(np.float32)
    place = _share_map(yuv.shape[:2], faces)
    ring = _ring_histogram(yuv, faces, masks)
    heads = _ellipses(yuv.shape[:2], faces, 1.3, 1.5)
    other = generic.other
    likely = np.zeros(yuv.shape[:2], np.uint8)
    for _ in range(_ROUNDS + 1):  # what is not skin is learned from what the last round left out
        table = Cloud(skin, (1 - _RING_WEIGHT) * other + _RING_WEIGHT * ring, 1.0).table()
        likely = _with_place(skin_cloud.probability(yuv, table), place)
        away = cv2.inRange(likely, 0, 127)
        away[heads > 0] = 0
        if cv2.countNonZero(away) < 100:
            break
        other = skin_cloud.histogram(yuv, away, (1.0, 0.7))
    return likely


def _ring_histogram(yuv: Array, faces: list[FaceBox], masks: list[Array]) -> Array:
    """Colours around the heads that the faces themselves do not have: hair, hats, background."""
    generic = skin_cloud.generic_cloud()
    if not masks:
        return generic.other
    skin = np.mean([skin_cloud.histogram(yuv, mask) for mask in masks], axis=0)
    likely = skin_cloud.probability(yuv, Cloud(skin, generic.other, 1.0).table())
    ring = cv2.inRange(likely, 0, 90)
    ring[_ellipses(yuv.shape[:2], faces, 0.95, 1.2) > 0] = 0
    ring[_ellipses(yuv.shape[:2], faces, 2.4, 2.6) == 0] = 0
    return skin_cloud.histogram(yuv, ring, (1.0, 0.7))


def _ellipses(shape: tuple[int, int], faces: list[FaceBox], wide: float, high: float) -> Array:
    """(H, W) uint8, 255 in ellipses of so many face widths and heights."""
    mask = np.zeros(shape, np.uint8)
    for face in faces:
        axes = (wide * face.width_px, high * face.height_px)
        cv2.ellipse(mask, (face.center_xy_px, axes, 0.0), 255, -1)
    return mask


def _share_map(shape: tuple[int, int], faces: list[FaceBox]) -> Array:
    """(H, W) float32 prior share of skin: most in a face, some on the body below, little else."""
    y_px, x_px = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    share = np.full(shape, _FAR_SHARE if faces else _BODY_SHARE, np.float32)
    for face in faces:
        x, y = face.center_xy_px
        dx, dy = (x_px - x) / face.width_px, (y_px - y) / face.height_px
        inside = np.exp(-2 * np.maximum((dx / 0.75) ** 2 + ((dy + 0.05) / 0.9) ** 2 - 0.6, 0))
        beside = np.maximum(np.abs(dx) - 1, 0) ** 2 / 1.5**2 + np.maximum(dy - 2.5, 0) ** 2 / 9
        under = np.exp(-beside) / (1 + np.exp(-6 * (dy - 0.3)))
        share = np.maximum(share, _FAR_SHARE + (_FACE_SHARE - _FAR_SHARE) * inside)
        share = np.maximum(share, _FAR_SHARE + (_BODY_SHARE - _FAR_SHARE) * under)
    return share


def _with_place(likely: Array, share: Array, base: float = 0.3) -> Array:
    """P(skin | colour) under prior share ``base`` -> 255 x P under the map's own share."""
    p = np.clip(likely.astype(np.float32) / 255, 0.004, 0.996)
    odds = p / (1 - p) * (share / (1 - share)) * ((1 - base) / base)
    return (255 * odds / (1 + odds)).astype(np.uint8)


def _cut(image: Array, likely: Array) -> Array:
    """Move the border of likely skin to the picture's edges; (H, W) uint8, 0 or 255."""
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
