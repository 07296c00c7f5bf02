"""Pose and expression of the source's head by hand: named amounts -> HeadTarget, and back.

Every amount is a change from what the picture shows; 0 is the source's own. The expression is
moved along the face model's semantic axes (``face_model.AXES``): those that are named reach their
new values, the others keep theirs. Left and right are as seen in the picture. ``copied`` reads the
amounts off a fitted face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hybridanim import schema
from hybridanim.drive import Drive
from hybridanim.errors import InputError
from hybridanim.face import head_pose
from hybridanim.face.face_model import AXES, FaceModel
from hybridanim.types import Array, FaceFit, HeadPose, HeadTarget, Source

from .head_transfer import OPENINGS, SHUT_LIDS, in_crop, limited_shift, with_quantities

JAW_OPEN = 0.18
"""Opening of the lips by ``jaw=1``, in heights of the face: a wide open mouth."""
_SMILE = {"mouth_wide": 0.16, "left_corner_up": 0.085, "right_corner_up": 0.085}
_FROWN = {"mouth_wide": 0.03, "left_corner_up": 0.05, "right_corner_up": 0.05}
_BROWS = 0.06  # distances between the eyes
_GAZE_X, _GAZE_Y = 0.3, 0.16  # half widths of the eye
_LEAST_OPEN = 0.02  # an opening that can be divided by
_EYES_SEEN = 0.4  # mean share of open lids from which on a gaze is seen
_WIDE_LID = 1.25  # opening of a lid at -1, of the neutral one


def _control(least: float, most: float, part: str) -> Any:
    return field(default=0.0, metadata={"range": (least, most), "part": part})


@dataclass(frozen=True)
class Controls:
    """What ``Pipeline.pose`` takes; each field has its range.

    Raises InputError for a value outside it.
    """

    yaw: float = _control(-60, 60, "pose")  # degrees, > 0 turns the face to the picture's right
    pitch: float = _control(-45, 45, "pose")  # degrees, > 0 looks up
    roll: float = _control(-60, 60, "pose")  # degrees, > 0 turns clockwise on the screen
    shift_x: float = _control(-1, 1, "pose")  # heads, to the picture's right
    shift_y: float = _control(-1, 1, "pose")  # heads, downwards
    zoom: float = _control(-1, 1, "pose")  # 1 = twice as large, -1 = half
    jaw: float = _control(-1, 1, "lips")  # 1 opens by JAW_OPEN; -1 shuts the mouth
    smile: float = _control(-1, 1, "lips")  # 1 = broad smile, -1 = corners of the mouth down
    brows: float = _control(-1, 1, "expression")  # 1 = raised, -1 = lowered
    blink_left: float = _control(-1, 1, "eyes")  # 1 = shut, -1 = wide; at the picture's left
    blink_right: float = _control(-1, 1, "eyes")  # the other one
    gaze_x: float = _control(-1, 1, "eyes")  # > 0 looks to the picture's right
    gaze_y: float = _control(-1, 1, "eyes")  # > 0 looks up

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            least, most = one.metadata["range"]
            value = getattr(self, one.name)
            if not least <= value <= most:
                raise InputError(
                    f"pose: {one.name}: expected {least} to {most}, got {value}; choose within"
                )


RANGES: dict[str, tuple[float, float]] = {
    one.name: one.metadata["range"] for one in dataclasses.fields(Controls)
}
"""Name of each control -> its least and most value."""
PARTS: dict[str, str] = {one.name: one.metadata["part"] for one in dataclasses.fields(Controls)}
"""Name of each control -> the part of the motion that it belongs to, see ``drive``."""


def controls(amounts: Mapping[str, Any]) -> Controls:
    """Controls from keywords; InputError for unknown names and unfit values."""
    return schema.replaced(Controls(), amounts, "pose")


def clipped(amounts: Mapping[str, float]) -> Controls:
    """Controls from keywords, each brought into its range."""
    return Controls(**{name: float(np.clip(v, *RANGES[name])) for name, v in amounts.items()})


def scaled(by: Controls, drive: Drive) -> Controls:
    """Each control times the strength of its part, within its range."""
    own = dataclasses.asdict(by)
    return clipped({name: v * getattr(drive, PARTS[name]) for name, v in own.items()})


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
    shift = own.scale_px * np.array([by.shift_x, by.shift_y])
    pose = moved(own, limited_shift(shift, own.shift_px, own.scale_px), by)
    return HeadTarget(pose, expression(face, model, by), np.eye(2, 3, dtype=np.float32))


def moved(own: HeadPose, shift: Array, by: Controls) -> HeadPose:
    """A pose turned and enlarged by the controls, and moved by a shift (2,) in its units."""
    turn = head_pose.rotation_matrix((by.yaw, by.pitch, by.roll))
    return HeadPose(turn @ own.rotation, own.scale_px * 2.0**by.zoom, own.shift_px + shift)


def expression(face: FaceFit, model: FaceModel, by: Controls) -> Array:
    """(E,) float32 expression of a face; its own where nothing is changed.

    model: of that person, ``FaceModel.shaped`` by the face's offset.
    """
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


def copied(face: FaceFit, onto: FaceFit | None = None) -> Controls:
    """The amounts that give a source the pose and expression of another fitted face.

    face: of the picture that is copied; its expression is its difference from its own neutral face.
    onto: the source's face, from whose picture the amounts are measured; None: from a neutral face
    that looks into the camera. Place and size are not copied. What no control does (a pout, a
    raised nose, one brow) is left out, and amounts end at their ranges.
    """
    own, neutral = (face.neutral,) * 2 if onto is None else (onto.quantities, onto.neutral)
    now = dict(zip(AXES, map(float, own), strict=True))
    rest = dict(zip(AXES, map(float, neutral), strict=True))
    seen = dict(zip(AXES, map(float, face.quantities), strict=True))
    theirs = dict(zip(AXES, map(float, face.neutral), strict=True))
    wanted = {name: rest[name] + seen[name] - theirs[name] for name in AXES}
    change = {name: wanted[name] - now[name] for name in AXES}
    jaw = change["jaw_open"]
    found = {
        "jaw": jaw / JAW_OPEN if jaw > 0 else jaw / max(now["jaw_open"], _LEAST_OPEN),
        "smile": _smile_of(change),
        "brows": (change["left_brow_up"] + change["right_brow_up"]) / (2 * _BROWS),
        "gaze_x": change["gaze_x"] / _GAZE_X,
        "gaze_y": -change["gaze_y"] / _GAZE_Y,
    }
    shares = []
    for side in ("left", "right"):
        lid = f"{side}_lid_open"  # by its share: eyes are differently large
        shares.append(_lid(seen[lid]) / max(_lid(theirs[lid]), _LEAST_OPEN))
        lack = _lid(now[lid]) - _lid(rest[lid]) * shares[-1]
        wide = max(now[lid], _WIDE_LID * rest[lid]) - now[lid]
        found[f"blink_{side}"] = lack / max(_lid(now[lid]) if lack > 0 else wide, _LEAST_OPEN)
    seen_gaze = min(1.0, sum(shares) / (2 * _EYES_SEEN))  # shut lids show no irises
    found["gaze_x"], found["gaze_y"] = (seen_gaze * found[name] for name in ("gaze_x", "gaze_y"))
    turn = face.pose.rotation
    if onto is not None:
        turn = turn @ onto.pose.rotation.T
    found |= dict(zip(("yaw", "pitch", "roll"), head_pose.angles_deg(turn), strict=True))
    return clipped(found)


def _lid(opening: float) -> float:
    """How far a lid is open, of its measured opening, which is not 0 for a shut one."""
    return opening if opening > 2 * SHUT_LIDS else max(0.0, 2 * (opening - SHUT_LIDS))


def _smile_of(change: Mapping[str, float]) -> float:
    """The amount of ``smile`` nearest to a change of the mouth's width and corners."""
    names = list(_SMILE)
    seen, smile = (np.array([one[name] for name in names]) for one in (change, _SMILE))
    amount = float(seen @ smile / (smile @ smile))
    if amount > 0:
        return amount
    corners = (change["left_corner_up"] + change["right_corner_up"]) / 2
    return min(0.0, corners / _FROWN["left_corner_up"])  # a narrow mouth is no frown
