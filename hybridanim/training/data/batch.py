"""A pair of frames of a clip -> the keypoints of both as the program would get them at run time.

Where a set places the anchors anew in every frame, neck and shoulders are carried by what the
program's tracker has followed of the body, and the background by its corners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hybridanim import geometry
from hybridanim.types import Array

from .cache import DETECTED, FITTED, TAUGHT, TRACKED, Clip

if TYPE_CHECKING:
    from .pairs import Layout


def rows_of(clip: Clip, points: str, numbers: tuple[int, int], layout: Layout) -> list[Array]:
    """Keypoints (K, 6) of source and driving as the program would get them from this set."""
    before, after = (clip.points[points][number, :, :6].copy() for number in numbers)
    if clip.is_exact:
        return [before, after]
    if points in (TAUGHT, FITTED, DETECTED):  # neck and shoulders ride with the head there
        held = held_back(before, after, layout.follow)
        return [before, _with_body(clip, numbers, before, held, layout.follow < 1)]
    fitted = clip.points.get(FITTED)
    if points == TRACKED and fitted is not None:
        source = fitted[numbers[0], :, :6].copy()
        if np.isfinite(source).all():
            return [source, carried_over(source, before, after)]
    return [before, after]


def _with_body(
    clip: Clip, numbers: tuple[int, int], source: Array, driving: Array, body: Array
) -> Array:
    """Driving keypoints (K, 6) with the body where the program's tracker has carried it."""
    if TRACKED not in clip.points:
        return driving
    start, end = (clip.points[TRACKED][number, body, :6] for number in numbers)
    if not (np.isfinite(start).all() and np.isfinite(end).all()):
        return driving
    jacobians = [rows[:, 2:].reshape(-1, 2, 2) for rows in (start, end, source[body])]
    change = jacobians[1] @ np.linalg.inv(jacobians[0])
    offset = source[body, :2] - start[:, :2]
    out = driving.copy()
    out[body, :2] = end[:, :2] + np.einsum("kij,kj->ki", change, offset)
    out[body, 2:] = (change @ jacobians[2]).reshape(-1, 4)
    return out


def behind(clip: Clip, numbers: tuple[int, int]) -> Array:
    """(2, 3) float32 norm, source <- driving: how what is behind has moved."""
    if clip.background is None:
        return np.eye(2, 3, dtype=np.float32)
    rows = [clip.background[number, 0] for number in numbers]
    affines = [np.column_stack([row[2:6].reshape(2, 2), row[:2]]) for row in rows]
    source, driving = (geometry.homogeneous(affine) for affine in affines)
    return (source @ np.linalg.inv(driving))[:2].astype(np.float32)


def carried_over(source: Array, before: Array, after: Array) -> Array:
    """The source's keypoints (K, 6) moved as the driver's went from before to after."""
    out = source.copy()
    out[:, :2] += after[:, :2] - before[:, :2]
    at_source, at_before, at_after = (
        rows[:, 2:].reshape(-1, 2, 2) for rows in (source, before, after)
    )
    out[:, 2:] = (at_after @ np.linalg.inv(at_before) @ at_source).reshape(-1, 4)
    return out


def held_back(source: Array, driving: Array, follow: Array) -> Array:
    """Driving keypoints (K, 6) of which each takes only its share of the motion from the source."""
    out = driving.copy()
    share = follow[:, None]
    out[:, :2] = source[:, :2] + share * (driving[:, :2] - source[:, :2])
    before, after = (rows[:, 2:].reshape(-1, 2, 2) for rows in (source, driving))
    change = after @ np.linalg.inv(before)
    kept = np.eye(2) + share[..., None] * (change - np.eye(2))
    out[:, 2:] = (kept @ before).reshape(-1, 4)
    return out
