"""Augmentation of a pair of frames and their keypoints: view, colour, noise.

The view is one affine in normalised coordinates, the same for both frames, so keypoints follow it
exactly: places by the affine, Jacobians by its linear part. Mirroring also swaps left and right
keypoints, and mirrors the canonical face that the Jacobians map from. A close-up is a window of the
cached frames at their own resolution, under that view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.types import Array

from .batch import Layout

_MIRROR = np.diag([-1.0, 1.0]).astype(np.float32)
_LUMA = np.array([0.299, 0.587, 0.114])
OFF_CENTRE = 0.1  # largest jitter of a close-up, of its side


@dataclass(frozen=True, slots=True)
class Augment:
    """How far augmentation goes; all but the last three are the same for both frames of a pair."""

    flip: float = 0.5
    """Share of mirrored pairs."""
    reverse: float = 0.5
    """Share of pairs in which the later frame moves to the earlier one."""
    close_up: float = 0.0
    """Share of pairs that show a window round the driver's lids and lips at the cached frames' own
    pixel scale, as large as the phase's pictures; none where those are as large as the frames, or
    without given keypoints."""
    opposite: float = 0.0
    """Share of pairs of a frame in which the mouth (70 %) or the eyes are least open in the clip, a
    tenth of the frames, with one in which they are most open; none without given keypoints."""
    turn_deg: float = 12.0
    """Largest rotation."""
    grow: tuple[float, float] = (0.82, 1.15)
    """Smallest and largest scale."""
    crop: float = 0.06
    """Largest share of the side that a random crop takes away."""
    shift_norm: float = 0.1
    """Largest translation."""
    brightness: float = 0.08
    """Largest change of brightness, of the full range."""
    contrast: float = 0.15
    """Largest relative change of contrast."""
    saturation: float = 0.15
    """Largest relative change of saturation."""
    hue: float = 0.05
    """Largest turn of hue, in radians."""
    noisy: float = 0.25
    """Share of pairs with noise, of one of the three kinds that are not 0."""
    gaussian: float = 0.01
    """Standard deviation of Gaussian noise, of the full range."""
    salt_pepper: float = 0.002
    """Share of pixels that turn black or white."""
    speckle: float = 0.03
    """Standard deviation of noise in proportion to the pixel."""
    point_noise: float = 0.06
    """Standard deviation of a keypoint's place in units of its reach, in half of the pairs."""
    jacobian_noise: float = 0.03
    """Standard deviation of a Jacobian's error, relative."""
    offset_norm: float = 0.005
    """Standard deviation of an error that all keypoints of a picture share, normalised."""


NONE = Augment(
    flip=0, reverse=0, turn_deg=0, grow=(1, 1), crop=0, shift_norm=0, brightness=0, contrast=0,
    saturation=0, hue=0, noisy=0, point_noise=0, jacobian_noise=0, offset_norm=0,
)  # fmt: skip
"""Frames and keypoints as they are."""


@dataclass(frozen=True, slots=True)
class PairTransform:
    """The random view, colour and kind of noise of a pair, the same for both frames."""

    view: Array  # (2, 3) float32, new place from old, normalised
    is_flipped: bool
    colour: Array  # (3, 4) float32 on RGB in [0, 1]
    noise: str  # gaussian, salt_pepper, speckle or ""
    augment: Augment
    off_centre: Array | None = None  # (2,) jitter of a close-up, in sides; None: no close-up


def draw_transform(augment: Augment, rng: np.random.Generator) -> PairTransform:
    """A random view, colour and noise."""
    is_flipped = bool(rng.random() < augment.flip)
    angle = np.deg2rad(rng.uniform(-1, 1) * augment.turn_deg)
    grow = np.exp(rng.uniform(*np.log(augment.grow)))
    kept = 1 - augment.crop * rng.random()  # a crop's side; its middle is anywhere it fits
    middle = rng.uniform(-1, 1, 2) * (1 - kept)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * grow / kept
    linear = turn @ _MIRROR if is_flipped else turn
    shift = rng.uniform(-1, 1, 2) * augment.shift_norm - linear @ middle
    view = np.column_stack([linear, shift]).astype(np.float32)
    most = (augment.brightness, augment.contrast, augment.saturation, augment.hue)
    colour = colour_matrix(*(value * rng.uniform(-1, 1) for value in most))
    noise, off = _draw_noise(augment, rng), None
    if augment.close_up and rng.random() < augment.close_up:
        off = rng.uniform(-1, 1, 2) * OFF_CENTRE
    return PairTransform(view, is_flipped, colour, noise, augment, off)


def close_up_of(transform: PairTransform, about: Array, size: int, side: int) -> PairTransform:
    """The transform with a close-up's window, size x size pixels of frames of side x side.

    about: (P, 2) normalised; the window is centred on their bounding box as far as it stays inside
    the frame. It lies on whole pixels, so that a view that changes nothing resamples nothing.
    """
    if transform.off_centre is None:
        raise ValueError("close_up_of: expected the transform of a close-up, got another; draw one")
    middle = (about.min(0) + about.max(0)) / 2
    corner_px = (middle + 1) * (side / 2) + (transform.off_centre - 0.5) * size
    corner_px = np.clip(np.round(corner_px), 0, side - size)
    middle = (2 * corner_px + size) / side - 1
    zoom = side / size
    linear = transform.view[:, :2] * zoom
    view = np.column_stack([linear, transform.view[:, 2] - linear @ middle]).astype(np.float32)
    # errors of keypoints stay the same number of the frame's pixels
    augment = replace(transform.augment, offset_norm=transform.augment.offset_norm * zoom)
    return replace(transform, view=view, augment=augment)


