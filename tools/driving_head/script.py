"""Time -> pose: the eight-second performance as key poses, joined by smooth interpolation.

Neutral for 0.35 s, then turns, nods, a tilt, speech, a hand that rises next to the face, one that
passes in front of it, and a smile. Yaw is positive to the picture's right, pitch positive up, roll
positive clockwise on the screen; degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from .head import Expression
from .surfaces import bump, smooth_step

DURATION_S = 8.0
Place = tuple[float, float, float, float, float]  # wrist x, y, z in cm, roll and yaw in degrees

_YAW = [(0, 0), (0.35, 0), (1.0, 25), (1.25, 25), (2.1, -25), (2.3, -25), (2.9, 0), (4.6, 0),
        (5.2, 8), (5.8, -6), (6.3, 2), (7.0, 0), (7.5, -7), (8, 0)]  # fmt: skip
_PITCH = [(0, 0), (0.6, 0), (1.1, 3), (1.7, -3), (2.2, 2), (2.8, 0), (3.15, 15), (3.3, 15),
          (3.75, -15), (3.9, -15), (4.25, 3), (4.8, -2), (5.3, 3), (5.9, -3), (6.5, 0), (7.4, 3),
          (8, 0)]  # fmt: skip
_ROLL = [(0, 0), (0.5, 0), (1.1, -3), (1.7, 0), (2.2, 4), (2.9, 0), (4.2, 0), (4.6, 12), (4.75, 12),
         (5.3, -11), (5.5, -10), (5.9, 2), (6.5, 0), (7.5, 5), (8, 0)]  # fmt: skip
_SHIFT_X = [(0, 0), (0.4, 0), (1.1, 1.2), (2.2, -1.4), (2.9, 0), (4.6, 1.0), (5.3, -1.0), (6, 0),
            (8, 0)]  # fmt: skip
_SHIFT_Z = [(0, 0), (2.8, 0), (3.3, -1.5), (3.9, 2.0), (4.4, 0), (7.2, 0), (7.6, 2.0), (8, 0)]
_BROWS = [(0, 0), (2.9, 0), (3.15, 1), (3.45, 0.9), (3.7, -0.3), (4.2, 0), (4.5, 0.6), (4.9, 0),
          (5.5, 0.5), (5.8, 0), (6.9, 0), (7.2, 1), (7.55, 0.8), (8, 0)]  # fmt: skip
_SMILE = [(0, 0), (1.3, 0), (1.6, 0.5), (2.0, 0.45), (2.6, 0), (6.9, 0), (7.3, 1), (7.7, 1), (8, 0)]
_GAZE_X = [(0, 0), (0.5, 0.0), (0.7, 0.3), (1.2, -0.1), (1.6, -0.3), (2.2, 0.1), (2.6, 0), (6.2, 0),
           (6.4, 0.25), (6.8, 0), (8, 0)]  # fmt: skip
# syllables: time, opening, lip width (-1 round to 1 wide)
SYLLABLES = [
    (2.55, 0.75, 0.1), (3.5, 0.35, -0.8), (4.35, 0.6, 0.0), (4.58, 0.35, 0.9), (4.82, 0.5, -0.9),
    (5.05, 0.95, 0.2), (5.32, 0.3, 0.9), (5.55, 0.65, -0.2), (5.8, 0.4, -0.9), (6.02, 0.8, 0.1),
    (6.24, 0.35, 0.8), (6.75, 0.6, 0.3), (6.98, 0.4, -0.7),
]  # fmt: skip
BLINKS_S = (0.62, 1.65, 2.75, 3.95, 5.0, 6.15, 7.15)
# left hand rises at the side and speaks along; the right hand passes before the face
_LEFT = [(2.6, -17, -48, 8, 12, 0), (3.1, -15.5, -25, 10, -8, -20), (3.5, -17, -23, 10, -16, -10),
         (3.9, -15, -25, 10, -4, -30), (4.3, -17.5, -22, 10, -18, 0), (4.8, -16, -26, 10, -6, -20),
         (5.4, -17, -50, 8, 8, 0)]  # fmt: skip
_RIGHT = [(5.2, 22, -50, 12, 0, 0), (5.75, 18.5, -24, 14, 12, 20), (6.05, 15, -18, 15, 2, 10),
          (6.4, 4, -13, 16, -18, 0), (6.75, -6, -14, 16, -30, 0), (7.05, -14, -24, 15, -24, 0),
          (7.4, -18, -52, 12, -10, 0)]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pose:
    """Everything that moves, at one moment."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    shift_cm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    face: Expression = Expression()  # noqa: RUF009 (frozen)
    left_hand: Place | None = None
    right_hand: Place | None = None


def _curve(keys: list[tuple[float, ...]], t: float) -> list[float]:
    table = np.array(keys, float)
    inside = float(np.clip(t, table[0, 0], table[-1, 0]))
    return [float(v) for v in PchipInterpolator(table[:, 0], table[:, 1:])(inside)]


def _blink(t: float) -> float:
    """0 open, 1 shut: closes in 0.08 s, opens in 0.14 s."""
    closing = smooth_step(-0.11, -0.02, t - np.array(BLINKS_S))
    opening = smooth_step(0.17, 0.03, t - np.array(BLINKS_S))
    return float((closing * opening).max())


def speech(t: float) -> tuple[float, float]:
    """Mouth opening in [0, 1] and lip width in [-1, 1] at a time of the performance."""
    share = [float(bump(np.array(t - when), 0.085)) for when, _, _ in SYLLABLES]
    jaw = sum(s * opening for s, (_, opening, _) in zip(share, SYLLABLES, strict=True))
    wide = sum(s * width for s, (_, _, width) in zip(share, SYLLABLES, strict=True))
    still = float(smooth_step(0.35, 0.6, np.array(t)))
    return min(jaw, 1.0) * still, float(np.clip(wide, -1, 1)) * still


def pose_at(time_s: float, seconds: float = DURATION_S) -> Pose:
    """The pose at ``time_s`` of a performance stretched to ``seconds``."""
    t = time_s * DURATION_S / seconds
    jaw, wide = speech(t)
    smile = _curve(_SMILE, t)[0]
    blink = _blink(t)
    sway = 0.15 * np.sin(2 * np.pi * 0.4 * t) * float(smooth_step(0.35, 0.8, np.array(t)))
    face = Expression(
        jaw=min(1.0, jaw + 0.17 * smile),
        wide=wide,
        smile=0.12 + 0.88 * smile,  # a friendly rest
        brows=_curve(_BROWS, t)[0],
        blink_left=blink,
        blink_right=blink,
        gaze_x=_curve(_GAZE_X, t)[0],
    )
    return Pose(
        yaw_deg=_curve(_YAW, t)[0],
        pitch_deg=_curve(_PITCH, t)[0],
        roll_deg=_curve(_ROLL, t)[0],
        shift_cm=(_curve(_SHIFT_X, t)[0], float(sway), _curve(_SHIFT_Z, t)[0]),
        face=face,
        left_hand=_hand(_LEFT, t),
        right_hand=_hand(_RIGHT, t),
    )


def _hand(keys: list[tuple[float, ...]], t: float) -> Place | None:
    if not keys[0][0] <= t <= keys[-1][0]:
        return None
    x, y, z, roll, yaw = _curve(keys, t)
    return x, y, z, roll, yaw
