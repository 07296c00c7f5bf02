"""Whether a place of a picture shows a face: two independent estimators have to agree on it.

The cascade finds cups and stars, skin is the colour of wood, and the landmark networks fit their
points to any of them. The regression cascade of ``face.aligner``, started in the box of such a fit,
then finds no face, or points that lie elsewhere: faces, painted and sculpted ones among them, reach
0.78 and 0.036 head sizes; pictures of other things 0.57 and 0.054. Heads that are turned far are
unknown to it; there, looks from several windows have to agree.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from hybridanim.face import head_box, head_pose
from hybridanim.face.aligner import Aligner
from hybridanim.tracking import face_tracking
from hybridanim.tracking.face_tracking import PointFinder
from hybridanim.types import Array, FaceBox, FaceFit, HeadBox

from . import source_face

LIKE_A_FACE = 0.65  # landmark confidence: nearly all faces above 0.9, cloth and walls up to 0.53
TURNS_DEG = (0, 180, 90, 270)  # clockwise, the order in which they are tried
_ALONE = 0.9  # landmark confidence that is a face by itself, in one of hundreds of boxes
_LEAST, _FARTHEST = 0.5, 0.042  # confidence; mean distance of the points, in head sizes
_CLOSE = 0.033  # distance that is a face whatever the confidence; other things have 0.054 and more
_TURNED_DEG, _SAME_POINTS = 30.0, 0.01  # yaw; distance of the points of several looks, head sizes
_BLUR = 0.02  # sigma in head sizes; larger than the lines of an etching
_ZOOMS = (1.0, 0.72)  # sizes of the aligner's box; large drawn eyes are fitted by large faces
_SEARCHED_PX = 512  # longer side of the picture that is searched
_GLANCE = 0.3  # confidence of a box's first window: faces above 0.8 in one of their boxes
_SIZES = (0.62, 0.44, 0.31, 0.22)  # of the boxes of a search, shares of the shorter side
_FEW_SIZES, _FEW_STEP = (0.6, 0.38, 0.24), 0.5  # of a search that misses one drawn face in twelve
_LEAST_PX, _MOST_BOXES = 12.0, 240  # side of a box; of a search
_LIKE_BOX = (0.65, 1.6)  # sizes of a face that is seen in a box, relative to it
_STEP = 0.4  # between their centres, in box sides


def is_face(
    grey: Array, face: FaceFit, landmarks_xy_px: Array, aligner: Aligner, *, is_found: bool = True
) -> bool:
    """Whether the aligner confirms a face that is fitted in a picture.

    grey: (H, W) uint8. landmarks_xy_px: (L, 2) of the fit. is_found: in the box of a detector, not
    in one of hundreds of boxes; there, points that agree closely are enough, since dark glasses
    leave the aligner unsure. Where they agree less and it is unsure, the picture is
    also looked at blurred: hatching and the dots of a print hide a face from it.
    """
    size_px = face.pose.scale_px
    for blur in (0.0, _BLUR):
        seen = grey if blur == 0 else cv2.GaussianBlur(grey, (0, 0), blur * size_px)
        looks = [_look(seen, face, landmarks_xy_px, aligner, zoom) for zoom in _ZOOMS]
        if any(sure > _LEAST and apart < _FARTHEST for sure, apart in looks):
            return True
        if is_found and face.confidence > _ALONE and min(apart for _, apart in looks) < _CLOSE:
            return True
        if min(apart for _, apart in looks) >= _FARTHEST:
            return False
    return False


def is_turned_face(grey: Array, face: FaceFit, finder: PointFinder) -> bool:
    """Whether a fit is a head that is turned far, which the aligner does not know.

    Looks from several windows find the same points of a face, within 0.007 head sizes on heads that
    are turned by 38 to 50 degrees; on pictures of other things they lie 0.015 and more apart.
    """
    if face.confidence < _ALONE or abs(head_pose.angles_deg(face.pose.rotation)[0]) < _TURNED_DEG:
        return False
    poses = source_face.poses_around(face.pose)
    looks = [look.xyz_px[:, :2] for pose in poses if (look := finder.track(grey, pose))]
    if len(looks) < len(poses):
        return False
    apart_px = np.linalg.norm(looks - np.median(looks, axis=0), axis=2).mean()
    return bool(apart_px < _SAME_POINTS * face.pose.scale_px)


def _look(
    grey: Array, face: FaceFit, landmarks_xy_px: Array, aligner: Aligner, zoom: float
) -> tuple[float, float]:
    """The aligner's confidence, and how far its points lie from the fit's, in head sizes."""
    x, y = face.pose.shift_px
    seen = aligner.fit(grey, face_of(HeadBox((float(x), float(y)), zoom * face.pose.scale_px)))
    apart_px = np.linalg.norm(seen.xy_px - landmarks_xy_px, axis=1).mean()
    return float(seen.confidence), float(apart_px) / face.pose.scale_px


def search(
    grey: Array, aligner: Aligner, finder: PointFinder | None, *, is_quick: bool = False
) -> HeadBox | None:
    """The box of a face that the cascade does not find, of boxes all over (H, W) uint8 grey.

    The largest are looked at first; most boxes are passed over after one glance. finder: None =
    landmarks alone decide. is_quick: half as many boxes, for a picture that is hardly a source.
    """
    scale = min(1.0, _SEARCHED_PX / max(grey.shape))
    small = grey
    if scale < 1:
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for box in _boxes(*small.shape, is_quick=is_quick):
        found = _face_in(small, box, aligner, finder)
        if found is not None:
            x, y = ((value + 0.5) / scale - 0.5 for value in found.center_xy_px)
            return HeadBox((x, y), found.size_px / scale)
    return None


def _face_in(
    grey: Array, box: HeadBox, aligner: Aligner, finder: PointFinder | None
) -> HeadBox | None:
    """The head box of a face that is seen in this box; None without one."""
    if finder is None:
        seen = aligner.fit(grey, face_of(box))
        return head_box.from_landmarks(seen.xy_px) if seen.confidence > _ALONE else None
    if finder.glance(grey, box) < _GLANCE:
        return None
    found = face_tracking.still_face(grey, box, finder)
    if found is None or found[0].confidence < _ALONE:
        return None
    pose = found[0].pose
    if not _LIKE_BOX[0] < pose.scale_px / box.size_px < _LIKE_BOX[1]:
        return None  # another box is nearer to it, if it is a face
    if not is_face(grey, *found, aligner, is_found=False):
        return None
    return HeadBox((float(pose.shift_px[0]), float(pose.shift_px[1])), pose.scale_px)


def face_of(head: HeadBox) -> FaceBox:
    """The head's box as a detector gives it, without its roll."""
    (x, y), side = head.center_xy_px, head.size_px
    return FaceBox(x - side / 2, y - side / 2, side, side)


def _boxes(height: int, width: int, *, is_quick: bool) -> list[HeadBox]:
    """Boxes of several sizes all over a picture, those of the middle first."""
    boxes, middle = [], np.array([width, height]) / 2
    sizes, step = (_FEW_SIZES, _FEW_STEP) if is_quick else (_SIZES, _STEP)
    for share in sizes:
        size = share * min(height, width)
        if size < _LEAST_PX:
            break  # nothing can be seen in it
        lines = []
        for length in (height, width):
            count = max(1, round((length - size) / (step * size)) + 1)
            lines.append(np.linspace(size / 2, length - size / 2, count))
        places = [np.array([x, y]) for y, x in itertools.product(*lines)]
        places.sort(key=lambda place: float(np.linalg.norm(place - middle)))
        boxes += [HeadBox((float(x), float(y)), size) for x, y in places]
    return boxes[:_MOST_BOXES]  # a strip would have a thousand
