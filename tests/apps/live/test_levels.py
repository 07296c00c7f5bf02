"""Quality levels change the pipeline's settings; networks with other threads come later."""

import threading

import cv2
import pytest

from apps.live import levels
from hybridanim.errors import InputError
from hybridanim.live.quality import Quality
from stages.pipeline import Pipeline
from tests.live_fakes import wait_until

FULL, SHARED = Quality("full"), Quality("full", threads=1)


@pytest.fixture
def threads(monkeypatch):
    """The number of OpenCV's threads, made: eight at first."""
    given = [8]
    monkeypatch.setattr(cv2, "getNumThreads", lambda: given[-1])
    monkeypatch.setattr(cv2, "setNumThreads", given.append)
    return given


def test_opencv_takes_the_threads_of_the_level(threads):
    one = levels.Levels(Pipeline.load(size=64))
    one.use(FULL)
    one.use(SHARED)
    one.use(SHARED)
    one.use(FULL)
    assert threads == [8, 1, 8]


def test_networks_with_other_threads_are_loaded_meanwhile(threads, monkeypatch):
    monkeypatch.setattr(levels, "uses_networks", lambda _: True)
    pipeline = Pipeline.load(size=64)
    first, made, go = pipeline.renderer, [], threading.Event()

    def new_renderer(count):
        go.wait(10)
        if count == 3:
            raise InputError("no memory")
        made.append((count, levels.Renderer(*first)))
        return made[-1][1]

    monkeypatch.setattr(pipeline, "new_renderer", new_renderer)
    one = levels.Levels(pipeline, adapts_networks=True)
    one.use(SHARED)
    one.refresh()
    assert pipeline.renderer is first  # no frame waits
    go.set()
    assert wait_until(lambda: not one._loaded.empty())
    one.refresh()
    assert pipeline.renderer is made[0][1] and made[0][0] == 1
    one.use(Quality("warp", is_warp=True, threads=1))
    one.use(Quality("warp", is_warp=True))  # all threads again, while the warp is in use
    assert wait_until(lambda: len(made) == 2 and not one._loaded.empty())
    one.refresh()
    assert pipeline.renderer is one._warp
    one.use(FULL)
    assert pipeline.renderer is made[1][1] and made[1][0] == 0
    one.use(Quality("full", threads=3))  # cannot be loaded: those in use stay
    one.refresh()
    assert pipeline.renderer is made[1][1] and len(made) == 2


def test_threads_that_the_user_chose_stay(threads, monkeypatch):
    monkeypatch.setattr(levels, "uses_networks", lambda _: True)
    pipeline = Pipeline.load(size=64)
    monkeypatch.setattr(pipeline, "new_renderer", lambda count: pytest.fail("loaded"))
    levels.Levels(pipeline).use(SHARED)
