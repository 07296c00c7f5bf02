"""Fitted motion of one face over time: motion file -> even tracks; rows of a track -> DriverFace.

A track is an array (T, ``WIDTH``) at ``RATE_HZ``, relative to the rest of its clip, so that it does
not depend on who was recorded:

    TURN        rotation vector, rad, of R R_rest^T (camera axes: x right, y down, z away)
    ZOOM        log of the face's size over that at rest
    SHIFT       motion of its place since rest, right and down, in face sizes at rest
    LIDS        opening of the left and right eye as share of the clip's open eyes, without blinks
    MOUTH       opening of the mouth beyond the clip's shut mouth, in heights of the face
    EXPRESSION  coefficients of the face model, without what blinks do, less the rest of the clip

Blinks are short, so they are a channel of their own: 0 = open as ``LIDS`` says, 1 = shut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage, signal

from hybridanim.face import face_model, head_pose
from hybridanim.face.face_model import AXES
from hybridanim.types import Array, HeadPose

from .head_transfer import DriverFace
from .motion_file import Motion, MotionRow

RATE_HZ = 25
TURN, ZOOM, SHIFT, LIDS, MOUTH = slice(0, 3), 3, slice(4, 6), slice(6, 8), 8
EXPRESSION = slice(9, 41)
WIDTH = 41
LEAST_S = 2.4  # a shorter stretch is no track
_LEAST_SURE = 0.4  # confidence of a fit that is used
_MOST_GAP_S = 0.15  # between two frames of one track
_SMOOTH = np.r_[np.full(6, 1.2), np.full(2, 0.6), 0.5, np.full(32, 0.7)]  # sigma in rows: jitter
_WIDEST_LID = 1.3
_BLINK_AT, _BLINK_AROUND, _BLINK_MOST_S = 0.5, 0.85, 0.6  # share of open eyes; longest blink
_LID_ROWS = [AXES.index("left_lid_open"), AXES.index("right_lid_open")]
_SMILE_ROWS = [AXES.index("left_corner_up"), AXES.index("right_corner_up")]
_CALM = 0.3  # share of a clip's frames, those with the least smile and jaw, that are its rest


@dataclass(frozen=True)
class Track:
    """An uninterrupted stretch of one clip."""

    name: str  # of the clip
    values: Array  # (T, WIDTH) float32
    blinks: Array  # (T,) float32 in [0, 1]
    onsets: Array  # (T,) bool: a blink begins to shut
    rest_deg: tuple[float, float, float]  # yaw, pitch, roll at rest


@dataclass(frozen=True)
class _Raw:
    """Frames of one stretch as they were fitted."""

    times_s: Array
    rotations: Array  # (N, 3, 3)
    places: Array  # (N, 3) scale, shift x, shift y
    lids: Array  # (N, 2)
    mouth: Array  # (N,)
    expression: Array  # (N, E)


def read(path: str | Path) -> list[Track]:
    """The tracks of a motion file; none where no face was fitted for long enough.

    Raises InputError for a file that is no motion file.
    """
    motion = Motion.load(path)
    found = [_track(Path(path).stem, raw) for raw in _stretches(motion.rows())]
    return [one for one in found if one is not None]


def _stretches(rows: Iterator[MotionRow]) -> Iterator[_Raw]:
    """Groups of rows with a sure face, without gaps."""
    group: list[MotionRow] = []
    for row in rows:
        is_sure = row.seen is not None and row.seen.face is not None
        is_sure = is_sure and row.seen is not None and row.seen.sure[0] >= _LEAST_SURE
        is_next = bool(group) and (
            row.stretch == group[-1].stretch and row.time_s - group[-1].time_s <= _MOST_GAP_S
        )
        if is_sure and group and not is_next:
            yield from _raw(group)
            group = []
        if is_sure:
            group.append(row)
    yield from _raw(group)


def _raw(group: list[MotionRow]) -> Iterator[_Raw]:
    if len(group) < 2 or group[-1].time_s - group[0].time_s < LEAST_S:
        return
    faces = [row.seen.face for row in group if row.seen is not None and row.seen.face is not None]
    yield _Raw(
        np.array([row.time_s for row in group]),
        np.stack([face.pose.rotation for face in faces]),
        np.array([[face.pose.scale_px, *face.pose.shift_px] for face in faces]),
        np.stack([face.lids for face in faces]),
        np.array([face.mouth for face in faces]),
        np.stack([face.expression for face in faces]),
    )


def _track(name: str, raw: _Raw) -> Track | None:
    rest = _mean_rotation(raw.rotations)
    scale = float(np.median(raw.places[:, 0]))
    shift = np.median(raw.places[:, 1:], 0)
    values = np.zeros((len(raw.times_s), WIDTH))
    turns = raw.rotations @ rest.T
    values[:, TURN] = [cv2.Rodrigues(turn)[0][:, 0] for turn in turns]
    values[:, ZOOM] = np.log(raw.places[:, 0] / scale)
    values[:, SHIFT] = (raw.places[:, 1:] - shift) / scale
    opened = np.maximum(np.percentile(raw.lids, 80, axis=0), 0.3)
    values[:, LIDS] = np.clip(raw.lids / opened, 0, _WIDEST_LID)
    values[:, MOUTH] = np.clip(raw.mouth - np.percentile(raw.mouth, 10), -0.05, 0.6)
    values[:, EXPRESSION] = raw.expression - _rest_expression(raw)
    values = _evenly(raw.times_s, values)
    if len(values) < LEAST_S * RATE_HZ:
        return None
    values, blinks, onsets = _without_blinks(values)
    for column, sigma in enumerate(_SMOOTH):
        values[:, column] = ndimage.gaussian_filter1d(values[:, column], sigma, mode="nearest")
    return Track(
        name, values.astype(np.float32), blinks.astype(np.float32), onsets,
        head_pose.angles_deg(rest),
    )  # fmt: skip


def _mean_rotation(rotations: Array) -> Array:
    left, _, right = np.linalg.svd(np.median(rotations, 0))
    return left @ np.diag([1, 1, np.sign(np.linalg.det(left @ right))]) @ right


def _evenly(times_s: Array, values: Array) -> Array:
    """Values at ``RATE_HZ``, by linear interpolation."""
    even_s = np.arange(times_s[0], times_s[-1] + 1e-6, 1 / RATE_HZ)
    return np.stack([np.interp(even_s, times_s, column) for column in values.T], 1)


@cache
def _gains() -> Array:
    """(E, A): linear change of each quantity by each coefficient, the inverse of the axes."""
    return np.linalg.pinv(face_model.load().axes.astype(np.float64))


def quantities(expression: Array) -> Array:
    """(N, A) changes of the quantities of AXES by expressions (N, E), linearly."""
    return expression @ _gains()


def smile(expression: Array) -> Array:
    """(N,) height of the mouth's corners, mean of both, by expressions (N, E)."""
    return quantities(expression)[:, _SMILE_ROWS].mean(1)


