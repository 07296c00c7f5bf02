"""Learned networks, Source and target Keypoints -> DenseMotion and picture, numpy in and out.

The networks see a small square whatever the size of the source; their flow moves the source's own
pixels at full resolution, and their paint and alpha, which are soft, are enlarged. Torch or
OpenVINO is behind ``networks``; nothing here imports either.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.runtime import networks
from hybridanim.runtime.networks import AnimatorNetworks
from hybridanim.types import Array, DenseMotion, Keypoints, OpticalFlow, Source


class LearnedRenderer:
    """Holds the networks and the encoded source."""

    def __init__(self, nets: AnimatorNetworks, *, pin_border: float = 0.0) -> None:
        """pin_border: share of the side over which the result becomes the source at its border,
        so that a crop can be pasted back.
        """
        self._nets, self._pin_border = nets, pin_border
        self._source: Source | None = None

    @property
    def about(self) -> networks.About:
        """What runs the networks, and why not something else."""
        return self._nets.about

    def set_source(self, source: Source) -> None:
        """Encode the picture; once per source."""
        whole = geometry.whole(source.image)
        self._encoded = self._nets.encode(
            geometry.crop_image(source.image, whole, self._nets.side_px)
        )
        self._source, self._composite = source, Compositor(source.image)

    @property
    def has_optical(self) -> bool:
        """Whether the networks look at the driver's optical flow."""
        return self._nets.has_optical

    def animate(
        self,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> tuple[DenseMotion, Array]:
        """One frame: the motion on a coarse grid and the picture, (S, S, 3) uint8 RGB.

        target: where the source's keypoints go, in the source's crop. background: (2, 3) source <-
        target of what is behind, None where it stands. optical: of the driver, or None. Raises
        InputError before ``set_source``.
        """
        motion = self.move(target, background, optical)
        return motion, self.paint(motion)

    def move(
        self,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> DenseMotion:
        """Stage 4 of one frame: the motion, which also carries what ``paint`` needs of it."""
        if self._source is None:
            raise InputError("renderer: expected a source, got none; call set_source first")
        points = self._source.keypoints, target
        moved = self._nets.move(self._encoded, *points, background, optical)
        return DenseMotion(
            moved.flow, moved.occlusion, moved.masks, features=moved, background=background
        )

    def paint(self, motion: DenseMotion) -> Array:
        """Stage 5 of one frame: (S, S, 3) uint8 RGB of a motion that ``move`` gave."""
        if self._source is None or motion.features is None:
            raise InputError("renderer: expected a motion of its own, got another; call move first")
        paint, alpha = self._nets.paint(self._encoded, motion.features)
        flow = motion.grid_norm
        if self._pin_border > 0:
            still = geometry.grid_norm(*flow.shape[:2])
            flow = still + (flow - still) * pinned(len(flow), self._pin_border)[..., None]
            alpha = alpha * pinned(len(alpha), self._pin_border)
        return self._composite(flow, paint, alpha)


class Compositor:
    """Blends paint over one moved picture; keeps the memory that every frame needs."""

    def __init__(self, image: Array) -> None:
        """image: (S, S, 3) uint8 RGB."""
        self._image, self._size = image, len(image)
        self._still_px = geometry.grid_px(self._size)
        self._places_px = np.empty_like(self._still_px)

    def __call__(self, flow: Array, paint: Array, alpha: Array) -> Array:
        """Blend: alpha * paint + (1 - alpha) * the picture moved at its own size, (S, S, 3) uint8.

        flow: (h, h, 2) absolute, normalised; paint: (P, P, 3) uint8 and alpha: (P, P) float32 in
        [0, 1].
        """
        size = self._size
        shift_px = (flow - geometry.grid_norm(len(flow))) * np.float32(size / 2)
        cv2.resize(shift_px, (size, size), dst=self._places_px, interpolation=cv2.INTER_LINEAR)
        places = cv2.add(self._places_px, self._still_px, dst=self._places_px)
        moved = cv2.remap(
            self._image,
            places,
            None,  # pyright: ignore[reportArgumentType, reportCallIssue]
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if len(alpha) != size:
            paint = cv2.resize(paint, (size, size), interpolation=cv2.INTER_LINEAR)
            alpha = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_LINEAR)
        return cv2.blendLinear(paint, moved, alpha, 1 - alpha)


@cache
def pinned(side: int, share: float) -> Array:
    """(side, side) float32: 0 in the outermost cells, rising smoothly to 1 over ``share``."""
    at = np.arange(side)
    t = np.clip(np.minimum(at, side - 1 - at) / max(1.0, share * side), 0, 1)
    ramp = t * t * (3 - 2 * t)
    return np.outer(ramp, ramp).astype(np.float32)


def load(
    path: str | Path | None = None,
    *,
    runtime: RuntimeConfig | None = None,
    pin_border: float = 0.0,
) -> LearnedRenderer:
    """A renderer with the weights of the repository, or of another file."""
    nets = networks.animator(Path(path) if path else None, runtime)
    return LearnedRenderer(nets, pin_border=pin_border)
