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
    Reason,
    Source,
)

_LEAST_HIDDEN = (0.001, 0.004)  # share of the picture from which on the generator paints, fully


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
        paint, alpha = self._nets.paint(_features_of(motion))
        if self._compositor is None or self._compositor[0] is not source:
            self._compositor = source, Compositor(source.image)
        flow = motion.grid_norm
        if pin_border > 0:
            still = geometry.grid_norm(*flow.shape[:2])
            flow = still + (flow - still) * pinned(len(flow), pin_border)[..., None]
            alpha = alpha * pinned(len(alpha), pin_border)
        return self._compositor[1](flow, paint, alpha)

    def paint_hidden(self, picture: Array, motion: DenseMotion) -> Array:
        """Paint what the source hides of itself over a picture (S, S, 3) uint8 RGB of the motion.

        motion: from ``with_head``, with reasons. The paint is confined to where its occlusion map
        says that a turn of the head shows a surface which the source does not.
        """
        paint, alpha = self._nets.paint(_features_of(motion))
        size = len(picture), len(picture)
        paint = cv2.resize(paint, size, interpolation=cv2.INTER_LINEAR)
        alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR)
        alpha *= cv2.resize(hidden(motion), size, interpolation=cv2.INTER_LINEAR)
        return cv2.blendLinear(paint, picture, alpha, 1 - alpha)


def _features_of(motion: DenseMotion) -> LearnedFeatures:
    if motion.features is None:
        raise InputError("renderer: expected a motion of its own, got another; call move first")
    return motion.features


def hidden(motion: DenseMotion) -> Array:
    """(h, w) float32 in [0, 1]: how far an output cell shows a surface that the source hides.

    motion: with reasons. All zero where it is too little to be painted; it rises smoothly from
    there, so that paint does not appear at once.
    """
    assert motion.reasons is not None
    found = (1 - motion.occlusion) * (motion.reasons == Reason.SELF_OCCLUDED)
    least, full = _LEAST_HIDDEN
    share = smoothstep(np.clip((found.mean() - least) / (full - least), 0, 1))
    return cv2.GaussianBlur((share * found).astype(np.float32), (0, 0), 1.0)


def with_head(motion: DenseMotion, head: DenseMotion, subject: Array) -> DenseMotion:
    """The motion of the head mesh with the networks' features, whose flow is the mesh's.

    motion: from ``LearnedRenderer.move``. head: from ``motion.head_mesh.dense``. subject: (S, S)
    soft mask of the person in the source. Large turns are beyond what the networks have learned, so
    flow, occlusion map, depth and reasons are the mesh's; the generator's features are warped by
    the mesh's flow wherever that shows the person.
    """
    assert motion.features is not None
    side = motion.features.motion["flow"].shape[1]
    person = cv2.resize(subject, (side, side), interpolation=cv2.INTER_AREA)
    flow = cv2.resize(head.grid_norm, (side, side), interpolation=cv2.INTER_AREA)
    seen = cv2.GaussianBlur(geometry.warp(person, flow, cv2.INTER_LINEAR), (0, 0), 1.0)
    share = np.clip(1.6 * seen - 0.2, 0, 1)[..., None]
    own = motion.features.motion["flow"][0]
    flow = (own + share * (flow - own)).astype(np.float32)
    features = {**motion.features.motion, "flow": np.ascontiguousarray(flow[None])}
    return replace(
        head,
        weights=motion.weights,
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
