"""Pairs of windows -> batches for a painter, augmented in colour and sharpness.

Pairs in which lips or lids open or close much are drawn more often. A batch is a function of the
seed and the step alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hybridanim.face import paint_windows
from hybridanim.face.face_windows import WindowKind
from hybridanim.face.paint_windows import MOUTH, Palette
from hybridanim.types import Array

_CHANGE = {"mouth": 0.03, "eye": 0.012}  # head sizes: a change of opening that counts one
GREY_SHARE, TINT_SHARE = 0.12, 0.3  # shares of pictures without colour, and of tinted ones


@dataclass(frozen=True)
class Pairs:
    """All pairs of a kind."""

    kind: WindowKind
    parts: Sequence[Array]  # rows of ``pairs.row_type``, of each clip
    places: Array  # (N, 2) int, part and row of each pair
    weight: Array  # (N,) float, how often to draw the pair
    change: Array  # (N,) float32, change of the opening, head sizes

    def row(self, number: int) -> Array:
        """One pair."""
        part, row = self.places[number]
        return self.parts[part][row]


def gather(kind: WindowKind, parts: Sequence[Array]) -> Pairs:
    """The pairs with their weights."""
    places, weights, changes = [], [], []
    for number, rows in enumerate(parts):
        now, was = np.array(rows["now"]), np.array(rows["was"])
        gaps = [paint_windows.openings(kind, p)[0] * kind.width_heads for p in (now, was)]
        change = gaps[0] - gaps[1]
        weight = 0.15 + np.minimum(np.abs(change) / _CHANGE[kind.name], 2.0)
        if kind is MOUTH:
            weight += 0.5 * np.minimum(gaps[0] / 0.06, 1.0)
        else:
            gaze = (now - was)[:, 16] - (now - was)[:, [0, 8]].mean(1)
            weight += np.minimum(np.linalg.norm(gaze, axis=1) / 6.0, 0.5)
        places.append(np.column_stack([np.full(len(rows), number), np.arange(len(rows))]))
        weights.append(weight)
        changes.append(change)
    weight = np.concatenate(weights)
    return Pairs(
        kind, parts, np.concatenate(places), weight / weight.sum(),
        np.concatenate(changes).astype(np.float32),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Batch:
    """Network input, what its output is composed with, and what should come out."""

    inputs: Array  # (B, 9, H, W) float32
    quantities: Array  # (B, 6) float32
    palette: Palette
    region: Array  # (B, 1, H, W) float32 in [0, 1]
    shapes: Array  # (B, 3, H, W) float32 in [0, 1], the masks
    warped: Array  # (B, 3, H, W) float32 RGB in [0, 1]
    own: Array  # (B, 3, H, W) likewise
    true: Array  # (B, 3, H, W) likewise


def batch(pairs: Pairs, count: int, rng: np.random.Generator) -> Batch:
    """``count`` augmented pairs."""
    numbers = rng.choice(len(pairs.places), count, p=pairs.weight)
    return of_rows(pairs.kind, [_augmented(pairs.kind, pairs.row(i), rng) for i in numbers])


@dataclass(frozen=True, slots=True)
class Windows:
    """One pair, ready for a batch."""

    pictures: Array  # (3, H, W, 3) uint8: warped, own, true
    now: Array  # (P, 2) float32
    was: Array  # (P, 2) float32
    turn: Array  # (2,) float32


def plain(row: Array) -> Windows:
    """A pair as it is."""
    pictures = np.stack([row["warped"], row["own"], row["true"]])
    return Windows(pictures, row["now"].copy(), row["was"].copy(), row["turn"].copy())


def _augmented(kind: WindowKind, row: Array, rng: np.random.Generator) -> Windows:
    pair = plain(row)
    if kind is MOUTH and rng.random() < 0.5:
        pair = mirrored(pair)
    pictures = _recoloured(pair.pictures, rng)
    draw = rng.random()
    if draw < 0.25:
        sigma = rng.uniform(0.4, 1.4)
        pictures = np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in pictures])
    elif draw < 0.55:  # as in larger pictures than those of the clips
        amount = rng.uniform(0.3, 1.3)
        soft = [cv2.GaussianBlur(p, (0, 0), 1.2) for p in pictures]
        pictures = np.stack(
            [cv2.addWeighted(p, 1 + amount, s, -amount, 0)
             for p, s in zip(pictures, soft, strict=True)]
        )  # fmt: skip
    return Windows(pictures, pair.now, pair.was, pair.turn)


def mirrored(pair: Windows) -> Windows:
    """The mouth in a mirror; its points keep their order, which no mask depends on."""
    width = pair.pictures.shape[2]
    points = [p * [-1, 1] + [width - 1, 0] for p in (pair.now, pair.was)]
    now, was = (p.astype(np.float32) for p in points)
    turn = pair.turn * np.array([-1, 1], np.float32)
    return Windows(np.ascontiguousarray(pair.pictures[:, :, ::-1]), now, was, turn)


def _recoloured(pictures: Array, rng: np.random.Generator) -> Array:
    """Gamma, contrast, brightness, saturation and tint, the same for all three."""
    values = np.arange(256) / 255
    curve = values ** np.exp(rng.normal(0, 0.25))
    curve = 0.5 + (curve - 0.5) * np.exp(rng.normal(0, 0.15)) + rng.normal(0, 0.06)
    table = np.clip(curve * 255, 0, 255).astype(np.uint8)
    colours = cv2.LUT(pictures.reshape(-1, 1, 3), table).reshape(pictures.shape)
    saturation = 0.0 if rng.random() < GREY_SHARE else float(np.exp(rng.normal(0, 0.25)))
    gains = np.exp(rng.normal(0, 0.2, 3)) if rng.random() < TINT_SHARE else np.ones(3)
    luminance = np.repeat(paint_windows.FROM_RGB[:1], 3, 0)
    mix = (saturation * np.eye(3) + (1 - saturation) * luminance) * gains[:, None]
    found = cv2.transform(colours.reshape(-1, 1, 3), mix).reshape(pictures.shape)
    return np.asarray(found, np.uint8)


def of_rows(kind: WindowKind, windows: Sequence[Windows]) -> Batch:
    """The batch of these pairs."""
    pictures = np.stack([w.pictures for w in windows])
    now, was = (np.stack([getattr(w, name) for w in windows]) for name in ("now", "was"))
    filled = np.stack([paint_windows.masks(kind, w.now, w.was) for w in windows])
    region = np.stack([paint_windows.region(kind, w.now, w.was) for w in windows])
    palette = Palette.of(pictures[:, 1])
    quantities = paint_windows.quantities(kind, now, was, np.stack([w.turn for w in windows]))
    shown, source = (paint_windows.network_colours(pictures[:, i], palette) for i in (0, 1))
    inputs = paint_windows.network_input(shown, source, filled)
    warped, own, true = np.moveaxis(pictures.astype(np.float32) / 255, (1, -1), (0, 2))
    return Batch(
        inputs, quantities, palette, region[:, None], filled.astype(np.float32) / 255,
        *(np.ascontiguousarray(p) for p in (warped, own, true)),
    )  # fmt: skip
