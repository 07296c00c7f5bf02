"""Name -> source picture: people drawn by ``driving_head``, the astronaut, and her in other styles.

(H, W, 3) uint8 RGB. The astronaut (NASA, Eileen Collins) and the photographer (CC0) come with
scikit-image.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from tools import make_driving
from tools.driving_head.head import Expression
from tools.driving_head.looks import Looks
from tools.driving_head.script import Pose

from . import styles

Array = NDArray[Any]
STYLES = {
    "grey": styles.grey,
    "pencil": styles.pencil,
    "oil": styles.oil,
    "etching": styles.etching,
    "halftone": styles.halftone,
    "low_light": styles.low_light,
    "small": styles.small,
}


class Sitter(NamedTuple):
    """One drawn person, as they sat."""

    tone: str
    seed: int
    looks: Looks
    face: Expression
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0


DRAWN = {
    "auburn": Sitter(
        "light",
        1,
        Looks(
            hair_rgb=(122, 56, 30),
            lips_rgb=(176, 70, 76),
            iris_rgb=(84, 110, 70),
            cloth_rgb=((96, 34, 48), (70, 24, 36)),
            wall_rgb=(150, 160, 150),
            long_hair=True,
        ),
        Expression(smile=0.4),
    ),
    "bearded": Sitter(
        "medium",
        2,
        Looks(cloth_rgb=((60, 70, 60), (200, 196, 180)), beard=1.0, glasses=True),
        Expression(smile=0.2),
    ),
    "dark": Sitter(
        "dark",
        3,
        Looks(cloth_rgb=((190, 120, 30), (240, 220, 180)), wall_rgb=(186, 176, 150)),
        Expression(smile=0.5),
    ),
    "grey_haired": Sitter(
        "light",
        4,
        Looks(hair_rgb=(168, 166, 164), iris_rgb=(70, 100, 140), beard=0.45),
        Expression(smile=0.15),
    ),
    "dark_on_dark": Sitter(
        "medium",
        5,
        Looks(
            cloth_rgb=((30, 30, 34), (50, 48, 50)),
            wall_rgb=(74, 66, 62),
            long_hair=True,
        ),
        Expression(smile=0.2),
    ),
    "sleeper": Sitter(
        "light",
        6,
        Looks(hair_rgb=(196, 160, 96), wall_rgb=(96, 116, 140), long_hair=True),
        Expression(smile=0.2, blink_left=1.0, blink_right=1.0),
    ),
    "shouter": Sitter(
        "medium",
        7,
        Looks(hair_rgb=(70, 34, 22), wall_rgb=(120, 130, 110)),
        Expression(jaw=0.85, smile=0.3),
    ),
    "turned": Sitter("dark", 8, Looks(), Expression(smile=0.2), 28.0),
}


def names() -> tuple[str, ...]:
    """All that ``picture`` knows."""
    return ("astronaut", *STYLES, *DRAWN, "photographer")


def picture(name: str) -> Array:
    """The source picture of that name."""
    if name in DRAWN:
        return drawn(DRAWN[name])
    if name == "photographer":
        part = data.camera()[40:300, 100:360]
        return cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_GRAY2RGB)
    astronaut = data.astronaut()
    return STYLES[name](astronaut) if name in STYLES else astronaut


def drawn(sitter: Sitter, side_px: int = 480) -> Array:
    """A drawn portrait, (side_px, side_px, 3)."""
    options = make_driving.Options(
        side_px, side_px, tone=sitter.tone, seed=sitter.seed, looks=sitter.looks
    )
    pose = Pose(sitter.yaw_deg, sitter.pitch_deg, face=sitter.face)
    return make_driving.render(0.0, options, pose).image
