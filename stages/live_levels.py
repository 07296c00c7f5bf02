"""Quality levels of a live run -> settings of the pipeline's stages, between two frames."""

from __future__ import annotations

from dataclasses import replace

from hybridanim.live.governor import Quality

from . import Pipeline
from .s2_track import Track
from .s4_motion import Dense
from .s5_generate import Generate


class Levels:
    """Changes a pipeline to a level and back; the view is the animator's."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.quality = Quality("full")
        self._pipeline, self._config = pipeline, pipeline.config
        self._best = pipeline.dense, pipeline.generate
        render = replace(self._config.render, renderer="warp")
        quick = replace(render, interpolation="linear")
        self._warps = {
            False: (Dense(self._config.dense), Generate(render)),
            True: (Dense(self._config.dense), Generate(quick)),
        }

    def use(self, quality: Quality) -> None:
        """Work at that level from the next frame on."""
        self.quality = quality
        if isinstance(self._pipeline.track, Track):
            features = max(30, round(self._config.track.max_features * quality.features))
            self._pipeline.track.adjust(max_features=features)
        self._pipeline.dense, self._pipeline.generate = self._renderer(quality)

    def _renderer(self, quality: Quality) -> tuple:
        is_warp = self._config.render.renderer == "warp"
        if quality.is_warp or (is_warp and quality.is_quick):
            return self._warps[quality.is_quick]
        return self._best
