"""One clip or pair -> its result, with pipelines and judges that are loaded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hybridanim.errors import InputError
from hybridanim.evaluation import perceptual
from hybridanim.evaluation.face_evaluator import Judge
from hybridanim.evaluation.scores import Judges

from .cross_identity import animate
from .driver import Driver, look_through
from .job import EvaluateJob
from .methods import Ways
from .reconstruction import reconstruct
from .results import ClipResult


@dataclass(frozen=True)
class Task:
    """A clip to reconstruct, or a source and the driver that moves it."""

    source: Path
    driver: Path | None = None

    @property
    def name(self) -> str:
        """As it stands in the results."""
        return f"{self.source.stem} < {self.driver.stem}" if self.driver else self.source.name


class Worker:
    """Holds the methods' pipelines and the judges, which are loaded once."""

    def __init__(self, job: EvaluateJob) -> None:
        self._job = job
        self._ways = Ways(job, "relative" if job.cross else "absolute")
        alexnet, inception, _ = perceptual.find(job.backbones)
        face = Judge(job.networks) if job.networks and not job.is_object else None
        self._judges = Judges(face, perceptual.Perceptual(alexnet, inception))
        self._drivers: dict[Path, Driver] = {}

    def __call__(self, task: Task) -> ClipResult:
        """Measure one clip; one that cannot be used comes back with the reason."""
        try:
            if task.driver is None:
                return reconstruct(task.source, self._job, self._ways, self._judges)
            if task.driver not in self._drivers:
                self._drivers[task.driver] = look_through(task.driver, self._job)
            driver = self._drivers[task.driver]
            return animate(task.source, driver, self._job, self._ways, self._judges)
        except InputError as error:
            return ClipResult(task.name, failure=str(error))
