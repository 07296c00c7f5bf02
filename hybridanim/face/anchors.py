"""The K anchors: the keypoints of the classical tracker, at fixed places of the face.

Positions are in face-box units: (0, 0) the centre of the box, 1 its side, x right, y down, for an
upright head. An anchor with landmarks is at their mean; the others move with the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridanim.types import Array

from .landmarks import GROUPS


@dataclass(frozen=True, slots=True)
class Anchor:
    """One keypoint of the classical tracker."""

    name: str
    xy_box: tuple[float, float]  # position without landmarks
    landmarks: tuple[int, ...] = ()  # rows of landmarks.POINTS, whose mean is its position
    reach_box: float = 0.2  # sigma of its weight in the dense motion
    fit_box: float = 0.2  # sigma of the tracks' weights in its local fit
    exact: float = 0.0  # weight of its own landmarks' motion; the rest is the local fit's
    free: float = 1.0  # share of its motion relative to the head that is transferred (bone: little)
    follow: float = 1.0  # share of the head's motion that it takes (neck, shoulders: less)


def _rows(group: str, *places: int) -> tuple[int, ...]:
    return tuple(GROUPS[group][i] for i in places) if places else tuple(GROUPS[group])


def _pair(
    name: str, x: float, y: float, left: tuple[int, ...], right: tuple[int, ...], **more: Any
) -> list[Anchor]:
    """The anchor on the picture's left and its mirror image on the right."""
    return [
        Anchor(f"left_{name}", (-x, y), left, **more),
        Anchor(f"right_{name}", (x, y), right, **more),
    ]


def _layout() -> tuple[Anchor, ...]:
    small, lid = (
        {"reach_box": 0.09, "fit_box": 0.13},
        {"reach_box": 0.036, "fit_box": 0.07, "exact": 1.0},
    )
    lip = {"reach_box": 0.09, "fit_box": 0.09, "exact": 1.0}
    inside = {"reach_box": 0.075, "fit_box": 0.07, "exact": 1.0}
    large = {"reach_box": 0.2, "fit_box": 0.25, "free": 0.4}
    bone = {**small, "free": 0.3}  # landmarks slide along the outline, which would distort it
    out: list[Anchor] = []
    left, right = "left_brow", "right_brow"
    out += _pair("outer_brow", 0.32, -0.33, _rows(left, 0, 1), _rows(right, 0, 1), **small)
    out += _pair("inner_brow", 0.12, -0.33, _rows(left, 3, 4), _rows(right, 3, 4), **small)
    left, right = "left_eye", "right_eye"
    out += _pair("outer_eye", 0.3, -0.18, _rows(left, 0), _rows(right, 0), **lid)
    out += _pair("inner_eye", 0.1, -0.18, _rows(left, 4), _rows(right, 4), **lid)
    out += _pair("upper_lid", 0.2, -0.21, _rows(left, 1, 2, 3), _rows(right, 1, 2, 3), **lid)
    out += _pair("lower_lid", 0.2, -0.15, _rows(left, 5, 6, 7), _rows(right, 5, 6, 7), **lid)
    out += [Anchor("nose_bridge", (0, -0.12), _rows("nose", 0, 1), **small)]
    out += [Anchor("nose_tip", (0, 0.08), _rows("nose", 4, 5), **small)]
    out += _pair("nose_wing", 0.1, 0.1, _rows("nose", 6), _rows("nose", 7), **small)
    out += _pair("mouth_corner", 0.17, 0.27, _rows("outer_lips", 0), _rows("outer_lips", 6), **lip)
    out += [Anchor("upper_lip", (0, 0.23), _rows("outer_lips", 2, 3, 4), **lip)]
    out += [Anchor("upper_lip_inside", (0, 0.26), _rows("inner_lips", 1, 2, 3), **inside)]
    out += [Anchor("lower_lip_inside", (0, 0.28), _rows("inner_lips", 5, 6, 7), **inside)]
    out += [Anchor("lower_lip", (0, 0.32), _rows("outer_lips", 8, 9, 10), **lip)]
    out += [Anchor("chin", (0, 0.5), _rows("jaw", 4, 5, 6), **small)]
    out += _pair("jaw", 0.35, 0.33, _rows("jaw", 2), _rows("jaw", 8), **bone)
    out += _pair("cheek", 0.28, 0.08, _rows("cheeks", 0), _rows("cheeks", 1), **large)
    out += _pair("temple", 0.45, -0.2, _rows("temples", 0), _rows("temples", 1), **large)
    out += [Anchor("forehead", (0, -0.5), _rows("forehead"), **large)]
    wide = {"reach_box": 0.3, "fit_box": 0.5}
    out += [Anchor("crown", (0, -0.85), (), **wide)]
    out += _pair("hair", 0.55, -0.6, (), (), **wide)
    out += _pair("ear", 0.62, 0.0, (), (), **wide)
    out += [Anchor("neck", (0, 0.85), reach_box=0.22, fit_box=0.4, follow=0.45)]
    out += _pair("shoulder", 0.8, 1.25, (), (), reach_box=0.35, fit_box=0.4, follow=0.1)
    return tuple(out)


ANCHORS = _layout()
"""The K anchors, in keypoint order."""

REACH_BOX: Array = np.array([anchor.reach_box for anchor in ANCHORS], np.float32)
FIT_BOX: Array = np.array([anchor.fit_box for anchor in ANCHORS], np.float32)
EXACT: Array = np.array([anchor.exact for anchor in ANCHORS], np.float32)
FREE: Array = np.array([anchor.free for anchor in ANCHORS], np.float32)
FOLLOW: Array = np.array([anchor.follow for anchor in ANCHORS], np.float32)
PINNED: Array = FOLLOW == 1
"""(K,) bool: anchors that the dense motion interpolates exactly; neck and shoulders do not."""

WATCHED: Array = np.array(
    [any(part in anchor.name for part in ("lid", "lip", "mouth")) for anchor in ANCHORS]
)
"""(K,) bool: lids and lips."""

HAS_LANDMARKS: Array = np.array([bool(anchor.landmarks) for anchor in ANCHORS])


def landmark_average() -> Array:
    """(K, L) float32: row k averages the landmarks of anchor k; rows without landmarks are 0."""
    count = 1 + max(row for rows in GROUPS.values() for row in rows)
    average = np.zeros((len(ANCHORS), count), np.float32)
    for k, anchor in enumerate(ANCHORS):
        if anchor.landmarks:
            average[k, list(anchor.landmarks)] = 1 / len(anchor.landmarks)
    return average


def anchors_box() -> Array:
    """(K, 2) float32 positions in face-box units, for a head known only by its box."""
    return np.array([anchor.xy_box for anchor in ANCHORS], np.float32)
