"""Fitted face of the driver -> pose and expression of the source's head.

Pose: R = R_driver,t R_driver,ref^-1 R_source, and scale and shift likewise, so that the reference
frame means "no turn". The expression is the driver's difference from its own neutral face, which
the fit's identity is, added to the source's; it does not depend on how the first frame looked.
Openings are transferred by meaning: lids close by the same share, lips meet when the driver's meet.
Pose, lips, eyes and the rest of the face have strengths of their own (``drive``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.drive import Drive
from hybridanim.face import face_model
from hybridanim.face.face_model import AXES, OPENING_VECTORS, FaceModel
from hybridanim.resampling import smoothstep
from hybridanim.smoothing import OneEuroState, cutoff_hz, one_euro_step
from hybridanim.types import Array, Crop, FaceFit, HeadPose, HeadTarget, Source

from . import regions

EVERYTHING = Drive()
_LIDS = [AXES.index("left_lid_open"), AXES.index("right_lid_open")]
_MOUTH = AXES.index("jaw_open")
_WIDE = AXES.index("mouth_wide")
OPENINGS = [_MOUTH, *_LIDS]
_LAP, _LAP_FROM = 0.03, 0.1  # by which lids lap that are shut; opening from which on they do
SHUT_LIDS = 0.075  # opening at which lids are shut, as the networks see it
_SHUT_MOUTH = 0.008  # most that a shut mouth is open, likewise
_WIDEST_LID = 1.5  # most that an eye opens, of its opening in the picture
_SLIGHT, _BROAD = 0.03, 0.08  # widths of a smile, over the distance of the eyes
_RISE_S, _FALL_S, _LEAST_OPEN = 0.2, 1.5, 0.4  # of what counts as open, see ``OpenLids``
_BEYOND_HEADS = 0.25  # how far a head may reach beyond the crop, in head sizes
_CORRECTIONS = 4  # steps that bring quantities to their wanted values
_EXACT = 1e-3  # what quantities lack before the last step, which leaves a tenth of it
_ASLEEP, _AWAKE = 0.4, 0.7  # share of the neutral opening: sleepy eyes, open ones
_MOST_STRETCH = 2.0  # of what is seen of an eye
_KEPT = {  # rows of AXES that stay as they are while their part is not driven
    part: [AXES.index(name) for name in names]
    for part, names in {
        "lips": ("mouth_wide", "left_corner_up", "right_corner_up", "lips_thick"),
        "eyes": ("gaze_x", "gaze_y"),
        "expression": ("left_brow_up", "right_brow_up"),
    }.items()
}
_LARGEST_TURN_RAD = 1.1  # of the source's head from its own pose


@dataclass(frozen=True)
class DriverFace:
    """What is transferred of one frame of the driver."""

    pose: HeadPose  # normalised to the driving crop
    expression: Array  # (E,)
    lids: Array  # (2,) opening of the left and right eye, as share of the neutral face's
    mouth: float  # opening of the mouth beyond that of shut lips

    @classmethod
    def of(cls, fit: FaceFit, crop: Crop) -> DriverFace:
        """The face of one frame; crop: the driving crop, in the fit's pixels."""
        neutral = fit.neutral
        shift = geometry.norm_from_px(np.asarray(fit.pose.shift_px), crop).astype(np.float64)
        pose = HeadPose(fit.pose.rotation, fit.pose.scale_px * 2 / crop.side_px, shift)
        lids = np.maximum(fit.quantities[_LIDS] - SHUT_LIDS, 0)
        lids = lids / np.maximum(neutral[_LIDS] - SHUT_LIDS, 0.05)
        mouth = float(fit.quantities[_MOUTH]) - shut_mouth(fit)
        return cls(pose, fit.expression, lids, mouth)

    def smoothed(
        self, state: OneEuroState | None, time_s: float, amount: float
    ) -> tuple[OneEuroState | None, DriverFace]:
        """Low-passed by a One-Euro filter; amount in [0, 1], 0 = not at all."""
        if amount <= 0:
            return None, self
        turn = self.pose.rotation.ravel()
        place = [np.log(self.pose.scale_px), *self.pose.shift_px]
        value = np.concatenate([turn, place, 0.1 * self.expression, 0.2 * self.lids, [self.mouth]])
        state, value = one_euro_step(
            state, value[:, None], time_s, min_cutoff_hz=cutoff_hz(amount), beta=24.0
        )
        value = value[:, 0]
        left, _, right = np.linalg.svd(value[:9].reshape(3, 3))
        pose = HeadPose(left @ right, float(np.exp(value[9])), value[10:12])
        count = 12 + len(self.expression)
        return state, DriverFace(
            pose, value[12:count] / 0.1, value[count : count + 2] / 0.2, value[-1]
        )