def _draw_noise(augment: Augment, rng: np.random.Generator) -> str:
    kinds = [kind for kind in ("gaussian", "salt_pepper", "speckle") if getattr(augment, kind)]
    if rng.random() >= augment.noisy or not kinds:
        return ""
    return kinds[rng.integers(len(kinds))]


def draw_colour(most: float, rng: np.random.Generator) -> Array:
    """A random (3, 4) matrix: contrast and saturation up to ``most``, less of brightness, hue."""
    bright, contrast, saturation = rng.uniform(-most, most, 3)
    return colour_matrix(bright / 2, contrast, saturation, rng.uniform(-most, most) / 3)


def colour_matrix(brightness: float, contrast: float, saturation: float, hue: float) -> Array:
    """(3, 4) float32 for RGB in [0, 1]; each argument is a change, 0 for none; hue in radians."""
    grey = np.tile(_LUMA, (3, 1))
    axis = np.ones(3) / np.sqrt(3)
    cross = np.cross(np.eye(3), axis)
    spin = np.cos(hue) * np.eye(3) + np.sin(hue) * cross + (1 - np.cos(hue)) * np.outer(axis, axis)
    matrix = (1 + contrast) * spin @ (grey + (1 + saturation) * (np.eye(3) - grey))
    # contrast turns about middle grey
    return np.column_stack([matrix, np.full(3, brightness - 0.5 * contrast)]).astype(np.float32)


def transform_frames(
    images: list[Array], transform: PairTransform, rng: np.random.Generator, size: int | None = None
) -> list[Array]:
    """uint8 frames in the view, with its colours and noise: (S, S, 3) float32 in [0, 1].

    size: S, where it is not the side of the frames.
    """
    side: int = images[0].shape[0]
    size = side if size is None else size
    # pixel = (norm + 1) size / 2 - 1/2, so the view in pixels keeps its linear part, but for size
    linear = transform.view[:, :2] * (size / side)
    shift = (size / 2 - 0.5) + size / 2 * transform.view[:, 2] - linear @ np.full(2, side / 2 - 0.5)
    matrix = np.column_stack([linear, shift])
    out = []
    for image in images:
        if size != side or not np.array_equal(matrix, np.eye(2, 3)):
            image = cv2.warpAffine(
                image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        found = cv2.transform(image.astype(np.float32) / 255, transform.colour)
        out.append(np.clip(_noisy(found, transform, rng), 0, 1))
    return out


def _noisy(image: Array, transform: PairTransform, rng: np.random.Generator) -> Array:
    """The frame with noise: both frames of a pair have the same kind, but different noise."""
    augment = transform.augment
    if transform.noise == "gaussian":
        noise = rng.standard_normal(image.shape, np.float32)
        return image + noise * np.float32(augment.gaussian)
    if transform.noise == "speckle":
        noise = rng.standard_normal(image.shape, np.float32)
        return image * (1 + noise * np.float32(augment.speckle))
    if transform.noise == "salt_pepper":
        drawn = rng.random(image.shape[:2], np.float32)
        image[drawn < augment.salt_pepper / 2] = 0
        image[drawn > 1 - augment.salt_pepper / 2] = 1
    return image


def transform_keypoints(
    rows: Array, transform: PairTransform, layout: Layout, rng: np.random.Generator
) -> Array:
    """Keypoints (K, 6) in the view, with noise of their own."""
    xy, jacobian = rows[:, :2], rows[:, 2:].reshape(-1, 2, 2)
    linear, shift = transform.view[:, :2], transform.view[:, 2]
    xy, jacobian = xy @ linear.T + shift, linear @ jacobian
    if transform.is_flipped:
        xy, jacobian = xy[layout.mirror], (jacobian @ _MIRROR)[layout.mirror]
    if rng.random() < 0.5:
        xy, jacobian = _disturbed(xy, jacobian, transform.augment, layout, rng)
    return np.concatenate([xy, jacobian.reshape(-1, 4)], 1).astype(np.float32)


def transform_affine(affine: Array, transform: PairTransform) -> Array:
    """(2, 3) float32: an affine between the frames, source <- driving, with both in the view."""
    view, whole = geometry.homogeneous(transform.view), geometry.homogeneous(affine)
    return (view @ whole @ np.linalg.inv(view))[:2].astype(np.float32)


def _disturbed(
    xy: Array, jacobian: Array, augment: Augment, layout: Layout, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Errors like those of trackers: in proportion to the reach, plus an error shared by all."""
    size = np.sqrt(np.abs(np.linalg.det(jacobian)).mean())
    amount = augment.point_noise * layout.reach[:, None] * size
    xy = xy + rng.normal(0, 1, xy.shape) * amount + rng.normal(0, augment.offset_norm, 2)
    error = rng.normal(0, augment.jacobian_noise, jacobian.shape)
    return xy, (np.eye(2) + error) @ jacobian
