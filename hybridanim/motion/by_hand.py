"""Pose and expression of the source's head by hand: named amounts -> HeadTarget.

Every amount is a change from what the picture shows; 0 is the source's own. The expression is
moved along the face model's semantic axes (``face_model.AXES``): those that are named reach their
new values, the others keep theirs. Left and right are as seen in the picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hybridanim import schema
from hybridanim.errors import InputError
from hybridanim.face import head_pose
from hybridanim.face.face_model import AXES, FaceModel
from hybridanim.types import Array, FaceFit, HeadPose, HeadTarget, Source

from .head_transfer import OPENINGS, in_crop, limited_shift, with_quantities

JAW_OPEN = 0.18
"""Opening of the lips by ``jaw=1``, in heights of the face: a wide open mouth."""
_SMILE = {"mouth_wide": 0.16, "left_corner_up": 0.085, "right_corner_up": 0.085}
_FROWN = {"mouth_wide": 0.03, "left_corner_up": 0.05, "right_corner_up": 0.05}
_BROWS = 0.06  # distances between the eyes
_GAZE_X, _GAZE_Y = 0.3, 0.16  # half widths of the eye
_WIDE_LID = 1.25  # opening of a lid at -1, of the neutral one


def _control(least: float, most: float) -> Any:
    return field(default=0.0, metadata={"range": (least, most)})


@dataclass(frozen=True)
class Controls:
    """What ``Pipeline.pose`` takes; each field has its range.

    Raises InputError for a value outside it.
    """

    yaw: float = _control(-60, 60)  # degrees, > 0 turns the face to the picture's right
    pitch: float = _control(-45, 45)  # degrees, > 0 looks up
    roll: float = _control(-60, 60)  # degrees, > 0 turns clockwise on the screen
    shift_x: float = _control(-1, 1)  # heads, to the picture's right
    shift_y: float = _control(-1, 1)  # heads, downwards
    zoom: float = _control(-1, 1)  # 1 = twice as large, -1 = half
    jaw: float = _control(-1, 1)  # 1 opens the lips by JAW_OPEN; -1 shuts those of the picture
    smile: float = _control(-1, 1)  # 1 = broad smile, -1 = corners of the mouth down
    brows: float = _control(-1, 1)  # 1 = raised, -1 = lowered
    blink_left: float = _control(-1, 1)  # 1 = shut, -1 = wide open: the eye at the picture's left
    blink_right: float = _control(-1, 1)  # the other one
    gaze_x: float = _control(-1, 1)  # > 0 looks to the picture's right
    gaze_y: float = _control(-1, 1)  # > 0 looks up

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            least, most = one.metadata["range"]
            value = getattr(self, one.name)
            if not least <= value <= most:
                raise InputError(
                    f"pose: {one.name}: expected {least} to {most}, got {value}; choose within"
                )


def controls(amounts: Mapping[str, Any]) -> Controls:
    """Controls from keywords; InputError for unknown names and unfit values."""
    return schema.replaced(Controls(), amounts, "pose")


def target(source: Source, model: FaceModel, by: Controls) -> HeadTarget:
    """The source's head with these changes; its chest rests.

    Raises InputError when no face is fitted to the source.
    """
    face = source.face
    if face is None:
        raise InputError(
            "pose: expected a source with a fitted face, got one without: the face model was"
            " switched off, or fits no face there; choose a picture that shows the face from the"
            " front, and leave out --no-face-fit"
        )
    model, own = model.shaped(face.offset), in_crop(face.pose, source)
    turn = head_pose.rotation_matrix((by.yaw, by.pitch, by.roll))
    shift = own.scale_px * np.array([by.shift_x, by.shift_y])
    place = own.shift_px + limited_shift(shift, own.shift_px, own.scale_px)
    pose = HeadPose(turn @ own.rotation, own.scale_px * 2.0**by.zoom, place)
    return HeadTarget(pose, _expression(face, model, by), np.eye(2, 3, dtype=np.float32))


def _expression(face: FaceFit, model: FaceModel, by: Controls) -> Array:
    """(E,) float32; the picture's own where nothing is changed."""
    own = dict(zip(AXES, map(float, face.quantities), strict=True))
    neutral = dict(zip(AXES, map(float, face.neutral), strict=True))
    wanted = dict(own)
    wanted["jaw_open"] += JAW_OPEN * by.jaw if by.jaw > 0 else own["jaw_open"] * by.jaw
    for name, amount in (_SMILE if by.smile > 0 else _FROWN).items():
        wanted[name] += amount * by.smile
    for side, blink in (("left", by.blink_left), ("right", by.blink_right)):
        lid = f"{side}_lid_open"
        wide = max(own[lid], _WIDE_LID * neutral[lid])
        wanted[lid] += own[lid] * -blink if blink > 0 else (wide - own[lid]) * -blink
        wanted[f"{side}_brow_up"] += _BROWS * by.brows
    wanted["gaze_x"] += _GAZE_X * by.gaze_x
    wanted["gaze_y"] -= _GAZE_Y * by.gaze_y
    if wanted == own:
        return face.expression
    rows = [*OPENINGS, *(row for row in range(len(AXES)) if row not in OPENINGS)]
    values = np.array([wanted[AXES[row]] for row in rows])
    return with_quantities(face.expression, face.identity, model, rows, values)
