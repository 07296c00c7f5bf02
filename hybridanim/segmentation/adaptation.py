"""Cloud, frame and face -> Cloud: what the video path learns, and when it refuses to.

A face that the cascade confirms is learned from its own pixels at full resolution; between hits the
followed head's surest pixels keep the cloud up to date. Hair and background are learned beside.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from hybridanim.profiles import SkinProfile
from hybridanim.types import Array, FaceBox

from . import blobs, face_search
from . import skin_model as skin_cloud
from .skin_model import Cloud

SURE = 150  # of 255: probability of pixels that are taken for skin without a neighbour's help


def first_cloud(profile: SkinProfile | None) -> Cloud:
    """The profile's person against anything, or people in general."""
    generic = skin_cloud.generic_cloud()
    if profile is None:
        return generic
    return Cloud(skin_cloud.histogram_of_profile(profile), generic.other, 0.5)


def holds_skin(image: Array, hit: FaceBox) -> bool:
    """The cascade also finds faces in folds and furniture: a doubtful one must be skin-coloured."""
    if hit.score > 2:
        return True
    patch, box = _face_patch(image, hit)
    inside = skin_cloud.face_pixels(patch, box)
    likely = skin_cloud.probability(patch, skin_cloud.generic_cloud().table(0.5))
    return cv2.mean(cv2.inRange(likely, 90, 255), inside)[0] / 255 > 0.3


def learn_hit(
    cloud: Cloud, image: Array, yuv: Array, *, hit: FaceBox, face: FaceBox, rate: float
) -> Cloud | None:
    """Learn from a face that the cascade confirms; from scratch where the cloud fails on it.

    image: (H, W, 3) RGB with ``hit`` in its pixels; yuv: the coarse picture with ``face`` in its.
    rate: share of the frame that is taken in. None when the face shows too few pixels.
    """
    patch, box = _face_patch(image, hit)
    mask = skin_cloud.face_pixels(patch, box)
    if cv2.countNonZero(mask) < 60:
        return None
    explained = cv2.mean(skin_cloud.probability(patch, cloud.table()), mask)[0] / 255
    other = cloud.other
    if not cloud.person_weight or explained < 0.5:  # nobody yet, other light or another person
        rate, other = 1.0, skin_cloud.generic_cloud().other
    skin = _mix(cloud.skin, skin_cloud.shaded_histogram(patch, mask), rate)
    cloud = Cloud(skin, other, 1.0)
    for _ in range(2 if rate == 1 else 1):
        cloud = _with_background(cloud, yuv, face, rate)
    return cloud


def learn_followed(cloud: Cloud, yuv: Array, face: FaceBox, rate: float) -> Cloud | None:
    """Learn from the followed head's sure pixels; None when too few of them are left."""
    likely = skin_cloud.probability(yuv, cloud.table())
    inside = skin_cloud.face_pixels(yuv, face)
    sure = cv2.bitwise_and(inside, cv2.inRange(likely, SURE, 255))
    if cv2.countNonZero(sure) < max(12, 0.6 * cv2.countNonZero(inside)):
        return None
    skin = _mix(cloud.skin, skin_cloud.shaded_histogram(yuv, sure), rate)
    return _with_background(replace(cloud, skin=skin), yuv, face, rate)


def _with_background(cloud: Cloud, yuv: Array, face: FaceBox, rate: float) -> Cloud:
    """Learn what is not likely skin: everywhere, and once more around the head, where hair is."""
    shape = yuv.shape[:2]
    likely = skin_cloud.probability(yuv, cloud.table())
    outside = cv2.inRange(likely, 0, 127)
    outside[blobs.head_ellipse(shape, face, 1.1) > 0] = 0
    other = skin_cloud.histogram(yuv, outside, (1.0, 0.7))
    ring = cv2.inRange(likely, 0, 127)
    ring[blobs.head_ellipse(shape, face, 0.8) > 0] = 0
    ring[blobs.head_ellipse(shape, face, 2.0) == 0] = 0
    if cv2.countNonZero(ring) > 30:
        other = 0.6 * other + 0.4 * skin_cloud.histogram(yuv, ring, (1.0, 0.7))
    return replace(cloud, other=_mix(cloud.other, other, rate))


def _mix(old: Array, new: Array, rate: float) -> Array:
    return ((1 - rate) * old + rate * new).astype(np.float32)


def _face_patch(image: Array, face: FaceBox) -> tuple[Array, FaceBox]:
    """The face at up to 64 pixels wide in YUV, and its box in that patch."""
    height, width = image.shape[:2]
    x0, y0 = max(0, int(face.x_px)), max(0, int(face.y_px))
    x1 = min(width, int(face.x_px + face.width_px) + 1)
    y1 = min(height, int(face.y_px + face.height_px) + 1)
    part = image[y0:y1, x0:x1]
    scale = min(1.0, 64 / face.width_px)
    if scale < 1:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    box = replace(face, x_px=face.x_px - x0, y_px=face.y_px - y0)
    return cv2.cvtColor(part, cv2.COLOR_RGB2YUV), face_search.scaled(box, scale)
