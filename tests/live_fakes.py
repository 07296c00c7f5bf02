"""Cameras that fail on purpose, and an animator that costs what it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from hybridanim.live.camera import CameraEnd, CameraError, Shot
from hybridanim.live.loop import Animated

GREY = np.full((48, 64, 3), 128, np.uint8)
BLACK = np.zeros((48, 64, 3), np.uint8)
WIDE = np.full((48, 96, 3), 128, np.uint8)


class FakeCamera:
    """Plays a script: pictures, "gone" (None comes), "fault", "end", or an Event to wait for."""

    name, rate_hz = "fake", 0.0

    def __init__(self, steps: Sequence, step_s: float = 0.002, opens: bool = True) -> None:
        self._steps, self._step_s, self._opens = iter(steps), step_s, opens
        self.is_open = False

    def open(self) -> None:
        if not self._opens:
            raise CameraError("fake is unplugged")
        self.is_open = True

    def read(self) -> Shot | None:
        step = next(self._steps, "end")
        time.sleep(self._step_s)
        if isinstance(step, threading.Event):
            step.wait(30)
            step = GREY
        if isinstance(step, str):
            if step == "end":
                raise CameraEnd
            if step == "fault":
                raise CameraError("fake broke")
            return None
        return Shot(step, time.monotonic())

    def close(self) -> None:
        self.is_open = False


def in_turn(*cameras: FakeCamera | Callable[[], FakeCamera]) -> Callable[[], FakeCamera]:
    """One camera an opening; the last one again and again."""
    waiting = list(cameras)
    lock = threading.Lock()

    def make() -> FakeCamera:
        with lock:
            one = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return one if isinstance(one, FakeCamera) else one()

    return make


class FakeAnimator:
    """Gives the shot back after ``cost_s``; remembers what it was asked to do."""

    def __init__(self, cost_s: float = 0.0) -> None:
        self.cost_s = cost_s
        self.came: Callable[[], int] = lambda: 0  # how many pictures the camera has given
        self.behind: list[int] = []  # at each shot: how many have come since
        self.shots: list[Shot] = []
        self.actions: list[str] = []
        self.levels: list[str] = []

    def __call__(self, shot: Shot) -> Animated:
        self.behind.append(self.came() - shot.number)
        self.shots.append(shot)
        time.sleep(self.cost_s)
        return Animated(shot.image, shot)

    def act(self, action) -> None:
        self.actions.append(action.verb)

    def set_quality(self, quality) -> None:
        self.levels.append(quality.name)


class ListOutput:
    """Keeps what it gets."""

    name = "list"

    def __init__(self, cost_s: float = 0.0) -> None:
        self.times: list[float] = []
        self.shapes: list[tuple[int, ...]] = []
        self.cost_s, self.is_closed = cost_s, False

    def write(self, image, time_s: float) -> None:
        time.sleep(self.cost_s)
        self.times.append(time_s)
        self.shapes.append(image.shape)

    def close(self) -> None:
        self.is_closed = True


def wait_until(fact: Callable[[], object], most_s: float = 5.0) -> bool:
    """Wait for a fact; whether it came true."""
    end_s = time.monotonic() + most_s
    while time.monotonic() < end_s:
        if fact():
            return True
        time.sleep(0.002)
    return bool(fact())
