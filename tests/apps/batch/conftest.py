"""Tiny pictures and clips, and a pool that works in the test's own process."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import pytest

from apps.batch.work import Figures, Message, Task, perform
from hybridanim import files, io
from tests import synthetic


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``sources`` of 4 pictures and ``drivers`` of 3 clips of 8 frames."""
    folder = tmp_path_factory.mktemp("batch_inputs")
    (folder / "sources").mkdir()
    (folder / "drivers").mkdir()
    picture = synthetic.photograph(192)
    for n in range(4):
        image = cv2.convertScaleAbs(picture, alpha=1 - 0.1 * n)
        io.write_picture(folder / "sources" / f"p{n}.png", image)
    for n in range(3):
        moved = synthetic.moved_picture(picture, synthetic.wandering_affines(8, 192, seed=n))
        with io.open_sink(folder / "drivers" / f"v{n}.mp4", Fraction(25), (192, 192)) as sink:
            for image in moved.frames:
                sink.write(image)
    return folder


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s of the example at 10 frames a second, with its sound."""
    path = tmp_path_factory.mktemp("batch_clip") / "long.mp4"
    sound = files.EXAMPLE_DRIVING
    with (
        io.open_source(sound, 0, 4) as reader,
        io.open_sink(path, Fraction(10), (320, 240), audio_from=sound) as sink,
    ):
        for frame in reader:
            if frame.index % 3 == 0:
                sink.write(cv2.resize(frame.image, (320, 240), interpolation=cv2.INTER_AREA))
    return path


class InPlace:
    """A pool that does each task when it is waited for."""

    def __init__(self, count: int, fate: Callable[[Task], Message | None] | None = None) -> None:
        """fate: gives the last message of a task in place of its own."""
        self._tasks: dict[int, Task] = {}
        self._count, self._fate = count, fate or (lambda task: None)
        self.done: list[Task] = []

    def __len__(self) -> int:
        return self._count

    def give(self, worker: int, task: Task) -> None:
        assert worker not in self._tasks
        self._tasks[worker] = task

    def wait(self, timeout_s: float) -> list[tuple[int, Message]]:
        worker, task = next(iter(self._tasks.items()))
        del self._tasks[worker]
        told: list[tuple[int, Message]] = []
        last = self._fate(task)
        if last is None:
            last = self.made(task, lambda message: told.append((worker, message)))
            self.done.append(task)
        return [*told, (worker, last)]

    def made(self, task: Task, send: Callable[[Message], None]) -> Message:
        return perform(task, 1.0, send)

    def about(self, worker: int) -> str:
        return "here"

    def close(self) -> None:
        pass


class Pretended(InPlace):
    """A pool that writes a line in place of each animation."""

    def made(self, task: Task, send: Callable[[Message], None]) -> Message:
        job = task.planned.job
        job.output.write_text(f"{task.planned.name} {job.pipeline.size}")
        return Message("done", figures=Figures(0.1, 12))
