"""Quality levels of a live run -> settings of the pipeline's stages, between two frames."""

from __future__ import annotations

from dataclasses import replace

from hybridanim.live.governor import Quality

from . import Pipeline
from .s2_track import HybridTrack, Track
from .s4_motion import Dense
from .s5_generate import Generate


class Levels:
    """Changes a pipeline to a level and back; the view is the animator's."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.quality = Quality("full")
        self._pipeline, self._config = pipeline, pipeline.config
        self._best = pipeline.dense, pipeline.generate
        quick = replace(self._config.render, renderer="warp", interpolation="linear")
        self._quick = Dense(self._config.dense), Generate(quick)

    def use(self, quality: Quality) -> None:
        """Work at that level from the next frame on."""
        self.quality = quality
        track, config = self._pipeline.track, self._config.track
        if isinstance(track, Track):
            track.adjust(max_features=max(30, round(config.max_features * quality.features)))
        elif isinstance(track, HybridTrack):
            track.adjust(anchor_every=config.anchor_every * quality.anchor_every)
        self._pipeline.dense, self._pipeline.generate = self._renderer(quality)

    def _renderer(self, quality: Quality) -> tuple:
        is_warp = self._config.render.renderer == "warp"
        if quality.is_warp or (is_warp and quality.is_quick):
            return self._quick
        return self._best
