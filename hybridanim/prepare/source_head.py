"""Where the head of a source picture is: cascade, skin, then a search; a face has to confirm it.

A cup is no source: what is found has to be a face for landmarks or face model (``plausible``),
unless a crop by hand says that it is there. A picture that shows none is also tried upside down and
on either side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2

from hybridanim.config import PipelineConfig, parse_crop
from hybridanim.errors import InputError
from hybridanim.face import cascade
from hybridanim.face.aligner import Aligner, box_from_landmarks
from hybridanim.geometry import turned
from hybridanim.motion.keypoints import CROP_HEADS
from hybridanim.profiles import Profiles
from hybridanim.segmentation.still import segment_still
from hybridanim.tracking import face_tracking
from hybridanim.tracking.face_tracking import PointFinder
from hybridanim.types import Array, FaceBox, FaceFit, HeadBox

from . import plausible
from .plausible import LIKE_A_FACE, TURNS_DEG

_SKIN_SEARCH_PX = 4096  # longer side at which skin is looked for, at most
_LARGER, _RISES = (1.5, 2.2, 3.2), (0.0, 0.15, 0.3)  # sizes and places of a search
_CERTAIN = 0.95  # landmark confidence that the landmark networks need not agree with
SURE = 0.3  # landmark confidence above which landmarks replace the box


@dataclass(frozen=True)
class FoundHead:
    """The head of a source picture, in pixels of the turned picture."""

    head: HeadBox
    landmarks_xy_px: Array | None  # (L, 2) float32
    face: FaceFit | None
    turn_deg: int = 0  # clockwise, by which the given picture was turned


def locate(
    picture: Array,
    config: PipelineConfig,
    profiles: Profiles,
    aligner: Aligner | None,
    finder: PointFinder | None,
) -> FoundHead:
    """The head of a picture, (H, W, 3) uint8 RGB, and how the picture has to be turned.

    aligner: None = no landmarks, and nothing that could confirm a face. finder: of mesh points;
    None = no face is fitted. Raises InputError when no face is found.
    """
    if parse_crop(config.crop) is not None or aligner is None:
        head, landmarks = find_head(picture, config, profiles, aligner)
        face = _fitted(picture, head, finder)
        return FoundHead(head, landmarks, face) if face is None else _with_face(face)
    turns = TURNS_DEG if profiles.texture is None else TURNS_DEG[:1]  # its points are not turned
    for turn_deg in turns:
        found = _confirmed(
            turned(picture, turn_deg), config, profiles, aligner, finder, is_quick=turn_deg != 0
        )
        if found is not None:
            return replace(found, turn_deg=turn_deg)
    if config.face:
        _chosen([], config.face)
    raise _no_face()


def _confirmed(
    picture: Array,
    config: PipelineConfig,
    profiles: Profiles,
    aligner: Aligner,
    finder: PointFinder | None,
    *,
    is_quick: bool,
) -> FoundHead | None:
    """The head of an upright picture; None unless a face is there. is_quick: see ``search``."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    box = _face_box(picture, grey, config, profiles, aligner)
    head = None
    if box is not None:
        head = HeadBox(box.center_xy_px, (box.width_px + box.height_px) / 2)
        landmarks = aligner.fit(grey, box)
        if landmarks.confidence > LIKE_A_FACE:
            head = landmark_head(landmarks.xy_px)
            fit = None if finder is None else _fit_near(grey, head, finder)
            is_sure = finder is None or landmarks.confidence > _CERTAIN
            if is_sure or (fit is not None and plausible.is_face(grey, *fit, aligner)):
                return FoundHead(head, landmarks.xy_px, None) if fit is None else _with_face(fit)
    if head is not None:
        found = _near_head(grey, head, aligner, finder)
        if found is not None:
            return found
    head = None if config.face else plausible.search(grey, aligner, finder, is_quick=is_quick)
    if head is None:
        return None
    fit = None if finder is None else face_tracking.still_face(grey, head, finder)
    if fit is not None:
        return _with_face(fit)
    landmarks = aligner.fit(grey, plausible.face_of(head))
    return FoundHead(landmark_head(landmarks.xy_px), landmarks.xy_px, None)


def _near_head(
    grey: Array, head: HeadBox, aligner: Aligner, finder: PointFinder | None
) -> FoundHead | None:
    """A confirmed face at the head box, or of another size near it."""
    if finder is not None:
        fit = _fit_near(grey, head, finder)
        is_face = fit is not None and (
            plausible.is_face(grey, *fit, aligner) or plausible.is_turned_face(grey, fit[0], finder)
        )
        return _with_face(fit) if fit is not None and is_face else None
    fits = [aligner.fit(grey, plausible.face_of(box)) for box in (head, *_near(head))]
    best = max(fits, key=lambda one: one.confidence)
    if best.confidence <= LIKE_A_FACE:
        return None
    return FoundHead(landmark_head(best.xy_px), best.xy_px, None)


def _fit_near(grey: Array, head: HeadBox, finder: PointFinder) -> tuple[FaceFit, Array] | None:
    return face_tracking.still_face(grey, head, finder) or _search_near(grey, head, finder)


def _with_face(fit: tuple[FaceFit, Array]) -> FoundHead:
    face, landmarks = fit
    return FoundHead(landmark_head(landmarks), landmarks, face)


