"""Cached clips -> batches of (source frame, driving frame, keypoints of both) for training.

Every batch is a function of (seed, step) alone, so a run that is killed and resumed sees the same
batches. A pair is two frames of one clip; people are drawn evenly, and of a few candidates the one
whose face differs most is often taken, because talking heads are mostly still; or a frame in which
the mouth or the eyes are shut with one in which they are open. Augmentation is the same for both
frames; keypoints follow it exactly and get noise of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from hybridanim.face.anchors import ANCHORS, FOLLOW, REACH_BOX, WATCHED
from hybridanim.networks import mouth_eye_masks
from hybridanim.networks.blocks import Points
from hybridanim.types import Array

from . import batch as data_rows
from . import openings as data_openings
from .augment import (
    NONE,
    Augment,
    Look,
    closer,
    draw_look,
    recoloured,
    turned_affine,
    turned_points,
)
from .cache import DETECTED, FITTED, TAUGHT, TRACKED, Clip

__all__ = [
    "DETECTED",
    "FITTED",
    "NONE",
    "TAUGHT",
    "TRACKED",
    "Augment",
    "Batch",
    "Layout",
    "Pairs",
]

_MOUTHS = 0.7  # share of mouths among the pairs that open; the rest are eyes


class Batch(NamedTuple):
    """Pairs of frames; pictures (B, 3, S, S) float32 in [0, 1]; pictures alone have no points."""

    source: Tensor
    driving: Tensor
    source_points: Points | None = None
    driving_points: Points | None = None
    background: Tensor | None = None  # (B, 2, 3) float32 norm, source <- driving, beside points
    optical: Tensor | None = None  # (B, 3, S/4, S/4), see DenseMotion; added by training_flow


@dataclass(frozen=True, slots=True)
class Layout:
    """What data needs to know about the keypoints; (K,) where nothing else is said."""

    mirror: Array  # int, the same keypoint in the mirrored picture
    reach: Array  # float32, canonical face units: how exact its place is
    follow: Array  # float32, share of the head's motion it takes
    watched: Array  # bool, lids and lips
    opening: Array  # (3, 4) int, of mouth and eyes: left corner, right corner, above, below

    @property
    def count(self) -> int:
        """K."""
        return len(self.mirror)


def anchor_layout() -> Layout:
    """The layout of the classical anchors."""
    names = [anchor.name for anchor in ANCHORS]
    swapped = {"left": "right", "right": "left"}
    mirror = [
        names.index("_".join([swapped.get(head, head), *rest]))
        for head, *rest in (name.split("_") for name in names)
    ]
    opening = mouth_eye_masks.rows().numpy()
    return Layout(np.array(mirror), REACH_BOX, FOLLOW, WATCHED, opening)


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
    ) -> None:
        """sets: keypoint sets to draw from, none for all; a clip without any is not drawn.

        Without a layout the batches are pictures alone, for learning without given keypoints.
        """
        if layout is not None:
            clips = [clip for clip in clips if set(sets or clip.points) & set(clip.points)]
        self._clips, self._layout, self._augment = clips, layout, augment
        self._seed, self._candidates, self._sets = seed, candidates, sets
        people: dict[str, list[int]] = {}
        for i, clip in enumerate(clips):
            people.setdefault(clip.identity, []).append(i)
        self._people = [people[name] for name in sorted(people)]
        self._extremes: dict[tuple[int, str], tuple[tuple[Array, Array], ...]] = {}
        if layout is not None and augment.opposite:
            self._extremes = {
                (i, name): data_openings.extremes(points, layout.opening)
                for i, clip in enumerate(clips)
                for name, points in clip.points.items()
                if (name in sets or not sets) and np.isfinite(points).all((1, 2)).sum() > 1
            }

    def batch(self, step: int, rows: int | range, size: int) -> Batch:
        """Pairs at size x size pixels: that many, or these rows of the step's batch."""
        rows = range(rows) if isinstance(rows, int) else rows
        draws = (np.random.default_rng([self._seed, step, i]) for i in rows)
        return collate([self._pair(rng, size) for rng in draws])

    def _pair(self, rng: np.random.Generator, size: int) -> tuple[Array, ...]:
        person = self._people[rng.integers(len(self._people))]
        number = person[rng.integers(len(person))]
        clip = self._clips[number]
        if self._layout is None:
            numbers = self._reversed(self._two_seen(clip.frames, rng), rng)
            look = draw_look(self._augment, rng)
            return pair(clip, None, numbers, None, size=size, look=look, rng=rng)
        names = sorted(name for name in clip.points if name in self._sets or not self._sets)
        name = names[rng.integers(len(names))]
        if (number, name) in self._extremes and rng.random() < self._augment.opposite:
            two = self._two_opposite((number, name), rng)
        else:
            two = self._two(clip.points[name], self._layout.watched, rng)
        numbers = self._reversed(two, rng)
        look = draw_look(self._augment, rng)
        return pair(clip, name, numbers, self._layout, size=size, look=look, rng=rng)

    def _reversed(self, numbers: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        return (numbers[1], numbers[0]) if rng.random() < self._augment.reverse else numbers

    def _two_seen(self, frames: Array, rng: np.random.Generator) -> tuple[int, int]:
        """Any frame, and mostly the least like it of a few: things are often still."""
        a, others = int(rng.integers(len(frames))), rng.integers(len(frames), size=self._candidates)
        if rng.random() < 0.3:
            return a, int(others[0])
        step = max(1, frames.shape[1] // 32)
        here = frames[a][::step, ::step].astype(np.int16)
        apart = [np.abs(frames[i][::step, ::step] - here).mean() for i in others]
        return a, int(others[np.argmax(apart)])

    def _two_opposite(self, key: tuple[int, str], rng: np.random.Generator) -> tuple[int, int]:
        """A frame with mouth or eyes hardly open, and one with them wide open."""
        what = data_openings.MOUTH if rng.random() < _MOUTHS else data_openings.EYES
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


def pair(
    clip: Clip,
    points: str | None,
    numbers: tuple[int, int],
    layout: Layout | None,
    *,
    size: int,
    look: Look | None = None,
    rng: np.random.Generator | None = None,
) -> tuple[Array, ...]:
    """Two frames (S, S, 3) float32 in [0, 1] and their keypoints (K, 6): source, driving.

    Then how what is behind has moved, (2, 3) float32, source <- driving, normalised. Without a
    keypoint set, or a layout, the frames alone. A close-up shows both in the same window,
    round the driver's lids and lips.
    """
    rows = (
        [] if points is None or layout is None else data_rows.rows_of(clip, points, numbers, layout)
    )
    images, side = [np.asarray(clip.frames[number]) for number in numbers], clip.frames.shape[1]
    if look is None or rng is None:
        plain = [shrunk(image, size).astype(np.float32) / 255 for image in images]
        return (*plain, *rows, data_rows.behind(clip, numbers)) if rows else tuple(plain)
    if look.off_centre is not None and rows and layout is not None and size < side:
        look = closer(look, rows[1][layout.watched, :2], size, side)
    else:
        images = [shrunk(image, size) for image in images]
    images = recoloured(images, look, rng, size)
    if not rows or layout is None:
        return tuple(images)
    rows = [turned_points(row, look, layout, rng) for row in rows]
    return *images, *rows, turned_affine(data_rows.behind(clip, numbers), look)


def shrunk(image: Array, size: int) -> Array:
    """(size, size, 3) uint8, averaged."""
    if image.shape[0] == size:
        return np.asarray(image)
    return cv2.resize(np.asarray(image), (size, size), interpolation=cv2.INTER_AREA)


def collate(rows: list[tuple[Array, ...]]) -> Batch:
    """Samples of ``pair`` to one batch."""
    source, driving, *more = (np.stack(part) for part in zip(*rows, strict=True))
    pictures = as_pictures(source), as_pictures(driving)
    if not more:
        return Batch(*pictures)
    before, after, behind = more
    return Batch(*pictures, as_points(before), as_points(after), torch.from_numpy(behind))


def as_pictures(images: Array) -> Tensor:
    """(B, S, S, 3) float32 to (B, 3, S, S), channels last in memory."""
    found = torch.from_numpy(images).permute(0, 3, 1, 2)
    return found.contiguous(memory_format=torch.channels_last)


def as_points(rows: Array) -> Points:
    """(B, K, 6 or 7) to torch."""
    found = torch.from_numpy(np.asarray(rows, np.float32))
    return Points(found[..., :2].contiguous(), found[..., 2:6].unflatten(-1, (2, 2)))
