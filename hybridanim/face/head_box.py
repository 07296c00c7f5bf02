"""Head boxes (brows to chin) from skin blobs, cascade hits, landmarks, anchors or feature motion.

Between measurements the box moves by the features' similarity, which averages a hundred of them and
so neither jumps nor pulsates; measurements correct it with a small gain. A skin blob includes
forehead and neck, so its width gives the size and its top the position.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from hybridanim.fitting import fit_similarity
from hybridanim.geometry import apply_affine
from hybridanim.types import HEAD, LEFT_HAND, RIGHT_HAND, Array, FaceBox, HeadBox, SkinMask

from .aligner import box_from_landmarks
from .anchors import HAS_LANDMARKS, landmark_average
from .cascade import detect_faces
from .mean_shape import MEAN_SHAPE

# medians over 67 frames of real clips, against the cascade; single frames scatter by 13 %
_WIDTH = 0.90  # widest row of the face's skin / box side
_AREA = 0.87  # square root of the face's skin area / box side
_CENTRE = 0.54  # from the top of the skin (hairline) to the box centre, in box sides
_MOST_HITS = 3  # of the cascade in the whole picture
_ANCHORS = (landmark_average() @ MEAN_SHAPE)[HAS_LANDMARKS]  # on the mean face, face-box units


def from_face(face: FaceBox) -> HeadBox:
    """The cascade's box as a head box."""
    return HeadBox(face.center_xy_px, (face.width_px + face.height_px) / 2)


def from_landmarks(xy_px: Array) -> HeadBox:
    """The box that fits (L, 2) landmarks, with their roll."""
    face, roll_deg = box_from_landmarks(xy_px)
    return HeadBox(face.center_xy_px, face.width_px, roll_deg)


