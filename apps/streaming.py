"""A pipeline over a stream of frames: tracking and rendering overlap and share the processors.

The learned renderer keeps no state between frames, so two instances alternate, with half of the
processors each. On two processors that gives 32 frames per second at 256x256 instead of 25 by one
instance with both, since small networks use a second thread badly.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import cv2

from hybridanim import processors
from hybridanim.config import PipelineConfig
from hybridanim.types import Array, Frame, Results
from stages.build import Renderer, uses_networks
from stages.pipeline import Followed, Pipeline

from .overlap import overlapped

Tracked = tuple[Frame, Followed]  # the frame as read, and the results of stages 1 to 3


def sharing(config: PipelineConfig, free: float | None = None) -> PipelineConfig:
    """Return the config with half of the processors per network, for two at the same time.

    free: processors that other programs leave; None = all.
    """
    if config.networks.threads or not uses_networks(config):
        return config
    threads = half_of(processors.count() if free is None else free)
    return replace(config, networks=replace(config.networks, threads=threads))


def half_of(free: float) -> int:
    """Threads of each of two steps that use so many processors at the same time."""
    return max(1, round(free) // 2)


def animated(
    pipeline: Pipeline, frames: Iterable[Frame], look: Callable[[Array], Array] | None = None
) -> Generator[tuple[Frame, Results]]:
    """Yield each frame as read, and the results of the five stages.

    look: what the pipeline is shown of a picture; None: the picture.
    """

    def follow(frame: Frame) -> Tracked:
        image = frame.image if look is None else look(frame.image)
        return frame, pipeline.follow(pipeline.frame(image, frame.time_s))

    def render(tracked: Tracked) -> tuple[Frame, Results]:
        return tracked[0], pipeline.render(tracked[1])

    renderers: list[Callable[[Tracked], tuple[Frame, Results]]] = [render]
    if uses_networks(pipeline.config):
        renderers.append(_second_renderer(pipeline))
    return overlapped(frames, [follow], renderers)


def replayed(pipeline: Pipeline, followed: Iterable[Followed]) -> Generator[tuple[Frame, Results]]:
    """Yield the frame and the results of what stages 1 to 3 give, for a motion file."""

    def render(one: Followed) -> tuple[Frame, Results]:
        return one.frame, pipeline.render(one)

    second = _second_renderer(pipeline) if uses_networks(pipeline.config) else None
    steps: list[Callable[[Followed], tuple[Frame, Results]]] = [render]
    if second is not None:
        steps.append(lambda one: second((one.frame, one)))
    return overlapped(followed, steps)


def _second_renderer(pipeline: Pipeline) -> Callable[[Tracked], tuple[Frame, Results]]:
    """Rendering by a second instance, which its own thread loads with its first frame."""

    @cache
    def own() -> Renderer:
        return pipeline.new_renderer()

    def render(tracked: Tracked) -> tuple[Frame, Results]:
        return tracked[0], pipeline.render(tracked[1], own())

    return render


@contextmanager
def shared_processors(free: float | None = None) -> Iterator[None]:
    """Run OpenCV with half of its threads, since two steps use the processors at the same time.

    free: processors that other programs leave; None = all.

    Its idle threads spin: on two processors, a frame costs 21 ms of processor time instead of 27 at
    256x256, and 33 ms instead of 39 at 512x512.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(half_of(before if free is None else min(before, free)))
    try:
        yield
    finally:
        cv2.setNumThreads(before)
