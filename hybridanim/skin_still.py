"""One picture -> SkinMask, with more care than a video frame can have.

Faces found (or given) -> a cloud of the people in the picture -> probability, sharpened by what
surrounds each pixel -> regions that belong to a person. With no face, the generic cloud stands in.
"""

from __future__ import annotations

import cv2
import numpy as np

from . import skin_cloud
from .faces import detect_faces
from .profiles import SkinProfile
from .skin_cloud import Cloud
from .types import Array, FaceBox


def find_faces(image: Array, yuv: Array) -> list[FaceBox]:
    """Cascade hits that hold skin, surest first, one of each overlapping pair."""
    table = skin_cloud.generic_cloud().table(0.5)
    likely = skin_cloud.probability(yuv, table)
    kept: list[FaceBox] = []
    for face in detect_faces(image, min_frac=0.045, max_side_px=800):
        inside = skin_cloud.face_pixels(yuv, face)
        share = cv2.mean(cv2.inRange(likely, 100, 255), inside)[0] / 255
        x, y = face.center_xy_px
        is_inner = any(
            abs(x - k.center_xy_px[0]) < 0.6 * (k.width_px + face.width_px) / 2
            and abs(y - k.center_xy_px[1]) < 0.6 * (k.height_px + face.height_px) / 2
            for k in kept
        )
        if share > 0.3 and not is_inner:
            kept.append(face)
    return kept


def learn_cloud(yuv: Array, faces: list[FaceBox], profile: SkinProfile | None) -> Cloud:
    """The cloud of these faces against everything around them."""
    generic = skin_cloud.generic_cloud()
    histograms = [skin_cloud.histogram(yuv, skin_cloud.face_pixels(yuv, f)) for f in faces]
    if profile is not None:
        histograms.append(skin_cloud.histogram_of_profile(profile))
    if not histograms:
        return generic
    cloud = Cloud(np.mean(histograms, 0).astype(np.float32), generic.other, 1.0)
    heads = np.zeros(yuv.shape[:2], np.uint8)
    for face in faces:
        x, y = face.center_xy_px
        size = (1.3 * face.width_px, 1.5 * face.height_px)
        cv2.ellipse(heads, ((x, y), size, 0.0), 255, -1)
    for _ in range(2):
        away = cv2.inRange(skin_cloud.probability(yuv, cloud.table()), 0, 127)
        away[heads > 0] = 0
        other = skin_cloud.histogram(yuv, away, (1.0, 0.7))
        cloud = Cloud(cloud.skin, other, 1.0)
    return cloud


def still_mask(image: Array, faces: list[FaceBox], profile: SkinProfile | None) -> Array:
    """(H, W) uint8, 0 or 255, of a (H, W, 3) uint8 RGB picture."""
    yuv = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)
    cloud = learn_cloud(yuv, faces, profile)
    likely = skin_cloud.probability(yuv, cloud.table())
    guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    smooth = cv2.ximgproc.guidedFilter(image, likely, 4, 100.0)
    del guide
    return cv2.inRange(smooth, 128, 255)
