"""Online learning of the colour model: Cloud, frame and face -> Cloud, or None to freeze it.

At a cascade hit the face's own pixels at full resolution are learned; between hits the most likely
skin pixels of the tracked head update the model. Hair and background are learned along with them.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from hybridanim.profiles import SkinProfile
from hybridanim.types import Array, FaceBox

from . import blobs, face_search, skin_model
from .skin_model import Cloud

SURE = 150  # of 255: probability above which a pixel is skin whatever its neighbours are


def first_cloud(profile: SkinProfile | None) -> Cloud:
    """Skin colour model before any face was seen: of the profile's person, or the generic one."""
    generic = skin_model.generic_cloud()
    if profile is None:
        return generic
    return Cloud(skin_model.profile_histogram(profile), generic.other, 0.5)


def is_skin_coloured(image: Array, hit: FaceBox) -> bool:
    """Reject low-scored cascade hits that are not skin-coloured: folds of cloth, furniture."""
    if hit.score > 2:
        return True
    patch, box = _face_patch(image, hit)
    inside = skin_model.face_pixels(patch, box)
    likely = skin_model.probability(patch, skin_model.generic_cloud().table(0.5))
    return cv2.mean(cv2.inRange(likely, 90, 255), inside)[0] / 255 > 0.3


def learn_detected(
    cloud: Cloud, image: Array, yuv: Array, *, hit: FaceBox, face: FaceBox, rate: float
) -> Cloud | None:
    """Learn from a face that the cascade confirms; from scratch where the model does not fit it.

    image: (H, W, 3) uint8 RGB; hit: in its pixels. yuv: the coarse picture; face: in its pixels.
    rate: weight of this frame in [0, 1]. None when the face has too few skin pixels.
    """
    patch, box = _face_patch(image, hit)
    mask = skin_model.face_pixels(patch, box)
    if cv2.countNonZero(mask) < 60:
        return None
    explained = cv2.mean(skin_model.probability(patch, cloud.table()), mask)[0] / 255
    other = cloud.other
    if not cloud.person_weight or explained < 0.5:
        # no person learned yet, other light or another person
        rate, other = 1.0, skin_model.generic_cloud().other
    skin = _mix(cloud.skin, skin_model.shaded_histogram(patch, mask), rate)
    cloud = Cloud(skin, other, 1.0)
    for _ in range(2 if rate == 1 else 1):
        cloud = _with_background(cloud, yuv, face, rate)
    return cloud


def learn_followed(cloud: Cloud, yuv: Array, face: FaceBox, rate: float) -> Cloud | None:
    """Learn from the likely skin pixels of the tracked head; None when there are too few."""
    likely = skin_model.probability(yuv, cloud.table())
    inside = skin_model.face_pixels(yuv, face)
    sure = cv2.bitwise_and(inside, cv2.inRange(likely, SURE, 255))
    if cv2.countNonZero(sure) < max(12, 0.6 * cv2.countNonZero(inside)):
        return None
    skin = _mix(cloud.skin, skin_model.shaded_histogram(yuv, sure), rate)
    return _with_background(replace(cloud, skin=skin), yuv, face, rate)


def _with_background(cloud: Cloud, yuv: Array, face: FaceBox, rate: float) -> Cloud:
    """Learn the colours of unlikely skin, with extra weight around the head, where hair is."""
    shape = yuv.shape[:2]
    likely = skin_model.probability(yuv, cloud.table())
    outside = cv2.inRange(likely, 0, 127)
    outside[blobs.head_ellipse(shape, face, 1.1) > 0] = 0
    other = skin_model.histogram(yuv, outside, (1.0, 0.7))
    ring = cv2.inRange(likely, 0, 127)
    ring[blobs.head_ellipse(shape, face, 0.8) > 0] = 0
    ring[blobs.head_ellipse(shape, face, 2.0) == 0] = 0
    if cv2.countNonZero(ring) > 30:
        other = 0.6 * other + 0.4 * skin_model.histogram(yuv, ring, (1.0, 0.7))
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