def from_anchors(xy_px: Array) -> HeadBox:
    """The head box of the K anchors (K, 2) in pixels, with their roll.

    Agrees with ``from_landmarks`` of the same face to within half a percent of the box side.
    """
    matrix = fit_similarity(_ANCHORS, xy_px[HAS_LANDMARKS])
    size_px = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    roll_deg = float(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
    return HeadBox((float(matrix[0, 2]), float(matrix[1, 2])), size_px, roll_deg)


def from_blob(mask: SkinMask) -> HeadBox | None:
    """The head box from the shape of the head's skin; None without an observed head blob."""
    blob = mask.blob(HEAD)
    if blob is None or blob.is_predicted:
        return None
    x, y, width, height = (round(v) for v in blob.box_px)
    x, y = max(0, x), max(0, y)
    part = mask.mask[y : y + height, x : x + width] > 0
    if part.size == 0:
        return None
    per_row = part.sum(1)
    top = int(np.argmax(per_row > 0.25 * max(1, per_row.max())))
    rows = part[top : top + max(4, round(1.2 * per_row.max()))]
    wide = float(np.percentile(rows.sum(1), 90))
    size = (wide / _WIDTH + float(np.sqrt(rows.sum())) / _AREA) / 2
    if size < 12:
        return None
    centre = x + float(np.median(np.nonzero(rows)[1])), y + top + _CENTRE * size
    return HeadBox(centre, size)


def find(image: Array, mask: SkinMask, *, search: bool) -> HeadBox | None:
    """Find the head without history: cascade hit of the mask, search of the picture, or skin blob.

    image: (H, W) uint8 grey. search: whether the whole picture may be searched (slow).
    """
    return next(candidates(image, mask, search=search), None)


def candidates(image: Array, mask: SkinMask, *, search: bool) -> Iterator[HeadBox]:
    """Give all that may be a head, the likeliest first; arguments as ``find``, found when asked."""
    if mask.face is not None:
        yield from_face(mask.face)
    blob = from_blob(mask)
    if search:
        faces = detect_faces(image, max_side_px=480)[:_MOST_HITS]
        yield from (from_face(face) for face in _nearest_first(faces, blob))
    if blob is not None:
        yield blob


def _nearest_first(faces: list[FaceBox], blob: HeadBox | None) -> list[FaceBox]:
    """The hits with the one at the head's skin, if there is one, in front."""
    if blob is None or not faces:
        return faces
    place = np.array(blob.center_xy_px)
    far = [float(np.linalg.norm(np.array(face.center_xy_px) - place)) for face in faces]
    nearest = int(np.argmin(far))
    if far[nearest] >= blob.size_px:
        return faces
    return [faces[nearest], *faces[:nearest], *faces[nearest + 1 :]]


def share_inside(head: HeadBox, height: int, width: int) -> float:
    """Share of the box's area, taken as upright, that lies in a picture of this size."""
    half, sides = head.size_px / 2, []
    for centre, length in zip(head.center_xy_px, (width, height), strict=True):
        # pixel centres: the picture reaches from -1/2 to length - 1/2
        sides.append(max(0.0, min(centre + half, length - 0.5) - max(centre - half, -0.5)))
    return min(1.0, sides[0] * sides[1] / head.size_px**2)


def detect_near(image: Array, head: HeadBox) -> HeadBox | None:
    """A cascade hit that agrees with the expected head, or None (turned heads give none).

    image: (H, W) uint8 grey.
    """
    side = 1.9 * head.size_px
    x, y = (c - side / 2 for c in head.center_xy_px)
    x0, y0 = max(0, round(x)), max(0, round(y))
    part = image[y0 : max(0, round(y + side)), x0 : max(0, round(x + side))]
    if min(part.shape) < 40:
        return None
    scale = min(1.0, 96 / max(part.shape))
    if scale < 1:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for face in detect_faces(part, min_frac=0.36):
        hit = from_face(face)
        centre = hit.center_xy_px[0] / scale + x0, hit.center_xy_px[1] / scale + y0
        hit = HeadBox(centre, hit.size_px / scale)
        if agrees(head, hit):
            return hit
    return None


def agrees(head: HeadBox, other: HeadBox) -> bool:
    """Whether two boxes may be the same head, by distance and size."""
    apart = np.linalg.norm(np.subtract(head.center_xy_px, other.center_xy_px))
    return bool(apart < 0.45 * head.size_px and 0.6 < other.size_px / head.size_px < 1.65)


def transform(head: HeadBox, similarity: Array) -> HeadBox:
    """The box under a (2, 3) similarity."""
    x, y = apply_affine(similarity, np.array(head.center_xy_px))
    cosine, sine = similarity[0, 0], similarity[1, 0]
    roll = head.roll_deg + float(np.rad2deg(np.arctan2(sine, cosine)))
    return HeadBox((float(x), float(y)), head.size_px * float(np.hypot(cosine, sine)), roll)


def blend(head: HeadBox, towards: HeadBox, gain: float, roll_gain: float = 0.0) -> HeadBox:
    """Interpolate from ``head`` towards a measured box; gain in [0, 1], size logarithmically."""
    x, y = (
        a + gain * (b - a) for a, b in zip(head.center_xy_px, towards.center_xy_px, strict=True)
    )
    size = head.size_px * (towards.size_px / head.size_px) ** gain
    turn = (towards.roll_deg - head.roll_deg + 180) % 360 - 180
    return HeadBox((x, y), size, head.roll_deg + roll_gain * turn)


def difference(head: HeadBox, other: HeadBox) -> Array:
    """(3,) shift in x and y in head sizes, and logarithm of the size, from one box to another."""
    shift = np.subtract(other.center_xy_px, head.center_xy_px) / head.size_px
    return np.array([*shift, np.log(other.size_px / head.size_px)])


def apply_difference(head: HeadBox, by: Array) -> HeadBox:
    """The box changed by a ``difference``, (3,)."""
    x, y = np.array(head.center_xy_px) + head.size_px * by[:2]
    return HeadBox((float(x), float(y)), head.size_px * float(np.exp(by[2])), head.roll_deg)


def to_head_units(xy_px: Array, head: HeadBox) -> Array:
    """(..., 2) pixels of the picture in head units: origin at the centre, side 1, upright."""
    angle = np.deg2rad(-head.roll_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (np.asarray(xy_px) - head.center_xy_px) / head.size_px @ turn.T


def is_on_head(xy_px: Array, head: HeadBox, slack: float = 1.0) -> Array:
    """(N,) bool: inside the ellipse from forehead to chin, enlarged by ``slack``."""
    x, y = to_head_units(xy_px, head).T
    return (x / (0.60 * slack)) ** 2 + ((y + 0.06) / (0.74 * slack)) ** 2 < 1


def is_hand_near(head: HeadBox, mask: SkinMask) -> bool:
    """Whether a hand is merged with the head's skin, or its box reaches into the face."""
    x, y = head.center_xy_px
    half = 0.55 * head.size_px
    for blob in (mask.blob(LEFT_HAND), mask.blob(RIGHT_HAND)):
        if blob is not None:
            left, top, width, height = blob.box_px
            margin = half + (half if blob.is_predicted else 0.0)
            across = left < x + margin and left + width > x - margin
            if across and top < y + margin and top + height > y - margin:
                return True
    return False


def is_in_hand(xy_px: Array, mask: SkinMask) -> Array:
    """(N,) bool: inside the box of a hand."""
    inside = np.zeros(len(xy_px), bool)
    for blob in (mask.blob(LEFT_HAND), mask.blob(RIGHT_HAND)):
        if blob is not None:
            x, y, width, height = blob.box_px
            across = (xy_px[:, 0] > x) & (xy_px[:, 0] < x + width)
            inside |= across & (xy_px[:, 1] > y) & (xy_px[:, 1] < y + height)
    return inside
