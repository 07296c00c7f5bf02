"""Source picture -> Source, once: find the head, crop, place the keypoints, cut out the person.

The head is found by ``source_head``; with a learned tracker its detector gives the keypoints. A
detector trained on whole frames of other objects needs no head: the middle square is the source,
and all of it moves.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.config import PipelineConfig, parse_crop
from hybridanim.errors import InputError
from hybridanim.face import head_pose
from hybridanim.face.aligner import MEAN_SHAPE, Aligner
from hybridanim.geometry import crop_image, turned
from hybridanim.io import to_rgb8
from hybridanim.motion.keypoints import CROP_HEADS, crop_around, place_anchors
from hybridanim.profiles import Profiles
from hybridanim.runtime.matte import PersonMatte
from hybridanim.tracking import detection, face_tracking
from hybridanim.tracking.detection import Detector
from hybridanim.tracking.face_tracking import PointFinder
from hybridanim.types import Array, Crop, FaceBox, FaceFit, HeadBox, Source

from . import background, matting, source_face, source_head, texture
from .source_head import landmark_head

_LARGEST_PX = 2048  # side of the animated square when --size is not given
_PAINTED_PX = 512  # likewise, of the square around a head: paint has the detail of 256
_LEAST_PX = 16  # shorter side of a picture
_MOST_CROP = 3.0  # largest crop in sides of the picture; the rest is margin


def prepare(
    picture: Array,
    config: PipelineConfig,
    profiles: Profiles,
    aligner: Aligner | None,
    detector: Detector | None = None,
    finder: PointFinder | None = None,
    matte: PersonMatte | None = None,
) -> Source:
    """Prepare a source picture, (H, W, 3) uint8 RGB or (H, W, 4) RGBA, for stages 3 to 5.

    aligner: None = no landmarks. detector: of a learned tracker. finder: of mesh points; None = no
    face is fitted. matte: the matting network; None = GrabCut. A picture whose face is upside down
    or on its side is turned. Raises InputError when no face is found.
    """
    if picture.ndim != 3 or picture.shape[2] not in (3, 4) or picture.dtype != np.uint8:
        raise InputError(
            f"source: expected (H, W, 3) uint8 RGB, got {picture.shape} {picture.dtype};"
            " convert with hybridanim.io.to_rgb8"
        )
    if min(picture.shape[:2]) < _LEAST_PX:
        height, width = picture.shape[:2]
        raise InputError(
            f"source: expected a picture of {_LEAST_PX} pixels or more on each side, got"
            f" {width}x{height}; give a larger one"
        )
    alpha = picture[..., 3] if picture.shape[2] == 4 and picture[..., 3].min() < 255 else None
    picture = to_rgb8(picture)
    refuse_far_crop(picture, config.crop)
    if detector is not None and detector.window != "head":
        texture.expect_none(profiles.texture)
        return _prepare_object(picture, config, detector)
    found = source_head.locate(picture, config, profiles, aligner, finder)
    picture = turned(picture, found.turn_deg)
    alpha = None if alpha is None else turned(alpha, found.turn_deg)
    head, landmarks, face = found.head, found.landmarks_xy_px, found.face
    if face is not None and finder is not None:
        face = source_face.looked_closely(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), face, finder)
        face = _put_right(picture, face, finder, profiles)
        landmarks = face_tracking.landmarks_of(finder.model, face)
        head = landmark_head(landmarks)
    if face is None:
        texture.expect_none(profiles.texture)
    crop = source_crop(picture, head, config.crop)
    image = _cut(picture, crop, config, CROP_HEADS * head.size_px)
    scale = image.shape[0] / crop.side_px
    corner = np.array([crop.x_px, crop.y_px])
    box = _scaled_face(head, scale, corner)
    points = None if landmarks is None else (landmarks + 0.5 - corner) * scale - 0.5
    subject = matting.subject_mask(image, box, points, matte)
    if face is not None and finder is not None:
        subject = _with_face(subject, face, finder, corner, scale)
    keypoints = place_anchors(head, landmarks, MEAN_SHAPE if aligner else None, crop)
    rotation = rotation_deg(picture, head, landmarks)
    if face is not None:
        rotation = head_pose.angles_deg(face.pose.rotation)
    if detector is not None:
        seen = detection.detect_near(picture, head, detector)
        if seen.head is not None and seen.confidence > detection.LEAST_CONFIDENCE:
            head, keypoints = seen.head, seen.points.in_crop(crop)
            if face is not None and landmarks is not None:
                keypoints = face_tracking.with_landmarks(keypoints, crop, landmarks) or keypoints
    return Source(
        picture=picture,
        crop=crop,
        image=image,
        keypoints=keypoints,
        head=head,
        subject=subject,
        inpainted_background=background.inpaint_background(image, subject),
        rotation_deg=rotation,
        landmarks_xy_px=landmarks,
        face=face,
        turn_deg=found.turn_deg,
        **_transparency(alpha, crop, subject),
    )


def _transparency(alpha: Array | None, crop: Crop, subject: Array) -> dict[str, Array]:
    """The source's fields for the alpha (H, W) uint8 of a picture; none for an opaque one."""
    if alpha is None:
        return {}
    inside = crop_image(alpha, crop, len(subject))
    layers = np.repeat(inside[..., None], 3, axis=2)
    behind = background.inpaint_background(layers, subject)[..., 0]
    return {"alpha": inside, "inpainted_alpha": np.ascontiguousarray(behind)}


