"""Key frames -> a motion file, as if a person with the mean face had acted them before a camera.

A motion file holds a driver, from whom every source takes its motion by its own openings and in its
own size; key frames are changes of one source's picture. So this driver looks into the camera, has
the neutral expression at 0, keeps the chest still, and its controls are those of ``by_hand`` on the
mean face. Played without smoothing, a head turns, moves and grows exactly as by the key frames; a
mouth that the source's picture shows open is shut while the driver's is.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.face.anchors import FOLLOW
from hybridanim.face.face_model import FaceModel, measure
from hybridanim.io.timing import time_base_of
from hybridanim.motion import by_hand, sparse
from hybridanim.motion.by_hand import Controls
from hybridanim.motion.head_transfer import DriverFace
from hybridanim.motion.keyframes import Keyframes
from hybridanim.motion.keypoints import crop_around
from hybridanim.motion.motion_file import MotionHeader, MotionWriter
from hybridanim.motion.sparse import Seen, SparseState
from hybridanim.tracking.face_tracking import landmarks_of
from hybridanim.types import FaceFit, Frame, HeadBox, HeadPose, Keypoints, Tracks

_VIEW_PX, _HEAD_PX = 320, 100.0
_CENTRE_PX = (159.5, 169.5)
_SHOULDERS = FOLLOW.min() == FOLLOW


class HandDriver:
    """The person of the mean face; gives what stage 3 would have seen of each pose."""

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        neutral = measure(model.mean).astype(np.float32)
        i, e = (np.zeros(len(one), np.float32) for one in (model.identity, model.expression))
        pose = HeadPose(np.eye(3), _HEAD_PX, np.array(_CENTRE_PX))
        self._rest = FaceFit(pose, i, e, 1.0, neutral, neutral)
        self._head = HeadBox(_CENTRE_PX, _HEAD_PX)
        self._landmarks = landmarks_of(model, self._rest)
        self._blank = np.zeros((_VIEW_PX, _VIEW_PX, 3), np.uint8)
        self._state, seen = sparse.see(
            SparseState(crop=crop_around(self._head)), self._frame(), self._tracks(self._rest),
            MEAN_SHAPE,
        )  # fmt: skip
        assert self._state.first is not None and seen is not None
        self.first = self._state.first
        """The frame that all others refer to."""
        self.face = DriverFace.of(self._rest, self.first.crop)
        """Its face, in its crop."""

    def seen(self, by: Controls) -> Seen:
        """What stage 3 sees of a pose; the chest is still."""
        rest, shift = self._rest, _HEAD_PX * np.array([by.shift_x, by.shift_y])
        pose = by_hand.moved(rest.pose, shift, by)
        expression = by_hand.expression(rest, self.model, by)
        quantities = measure(self.model.vertices(None, expression)).astype(np.float32)
        face = FaceFit(pose, rest.identity, expression, 1.0, quantities, rest.neutral)
        _, seen = sparse.see(self._state, self._frame(), self._tracks(face), MEAN_SHAPE)
        assert seen is not None
        points, own = seen.keypoints, self.first.keypoints
        xy, jacobian = points.xy_norm.copy(), points.jacobian.copy()
        xy[_SHOULDERS], jacobian[_SHOULDERS] = own.xy_norm[_SHOULDERS], own.jacobian[_SHOULDERS]
        points, shown = Keypoints(xy, jacobian, points.confidence), seen.face
        assert shown is not None
        shown = replace(shown, mouth=shown.mouth - self.face.mouth)  # at rest it is shut
        return Seen(points, seen.background, True, shown, 1.0, seen.head)

    def _frame(self) -> Frame:
        return Frame(self._blank, 0, 0.0)

    def _tracks(self, face: FaceFit) -> Tracks:
        pairs, count = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
        shift = np.asarray(face.pose.shift_px)
        head = HeadBox((float(shift[0]), float(shift[1])), face.pose.scale_px)
        return Tracks(
            pairs, pairs, count, count, np.zeros(0, np.float32), head=head,
            landmarks_xy_px=landmarks_of(self.model, face), face=face,
            reference_landmarks_xy_px=self._landmarks, landmarks_confidence=1.0,
            confidence_overall=1.0, face_confidence=1.0,
        )  # fmt: skip


def save_motion(
    keys: Keyframes,
    path: str | Path,
    model: FaceModel,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the key frames as a motion file for any source, whole or not at all.

    start_s, end_s: a cut in seconds, its end excluded. Raises InputError where the file cannot be
    written, or exists and ``overwrite`` is off.
    """
    driver = HandDriver(model)
    writer = MotionWriter(path, len(model.expression), overwrite=overwrite)
    writer.begin(driver.first, driver.face)
    try:
        for time_s in keys.times_s(start_s, end_s):
            writer.add(float(time_s), driver.seen(keys.at(time_s)))
        header = MotionHeader(
            keys.fps, time_base_of(keys.fps), (_VIEW_PX, _VIEW_PX),
            settings=json.dumps({"keyframes": len(keys.keys)}),
        )  # fmt: skip
        writer.close(header)
    except BaseException:
        writer.discard()
        raise
    return Path(path)
