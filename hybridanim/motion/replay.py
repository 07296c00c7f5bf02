"""Motion -> SparseMotion, frame by frame, for any source: stage 3 without stages 1 and 2.

The same steps as with the video (``sparse.move``): smoothing, transfer and their options belong to
the run that replays. The reference frame is chosen here, too, from the faces of the preview scan or
from any frame of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hybridanim.config import KeypointsConfig
from hybridanim.errors import InputError
from hybridanim.face import head_pose
from hybridanim.face.anchors import FREE
from hybridanim.face.face_model import FaceModel
from hybridanim.types import (
    Array,
    Crop,
    Frame,
    HeadPose,
    Keypoints,
    SkinMask,
    Source,
    SparseMotion,
    Tracks,
)

from . import keypoints, sparse
from .head_transfer import DriverFace
from .motion_file import MotionHeader, MotionRow, ScannedFace, Stretch
from .reference import (
    NEAR_DEGREES,
    NEAR_OPENING,
    SEARCH_S,
    Reference,
    ReferencePose,
    distance_of_openings,
    with_first_body,
)


class DrivingMotion(Protocol):
    """What animates a source: a motion file that was opened, or imagined motion."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def header(self) -> MotionHeader:
        """What is said once of it."""
        ...

    @property
    def keypoints(self) -> int:
        """Number of keypoints."""
        ...

    @property
    def expression(self) -> int:
        """Number of coefficients of the expression."""
        ...

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Its stretches, each with its first frame."""
        ...

    @property
    def scan(self) -> tuple[ScannedFace, ...]:
        """Possible reference frames."""
        ...

    def rows(self, start_s: float = 0.0, end_s: float | None = None) -> Iterator[MotionRow]:
        """The frames in order, cut in seconds from the first frame."""
        ...

    def row(self, index: int) -> MotionRow:
        """The frame of this index."""
        ...


_NO_HEAD = "no head in the motion file"


@dataclass(frozen=True)
class ChosenReference:
    """The frame whose pose means "no motion"."""

    row: int
    time_s: float
    is_scanned: bool
    poses: tuple[tuple[Keypoints, Array | None], ...]  # for the stretches from ``stretch`` on
    stretch: int  # that the first of the poses belongs to
    reference: Reference  # in the crop of that stretch
    face: DriverFace | None  # in the same crop


def choose_reference(
    motion: DrivingMotion,
    wanted: str,
    source: Source,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> ChosenReference | None:
    """The reference frame of an option's value: auto, first, or a frame number from the start on.

    None: the first frame that the file's tracks refer to. Raises InputError for a number without a
    head. A number, and ``first`` after a cut, is that frame as it was tracked, unless the preview
    scan has seen it.
    """
    is_cut = start_s > 0
    if wanted == "first" and not is_cut:
        return None
    if wanted == "auto":
        found = _nearest(_in_cut(motion, start_s, end_s), source)
        if found is not None:
            return _of_scan(motion, found)
        if not is_cut:
            return None
    number = int(wanted) if wanted.isdecimal() else None
    for count, row in enumerate(motion.rows(start_s, end_s)):
        if number is None and row.seen is not None:
            return _of_row(motion, row)
        if count == number:
            if row.seen is None:
                break
            scanned = next((one for one in motion.scan if one.row == row.index), None)
            return _of_row(motion, row) if scanned is None else _of_scan(motion, scanned)
    if number is None:
        return None
    raise InputError(
        f"--reference {wanted}: expected a frame with a clear face, found none there; choose"
        " another frame, or auto"
    )


def _in_cut(motion: DrivingMotion, start_s: float, end_s: float | None) -> list[ScannedFace]:
    """The scanned faces of the first minute of the cut."""
    first_s = motion.row(0).time_s
    last_s = min(start_s + SEARCH_S, float("inf") if end_s is None else end_s)
    return [one for one in motion.scan if start_s <= one.time_s - first_s < last_s]


def _nearest(faces: list[ScannedFace], source: Source) -> ScannedFace | None:
    """The face nearest to the source's pose and openings, as in a render from the video."""
    shown = [one for one in faces if one.openings is not None]

    def order(one: ScannedFace) -> tuple[bool, bool, float]:
        away = distance_of_openings(
            one.rotation_deg,
            one.openings,
            source,
            scale_deg=NEAR_DEGREES,
            scale_opening=NEAR_OPENING,
        )
        return not one.has_keypoints, not one.is_whole, away

    return min(shown, key=order) if shown else None


def _of_scan(motion: DrivingMotion, face: ScannedFace) -> ChosenReference:
    crop = motion.stretches[0].first.crop
    reference = Reference(face.poses[0][0], face.head, crop)
    return ChosenReference(face.row, face.time_s, True, face.poses, 0, reference, face.face)


def _of_row(motion: DrivingMotion, row: MotionRow) -> ChosenReference:
    seen = row.seen
    assert seen is not None
    reference = Reference(seen.keypoints, seen.head, motion.stretches[row.stretch].first.crop)
    poses = ((seen.keypoints, seen.background),)
    return ChosenReference(row.index, row.time_s, False, poses, row.stretch, reference, seen.face)


