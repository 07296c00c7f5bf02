"""Frame -> SkinMask.  Segments skin and labels head and hands (docs/guide/skin.md)."""

import numpy as np

from hybridanim.config import SegmentConfig
from hybridanim.profiles import SkinProfile
from hybridanim.segmentation import video
from hybridanim.types import Array, Frame, SkinMask
from hybridanim.visualization import drawing

from .base import Stage


class Segment(Stage):
    """Stage 1."""

    name = "skin"

    def __init__(self, config: SegmentConfig, profile: SkinProfile | None) -> None:
        super().__init__(config)
        self._profile = profile
        self.reset()

    def __call__(self, frame: Frame) -> SkinMask:
        """Segment the next frame of the driving video."""
        self._state, mask = video.step(self._state, frame, self._config, self._profile)
        return mask

    def draw(self, canvas: Array, output: SkinMask) -> Array:
        """Draw tinted skin and labelled blobs on the driving frame."""
        return drawing.skin(canvas, output)

    def reset(self) -> None:
        """Discard the person's skin colour and positions."""
        self._state = video.initial_state()


class NoSkin(Stage):
    """Stage 1 for objects without skin: an empty mask, at no cost."""

    name = "skin"

    def __init__(self, config: SegmentConfig, reason: str) -> None:
        """reason: why no skin is looked for."""
        super().__init__(config)
        self._reason = reason

    def __call__(self, frame: Frame) -> SkinMask:
        """Return an empty mask."""
        return SkinMask(np.zeros(frame.image.shape[:2], np.uint8), unused=self._reason)

    def draw(self, canvas: Array, output: SkinMask) -> Array:
        """Draw the reason on the driving frame."""
        return drawing.skin(canvas, output)
