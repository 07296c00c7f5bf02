"""Name -> driving frames: the example's clip, and short drawn ones with one difficulty each.

A clip is an iterator of frames with times. Drawn clips begin with a neutral half second; their
pose is a table of key poses, joined as the example's script joins its own. Degrees, centimetres.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from hybridanim import files, io
from tools import make_driving
from tools.driving_head.head import Expression
from tools.driving_head.looks import Looks
from tools.driving_head.raster import Array
from tools.driving_head.script import Pose

EXAMPLE = files.EXAMPLE_DRIVING
FPS = 20
_WIDTH, _HEIGHT = 400, 300


class Moment(NamedTuple):
    """One driving picture and its time."""

    image: Array  # (H, W, 3) uint8 RGB
    time_s: float


class Drawn(NamedTuple):
    """A drawn clip: what moves as key values (time, value); what is not named rests."""

    seconds: float
    keys: dict[str, list[tuple[float, float]]]
    hand: tuple[tuple[float, ...], ...] = ()  # time, wrist x, y, z, roll, yaw of the right hand
    tone: str = "medium"
    looks: Looks = Looks(cloth_rgb=((70, 52, 90), (180, 176, 190)))


_LINE = [(0.0, 0.0), (0.4, 0.0)]
DRAWN = {
    "big turns": Drawn(
        2.8,
        {
            "yaw": [*_LINE, (1.1, 45), (1.3, 45), (2.4, -45), (2.8, -45)],
            "pitch": [*_LINE, (1.1, 5), (1.8, -6), (2.4, 8), (2.8, 8)],
        },
    ),
    "fast nods": Drawn(
        2.2,
        {
            "pitch": [*_LINE, *((0.55 + 0.17 * k, (16, -16)[k % 2]) for k in range(8)), (2.2, 0)],
            "roll": [*_LINE, (1.2, 6), (2.2, -4)],
        },
    ),
    "hand": Drawn(
        4.0,
        {"yaw": [*_LINE, (1.0, 10), (2.0, -8), (3.2, 4)], "pitch": [*_LINE, (1.5, 6), (3.2, 0)]},
        (
            (0.5, 22, -50, 12, 0, 0),
            (0.9, 12, -22, 14, -14, 0),
            (1.25, 7, -14, 15, -24, 0),
            (1.7, 3, -9, 15, -30, 0),
            (2.1, 6, -15, 15, -28, 0),
            (2.6, 18, -46, 13, -6, 0),
        ),
    ),
    "mouths": Drawn(
        3.0,
        {
            "jaw": [*_LINE, (0.7, 1.0), (0.85, 1.0), (1.1, 0.05), (1.5, 0.15), (1.8, 0.25),
                    (2.1, 0.3), (2.4, 0.7), (2.7, 0.1), (3.0, 0.0)],
            "wide": [*_LINE, (1.0, 0.0), (1.35, 1.0), (1.6, 0.6), (1.9, -1.0), (2.1, -1.0),
                     (2.4, 0.4), (3.0, 0.0)],
            "smile": [*_LINE, (1.0, 0.0), (1.35, 1.0), (1.55, 0.9), (1.9, 0.0), (3.0, 0.0)],
            "brows": [*_LINE, (0.7, 0.6), (1.3, 0.0), (2.4, 1.0), (3.0, 0.0)],
        },
        tone="dark",
        looks=Looks(cloth_rgb=((150, 150, 146), (90, 96, 100))),
    ),
    "eyes": Drawn(
        3.0,
        {
            "left": [*_LINE, (0.55, 1), (0.75, 1), (0.9, 0), (1.5, 0), (1.6, 1), (1.85, 1),
                     (2.0, 0), (3.0, 0)],
            "right": [*_LINE, (0.55, 1), (0.75, 1), (0.9, 0), (3.0, 0)],
            "gaze": [*_LINE, (0.9, 0), (1.1, 0.55), (1.4, 0.55), (2.1, 0), (2.25, -0.55),
                     (2.5, -0.55), (2.7, 0), (3.0, 0)],
            "brows": [*_LINE, (2.5, 0), (2.75, 1), (3.0, 1)],
            "yaw": [*_LINE, (1.2, 4), (2.3, -4), (3.0, 0)],
        },
        tone="light",
        looks=Looks(hair_rgb=(110, 78, 46), iris_rgb=(70, 100, 140)),
    ),
}  # fmt: skip


def pose_at(clip: Drawn, time_s: float) -> Pose:
    """The pose of a drawn clip at a time."""

    def value(name: str) -> float:
        keys = np.array(clip.keys.get(name, [(0.0, 0.0), (1.0, 0.0)]), float)
        return float(PchipInterpolator(keys[:, 0], keys[:, 1])(np.clip(time_s, 0, keys[-1, 0])))

    face = Expression(
        jaw=value("jaw"),
        wide=value("wide"),
        smile=0.12 + 0.88 * value("smile"),
        brows=value("brows"),
        blink_left=value("left"),
        blink_right=value("right"),
        gaze_x=value("gaze"),
    )
    place = None
    if clip.hand and clip.hand[0][0] <= time_s <= clip.hand[-1][0]:
        keys = np.array(clip.hand, float)
        x, y, z, roll, yaw = PchipInterpolator(keys[:, 0], keys[:, 1:])(time_s).tolist()
        place = (x, y, z, roll, yaw)
    shift = (0.03 * value("yaw"), 0.0, 0.0)
    return Pose(value("yaw"), value("pitch"), value("roll"), shift, face, right_hand=place)


@lru_cache(maxsize=1)  # every clip is looked through before it is followed
def drawn(name: str) -> tuple[Moment, ...]:
    """The frames of a drawn clip."""
    clip = DRAWN[name]
    options = make_driving.Options(_WIDTH, _HEIGHT, FPS, tone=clip.tone, looks=clip.looks)
    times = [index / FPS for index in range(round(clip.seconds * FPS))]
    return tuple(Moment(make_driving.render(t, options, pose_at(clip, t)).image, t) for t in times)


@contextmanager
def opened(name: str) -> Iterator[Iterator[Moment]]:
    """The frames of "example", of a drawn clip, or of a video file of one's own."""
    if name in DRAWN:
        yield iter(drawn(name))
        return
    with io.open_source(EXAMPLE if name == "example" else Path(name)) as reader:
        yield (Moment(frame.image, frame.time_s) for frame in reader)
