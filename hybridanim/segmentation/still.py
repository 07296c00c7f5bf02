"""One picture -> skin mask, with more care than a video frame can have.

Faces found (or given) -> a cloud for each person, near that person, with their skin in shade and
their hair -> P(skin) from colour and from where it lies beside the faces -> a cut along the
picture's edges (GrabCut, Rother et al. 2004) -> regions that can be parts of a body. With no face,
the generic cloud stands in.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.profiles import SkinProfile
from hybridanim.types import Array, FaceBox

from . import skin_model as skin_cloud
from .face_search import scaled
from .skin_model import Cloud
from .still_faces import cap
from .still_faces import find_faces as find_faces  # segmentation and calibration ask for it here
from .still_limbs import without_impossible

_FACE_SHARE, _BODY_SHARE, _FAR_SHARE = 0.3, 0.2, 0.1  # prior share of skin in, under, off a face
_RING_WEIGHT = 0.4  # of what lies around the heads in the background: hair, mostly
_OWN_SHARE = 0.6  # of a person's own face in their skin; the rest is everybody's in the picture
_HAIR_WEIGHT = 0.6
_SURE, _NOT = 242, 13  # of 255: pixels that the cut may not change
_LONGEST_PX = 640
_ROUNDS = 3


def still_mask(image: Array, faces: list[FaceBox], profile: SkinProfile | None) -> Array:
    """(H, W) uint8, 0 or 255, of a (H, W, 3) uint8 RGB picture; worked out at up to 640 px."""
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
    return without_impossible(_cut(image, _likelihood(image, faces, profile)), faces)


def _likelihood(image: Array, faces: list[FaceBox], profile: SkinProfile | None) -> Array:
    """(H, W) uint8, 255 x P(skin | colour, place)."""
    yuv = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)
    seen = [(face, skin_cloud.face_pixels(yuv, face)) for face in faces]
    seen = [(face, mask) for face, mask in seen if cv2.countNonZero(mask)]
    faces, masks = [face for face, _ in seen], [mask for _, mask in seen]
    own = [skin_cloud.shaded_histogram(yuv, mask) for mask in masks]
    shades = own + ([skin_cloud.histogram_of_profile(profile)] if profile is not None else [])
    if not shades:
        return skin_cloud.probability(yuv, skin_cloud.generic_cloud().table(_BODY_SHARE))
    shared = np.mean(shades, axis=0).astype(np.float32)
    ring = _ring_histogram(yuv, faces, masks)
    skins, rings = [shared], [_RING_WEIGHT * ring]
    for skin, face, mask in zip(own, faces, masks, strict=True):
        skins += [_OWN_SHARE * skin + (1 - _OWN_SHARE) * shared] * 2
        rings += [_RING_WEIGHT * ring, _around_head(yuv, face, mask, ring)]
    return _settle(yuv, faces, skins, rings)


def _settle(yuv: Array, faces: list[FaceBox], skins: list[Array], rings: list[Array]) -> Array:
    """(H, W) uint8, 255 x P(skin); what is not skin is learned from what the last round left out.

    skins, rings: by the labels of _nearest(), histograms of skin (sum 1) and of what surrounds the
    head (sum below 1: its share in all that is not skin).
    """
    shape = yuv.shape[:2]
    place, nearest, bins = _share_map(shape, faces), _nearest(shape, faces), _bins(yuv)
    heads = _ellipses(shape, faces, 1.3, 1.5)
    other = skin_cloud.generic_cloud().other
    likely = np.zeros(shape, np.uint8)
    for _ in range(_ROUNDS + 1):
        clouds = [
            Cloud(skin, (1 - float(ring.sum())) * other + ring, 1.0)
            for skin, ring in zip(skins, rings, strict=True)
        ]
        tables = np.stack([cloud.table().ravel() for cloud in clouds])
        likely = _with_place((255 * tables[nearest, bins]).astype(np.uint8), place)
        away = cv2.inRange(likely, 0, 127)
        away[heads > 0] = 0
        if cv2.countNonZero(away) < 100:
            break
        other = skin_cloud.histogram(yuv, away, (1.0, 0.7))
    return likely


def _bins(yuv: Array) -> Array:
    """(H, W) int32 index of each pixel's colour into a flat table of the cloud."""
    _, us, vs = skin_cloud.BINS
    _, _, u_low, _, v_low, _ = skin_cloud.RANGES
    y, u, v = (yuv[..., k].astype(np.int32) for k in range(3))
    u_bin, v_bin = np.clip((u - u_low) // 4, 0, us - 1), np.clip((v - v_low) // 4, 0, vs - 1)
    return (y // 16 * us + u_bin) * vs + v_bin


def _nearest(shape: tuple[int, int], faces: list[FaceBox]) -> Array:
    """(H, W) int32: 1 + 2k where face k is nearest, 2 + 2k at its head, 0 without faces.

    Distances are in sizes of that face, and a quarter downwards, where its body is.
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


def _around_head(yuv: Array, face: FaceBox, mask: Array, ring: Array) -> Array:
    """The ring's colours and the hair's, as a share of what is not skin at this head.

    Blond and brown hair has the hue of skin in shade, so what lies over the forehead is compared
    with the face as it is lit; what the face itself has more often is skin (bald, or not theirs).
    """
    over = cap(yuv.shape[:2], face, (1.3, 1.75), (1.15, 1.5))
    if cv2.countNonZero(over) < 20:
        return _RING_WEIGHT * ring
    hair = skin_cloud.histogram(yuv, over, (0.7, 0.7))
    skin = skin_cloud.histogram(yuv, mask, (0.7, 0.7))
    hair = _HAIR_WEIGHT * hair * np.clip(2 * hair / (hair + skin + 1e-9) - 1, 0, 1)
    weight = float(hair.sum())
    both = (1 - weight) * ring + hair
    return (_RING_WEIGHT + (1 - _RING_WEIGHT) * weight) * both


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
        high = np.where(dy < -0.05, 0.74, 0.9)  # the hairline is nearer than the chin
        inside = np.exp(-2 * np.maximum((dx / 0.75) ** 2 + ((dy + 0.05) / high) ** 2 - 0.6, 0))
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
