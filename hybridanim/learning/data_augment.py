"""Augmentation of a pair of frames and their keypoints: view, colour, noise.

A view is one affine in normalised coordinates, the same for both frames, so keypoints follow it
exactly: places by the affine, Jacobians by its linear part. A mirrored picture also swaps left and
right keypoints, and mirrors the canonical face that the Jacobians start from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..types import Array

if TYPE_CHECKING:
    from .data import Augment, Layout

_MIRROR = np.diag([-1.0, 1.0]).astype(np.float32)
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True)
class Look:
    """One draw of everything that both frames share."""

    view: Array  # (2, 3) float32, new place from old, normalised
    is_flipped: bool
    colour: Array  # (3, 4) float32 on RGB in [0, 1]
    noise: float
    augment: Augment


def draw_look(augment: Augment, rng: np.random.Generator) -> Look:
    """A random view, colour and noise."""
    is_flipped = bool(rng.random() < augment.flip)
    angle = np.deg2rad(rng.uniform(-1, 1) * augment.turn_deg)
    grow = np.exp(rng.uniform(*np.log(augment.grow)))
    turn = grow * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ _MIRROR if is_flipped else turn
    shift = rng.uniform(-1, 1, 2) * augment.shift_norm
    view = np.column_stack([linear, shift]).astype(np.float32)
    noise = augment.noise if rng.random() < 0.25 else 0.0
    return Look(view, is_flipped, draw_colour(augment.colour, rng), noise, augment)


def draw_colour(most: float, rng: np.random.Generator) -> Array:
    """(3, 4): brightness, contrast, saturation and a small turn of hue, as one affine on RGB."""
    bright, contrast, saturation = rng.uniform(-most, most, 3)
    hue = rng.uniform(-most, most) / 3
    grey = np.tile(_LUMA, (3, 1))
    axis = np.ones(3) / np.sqrt(3)
    cross = np.cross(np.eye(3), axis)
    spin = np.cos(hue) * np.eye(3) + np.sin(hue) * cross + (1 - np.cos(hue)) * np.outer(axis, axis)
    matrix = (1 + contrast) * spin @ (grey + (1 + saturation) * (np.eye(3) - grey))
    return np.column_stack([matrix, np.full(3, 0.5 * (bright - contrast))]).astype(np.float32)


def recoloured(images: list[Array], look: Look, rng: np.random.Generator) -> list[Array]:
    """uint8 frames in the drawn view and colours, (S, S, 3) float32 in [0, 1]."""
    size = images[0].shape[0]
    half = size / 2
    # pixel = (norm + 1) size / 2 - 1/2, so the view in pixels keeps its linear part
    centre = np.full(2, half - 0.5)
    linear = look.view[:, :2]
    shift = centre + half * look.view[:, 2] - linear @ centre
    matrix = np.column_stack([linear, shift])
    out = []
    for image in images:
        if not np.array_equal(matrix, np.eye(2, 3)):
            image = cv2.warpAffine(
                image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        found = cv2.transform(image.astype(np.float32) / 255, look.colour)
        if look.noise:
            found += rng.standard_normal(found.shape, np.float32) * np.float32(look.noise)
        out.append(np.clip(found, 0, 1))
    return out


def turned_points(rows: Array, look: Look, layout: Layout, rng: np.random.Generator) -> Array:
    """Keypoints (K, 6) in the drawn view, with noise of their own."""
    xy, jacobian = rows[:, :2], rows[:, 2:].reshape(-1, 2, 2)
    linear, shift = look.view[:, :2], look.view[:, 2]
    xy, jacobian = xy @ linear.T + shift, linear @ jacobian
    if look.is_flipped:
        xy, jacobian = xy[layout.mirror], (jacobian @ _MIRROR)[layout.mirror]
    if rng.random() < 0.5:
        xy, jacobian = _disturbed(xy, jacobian, look.augment, layout, rng)
    return np.concatenate([xy, jacobian.reshape(-1, 4)], 1).astype(np.float32)


def _disturbed(
    xy: Array, jacobian: Array, augment: Augment, layout: Layout, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Errors as trackers make them: small where a keypoint is small, and some shared by all."""
    size = np.sqrt(np.abs(np.linalg.det(jacobian)).mean())
    amount = augment.point_noise * layout.reach[:, None] * size
    xy = xy + rng.normal(0, 1, xy.shape) * amount + rng.normal(0, augment.offset_norm, 2)
    error = rng.normal(0, augment.jacobian_noise, jacobian.shape)
    return xy, (np.eye(2) + error) @ jacobian
