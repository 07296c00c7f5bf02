"""Cached clips with a teacher's keypoints -> batches of training windows.

Every batch is a function of (seed, step) alone. People are drawn about evenly. Most frames show
open eyes and a closed mouth, so of three candidates the frame whose eyes or mouth differ most from
the clip's median is often taken. The first rows of a batch are pairs of near frames in one view.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from hybridanim.face.anchors import ANCHORS
from hybridanim.face.head_box import from_anchors
from hybridanim.geometry import px_from_norm
from hybridanim.training.config import DistillConfig
from hybridanim.training.data.batch import Layout, anchor_layout, as_pictures
from hybridanim.training.data.cache import Clip
from hybridanim.types import Array, Crop, HeadBox

from . import augment
from .augment import PLAIN, WindowAugment

_CANDIDATES = 3
_MANY = 100  # frames from which a person is drawn as often as any
_NEAR = 3  # cached frames between the two of a pair, at most


class Windows(NamedTuple):
    """A batch of windows."""

    pictures: Tensor  # (B, 3, S, S) float32 in [0, 1]
    rows: Tensor  # (B, K, 6) float32, the teacher's keypoints in the window
    is_shown: Tensor  # (B,) bool; False: the face is covered, keypoints mean nothing
    pairs: int  # rows 2 i and 2 i + 1 of the first 2 * pairs are near frames in one view


def distance_pairs() -> Array:
    """(P, 2) anchors whose distance matters most to a viewer: lids, lips, mouth corners."""
    names = [anchor.name for anchor in ANCHORS]
    wanted = [
        ("left_upper_lid", "left_lower_lid"),
        ("right_upper_lid", "right_lower_lid"),
        ("upper_lip_inside", "lower_lip_inside"),
        ("upper_lip", "lower_lip"),
        ("left_mouth_corner", "right_mouth_corner"),
    ]
    return np.array([[names.index(name) for name in pair] for pair in wanted])


_OPENINGS = distance_pairs()


class DistillationDataset:
    """Draws batches of windows."""

    def __init__(self, clips: list[Clip], config: DistillConfig) -> None:
        name = config.points
        self._clips = [clip for clip in clips if name in clip.points]
        self._config, self._layout = config, anchor_layout()
        self._usable = [
            np.flatnonzero(np.isfinite(clip.points[name]).all((1, 2))) for clip in self._clips
        ]
        self._unusualness = [_unusualness(clip.points[name]) for clip in self._clips]
        people: dict[str, list[int]] = {}
        for i, clip in enumerate(self._clips):
            people.setdefault(clip.identity, []).append(i)
        self._people = [people[person] for person in sorted(people)]
        # a person with a single frame is drawn less often, though not a hundred times less
        frames = [sum(len(self._usable[i]) for i in person) for person in self._people]
        weight = np.minimum(1, np.array(frames) / _MANY) ** (1 / 3)
        self._weight = weight / weight.sum()

    def batch(self, step: int, size: int) -> Windows:
        """The windows of a step, size x size pixels."""
        config = self._config
        pairs = round(config.batch * config.paired / 2)
        drawn: list[tuple[Array, Array, bool]] = []
        for i in range(config.batch - pairs):
            rng = np.random.default_rng([config.seed, step, i])
            drawn += self._windows(rng, 2 if i < pairs else 1, size)
        pictures, rows, shown = zip(*drawn, strict=True)
        return Windows(
            as_pictures(np.stack(pictures)),
            torch.from_numpy(np.stack(rows)),
            torch.tensor(shown),
            pairs,
        )

    def _windows(
        self, rng: np.random.Generator, count: int, size: int
    ) -> list[tuple[Array, Array, bool]]:
        config, settings = self._config, self._config.augment
        number, frame = self._frame(rng)
        clip = self._clips[number]
        frames = [frame, *(self._near(number, frame, rng) for _ in range(count - 1))]
        first = clip.points[config.points][frame]
        side = clip.frames.shape[1]
        view = augment.draw_view(_head(first, side), side, settings, rng)
        other = self._other(rng, size)
        is_shown = bool(rng.random() >= settings.cover_face)
        # both frames of a pair get the same random numbers, except for the pixel noise
        shared, seed = (int(value) for value in rng.integers(2**32, size=2))
        out = []
        for j, index in enumerate(frames):
            rows = augment.keypoints_in_view(
                clip.points[config.points][index], view, self._layout.mirror
            )
            picture = _picture(
                clip.frames[index],
                view,
                other,
                is_shown=is_shown,
                settings=settings,
                rng=np.random.default_rng(shared),
                noise=np.random.default_rng([seed, j]),
            )
            out.append((picture, rows, is_shown))
        return out

    def _frame(self, rng: np.random.Generator) -> tuple[int, int]:
        person = self._people[rng.choice(len(self._people), p=self._weight)]
        number = person[rng.integers(len(person))]
        frames = rng.choice(self._usable[number], _CANDIDATES)
        if rng.random() < 0.5:
            return number, int(frames[0])
        return number, int(frames[self._unusualness[number][frames].argmax()])

    def _near(self, number: int, frame: int, rng: np.random.Generator) -> int:
        usable = self._usable[number]
        place = int(np.searchsorted(usable, frame)) + rng.integers(1, _NEAR + 1)
        return int(usable[min(place, len(usable) - 1)])

    def _other(self, rng: np.random.Generator, size: int) -> Array:
        """Part of a random frame at the window's size, for backgrounds and occluders."""
        frames = self._clips[rng.integers(len(self._clips))].frames
        image = np.asarray(frames[rng.integers(len(frames))])
        x, y = rng.integers(0, image.shape[0] // 2, 2)
        side = int(rng.integers(image.shape[0] // 4, image.shape[0] // 2))
        part = image[y : y + side, x : x + side]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        return cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=cv2.INTER_AREA)


def _picture(
    frame: Array,
    view: augment.View,
    other: Array,
    *,
    is_shown: bool,
    settings: WindowAugment,
    rng: np.random.Generator,
    noise: np.random.Generator,
) -> Array:
    window = augment.cut(np.asarray(frame), view, len(other))
    if settings.occlude:
        window = augment.fill_outside(np.asarray(frame), view, window, other, rng.random())
    if rng.random() < settings.occlude:
        window = augment.occluded(window, other, rng)
    if not is_shown:
        window = augment.face_covered(window, other)
    picture = augment.colour_jittered(window, settings, rng)
    return augment.degraded(picture, augment.draw_degradation(settings, rng), noise)


def _head(rows: Array, side_px: int) -> HeadBox:
    """The head of a square frame's keypoints (K, 6 or 7), in its pixels."""
    return from_anchors(px_from_norm(rows[:, :2], Crop(0, 0, side_px)))


def _unusualness(points: Array) -> Array:
    """(N,) distance of eyes and mouth from the clip's median, in deviations; nan becomes 0."""
    ends = points[:, _OPENINGS, :2]
    wide = np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=-1)
    if not np.isfinite(wide).any():
        return np.zeros(len(points))
    away = np.abs(wide - np.nanmedian(wide, 0)) / (np.nanstd(wide, 0) + 1e-3)
    return np.nan_to_num(away.max(1))


def plain_windows(
    clip: Clip, points: str, frames: Array, size: int, seed: int = 0
) -> tuple[Array, Array]:
    """Fixed windows (N, S, S, 3) float32 in [0, 1] of these frames, and their keypoints (N, K, 6).

    With a seed they are displaced like a tracker's: by up to 4% of the head and of its size.
    """
    rng = np.random.default_rng(seed)
    jitter = WindowAugment(0, 0.04, (0.96, 1.04), 0, 0, 0, 0, 0, 0)
    layout: Layout = anchor_layout()
    pictures, rows = [], []
    for index in frames:
        truth, side = clip.points[points][index], clip.frames.shape[1]
        view = augment.draw_view(_head(truth, side), side, jitter if seed else PLAIN, rng)
        pictures.append(augment.cut(np.asarray(clip.frames[index]), view, size))
        rows.append(augment.keypoints_in_view(truth, view, layout.mirror))
    return np.stack(pictures).astype(np.float32) / 255, np.stack(rows)
