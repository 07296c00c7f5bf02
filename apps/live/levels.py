"""Quality levels of a live run -> settings of the pipeline's stages, between two frames."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from hybridanim.live.quality import LARGE_PX, Quality
from hybridanim.types import Array, Source
from stages.build import Renderer, uses_networks
from stages.pipeline import Pipeline
from stages.s4_motion import Dense
from stages.s5_generate import Generate


class Levels:
    """Switches a pipeline between quality levels; the animator switches the source."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline, self._config = pipeline, pipeline.config
        self._best = pipeline.renderer
        quick = replace(self._config.render, renderer="warp", interpolation="linear")
        self._quick = Renderer(Dense(self._config.dense), Generate(quick))

    def use(self, quality: Quality) -> None:
        """Render at that level from the next frame on."""
        track = self._pipeline.track
        track.adjust(anchor_every=self._config.track.anchor_every * quality.anchor_every)
        is_quick = quality.is_warp or (quality.is_quick and not uses_networks(self._config))
        self._pipeline.use_renderer(self._quick if is_quick else self._best)


def halved(source: Source) -> Source:
    """The source scaled to half the side; unchanged when it is small already."""
    side = source.image.shape[0] // 2
    if 2 * side < LARGE_PX:
        return source
    image, inpainted_background, subject = (
        np.ascontiguousarray(cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA))
        for one in (source.image, source.inpainted_background, source.subject)
    )
    return replace(source, image=image, inpainted_background=inpainted_background, subject=subject)


def sized(image: Array, source: Source) -> Array:
    """The result (H, W, 3) enlarged to the side of the source's square where it is smaller."""
    side = source.image.shape[0]
    if image.shape[0] == side:
        return image
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
