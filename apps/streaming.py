"""A pipeline over a stream of frames: following and rendering overlap, and share the processors.

What the networks of the learned renderer need of a frame does not depend on other frames, so two of
them take turns with half of the processors each. On two processors that gives 32 frames a second at
256x256 where one renderer with both gives 25, as small networks use a second thread badly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import cv2

from hybridanim.config import PipelineConfig
from hybridanim.types import Frame, Results
from stages.build import Renderer, uses_networks
from stages.pipeline import Followed, Pipeline

from .overlap import overlapped

Seen = tuple[Frame, Followed]  # the frame as it was read, and what stages 1 to 3 say of it


def sharing(config: PipelineConfig) -> PipelineConfig:
    """The config with networks that leave room for another one at the same time."""
    if config.networks.threads or not uses_networks(config):
        return config
    threads = max(1, (os.cpu_count() or 1) // 2)
    return replace(config, networks=replace(config.networks, threads=threads))


def animated(pipeline: Pipeline, frames: Iterable[Frame]) -> Generator[tuple[Frame, Results]]:
    """Each frame as it was read, and what the five stages say of it."""

    def follow(frame: Frame) -> Seen:
        return frame, pipeline.follow(pipeline.frame(frame.image, frame.time_s))

    def render(seen: Seen) -> tuple[Frame, Results]:
        return seen[0], pipeline.render(seen[1])

    renderers: list[Callable[[Seen], tuple[Frame, Results]]] = [render]
    if uses_networks(pipeline.config):
        renderers.append(_second_renderer(pipeline))
    return overlapped(frames, [follow], renderers)


def _second_renderer(pipeline: Pipeline) -> Callable[[Seen], tuple[Frame, Results]]:
    """Loaded in its own thread with its first frame, so that no other frame waits for it."""

    @cache
    def own() -> Renderer:
        return pipeline.new_renderer()

    def render(seen: Seen) -> tuple[Frame, Results]:
        return seen[0], pipeline.render(seen[1], own())

    return render


@contextmanager
def shared_processors() -> Iterator[None]:
    """OpenCV at half its threads, as two steps need processors at the same time.

    Its idle threads wait by spinning: on two processors, a frame at 256x256 costs 21 ms of their
    time like this and 27 ms otherwise, at 512x512 33 and 39 ms.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(max(1, before // 2))
    try:
        yield
    finally:
        cv2.setNumThreads(before)
