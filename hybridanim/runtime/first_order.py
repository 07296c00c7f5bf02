"""The first-order model as ``base.AnimatorNetworks``, by whatever runs its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from hybridanim.types import Array, Keypoints, LearnedFeatures, OpticalFlow

from .base import Moved, RuntimeInfo
from .sample_inputs import batch

Part = Callable[[dict[str, Array]], dict[str, Array]]
"""Input name -> array to output name -> array, valid until the next call."""


class FirstOrderAnimator:
    """``base.AnimatorNetworks``: all of its picture is paint, and its background stands still."""

    uses_optical_flow = False

    def __init__(self, parts: Mapping[str, Part], info: RuntimeInfo, side_px: int = 256) -> None:
        """parts: ``encode``, ``move`` and ``paint`` of ``first_order_models``."""
        self.runtime_info = info
        self._encode, self._move, self._paint = (parts[k] for k in ("encode", "move", "paint"))
        inputs = getattr(self._encode, "inputs", {"picture": (1, 3, side_px, side_px)})
        self.side_px = inputs["picture"][2]

    def encode(self, picture: Array) -> dict[str, Array]:
        """Encode a source; see ``base.AnimatorNetworks``."""
        found = self._encode({"picture": batch(picture)})
        return {name: value.copy() for name, value in found.items()}

    def move(
        self,
        encoded: Mapping[str, Array],
        source: Keypoints,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> Moved:
        """Compute one frame's motion; background and optical flow are not this model's."""
        inputs = {"small": encoded["small"]}
        for which, points in (("source", source), ("target", target)):
            inputs[f"{which}_xy"] = points.xy_norm[None]
            inputs[f"{which}_jacobian"] = points.jacobian[None]
        found = {name: value.copy() for name, value in self._move(inputs).items()}
        flow, occlusion, masks = found["flow"][0], found["occlusion"][0, 0], found["masks"][0]
        return Moved(flow, occlusion, masks, LearnedFeatures(encoded, found))

    def paint(self, features: LearnedFeatures) -> tuple[Array, Array]:
        """Paint one frame; see ``base.AnimatorNetworks``."""
        own = {name: features.motion[name] for name in ("flow", "occlusion")}
        found = self._paint({"deep": features.source["deep"], **own})
        paint = cv2.merge(list(np.asarray(found["paint"][0], np.float32)))
        return cv2.convertScaleAbs(paint, alpha=255), found["alpha"][0, 0].copy()