def _put_right(picture: Array, face: FaceFit, finder: PointFinder, profiles: Profiles) -> FaceFit:
    """The face, corrected by a texture profile if there is one."""
    if profiles.texture is None:
        return face
    return texture.corrected(finder.model, face, profiles.texture, picture).face


def _with_face(
    subject: Array, face: FaceFit, finder: PointFinder, corner: Array, scale: float
) -> Array:
    """The mask of the person with all of the fitted face in it: dark halves are often missed."""
    points = face.pose.project(finder.model.vertices_of(face))[:, :2]
    places = ((points + 0.5 - corner) * scale - 0.5).astype(np.float32)
    hull = np.round(cv2.convexHull(places) * 16).astype(np.int32)
    filled = np.zeros(subject.shape, np.uint8)
    cv2.fillConvexPoly(filled, hull, 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(filled, (0, 0), 0.004 * len(subject) + 0.5)
    return np.maximum(subject, soft.astype(np.float32) / 255)


def _prepare_object(picture: Array, config: PipelineConfig, detector: Detector) -> Source:
    """A source without a face: the middle square, as of the driver's frames; all of it moves."""
    crop = detection.middle_square(picture)
    if parse_crop(config.crop) is not None:
        crop = source_crop(picture, _box_of(crop), config.crop)
    image = _cut(picture, crop, config, crop.side_px)
    seen = detection.detect(picture, crop, detector)
    return Source(
        picture=picture,
        crop=crop,
        image=image,
        keypoints=seen.points.in_crop(crop),
        head=_box_of(crop),
        subject=np.ones(image.shape[:2], np.float32),
        inpainted_background=image,
    )


def _box_of(crop: Crop) -> HeadBox:
    """The crop as a head box, where a subject's position is needed."""
    middle = crop.side_px / 2 - 0.5
    return HeadBox((crop.x_px + middle, crop.y_px + middle), crop.side_px)


def _cut(picture: Array, crop: Crop, config: PipelineConfig, usual_px: float) -> Array:
    """The crop at the config's size; 0 = at its own, up to what is worth rendering.

    usual_px: side of the usual crop around this head. A renderer that paints fills it with 512
    pixels at most, and a larger crop with as many to a head; what is pasted back keeps its own
    size, since the picture around it does.
    """
    own = min(_LARGEST_PX, crop.side_px)
    if config.render.renderer != "warp" and not config.render.paste_back:
        own = min(own, _PAINTED_PX * max(1.0, crop.side_px / usual_px))
    return crop_image(picture, crop, max(64, config.size or 2 * round(own / 2)))


def rotation_deg(
    picture: Array, head: HeadBox, landmarks: Array | None
) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a still head; frontal without landmarks."""
    frontal = head_pose.frontal(head)
    if landmarks is None:
        return frontal.angles_deg
    lens = head_pose.Intrinsics(head_pose.camera_matrix(picture, head, None))
    return (head_pose.solve_landmarks(landmarks, lens, frontal) or frontal).angles_deg


def source_crop(picture: Array, head: HeadBox, option: str) -> Crop:
    """The square that is animated: around the head, the whole picture, or the one given.

    In whole pixels, so that at the crop's own size no pixel is resampled.
    """
    h, w = picture.shape[:2]
    wanted = wanted_crop(h, w, option)
    if wanted is not None:
        return wanted
    crop = crop_around(head)
    side = 2 * round(min(crop.side_px, max(h, w)) / 2)
    x, y = crop.x_px + (crop.side_px - side) / 2, crop.y_px + (crop.side_px - side) / 2
    return Crop(_kept_inside(x, side, w), _kept_inside(y, side, h), side)


def wanted_crop(height: int, width: int, option: str) -> Crop | None:
    """The square of a picture that an option names: all of it, or the given one; None: auto."""
    given = parse_crop(option)
    if option == "none":
        side = max(height, width) + max(height, width) % 2
        return Crop((width - side) // 2, (height - side) // 2, side)
    if given is None:
        return None
    x, y, w, h = given
    side = 2 * round(max(w, h) / 2)
    return Crop(round(x + (w - side) / 2), round(y + (h - side) / 2), side)


def refuse_far_crop(picture: Array, option: str, flag: str = "--crop") -> None:
    """Raise InputError unless a given crop overlaps the picture and is not much larger."""
    given, (height, width) = parse_crop(option), picture.shape[:2]
    if given is None:
        return
    x, y, w, h = given
    meets = x < width and y < height and x + w > 0 and y + h > 0
    if not meets or max(w, h) > _MOST_CROP * max(width, height):
        raise InputError(
            f"{flag} {option}: expected a part of the {width}x{height} picture, got one"
            f" {'of far more than it' if meets else 'beside it'}; choose X,Y,W,H within the picture"
        )


def _kept_inside(start: float, side: int, length: int) -> int:
    """The crop's start, moved so that it exceeds the picture as little as possible."""
    if side >= length:
        return (length - side) // 2
    return round(min(max(start, 0), length - side))


def _scaled_face(head: HeadBox, scale: float, corner: Array) -> FaceBox:
    center = (np.array(head.center_xy_px) + 0.5 - corner) * scale - 0.5
    side = head.size_px * scale
    return FaceBox(float(center[0] - side / 2), float(center[1] - side / 2), side, side)
