"""Keyframes -> SparseMotion, frame by frame, for one source: stage 3 without a driver.

Each frame is exactly ``Pipeline.pose`` of the controls at its time, times the strengths of the
parts (``drive``). The options of a driver's motion have no meaning here; those that would change
the picture with a driver are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hybridanim.config import KeypointsConfig
from hybridanim.errors import InputError
from hybridanim.face import face_model, head_pose
from hybridanim.face.face_model import FaceModel
from hybridanim.types import Frame, SkinMask, Source, SparseMotion, Tracks

from . import by_hand
from .by_hand import Controls
from .keyframes import Keyframes

_SIDE_PX = 64  # of the black pictures in the place of a driver's


def posed(source: Source, by: Controls, model: FaceModel | None = None) -> SparseMotion:
    """The motion that gives the source this pose; model: the packaged face model if None.

    Raises InputError when no face is fitted to the source.
    """
    head = by_hand.target(source, model or face_model.load(), by)
    return SparseMotion(source.keypoints, source.keypoints, source.crop, head=head)


class Posing:
    """Iterates over key frames: (frame, mask, tracks, SparseMotion) for each frame.

    The frames are small black pictures, the mask is empty, and of the tracks only the head's
    rotation is known. A second iteration gives the same.
    """

    reference = None  # there is no driver whose pose could mean "no motion"

    def __init__(
        self,
        keys: Keyframes,
        source: Source,
        config: KeypointsConfig,
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> None:
        """Raise InputError for a source without a fitted face, or options that need a driver."""
        refuse_options_of_a_driver(config)
        posed(source, Controls())
        self._keys, self._source, self._drive = keys, source, config.strengths
        self._times_s = keys.times_s(start_s, end_s)
        self._blank = np.zeros((_SIDE_PX, _SIDE_PX, 3), np.uint8)

    def __iter__(self) -> Iterator[tuple[Frame, SkinMask, Tracks, SparseMotion]]:
        model, face = face_model.load(), self._source.face
        assert face is not None
        mask = SkinMask(self._blank[..., 0], unused="the motion is key frames")
        for index, time_s in enumerate(self._times_s):
            points = posed(self._source, by_hand.scaled(self._keys.at(time_s), self._drive), model)
            assert points.head is not None
            angles = head_pose.angles_deg(points.head.pose.rotation)
            yield Frame(self._blank, index, float(time_s)), mask, _tracks(angles), points


def refuse_options_of_a_driver(config: KeypointsConfig) -> None:
    """Raise InputError for motion options that key frames cannot follow."""
    for option, value, wanted in (
        ("--motion", config.motion, "relative"),
        ("--head-motion", config.head_motion, "3d"),
        ("--neutral", config.neutral, "off"),
    ):
        if value != wanted:
            raise InputError(
                f"{option} {value}: expected a driving video or a motion file, got key frames,"
                " which are changes of the source's own head in three dimensions; leave the"
                " option out"
            )


def _tracks(angles_deg: head_pose.Angles) -> Tracks:
    """What is known of the tracks: the head's rotation."""
    pairs, count = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    return Tracks(
        pairs, pairs, count, count, np.zeros(0, np.float32), confidence_overall=1.0,
        rotation_deg=angles_deg, rotation_confidence=1.0,
    )  # fmt: skip
