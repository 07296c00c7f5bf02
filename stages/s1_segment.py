"""Frame -> SkinMask.  Finds the skin and labels head and hands (docs/skin.md)."""

import numpy as np

from hybridanim.config import SegmentConfig
from hybridanim.profiles import SkinProfile
from hybridanim.segmentation import video
from hybridanim.types import Array, Frame, SkinMask
from hybridanim.visualization import stages as draw

from .base import Stage


class Segment(Stage):
    """Stage 1."""

    name = "skin"

    def __init__(self, config: SegmentConfig, profile: SkinProfile | None) -> None:
        self._config, self._profile = config, profile
        self.reset()

    def __call__(self, frame: Frame) -> SkinMask:
        """Segment the next frame of the driving video."""
        self._state, mask = video.step(self._state, frame, self._config, self._profile)
        return mask

    def draw(self, canvas: Array, output: SkinMask) -> Array:
        """Tinted skin with labelled blobs, on the driving frame."""
        return draw.skin(canvas, output)

    def reset(self) -> None:
        """Forget the person's colours and places."""
        self._state = video.initial_state()


class NoSkin(Stage):
    """Stage 1 where the tracker does without it: says so, and costs nothing."""

    name = "skin"

    def __init__(self, tracker: str) -> None:
        self._why = f"{tracker} tracker"

    def __call__(self, frame: Frame) -> SkinMask:
        """No skin."""
        return SkinMask(np.zeros(frame.image.shape[:2], np.uint8), unused=self._why)

    def draw(self, canvas: Array, output: SkinMask) -> Array:
        """The driving frame, with the reason."""
        return draw.skin(canvas, output)
