"""The 478 points of the face mesh: which ones lie on lids, irises, lips and bone.

The numbering is that of MediaPipe's attention mesh (Grishchenko et al. 2020): 468 points of the
face (Kartynnik et al. 2019), then five of each iris, the centre first. Left and right are as seen
in the picture.
"""

from __future__ import annotations

import numpy as np

from hybridanim.types import Array

COUNT = 478
IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
"""Centre and four points of the rim of the left and of the right iris."""
EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
"""Contour of each eye: outer corner, upper lid, inner corner, lower lid."""
OUTER_LIPS = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
)
"""Outer contour of the lips, clockwise from the left corner."""
INNER_LIPS = (
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
"""Inner contour of the lips, clockwise from the left corner."""
OUTLINE = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Outline of the mesh, clockwise from the middle of the forehead."""
BONE = (
    *(10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 33, 133, 362, 263),
    *(127, 356, 234, 454, 98, 327, 21, 251, 162, 389),
)
"""Points that move with the skull: forehead, bridge of the nose, corners of the eyes, temples."""
BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
"""Upper edge of each brow, outer end first."""


OPENINGS = np.array(
    [
        *[(10, 152), (33, 263), (13, 14), (61, 291)],
        *[(159, 145), (33, 133), (386, 374), (362, 263)],
    ]
)
"""Ends of: face, outer corners of the eyes, inner lips, corners of the mouth; lids and each eye."""


def openings(points: Array) -> Array:
    """(..., 5) float: mouth opening, mouth width, left and right eye opening, mean eye opening.

    points: (..., 478, D), two or three coordinates in any unit. Opening of the mouth: distance of
    the inner lips over the height of the face; width: between the corners over the distance of the
    outer corners of the eyes; opening of an eye: distance of the lids over the eye's width.
    """
    face, eyes, mouth, wide, left, left_eye, right, right_eye = distances(points, OPENINGS)
    left, right = left / left_eye, right / right_eye
    return np.stack([mouth / face, wide / eyes, left, right, (left + right) / 2], -1)


def distances(points: Array, ends: Array) -> Array:
    """(P, ...) distances of P pairs of points; points: (..., 478, D), ends: (P, 2)."""
    apart = points[..., ends[:, 0], :] - points[..., ends[:, 1], :]
    return np.moveaxis(np.sqrt((apart**2).sum(-1)), -1, 0)
