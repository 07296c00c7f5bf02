"""Names of points of the head, and the vertices of the mesh that they are.

Left and right are as seen in the picture, of a face that looks into the camera.
"""

from __future__ import annotations

import re

from hybridanim.errors import InputError

from . import mesh

NAMES: dict[str, int] = {
    "forehead_top": 10,
    "left_temple": 127,
    "right_temple": 356,
    "left_ear": 234,  # the outline of the face in front of the ear
    "right_ear": 454,
    "left_brow_outer": 70,
    "left_brow_middle": 105,
    "left_brow_inner": 107,
    "right_brow_inner": 336,
    "right_brow_middle": 334,
    "right_brow_outer": 300,
    "left_eye_outer": 33,
    "left_lid_upper": 159,
    "left_lid_lower": 145,
    "left_eye_inner": 133,
    "left_iris": 468,
    "right_eye_inner": 362,
    "right_lid_upper": 386,
    "right_lid_lower": 374,
    "right_eye_outer": 263,
    "right_iris": 473,
    "nose_bridge": 168,  # between the eyes
    "nose_tip": 4,
    "nose_base": 2,  # where the nose meets the upper lip's skin
    "nose_wing_left": 129,
    "nose_wing_right": 358,
    "mouth_left": 61,
    "mouth_right": 291,
    "upper_lip_top": 0,
    "upper_lip_bottom": 13,
    "lower_lip_top": 14,
    "lower_lip_bottom": 17,
    "chin": 152,
    "left_jaw": 172,  # angle of the jaw
    "right_jaw": 397,
}
"""Names that are offered, from top to bottom, and their vertices."""


def vertex_of(name: str) -> int:
    """The vertex of a name, or of a number of the mesh written in digits.

    Raises InputError for anything else.
    """
    if name in NAMES:
        return NAMES[name]
    if re.fullmatch("[0-9]{1,3}", name) and int(name) < mesh.COUNT:
        return int(name)
    raise InputError(
        f"point: expected a name of a point, or a vertex of 0 to {mesh.COUNT - 1}, got"
        f" {name[:40]!r}; python -m calibration.texture --list-points lists the names"
    )
