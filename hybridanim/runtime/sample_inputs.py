"""Fixed pictures and keypoints, to measure ranges for quantisation and to check an export.

Pictures: a photograph of scikit-image and smooth noise. Keypoints: of a head box, rotated, shifted
and with an open mouth, or random ones for objects. ``checks`` and ``calibration`` do not share
samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.face.anchors import ANCHORS
from hybridanim.motion import dense, keypoints
from hybridanim.types import Array, Crop, HeadBox, Keypoints

_PLACE = Crop(85, 0, 280)  # in scikit-image's astronaut; the head in it below
_HEAD = HeadBox((224.7, 113.2), 112.4, 3.2)
_CALIBRATION = 16
_STILL = np.eye(2, 3, dtype=np.float32)
_SIGMA, _SIGMA_HEATMAP = 0.5, 0.1  # scale of random Jacobians: of an object, of a heatmap


@dataclass(frozen=True)
class Sample:
    """A source with its keypoints, and target keypoints."""

    name: str
    picture: Array  # (side, side, 3) uint8 RGB
    source: Keypoints
    target: Keypoints
    background: Array  # (2, 3) float32, source <- target

    def inputs(self) -> dict[str, Array]:
        """Inputs by the graphs' names."""
        named = {"picture": batch(self.picture)}
        for which, points in (("source", self.source), ("target", self.target)):
            named[f"{which}_xy"] = points.xy_norm[None]
            named[f"{which}_jacobian"] = points.jacobian[None]
        named["background"] = self.background[None]
        return {**named, "optical": self._optical()}

    def _optical(self) -> Array:
        """Optical flow (1, 3, h, w) near the closed form, with a varying confidence."""
        side = len(self.picture) // 4
        reach = np.full(len(self.source.xy_norm), 0.2, np.float32)
        moved = dense.combine(self.source, self.target, reach, side).grid_norm
        waves = np.sin(7 * moved)
        trust = np.clip(0.5 + waves[..., :1], 0, 1)
        both = np.concatenate([moved + 0.03 * waves, trust], -1)
        return np.ascontiguousarray(both.transpose(2, 0, 1)[None], np.float32)


def sigma_of(inputs: Iterable[str]) -> float:
    """Scale of random Jacobians for an animator with these inputs; of skips: a Monkey-Net's."""
    return _SIGMA_HEATMAP if "skip0" in inputs else _SIGMA


def checks(side: int, count: int, sigma: float = _SIGMA) -> list[Sample]:
    """Noise, and a photograph with a rotated head; count: number of keypoints.

    sigma: see ``sigma_of``.
    """
    scattered = _scattered(count, np.random.default_rng(1), sigma)
    face = _face(_HEAD) if count == len(ANCHORS) else scattered
    turned = HeadBox((228.0, 117.0), 116.0, -6.0)
    moved = _face(turned) if count == len(ANCHORS) else _moved(face, 1.05, 6.0, 0.03)
    return [
        Sample(
            "noise", _noise(side, 0), scattered, _moved(scattered, 1.05, 6.0, 0.03), _pan(0.01, 0.5)
        ),
        Sample("a photograph", _photograph(side), face, moved, _STILL),
    ]


def calibration(side: int, count: int, sigma: float = _SIGMA) -> Iterator[Sample]:
    """Typical sources and motions, every other one far larger, so that ranges are wide enough."""
    rng = np.random.default_rng(2)
    for index in range(_CALIBRATION):
        reach = 1.0 if index % 2 else 3.0
        size, roll_deg = float(np.exp(0.12 * reach * rng.uniform(-1, 1))), 12 * reach
        roll_deg *= rng.uniform(-1, 1)
        picture, background = _photograph(side), _STILL
        if index % 4 in (1, 2):
            background = _pan(0.05 * reach * rng.uniform(-1, 1), 4.0 * reach)
        if index % 3 == 1:  # paler than faces usually are, or darker
            picture = cv2.convertScaleAbs(picture, alpha=0.6, beta=60.0 * (index % 2))
        if index % 3 == 2:
            picture = _noise(side, index)
        if count != len(ANCHORS) or index % 4 == 3:
            source = _scattered(count, rng, sigma)
            yield Sample(
                "", picture, source, _moved(source, size, roll_deg, 0.06 * reach), background
            )
            continue
        center = np.array(_HEAD.center_xy_px) + 18 * reach * rng.uniform(-1, 1, 2)
        box = HeadBox((float(center[0]), float(center[1])), size * _HEAD.size_px, roll_deg)
        target = _open(_face(box), rng.uniform(0, 1))
        bent = 0.05 * rng.standard_normal(target.jacobian.shape)
        jacobian = target.jacobian @ (np.eye(2) + bent).astype(np.float32)
        yield Sample("", picture, _face(_HEAD), replace(target, jacobian=jacobian), background)


def batch(picture: Array) -> Array:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / 255


def _face(head: HeadBox) -> Keypoints:
    return keypoints.place_anchors(head, None, None, _PLACE)


def _open(face: Keypoints, share: float) -> Keypoints:
    """Open the mouth by that share of a wide-open one, and half close the eyelids."""
    xy = face.xy_norm.copy()
    down = face.jacobian[:, :, 1]  # of the canonical face, in the picture
    for row, anchor in enumerate(ANCHORS):
        if anchor.name.startswith("lower_lip") or anchor.name == "chin":
            xy[row] += 0.16 * share * down[row]
        if anchor.name.endswith("upper_lid"):
            xy[row] += 0.03 * (1 - share) * down[row]
    return replace(face, xy_norm=xy)


def _pan(shift_norm: float, roll_deg: float) -> Array:
    """Affine (2, 3) of a background under camera motion."""
    shift = np.full(2, shift_norm)
    return np.column_stack([geometry.similarity(1.0, roll_deg), shift]).astype(np.float32)


def _scattered(count: int, rng: np.random.Generator, sigma: float) -> Keypoints:
    jacobian = sigma * np.eye(2) + 0.1 * sigma * rng.standard_normal((count, 2, 2))
    xy = rng.uniform(-0.7, 0.7, (count, 2)).astype(np.float32)
    return Keypoints(xy, jacobian.astype(np.float32), np.ones(count, np.float32))


def _moved(points: Keypoints, size: float, roll_deg: float, shift_norm: float) -> Keypoints:
    turned = geometry.similarity(size, roll_deg)
    xy = points.xy_norm @ turned.T + np.float32(shift_norm)
    return replace(points, xy_norm=xy, jacobian=turned @ points.jacobian)


def _noise(side: int, seed: int) -> Array:
    noise = np.random.default_rng(seed).standard_normal((side, side, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), side / 80)
    return np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def _photograph(side: int) -> Array:
    from skimage import data

    return geometry.crop_image(data.astronaut(), _PLACE, side)
