"""Driver's face over time -> the same where the fit is sure, held where it is not.

step(state, face, ...) -> (state, face). Pose and expression are trusted less, or not, in profile,
where there is hardly a face, and after a jump faster than heads move; the expression also while it
is none that faces show, as behind a hand. What is not trusted keeps its last value. Trust falls at
once and comes back within a fraction of a second, so the result never jumps; while it is full, the
face is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import cv2
import numpy as np

from hybridanim.face import head_pose
from hybridanim.types import HeadPose

from .head_transfer import DriverFace, mixed_pose

T = TypeVar("T")
_SURE_YAW_DEG, _UNSURE_YAW_DEG = 48.0, 62.0  # trust falls from 1 to 0 between these
_SURE, _UNSURE = 0.8, 0.5  # confidence of the fit, likewise
# length of the expression, likewise, without a confirmed face and what that adds; people who talk
# exceed 7.5 in one frame of 100, grimaces reach 9; a hand at the mouth gives 8 to 15, unconfirmed
_SURE_LENGTH, _UNSURE_LENGTH = np.array([6.5, 3.5]), np.array([8.0, 6.0])
# rotation, shift in heads, logarithm of the size, per second: an actor's fastest turns of the head
# in clips have 710 degrees and 6.8 heads; of 1000 frames one exceeds 330, 4.9 and 0.8
_FASTEST = np.array([np.deg2rad(1000.0), 12.0, 4.0])
_SHORTEST_S = 1 / 60  # between frames; time stamps may repeat
_FULL = 0.99  # trust from which on a value is passed on
_RETURN_S = 0.25  # time constant of the return of trust
PROFILE = "the head is turned far"
UNSURE = "the face is covered or unclear"
JUMP = "a jump faster than heads move"
UNLIKELY = "an expression that faces do not show"
MISSED = "no face was fitted"


@dataclass(frozen=True)
class Held(Generic[T]):
    """A value over time."""

    value: T  # shown as far as the seen one is not trusted
    shown: T  # last result
    trust: float = 1.0  # in [0, 1]

    def next(
        self, seen: T, certain: float, passed_s: float, mix: Callable[[T, T, float], T]
    ) -> Held[T]:
        """After the next value; certain: how much it may be trusted, in [0, 1]."""
        if certain < self.trust:
            value, trust = self.shown, certain
        else:
            back = 1 - float(np.exp(-max(0.0, passed_s) / _RETURN_S))
            value, trust = self.value, self.trust + back * (certain - self.trust)
        if trust > _FULL:
            return Held(seen, seen)
        return Held(value, mix(value, seen, trust), trust)

    def missed(self) -> Held[T]:
        """After a frame without one."""
        return Held(self.shown, self.shown, 0.0)


@dataclass(frozen=True)
class HoldState:
    """State between frames."""

    seen: DriverFace  # of the last frame with a face
    pose: Held[HeadPose]
    face: Held[DriverFace]  # but for its pose
    time_s: float
    why: str = ""  # why pose or expression are held, at least in part; empty = they are not


def step(
    state: HoldState | None,
    face: DriverFace,
    confidence: float,
    face_confidence: float,
    time_s: float,
) -> tuple[HoldState, DriverFace]:
    """Take in the face of the next frame.

    confidence: of the fit; face_confidence: whether a face is confirmed there; both in [0, 1].
    """
    if state is None:
        return HoldState(face, Held(face.pose, face.pose), Held(face, face), time_s), face
    passed_s = time_s - state.time_s
    certain, why = _certainty(face, confidence)
    if is_jump(state.seen, face, passed_s):
        certain, why = 0.0, JUMP
    pose = state.pose.next(face.pose, certain, passed_s, mixed_pose)
    likely = _likelihood(face, face_confidence)
    if likely < certain:
        certain, why = likely, UNLIKELY
    rest = state.face.next(face, certain, passed_s, mixed)
    is_held = min(pose.trust, rest.trust) < 1
    why = (why if certain <= _FULL else state.why) if is_held else ""
    return HoldState(face, pose, rest, time_s, why), replace(rest.shown, pose=pose.shown)


def missed(state: HoldState | None, time_s: float) -> HoldState | None:
    """The state after a frame without a face: the next one is blended in."""
    if state is None:
        return None
    pose, face = state.pose.missed(), state.face.missed()
    return replace(state, pose=pose, face=face, time_s=time_s, why=MISSED)


def _certainty(face: DriverFace, confidence: float) -> tuple[float, str]:
    """Trust in a fit, in [0, 1], by its confidence and yaw, and what lowers it more."""
    yaw = abs(head_pose.angles_deg(face.pose.rotation)[0])
    turned = (_UNSURE_YAW_DEG - yaw) / (_UNSURE_YAW_DEG - _SURE_YAW_DEG)
    seen = (confidence - _UNSURE) / (_SURE - _UNSURE)
    why = PROFILE if turned < seen else UNSURE
    return float(np.clip(turned, 0, 1) * np.clip(seen, 0, 1)), why


def _likelihood(face: DriverFace, face_confidence: float) -> float:
    """Trust in an expression, in [0, 1], by its length."""
    sure, unsure = ((1, face_confidence) @ limit for limit in (_SURE_LENGTH, _UNSURE_LENGTH))
    length = np.linalg.norm(face.expression)
    return float(np.clip((unsure - length) / (unsure - sure), 0, 1))


def is_jump(before: DriverFace, after: DriverFace, passed_s: float) -> bool:
    """Whether a head would have had to move faster than heads do."""
    a, b = before.pose, after.pose
    turn = np.linalg.norm(cv2.Rodrigues(np.asarray(b.rotation @ a.rotation.T, np.float64))[0])
    heads = np.linalg.norm(b.shift_px - a.shift_px) / a.scale_px
    zoom = abs(np.log(b.scale_px / a.scale_px))
    return bool((np.array([turn, heads, zoom]) > _FASTEST * max(passed_s, _SHORTEST_S)).any())


def mixed(a: DriverFace, b: DriverFace, share_b: float) -> DriverFace:
    """Interpolate two faces: share_b 0 = a, 1 = b."""
    return DriverFace(
        mixed_pose(a.pose, b.pose, share_b),
        a.expression + share_b * (b.expression - a.expression),
        a.lids + share_b * (b.lids - a.lids),
        a.mouth + share_b * (b.mouth - a.mouth),
    )
