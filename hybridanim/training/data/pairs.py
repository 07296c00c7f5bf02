"""Cached clips -> batches of (source frame, driving frame, keypoints of both) for training.

Every batch is a function of (seed, step) alone, so a run that is killed and resumed sees the same
batches. A pair is two frames of one clip. People are drawn evenly. Talking heads are mostly still,
so of a few candidates the frame whose face differs most is often taken, or a frame in which the
mouth or the eyes are closed is paired with one in which they are open. Augmentation is the same for
both frames; keypoints follow it exactly and get noise of their own.

Keypoints are those that the program would get at run time: where a set places the anchors anew in
every frame, neck and shoulders follow the program's own tracker, and so does the background.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.types import Array

from .augment import (
    Augment,
    PairTransform,
    close_up_of,
    draw_transform,
    transform_affine,
    transform_frames,
    transform_keypoints,
)
from .batch import Batch, Layout, collate
from .cache import DETECTED, PER_FRAME, TEACHER, TRACKED, Clip

_MOUTHS = 0.7  # share of mouths among the pairs that open; the rest are eyes
_MOUTH, _EYES = 0, 1
_EXTREME = 0.1  # share of the frames that count as the least or the most open, at least one


class Pairs:
    """Draws batches of pairs."""

    def __init__(
        self,
        clips: list[Clip],
        layout: Layout | None,
        augment: Augment,
        *,
        seed: int,
        sets: tuple[str, ...] = (),
        candidates: int = 6,
        balance: str = "",
    ) -> None:
        """sets: keypoint sets to draw from, none for all; a clip without any is not drawn.

        balance: column of the clips' table whose values are drawn evenly, then people among each;
        "": people alone. Raises InputError for a column that no clip has.

        Without a layout the batches are pictures alone, for learning without given keypoints.
        """
        if layout is not None:
            clips = [clip for clip in clips if set(sets or clip.points) & set(clip.points)]
        self._clips, self._layout, self._augment = clips, layout, augment
        self._seed, self._candidates, self._sets = seed, candidates, sets
        self._groups = _groups(clips, balance)
        self._extremes: dict[tuple[int, str], tuple[tuple[Array, Array], ...]] = {}
        if layout is not None and augment.opposite:
            self._extremes = {
                (i, name): extremes(points, layout.opening)
                for i, clip in enumerate(clips)
                for name, points in clip.points.items()
                if (name in sets or not sets) and np.isfinite(points).all((1, 2)).sum() > 1
            }

    def batch(self, step: int, rows: int | range, size: int) -> Batch:
        """Pairs at size x size pixels: that many, or these rows of the step's batch."""
        rows = range(rows) if isinstance(rows, int) else rows
        draws = (np.random.default_rng([self._seed, step, i]) for i in rows)
        return collate([self._draw(rng, size) for rng in draws])

    def choose(self, rng: np.random.Generator) -> tuple[Clip, str | None, tuple[int, int]]:
        """A clip, a keypoint set of it (without a layout none), and two of its frames."""
        people = self._groups[rng.integers(len(self._groups)) if len(self._groups) > 1 else 0]
        person = people[rng.integers(len(people))]
        number = person[rng.integers(len(person))]
        clip = self._clips[number]
        if self._layout is None:
            return clip, None, self._reversed(self._two_seen(clip.frames, rng), rng)
        names = sorted(name for name in clip.points if name in self._sets or not self._sets)
        name = names[rng.integers(len(names))]
        if (number, name) in self._extremes and rng.random() < self._augment.opposite:
            two = self._two_opposite((number, name), rng)
        else:
            two = self._two(clip.points[name], self._layout.watched, rng)
        return clip, name, self._reversed(two, rng)

    def _draw(self, rng: np.random.Generator, size: int) -> tuple[Array, ...]:
        clip, name, numbers = self.choose(rng)
        transform = draw_transform(self._augment, rng)
        return pair(clip, name, numbers, self._layout, size=size, transform=transform, rng=rng)

    def _reversed(self, numbers: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        return (numbers[1], numbers[0]) if rng.random() < self._augment.reverse else numbers

    def _two_seen(self, frames: Array, rng: np.random.Generator) -> tuple[int, int]:
        """A random frame, and mostly the most different one of a few candidates."""
        a, others = int(rng.integers(len(frames))), rng.integers(len(frames), size=self._candidates)
        if rng.random() < 0.3:
            return a, int(others[0])
        step = max(1, frames.shape[1] // 32)
        here = frames[a][::step, ::step].astype(np.int16)
        apart = [np.abs(frames[i][::step, ::step] - here).mean() for i in others]
        return a, int(others[np.argmax(apart)])

    def _two_opposite(self, key: tuple[int, str], rng: np.random.Generator) -> tuple[int, int]:
        """A frame in which mouth or eyes are least open, and one in which they are most open."""
        what = _MOUTH if rng.random() < _MOUTHS else _EYES
        least, most = self._extremes[key][what]
        return int(rng.choice(least)), int(rng.choice(most))

    def _two(self, points: Array, watched: Array, rng: np.random.Generator) -> tuple[int, int]:
        usable = np.flatnonzero(np.isfinite(points).all((1, 2)))
        if len(usable) < 2:
            return int(usable[0]), int(usable[0])
        a = rng.choice(usable)
        others = rng.choice(usable, self._candidates)
        if rng.random() < 0.3:
            return int(a), int(others[0])
        mark = watched if rng.random() < 0.8 else slice(None)
        apart = points[others][:, mark, :2] - points[a][mark, :2]
        if mark is not slice(None):  # the face's own change, without the head's shift
            apart = apart - apart.mean(1, keepdims=True)
        return int(a), int(others[np.abs(apart).mean((1, 2)).argmax()])


def _groups(clips: list[Clip], balance: str) -> list[list[list[int]]]:
    """Indices of clips by the value of the column, then by person; "" is one group."""
    found: dict[str, dict[str, list[int]]] = {}
    for i, clip in enumerate(clips):
        value = clip.about.get(balance, "") if balance else ""
        found.setdefault(value, {}).setdefault(clip.identity, []).append(i)
    if balance and set(found) <= {""}:
        known = sorted({name for clip in clips for name in clip.about})
        raise InputError(
            f"--balance {balance}: expected a column of the clips' table, got none with values;"
            f" known are {', '.join(known) or 'none: give --table'}"
        )
    return [[people[name] for name in sorted(people)] for _, people in sorted(found.items())]


def pair(
    clip: Clip,
    points: str | None,
    numbers: tuple[int, int],
    layout: Layout | None,
    *,
    size: int,
    transform: PairTransform | None = None,
    rng: np.random.Generator | None = None,
) -> tuple[Array, ...]:
    """Source and driving frame (S, S, 3) float32 in [0, 1], their keypoints (K, 6), background.

    The background is the affine of its motion, (2, 3) float32, source <- driving, normalised.
    Without a keypoint set or a layout the frames alone. A close-up shows both frames in the same
    window, round the lids and lips of the driving frame.
    """
    rows = [] if points is None or layout is None else pair_keypoints(clip, points, numbers, layout)
    images, side = [np.asarray(clip.frames[number]) for number in numbers], clip.frames.shape[1]
    if transform is None or rng is None:
        plain = [shrunk(image, size).astype(np.float32) / 255 for image in images]
        return (*plain, *rows, background_motion(clip, numbers)) if rows else tuple(plain)
    if transform.off_centre is not None and rows and layout is not None and size < side:
        transform = close_up_of(transform, rows[1][layout.watched, :2], size, side)
    else:
        images = [shrunk(image, size) for image in images]
    images = transform_frames(images, transform, rng, size)
    if not rows or layout is None:
        return tuple(images)
    rows = [transform_keypoints(row, transform, layout, rng) for row in rows]
    return *images, *rows, transform_affine(background_motion(clip, numbers), transform)


def shrunk(image: Array, size: int) -> Array:
    """(size, size, 3) uint8, averaged."""
    if image.shape[0] == size:
        return np.asarray(image)
    return cv2.resize(np.asarray(image), (size, size), interpolation=cv2.INTER_AREA)


def pair_keypoints(
    clip: Clip, points: str, numbers: tuple[int, int], layout: Layout
) -> list[Array]:
    """Keypoints (K, 6) of source and driving frame as the program would get them at run time."""
    before, after = (clip.points[points][number, :, :6].copy() for number in numbers)
    if clip.is_exact:
        return [before, after]
    if points in (TEACHER, PER_FRAME, DETECTED):  # there, neck and shoulders follow the head
        damped = damped_motion(before, after, layout.follow)
        return [before, _with_body(clip, numbers, before, damped, layout.follow < 1)]
    per_frame = clip.points.get(PER_FRAME)
    if points == TRACKED and per_frame is not None:
        source = per_frame[numbers[0], :, :6].copy()
        if np.isfinite(source).all():
            return [source, transferred_motion(source, before, after)]
    return [before, after]


def _with_body(
    clip: Clip, numbers: tuple[int, int], source: Array, driving: Array, body: Array
) -> Array:
    """Driving keypoints (K, 6) with the body where the classical tracker has followed it to."""
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


def background_motion(clip: Clip, numbers: tuple[int, int]) -> Array:
    """(2, 3) float32, source <- driving, normalised: the affine motion of the background."""
    if clip.background is None:
        return np.eye(2, 3, dtype=np.float32)
    rows = [clip.background[number, 0] for number in numbers]
    affines = [np.column_stack([row[2:6].reshape(2, 2), row[:2]]) for row in rows]
    source, driving = (geometry.homogeneous(affine) for affine in affines)
    return (source @ np.linalg.inv(driving))[:2].astype(np.float32)


def transferred_motion(source: Array, before: Array, after: Array) -> Array:
    """Source keypoints (K, 6) with the driver's motion from ``before`` to ``after``."""
    out = source.copy()
    out[:, :2] += after[:, :2] - before[:, :2]
    at_source, at_before, at_after = (
        rows[:, 2:].reshape(-1, 2, 2) for rows in (source, before, after)
    )
    out[:, 2:] = (at_after @ np.linalg.inv(at_before) @ at_source).reshape(-1, 4)
    return out


def damped_motion(source: Array, driving: Array, follow: Array) -> Array:
    """Driving keypoints (K, 6), each with a share, follow (K,), of the motion from the source."""
    out = driving.copy()
    share = follow[:, None]
    out[:, :2] = source[:, :2] + share * (driving[:, :2] - source[:, :2])
    before, after = (rows[:, 2:].reshape(-1, 2, 2) for rows in (source, driving))
    change = after @ np.linalg.inv(before)
    kept = np.eye(2) + share[..., None] * (change - np.eye(2))
    out[:, 2:] = (kept @ before).reshape(-1, 4)
    return out


def openings(xy: Array, rows: Array) -> Array:
    """(N, 2) openings of mouth and eyes of keypoints (N, K, 2); nan where keypoints are nan.

    The signed distance between the keypoints above and below, across the line through the corners,
    in units of that line's length: independent of the head's rotation, place and size.

    rows: (3, 4), keypoints of mouth, left and right eye: left corner, right corner, above, below.
    """
    left, right, above, below = np.moveaxis(xy[:, rows].astype(np.float64), 2, 0)  # (N, 3, 2)
    axis = right - left
    down = np.stack([-axis[..., 1], axis[..., 0]], -1)
    gap = ((below - above) * down).sum(-1) / np.maximum((axis**2).sum(-1), 1e-12)
    return np.column_stack([gap[:, 0], gap[:, 1:].mean(1)])


def extremes(points: Array, rows: Array) -> tuple[tuple[Array, Array], ...]:
    """Indices of the least and the most open frames of a clip, for the mouth and for the eyes.

    points: (N, K, 2 or more), x and y first; frames in which any number is nan are left out.
    """
    usable = np.flatnonzero(np.isfinite(points).all((1, 2)))
    count = max(1, int(_EXTREME * len(usable)))
    order = np.argsort(openings(points[usable, :, :2], rows), axis=0, kind="stable")
    return tuple((usable[part[:count]], usable[part[-count:]]) for part in order.T)
