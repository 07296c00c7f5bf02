"""Moods, and the statistics of motion that define them: windows of a track -> statistics -> mood.

A network is conditioned on the statistics of the ``WINDOW`` rows around a moment; a mood is a set
of windows that have them in common, so moods need no labels by hand.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from hybridanim.face.face_model import AXES
from hybridanim.types import Array

from .motion_track import EXPRESSION, LIDS, MOUTH, RATE_HZ, TURN, quantities

MOODS = ("talking", "listening", "nodding", "laughing", "idle", "looking")
WINDOW = 64  # rows, 2.6 s
STATISTICS = (*("speech", "open_mouth", "smile", "nod", "shake", "turn", "speed", "gaze", "lids"),)
"""What is measured of a window; see ``statistics``."""
_ENERGIES = [0, 3, 4, 5, 6, 7]  # their logarithms are even; the others have both signs
_LEAST = 1e-4
_SLOW_S = 0.5  # standard deviation of the low pass below which turns are slow
_GAZE = [AXES.index("gaze_x"), AXES.index("gaze_y")]
_SMILE = [AXES.index("left_corner_up"), AXES.index("right_corner_up")]


def statistics(values: Array) -> Array:
    """(``STATISTICS``,) of a window (``WINDOW``, WIDTH) of a track, as they are compared.

    speech: speed of the mouth's opening; open_mouth: mean opening; smile: mean height of the
    corners; nod, shake: fast pitch and yaw; turn: range of slow turns; speed: of all turns; gaze:
    range of the gaze; lids: mean opening without blinks. Energies are logarithms.
    """
    shape = quantities(values[:, EXPRESSION])
    turns = values[:, TURN].astype(np.float64)
    slow = ndimage.gaussian_filter1d(turns, _SLOW_S * RATE_HZ / 2, axis=0, mode="nearest")
    fast = np.sqrt(((turns - slow) ** 2).mean(0))
    found = np.array(
        [
            np.abs(np.diff(values[:, MOUTH])).mean() * RATE_HZ,
            values[:, MOUTH].mean(),
            shape[:, _SMILE].mean(),
            fast[0],
            fast[1],
            np.ptp(slow[:, :2], 0).max(),
            np.linalg.norm(np.diff(turns, axis=0), axis=1).mean() * RATE_HZ,
            np.linalg.norm(shape[:, _GAZE].std(0)),
            values[:, LIDS].mean(),
        ]
    )
    found[_ENERGIES] = np.log(found[_ENERGIES] + _LEAST)
    return found.astype(np.float32)


def label(one: Array) -> str:
    """The mood of standardised statistics (mean 0, deviation 1 over all clips)."""
    of = dict(zip(STATISTICS, one.tolist(), strict=True))
    if of["smile"] > 1.1 and of["speech"] > -1:
        return "laughing"
    is_nod = of["nod"] > max(0.5, of["shake"] + 0.2, of["turn"] - 0.4)
    if is_nod and of["speech"] < 0.6:
        return "nodding"
    if max(of["turn"], of["gaze"]) > 1.1 and of["speech"] < 0.6:
        return "looking"
    if of["speech"] > -0.1:
        return "talking"
    return "idle" if of["speed"] < -0.9 else "listening"
