"""Quality levels of a live run -> settings of the pipeline's stages, between two frames."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from threading import Thread

import cv2
import numpy as np

from hybridanim.errors import InputError
from hybridanim.live.quality import LARGE_PX, Quality
from hybridanim.types import Array, Source
from stages.build import Renderer, quick_renderer, uses_networks
from stages.pipeline import Pipeline


class Levels:
    """Switches a pipeline between quality levels; the animator switches the source."""

    def __init__(self, pipeline: Pipeline, *, adapts_networks: bool = False) -> None:
        """adapts_networks: whether the threads of the networks follow the levels, too."""
        self._pipeline, self._config = pipeline, pipeline.config
        self._has_networks = uses_networks(self._config)
        self._adapts_networks = adapts_networks and self._has_networks
        self._best = pipeline.renderer
        self._warp = quick_renderer(self._config, "warp")
        self._quick: Renderer | None = None
        if not self._has_networks:
            self._quick = quick_renderer(self._config, self._config.render.renderer)
        self._is_best = True
        self._all_threads = cv2.getNumThreads()
        self._threads = self._config.networks.threads  # of the networks in use or being loaded
        self._loaded: SimpleQueue[Renderer] = SimpleQueue()

    def use(self, quality: Quality) -> None:
        """Render at that level from the next frame on.

        Networks with another number of threads are loaded in the background, see ``refresh``.
        """
        track = self._pipeline.track
        track.adjust(anchor_every=self._config.track.anchor_every * quality.anchor_every)
        quick = self._warp if quality.is_warp else self._quick if quality.is_quick else None
        self._is_best = quick is None
        self._pipeline.use_renderer(quick or self._best)
        if cv2.getNumThreads() != (quality.threads or self._all_threads):
            cv2.setNumThreads(quality.threads or self._all_threads)
        if self._adapts_networks and quality.threads != self._threads:
            self._threads = quality.threads
            Thread(target=self._load, args=(quality.threads,), daemon=True).start()

    def refresh(self) -> None:
        """Take networks that have been loaded meanwhile; call before each frame."""
        while not self._loaded.empty():
            self._best = self._loaded.get()
            if self._is_best:
                self._pipeline.use_renderer(self._best)

    def _load(self, threads: int) -> None:
        """Load networks; where that fails, those in use stay."""
        with suppress(InputError, OSError):
            self._loaded.put(self._pipeline.new_renderer(threads))


def halved(source: Source) -> Source:
    """The source scaled to half the side; unchanged when it is small already."""
    side = source.image.shape[0] // 2
    if 2 * side < LARGE_PX:
        return source

    def smaller(whole: Array) -> Array:
        return np.ascontiguousarray(cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA))

    names = {"image", "inpainted_background", "subject", "alpha", "inpainted_alpha"}
    wholes = {name: getattr(source, name) for name in names}
    parts = {name: smaller(whole) for name, whole in wholes.items() if whole is not None}
    avatar = source.avatar and replace(source.avatar, other=smaller(source.avatar.other))
    return replace(source, avatar=avatar, **parts)


def sized(image: Array, source: Source) -> Array:
    """The result (H, W, 3) enlarged to the side of the source's square where it is smaller."""
    side = source.image.shape[0]
    if image.shape[0] == side:
        return image
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