@dataclass(frozen=True)
class OpenLids:
    """How far the driver's eyes are open when they are open, over time.

    The fit's identity says it for most people; behind dark glasses, or with narrow eyes, lids are
    seen lower all the time, and the source's would be half shut for ever. A slow upper envelope of
    the openings: it rises quickly, falls in seconds, and not below ``_LEAST_OPEN``.
    """

    share: Array  # (2,) of the neutral face's opening
    time_s: float

    @classmethod
    def start(cls, time_s: float) -> OpenLids:
        """Nothing is known yet: as the neutral face."""
        return cls(np.ones(2), time_s)

    def step(self, face: DriverFace, time_s: float) -> tuple[OpenLids, DriverFace]:
        """The envelope after one more frame, and the face with lids as shares of it."""
        step_s = max(0.0, time_s - self.time_s)
        constant_s = np.where(face.lids > self.share, _RISE_S, _FALL_S)
        share = self.share + (face.lids - self.share) * (1 - np.exp(-step_s / constant_s))
        share = np.clip(share, _LEAST_OPEN, 1)
        return OpenLids(share, time_s), replace(face, lids=face.lids / share)


def shut_mouth(face: FaceFit) -> float:
    """Opening at which a person's lips count as shut.

    The neutral face's, which is an average of what was seen, lies higher where people talk or
    smile with their teeth.
    """
    return min(float(face.neutral[_MOUTH]), _SHUT_MOUTH)


def in_crop(pose: HeadPose, source: Source) -> HeadPose:
    """A pose in pixels of the source picture, in its crop's normalised coordinates."""
    shift = geometry.norm_from_px(np.asarray(pose.shift_px), source.crop)
    scale = pose.scale_px * 2 / source.crop.side_px
    return HeadPose(pose.rotation, scale, shift.astype(np.float64))


def relative(
    now: DriverFace,
    reference: DriverFace,
    source: Source,
    model: FaceModel,
    body: Array,
    drive: Drive = EVERYTHING,
    *,
    relaxes: bool = False,
) -> HeadTarget:
    """Move the source's head as the driver's has moved since the reference frame.

    body: (2, 3) motion of the source's chest. drive: strength of each part; 0 keeps it as in the
    source, 1 moves it as the driver. relaxes: the source's expression is brought to neutral first.
    """
    assert source.face is not None
    pose = _moved(in_crop(source.face.pose, source), now.pose, reference.pose, drive.pose)
    return HeadTarget(pose, expression(now, source.face, model, drive, relaxes=relaxes), body)


def absolute(
    now: DriverFace, source: Source, model: FaceModel, body: Array, drive: Drive = EVERYTHING
) -> HeadTarget:
    """Put the source's head in the driver's pose, each in its crop, with its expression.

    drive: of each part, how far from the source's own, 0, to the driver's, 1.
    """
    assert source.face is not None
    own = in_crop(source.face.pose, source)
    pose = _moved(own, now.pose, own, drive.pose)
    return HeadTarget(pose, drivers_expression(now, source.face, model, drive), body)


def _moved(own: HeadPose, now: HeadPose, reference: HeadPose, strength: float) -> HeadPose:
    """The pose ``own`` moved by ``strength`` of a driver's motion since its reference."""
    rotation = _turned(own.rotation, now.rotation @ reference.rotation.T, strength)
    ratio = own.scale_px / reference.scale_px
    zoom = (now.scale_px / reference.scale_px) ** strength
    shift = strength * ratio * (now.shift_px - reference.shift_px)
    place = own.shift_px + limited_shift(shift, own.shift_px, own.scale_px)
    return HeadPose(rotation, own.scale_px * zoom, place)


def _turned(own: Array, turn: Array, strength: float) -> Array:
    """The rotation ``own`` turned by ``strength`` of a rotation, at most by the largest turn."""
    vector = strength * cv2.Rodrigues(np.asarray(turn, np.float64))[0][:, 0]
    vector *= min(1.0, _LARGEST_TURN_RAD / max(float(np.linalg.norm(vector)), 1e-9))
    return cv2.Rodrigues(vector)[0] @ own


