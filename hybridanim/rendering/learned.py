"""Learned networks, Source and target Keypoints -> DenseMotion and picture, numpy in and out.

The networks work on a small square whatever the size of the source. Their flow warps the source at
full resolution; paint and alpha, which are smooth, are upsampled. ``runtime.networks`` hides
whether torch or OpenVINO runs; nothing here imports either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.resampling import smoothstep
from hybridanim.runtime.base import AnimatorNetworks, RuntimeInfo
from hybridanim.types import (
    Array,
    DenseMotion,
    Keypoints,
    LearnedFeatures,
    OpticalFlow,
    Source,
)


class LearnedRenderer:
    """Stages 4 and 5 by the learned networks; ``paint`` uses no state of ``move``.

    Data that depends on the source alone is computed for each new source and cached.
    """

    def __init__(self, nets: AnimatorNetworks) -> None:
        """nets: as ``runtime.networks.animator`` returns them."""
        self._nets = nets
        self._encoded: tuple[Source, Mapping[str, Array]] | None = None
        self._compositor: tuple[Source, Compositor] | None = None

    @property
    def runtime_info(self) -> RuntimeInfo:
        """Runtime and precision of the networks, with notes."""
        return self._nets.runtime_info

    @property
    def uses_optical_flow(self) -> bool:
        """Whether the networks take the driver's optical flow as an input."""
        return self._nets.uses_optical_flow

    def animate(
        self,
        source: Source,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> tuple[DenseMotion, Array]:
        """Animate one frame: the motion on a coarse grid, and the picture (S, S, 3) uint8 RGB.

        Arguments as ``move``.
        """
        motion = self.move(source, target, background, optical)
        return motion, self.paint(source, motion)

    def move(
        self,
        source: Source,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> DenseMotion:
        """Stage 4 of one frame: the motion, with the features that ``paint`` reads.

        target: target keypoints in the source's crop. background: (2, 3) affine source <- target of
        the background, normalised; None: still. optical: the driver's optical flow, or None.
        """
        if self._encoded is None or self._encoded[0] is not source:
            whole = geometry.whole(source.image)
            picture = geometry.crop_image(source.image, whole, self._nets.side_px)
            self._encoded = source, self._nets.encode(picture)
        encoded = self._encoded[1]
        moved = self._nets.move(encoded, source.keypoints, target, background, optical)
        return DenseMotion(
            moved.flow, moved.occlusion, moved.masks, features=moved.features, background=background
        )

    def paint(self, source: Source, motion: DenseMotion, pin_border: float = 0.0) -> Array:
        """Stage 5 of one frame: the picture (S, S, 3) uint8 RGB of a motion from ``move``.

        pin_border: share of the side, 0 to 0.5, over which the result fades to the source at its
        border, so that the crop can be pasted back. Raises InputError for a motion without
        features, such as the closed form's.
        """
        if motion.features is None:
            raise InputError("renderer: expected a motion of its own, got another; call move first")
        if self._compositor is None or self._compositor[0] is not source:
            self._compositor = source, Compositor(source.image)
        paint, alpha = self._nets.paint(motion.features)
        flow = motion.grid_norm
        if pin_border > 0:
            still = geometry.grid_norm(*flow.shape[:2])
            flow = still + (flow - still) * pinned(len(flow), pin_border)[..., None]
            alpha = alpha * pinned(len(alpha), pin_border)
        return self._compositor[1](flow, paint, alpha)


def with_head(motion: DenseMotion, head: DenseMotion, subject: Array) -> DenseMotion:
    """The networks' motion with the flow of the head mesh wherever that shows the person.

    motion: from ``LearnedRenderer.move``. head: from ``motion.head_mesh.dense``. subject: (S, S)
    soft mask of the person in the source. Large turns are beyond what the networks have learned;
    what they paint is painted over the mesh's flow then. The occlusion map stays the networks' own;
    depth and reasons are the mesh's.
    """
    assert motion.features is not None
    cells = len(head.grid_norm)
    person = cv2.resize(subject, (cells, cells), interpolation=cv2.INTER_AREA)
    seen = cv2.GaussianBlur(geometry.warp(person, head.grid_norm, cv2.INTER_LINEAR), (0, 0), 1.0)
    share = np.clip(1.6 * seen - 0.2, 0, 1)[..., None]
    own = geometry.resize_grid(motion.grid_norm, cells)
    grid = (own + share * (head.grid_norm - own)).astype(np.float32)
    side = motion.features.motion["flow"].shape[1]
    small = cv2.resize(grid, (side, side), interpolation=cv2.INTER_AREA)
    features = {**motion.features.motion, "flow": np.ascontiguousarray(small[None])}
    occlusion = cv2.resize(motion.occlusion, (cells, cells), interpolation=cv2.INTER_LINEAR)
    return replace(
        motion,
        grid_norm=grid,
        occlusion=occlusion,
        depth=head.depth,
        reasons=head.reasons,
        features=LearnedFeatures(motion.features.source, features),
    )


class Compositor:
    """Blends paint with one warped picture; keeps buffers for reuse in each frame."""

    def __init__(self, image: Array) -> None:
        """image: (S, S, 3) uint8 RGB."""
        self._image, self._size = image, len(image)
        self._still_px = geometry.grid_px(self._size)
        self._places_px = np.empty_like(self._still_px)

    def __call__(self, flow: Array, paint: Array, alpha: Array) -> Array:
        """Return alpha * paint + (1 - alpha) * warped picture, (S, S, 3) uint8 RGB.

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
    ramp = smoothstep(t)
    return np.outer(ramp, ramp).astype(np.float32)