def pose_in(
    stretch: Stretch, number: int, chosen: ChosenReference | None, keypoint_count: int
) -> ReferencePose:
    """The reference pose in the fixed crop of a stretch; number: the stretch's index."""
    first = stretch.first
    is_face = first.head is not None and keypoint_count == len(FREE)
    if chosen is None:
        return ReferencePose(first, first.keypoints, is_face, None, None, stretch.face)
    reference, face = chosen.reference, chosen.face
    if 0 <= number - chosen.stretch < len(chosen.poses):
        points, background = chosen.poses[number - chosen.stretch]
    else:  # of another stretch: the head's keypoints alone are known in this one's crop
        points = keypoints.in_crop(reference.keypoints, reference.crop, first.crop)
        points, background = with_first_body(points, first) if is_face else points, None
    if face is not None:
        face = _in_crop(face, reference.crop, first.crop)
    return ReferencePose(reference, points, is_face, None, background, face)


def _in_crop(face: DriverFace, crop: Crop, wanted: Crop) -> DriverFace:
    """A face of one crop in the normalised coordinates of another crop of the same picture."""
    if crop == wanted:
        return face
    ratio = crop.side_px / wanted.side_px
    corner = np.array([crop.x_px - wanted.x_px, crop.y_px - wanted.y_px])
    shift = (face.pose.shift_px + 1) * ratio + corner * (2 / wanted.side_px) - 1
    return replace(face, pose=HeadPose(face.pose.rotation, face.pose.scale_px * ratio, shift))


class Replay:
    """Iterates over the motion of a source: (frame, mask, tracks, SparseMotion) for each row.

    The frames are black pictures of the driver's working size, the mask is empty, and the tracks
    have only the head's box and rotation.
    """

    def __init__(
        self,
        motion: DrivingMotion,
        source: Source,
        config: KeypointsConfig,
        model: FaceModel | None,
        *,
        reference: str = "auto",
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> None:
        """model: of the fitted faces; None: heads move in two dimensions.

        Raises InputError for a source with other keypoints, or an unfit reference.
        """
        expect_fit(motion, source, model)
        self.reference = choose_reference(motion, reference, source, start_s, end_s)
        self._motion, self._source, self._config, self._model = motion, source, config, model
        self._cut = start_s, end_s
        width, height = motion.header.view
        self._blank = np.zeros((height, width, 3), np.uint8)

    def __iter__(self) -> Iterator[tuple[Frame, SkinMask, Tracks, SparseMotion]]:
        state, stretch = sparse.SparseState(), -1
        mask = SkinMask(self._blank[..., 0], unused="the motion is a file")
        for number, row in enumerate(self._motion.rows(*self._cut)):
            if row.stretch != stretch:
                state, stretch = self._begin(state, row.stretch, is_first=stretch < 0), row.stretch
            frame = Frame(self._blank, number, row.time_s)
            state, found = sparse.move(
                state, frame, row.seen, self._source, self._config, self._model
            )
            yield frame, mask, _tracks(row), found

    def _begin(
        self, state: sparse.SparseState, number: int, *, is_first: bool
    ) -> sparse.SparseState:
        """The state before the first frame of a stretch."""
        stretch = self._motion.stretches[number]
        state = state if is_first else sparse.restarted(state)
        pose = pose_in(stretch, number, self.reference, self._motion.keypoints)
        return replace(state, first=stretch.first, pose=pose)


def expect_fit(motion: DrivingMotion, source: Source, model: FaceModel | None) -> None:
    """Raise InputError unless the motion is of the source's keypoints and the model's faces."""
    count = len(source.keypoints.xy_norm)
    if count != motion.keypoints:
        raise InputError(
            f"motion {motion.name}: expected one of the source's {count} keypoints, got one of"
            f" {motion.keypoints}; give the --tracker and --weights that it was saved with"
        )
    if model is not None and len(model.expression) != motion.expression:
        raise InputError(
            f"motion {motion.name}: expected {len(model.expression)} coefficients of the"
            f" expression, got {motion.expression}; save it again from the video, or add"
            " --head-motion 2d"
        )


def _tracks(row: MotionRow) -> Tracks:
    """What is known of the tracks: head box, rotation and confidence."""
    pairs, count = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    head = None if row.seen is None else row.seen.head
    trust = 0.0 if row.seen is None else row.seen.trust
    face = None if row.seen is None else row.seen.face
    turned = (0.0, 0.0, 0.0) if face is None else head_pose.angles_deg(face.pose.rotation)
    return Tracks(
        pairs, pairs, count, count, np.zeros(0, np.float32), head=head, confidence_overall=trust,
        rotation_deg=turned, rotation_confidence=0.0 if face is None else trust,
        lost="" if row.seen is not None else _NO_HEAD,
    )  # fmt: skip