def expression(
    now: DriverFace,
    face: FaceFit,
    model: FaceModel,
    drive: Drive = EVERYTHING,
    *,
    relaxes: bool = False,
) -> Array:
    """(E,) float32 expression of the source: its own and the driver's, and openings by meaning.

    What both have in common counts once: a smile that drives a smile is no wider smile. Lips and
    eyes have the strengths of their openings; parts of strength 0 keep what is measured of them.
    relaxes: see ``relative``.
    """
    own = face.quantities
    start, lids = face.expression, own[_LIDS]
    if relaxes:
        start = start - _split(start, drive.capped(), eyes=0.0)
        lids = lids + min(drive.eyes, 1.0) * (_awake(face) - lids)
    lids = lids * np.clip(1 + drive.eyes * (now.lids - 1), 0, _WIDEST_LID)
    shut = own[_MOUTH] + min(drive.lips, 1.0) * (shut_mouth(face) - own[_MOUTH])
    mouth = max(0.0, shut + drive.lips * max(now.mouth, 0.0))
    driven = _split(now.expression, drive)
    length = max(float(np.linalg.norm(driven)), 1e-9)
    shared = float(np.clip(start @ driven / length, 0, length))
    found = start + (1 - shared / length) * driven
    wide = _joined_width(*(_added_width(one, face, model) for one in (start, driven)))
    return _with_openings(found, face, model, mouth, lids, wide, drive)


def drivers_expression(
    now: DriverFace, face: FaceFit, model: FaceModel, drive: Drive = EVERYTHING
) -> Array:
    """(E,) float32: the driver's expression on the source's neutral face, part by part.

    drive: of each part, how far from the source's own, 0, to the driver's, 1.
    """
    own, neutral = face.quantities, face.neutral
    lids = neutral[_LIDS] * np.clip(now.lids, 0, _WIDEST_LID)
    lids = np.maximum(own[_LIDS] + drive.eyes * (lids - own[_LIDS]), 0)
    mouth = shut_mouth(face) + now.mouth
    mouth = max(0.0, float(own[_MOUTH]) + drive.lips * (mouth - float(own[_MOUTH])))
    found = face.expression + _split(now.expression - face.expression, drive)
    return _with_openings(found, face, model, mouth, lids, None, drive)


def _split(found: Array, drive: Drive, eyes: float | None = None) -> Array:
    """(E,) the sum of an expression's regions, each times its strength; eyes: replaces theirs."""
    if eyes is None and drive.is_even:
        return drive.lips * found
    rest, lips, lids = regions.parts(
        face_model.load()
    )  # a person's shape has no regions of its own
    matrix = drive.expression * rest + drive.lips * lips
    return (matrix + (drive.eyes if eyes is None else eyes) * lids) @ found


def _awake(face: FaceFit) -> Array:
    """(2,) openings of the source's lids with sleepy eyes opened, up to those of its neutral face.

    At most to twice of what is seen of an eye: the picture shows nothing under a shut lid.
    """
    own, neutral = face.quantities[_LIDS], face.neutral[_LIDS]
    visible = np.maximum(own - SHUT_LIDS, 0)
    share = visible / np.maximum(neutral - SHUT_LIDS, 0.05)
    asleep = smoothstep(np.clip((_AWAKE - share) / (_AWAKE - _ASLEEP), 0, 1))
    wider = np.minimum(neutral - own, (_MOST_STRETCH - 1) * visible)
    return own + asleep * np.maximum(wider, 0)


def _with_openings(
    found: Array,
    face: FaceFit,
    model: FaceModel,
    mouth: float,
    lids: Array,
    wide: float | None,
    drive: Drive,
) -> Array:
    """(E,) float32: the expression with these openings and the source's own undriven parts.

    wide: width of the mouth beyond the neutral face's; None: as it is.
    """
    kept = [row for part, own in _KEPT.items() if getattr(drive, part) == 0 for row in own]
    rows, wanted = [*OPENINGS, *kept], [mouth, *lids, *face.quantities[kept]]
    if wide is not None and _WIDE not in kept:
        rows.append(_WIDE)
        wanted.append(face.neutral[_WIDE] + wide)
    return with_quantities(found, face.identity, model, rows, np.array(wanted))