def _rest_expression(raw: _Raw) -> Array:
    """(E,) expression of the clip's calm frames, but for their smile, which is kept."""
    effort = smile(raw.expression) + raw.mouth
    calm = effort <= np.quantile(effort, _CALM)
    rest = np.median(raw.expression[calm], 0)
    axes = face_model.load().axes[_SMILE_ROWS]
    return rest - float(smile(rest[None])[0]) * axes.sum(0)


def _without_blinks(values: Array) -> tuple[Array, Array, Array]:
    """The values with open lids in place of blinks; the blinks, and where each begins."""
    values, lids = values.copy(), values[:, LIDS].mean(1)
    blinks, onsets = np.zeros(len(lids)), np.zeros(len(lids), bool)
    most = round(_BLINK_MOST_S * RATE_HZ)
    base = ndimage.percentile_filter(lids, 70, 2 * most + 1, mode="nearest")
    share = lids / np.maximum(base, 0.2)
    lows, _ = signal.find_peaks(-np.r_[1.0, share, 1.0], height=-_BLINK_AT, distance=4)
    axes = face_model.load().axes[_LID_ROWS]
    for low in lows - 1:
        start = end = int(low)
        while start > 0 and share[start - 1] < _BLINK_AROUND:
            start -= 1
        while end < len(share) - 1 and share[end + 1] < _BLINK_AROUND:
            end += 1
        if end - start > most or blinks[low] > 0:
            continue
        start, end = max(0, start - 1), min(len(share) - 1, end + 1)
        inside = slice(start, end + 1)
        depth = max(1e-6, 1 - float(share[low]))
        blinks[inside] = np.clip((1 - share[inside]) / depth, 0, 1)
        onsets[start] = True
        before = values[inside, LIDS].copy()
        for column in range(LIDS.start, LIDS.stop):
            values[inside, column] = np.linspace(values[start, column], values[end, column],
                                                 end - start + 1)  # fmt: skip
        values[inside, EXPRESSION] += 0.25 * (values[inside, LIDS] - before) @ axes
    return values, blinks, onsets


def face_of(row: Array, blink: float, rest: HeadPose) -> DriverFace:
    """The face of one row (``WIDTH``,) and its blink; rest: the pose that the row is relative to.

    Its shift is in the unit of the rest's.
    """
    turn = cv2.Rodrigues(np.asarray(row[TURN], np.float64))[0]
    shift = rest.shift_px + rest.scale_px * np.asarray(row[SHIFT], np.float64)
    pose = HeadPose(turn @ rest.rotation, rest.scale_px * float(np.exp(row[ZOOM])), shift)
    lids = np.clip(row[LIDS], 0, _WIDEST_LID) * (1 - blink)
    expression = np.asarray(row[EXPRESSION], np.float32)
    return DriverFace(pose, expression, lids.astype(np.float32), float(row[MOUTH]))


def windows(tracks: Sequence[Track], length: int, step: int) -> Iterator[tuple[int, int]]:
    """(track, first row) of all windows of this many rows."""
    for number, track in enumerate(tracks):
        for start in range(0, len(track.values) - length + 1, step):
            yield number, start
