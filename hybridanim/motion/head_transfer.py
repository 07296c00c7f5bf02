"""Fitted face of the driver -> pose and expression of the source's head.

Pose: R = R_driver,t R_driver,ref^-1 R_source, and scale and shift likewise, so that the reference
frame means "no turn". The expression is the driver's difference from its own neutral face, which
the fit's identity is, added to the source's; it does not depend on how the first frame looked.
Openings are transferred by meaning: lids close by the same share, lips meet when the driver's meet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.face.face_model import AXES, FaceModel, measure
from hybridanim.smoothing import OneEuroState, cutoff_hz, one_euro_step
from hybridanim.types import Array, Crop, FaceFit, HeadPose, HeadTarget, Source

_LIDS = [AXES.index("left_lid_open"), AXES.index("right_lid_open")]
_MOUTH = AXES.index("jaw_open")
_SHUT_LIDS = 0.075  # opening at which lids are shut, as the networks see it
_SHUT_MOUTH = 0.015  # most that a shut mouth is open, likewise
_WIDEST_LID = 1.5  # most that an eye opens, of its opening in the picture
_BEYOND_HEADS = 0.25  # how far a head may reach beyond the crop, in head sizes
_CORRECTIONS = 2  # steps that bring the openings to their wanted values
_LARGEST_TURN_RAD = 1.1  # of the source's head from its own pose


@dataclass(frozen=True)
class DriverFace:
    """What is transferred of one frame of the driver."""

    pose: HeadPose  # normalised to the driving crop
    expression: Array  # (E,)
    lids: Array  # (2,) opening of the left and right eye, as share of the neutral face's
    mouth: float  # opening of the mouth beyond the neutral face's

    @classmethod
    def of(cls, fit: FaceFit, crop: Crop) -> DriverFace:
        """The face of one frame; crop: the driving crop, in the fit's pixels."""
        neutral = fit.neutral
        shift = geometry.norm_from_px(np.asarray(fit.pose.shift_px), crop).astype(np.float64)
        pose = HeadPose(fit.pose.rotation, fit.pose.scale_px * 2 / crop.side_px, shift)
        lids = np.maximum(fit.quantities[_LIDS] - _SHUT_LIDS, 0)
        lids = lids / np.maximum(neutral[_LIDS] - _SHUT_LIDS, 0.05)
        return cls(pose, fit.expression, lids, float(fit.quantities[_MOUTH] - neutral[_MOUTH]))

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
    strength: float = 1.0,
) -> HeadTarget:
    """Move the source's head as the driver's has moved since the reference frame.

    body: (2, 3) motion of the source's chest. strength: 0 keeps the source still, 1 moves it as the
    driver.
    """
    assert source.face is not None
    own = in_crop(source.face.pose, source)
    turn = now.pose.rotation @ reference.pose.rotation.T
    rotation = _turned(own.rotation, turn, strength)
    ratio = own.scale_px / reference.pose.scale_px
    zoom = (now.pose.scale_px / reference.pose.scale_px) ** strength
    shift = strength * ratio * (now.pose.shift_px - reference.pose.shift_px)
    place = own.shift_px + limited_shift(shift, own.shift_px, own.scale_px)
    pose = HeadPose(rotation, own.scale_px * zoom, place)
    return HeadTarget(pose, expression(now, source.face, model, strength), body)


def absolute(
    now: DriverFace, source: Source, model: FaceModel, body: Array, strength: float = 1.0
) -> HeadTarget:
    """Put the source's head in the driver's pose, each in its crop."""
    assert source.face is not None
    own = in_crop(source.face.pose, source)
    if strength != 1:
        return relative(now, replace(now, pose=own), source, model, body, strength)
    rotation = _turned(own.rotation, now.pose.rotation @ own.rotation.T)
    place = own.shift_px + limited_shift(
        now.pose.shift_px - own.shift_px, own.shift_px, own.scale_px
    )
    pose = HeadPose(rotation, now.pose.scale_px, place)
    return HeadTarget(pose, own_expression(now, source.face, model), body)


def _turned(own: Array, turn: Array, strength: float = 1.0) -> Array:
    """The rotation ``own`` turned by ``strength`` of a rotation, at most by the largest turn."""
    vector = strength * cv2.Rodrigues(np.asarray(turn, np.float64))[0][:, 0]
    vector *= min(1.0, _LARGEST_TURN_RAD / max(float(np.linalg.norm(vector)), 1e-9))
    return cv2.Rodrigues(vector)[0] @ own


def expression(now: DriverFace, face: FaceFit, model: FaceModel, strength: float) -> Array:
    """(E,) float32 expression of the source: its own and the driver's, and openings by meaning.

    What both have in common counts once: a smile that drives a smile is no wider smile.
    """
    own, neutral = face.quantities, face.neutral
    lids = own[_LIDS] * np.clip(1 + strength * (now.lids - 1), 0, _WIDEST_LID)
    rest = min(float(neutral[_MOUTH]), _SHUT_MOUTH)  # a smile with teeth widens the neutral one
    shut = own[_MOUTH] + min(strength, 1.0) * (rest - own[_MOUTH])
    mouth = max(0.0, shut + strength * max(now.mouth, 0.0))
    driven = strength * now.expression
    length = max(float(np.linalg.norm(driven)), 1e-9)
    shared = float(np.clip(face.expression @ driven / length, 0, length))
    found = face.expression + (1 - shared / length) * driven
    return _with_openings(found, face.identity, model, mouth, lids)


def own_expression(now: DriverFace, face: FaceFit, model: FaceModel) -> Array:
    """(E,) float32: the driver's expression on the source's neutral face."""
    lids = face.neutral[_LIDS] * np.clip(now.lids, 0, _WIDEST_LID)
    mouth = max(0.0, float(face.neutral[_MOUTH]) + now.mouth)
    return _with_openings(now.expression, face.identity, model, mouth, lids)


def _with_openings(
    found: Array, identity: Array, model: FaceModel, mouth: float, lids: Array
) -> Array:
    """The expression with these openings of mouth and lids."""
    rows, wanted = [_MOUTH, *_LIDS], np.array([mouth, *lids])
    for _ in range(_CORRECTIONS):
        seen = measure(model.vertices(identity, found))[rows]
        found = found + (wanted - seen) @ model.axes[rows]
    return found.astype(np.float32)


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
    turn = cv2.Rodrigues(np.asarray(b.pose.rotation @ a.pose.rotation.T, np.float64))[0]
    rotation = cv2.Rodrigues(share_b * turn)[0] @ a.pose.rotation
    zoom = (b.pose.scale_px / a.pose.scale_px) ** share_b
    shift = a.pose.shift_px + share_b * (b.pose.shift_px - a.pose.shift_px)
    pose = HeadPose(rotation, a.pose.scale_px * zoom, shift)
    return HeadTarget(
        pose,
        (a.expression + share_b * (b.expression - a.expression)).astype(np.float32),
        (a.body + share_b * (b.body - a.body)).astype(np.float32),
    )