def _fitted(
    picture: Array, head: HeadBox, finder: PointFinder | None
) -> tuple[FaceFit, Array] | None:
    if finder is None:
        return None
    return face_tracking.still_face(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), head, finder)


def _no_face() -> InputError:
    return InputError(
        "source: expected a picture with a visible face, found none; try one that looks at the"
        " camera, or give the part with the head by --crop X,Y,W,H"
    )


def find_head(
    picture: Array, config: PipelineConfig, profiles: Profiles, aligner: Aligner | None
) -> tuple[HeadBox, Array | None]:
    """Head box and landmarks (L, 2) or None, in pixels of the picture.

    Tries the cascade, then the skin blob, then a crop given by hand; nothing has to confirm it.
    Raises InputError.
    """
    given = parse_crop(config.crop)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    face = _face_box(picture, grey, config, profiles, aligner)
    if config.face and face is None:
        _chosen([], config.face)
    if face is None and given is not None:
        x, y, width, height = given
        side = max(width, height) / CROP_HEADS
        face = FaceBox(x + (width - side) / 2, y + (height - side) / 2, side, side)
    if face is None:
        raise _no_face()
    head = HeadBox(face.center_xy_px, (face.width_px + face.height_px) / 2)
    if aligner is None:
        return head, None
    landmarks = aligner.fit(grey, face)
    if landmarks.confidence < SURE:
        return head, None
    return landmark_head(landmarks.xy_px), landmarks.xy_px


def _face_box(
    picture: Array,
    grey: Array,
    config: PipelineConfig,
    profiles: Profiles,
    aligner: Aligner | None,
) -> FaceBox | None:
    """The box that is likeliest a face, of cascade or skin; or None."""
    found = faces(picture, grey, config.crop, aligner)
    if not found:
        return None if config.face else _skin_face(picture, config, profiles)
    return _chosen(found, config.face)


def faces(picture: Array, grey: Array, crop: str, aligner: Aligner | None) -> list[FaceBox]:
    """The faces that ``--face`` numbers, largest first; grey: the picture, (H, W) uint8."""
    given = parse_crop(crop)
    found = _real(grey, _inside(cascade.detect_faces(picture), given), aligner)
    if not found:  # small, dim or painted faces: a slower search
        more = cascade.detect_faces(picture, min_frac=0.04, max_side_px=1024, neighbours=1)
        found = _real(grey, _inside(more, given), aligner) or _inside(more, given)[:1]
    return sorted(found, key=lambda face: -face.width_px)


def landmark_head(landmarks_xy_px: Array) -> HeadBox:
    """The head box that (L, 2) landmarks give."""
    levelled, roll_deg = box_from_landmarks(landmarks_xy_px)
    side = (levelled.width_px + levelled.height_px) / 2
    return HeadBox(levelled.center_xy_px, side, roll_deg)


def _search_near(grey: Array, head: HeadBox, finder: PointFinder) -> tuple[FaceFit, Array] | None:
    """A face of another size near the head box; the cascade takes mouths and noses for faces."""
    found = [face_tracking.still_face(grey, box, finder) for box in _near(head)]
    return max((one for one in found if one), key=lambda one: one[0].confidence, default=None)


def _near(head: HeadBox) -> list[HeadBox]:
    (x, y), boxes = head.center_xy_px, []
    for larger in _LARGER:
        size = larger * head.size_px
        # a mouth lies below the middle of its face
        boxes += [HeadBox((x, y - rise * size), size, 0.0) for rise in _RISES]
    return boxes


def _inside(found: list[FaceBox], given: tuple[float, float, float, float] | None) -> list[FaceBox]:
    if given is None:
        return found
    x, y, width, height = given
    return [
        face
        for face in found
        if x <= face.center_xy_px[0] <= x + width and y <= face.center_xy_px[1] <= y + height
    ]


def _real(grey: Array, found: list[FaceBox], aligner: Aligner | None) -> list[FaceBox]:
    """The cascade hits with a high landmark confidence, which cloth and walls do not have."""
    if aligner is None:
        return found
    return [face for face in found if aligner.fit(grey, face).confidence > LIKE_A_FACE]


def _chosen(found: list[FaceBox], index: int) -> FaceBox:
    """Face number ``index`` of those found, largest first; InputError when there are fewer."""
    if index >= len(found):
        raise InputError(
            f"--face: expected 0 to {max(0, len(found) - 1)}, as {len(found)} were found, got"
            f" {index}; 0 is the largest, or give one by --crop X,Y,W,H"
        )
    return found[index]


def _skin_face(picture: Array, config: PipelineConfig, profiles: Profiles) -> FaceBox | None:
    """The upper part of the head's skin blob as a face, or None."""
    scale = min(1.0, _SKIN_SEARCH_PX / max(picture.shape[:2]))
    if scale < 1:  # else the search takes gigabytes
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = segment_still(picture, config.segment, profiles.skin)
    blob = mask.blob("head")
    if not mask or blob is None or blob.area_px < 0.005 * mask.mask.size:
        return None
    x, y, width, height = (value / scale for value in blob.box_px)
    if not 0.6 < height / width < 2.5:
        return None
    return FaceBox(x, y + 0.15 * min(height, 1.4 * width), width, width)