def _added_width(found: Array, face: FaceFit, model: FaceModel) -> float:
    """Width that an expression (E,) adds to the neutral face's mouth, over the eyes' distance."""
    return float(model.quantities(face.identity, found)[_WIDE] - face.neutral[_WIDE])


def _joined_width(own: float, driven: float) -> float:
    """Width of the mouth beyond the neutral one, of the source's own and the driver's.

    They add up; but what a broad smile (or pursed lips) of the source has in common with the
    driver's counts once.
    """
    if own * driven <= 0:
        return own + driven
    broad = smoothstep(np.clip((abs(own) - _SLIGHT) / (_BROAD - _SLIGHT), 0, 1))
    shared = min(abs(own), abs(driven)) * float(broad)
    return own + driven - np.sign(own) * shared


def with_quantities(
    found: Array, identity: Array, model: FaceModel, rows: list[int], wanted: Array
) -> Array:
    """(E,) float32: the expression moved along the axes ``rows`` of AXES to their wanted values.

    rows begins with the three openings. An opening of 0 makes the edges meet.
    """
    neutral, step = face_model.measured(model.vertices(identity)), model.measured_expression
    for _ in range(_CORRECTIONS):
        vectors = neutral + np.tensordot(found, step, 1)
        seen = face_model.measure_vectors(vectors)[rows]
        missing = wanted - seen
        missing[:3] = _missing_gaps(vectors[OPENING_VECTORS], seen[:3], wanted[:3])
        found = found + missing @ model.axes[rows]
        if np.abs(missing).max() < _EXACT:
            break
    return found.astype(np.float32)


def _missing_gaps(apart: Array, seen: Array, wanted: Array) -> Array:
    """(3,) what the openings lack in height; edges that have passed each other lack more.

    apart: (3, 3) from upper to lower edge. An opening is the distance of two points, which may also
    lie beside or behind each other; only the part of it along y can be brought to zero. Shut lids
    lap, so that no part of the eye shows.
    """
    apart = apart.astype(np.float64)
    length = np.maximum(np.sqrt((apart**2).sum(-1)), 1e-9)
    gap = seen * apart[:, 1] / length
    height = np.sqrt(np.maximum(wanted**2 - (seen**2 - gap**2), 0))
    height[1:] -= _LAP * np.maximum(0, 1 - wanted[1:] / _LAP_FROM)
    return height - gap


def limited_shift(shift: Array, centre: Array, size: float) -> Array:
    """A translation limited softly to the crop, (2,), normalised.

    Per axis, the largest translation is the room to the crop's border plus a quarter of a head;
    motion up to half of it is unchanged, beyond that it saturates (tanh).
    """
    room = np.where(shift > 0, 1 - centre, 1 + centre) - 0.5 * size
    most = np.maximum(room, 0) + _BEYOND_HEADS * size
    free = 0.5 * most
    over = np.maximum(np.abs(shift) - free, 0)
    limited = np.minimum(np.abs(shift), free) + (most - free) * np.tanh(over / (most - free))
    return np.sign(shift) * limited


def own_target(source: Source) -> HeadTarget:
    """The source's head as the picture shows it."""
    assert source.face is not None
    body = np.eye(2, 3, dtype=np.float32)
    return HeadTarget(in_crop(source.face.pose, source), source.face.expression, body)


def mixed(a: HeadTarget, b: HeadTarget, share_b: float) -> HeadTarget:
    """Interpolate two targets: share_b 0 = a, 1 = b."""
    return HeadTarget(
        mixed_pose(a.pose, b.pose, share_b),
        (a.expression + share_b * (b.expression - a.expression)).astype(np.float32),
        (a.body + share_b * (b.body - a.body)).astype(np.float32),
    )


def mixed_pose(a: HeadPose, b: HeadPose, share_b: float) -> HeadPose:
    """Interpolate two poses, about one axis: share_b 0 = a, 1 = b."""
    turn = cv2.Rodrigues(np.asarray(b.rotation @ a.rotation.T, np.float64))[0]
    rotation = cv2.Rodrigues(share_b * turn)[0] @ a.rotation
    zoom = (b.scale_px / a.scale_px) ** share_b
    shift = a.shift_px + share_b * (b.shift_px - a.shift_px)
    return HeadPose(rotation, a.scale_px * zoom, shift)
