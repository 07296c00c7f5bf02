"""Imagined motion as the driver of a render, in the place of a video."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from hybridanim.motion.imagined_motion import ImaginedMotion, Wish, expect_length
from hybridanim.motion.motion_file import MotionRow, MotionWriter
from hybridanim.motion.motion_track import RATE_HZ
from hybridanim.types import Array, Frame, Results
from hybridanim.visualization.overview import SQUARE_PX, driver_keypoints
from stages.pipeline import Pipeline

from .driving import Drive
from .streaming import replayed

_UNUSED = ("reference", "start", "end", "audio")  # options of RenderJob that need a video


class RowRecorder:
    """Writes the rows that are animated into a motion file; a context manager."""

    is_empty = False

    def __init__(self, path: Path, motion: ImaginedMotion, *, overwrite: bool) -> None:
        """Raises InputError where the file cannot be written."""
        self._motion = motion
        self._writer = MotionWriter(path, motion.expression, overwrite=overwrite)
        self._writer.begin(motion.stretches[0].first, motion.stretches[0].face)

    def add(self, row: MotionRow) -> None:
        """Write one row."""
        self._writer.add(row.time_s, row.seen)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._writer.close(self._motion.header)
        else:
            self._writer.discard()


class _Recorded(ImaginedMotion):
    """Imagined motion whose rows a recorder writes as they are taken."""

    recorder: RowRecorder | None = None

    def rows(self, start_s: float = 0.0, end_s: float | None = None) -> Iterator[MotionRow]:
        """As those of imagined motion."""
        for row in super().rows(start_s, end_s):
            if self.recorder is not None:
                self.recorder.add(row)
            yield row


class ImaginedDriver:
    """Imagined motion of some length."""

    def __init__(self, wish: Wish, seconds: float, job: RenderJob, pipeline: Pipeline) -> None:
        """The pipeline has its source, whose pose the motion begins with."""
        assert pipeline.source is not None
        self._job, self._pipeline, self._seconds = job, pipeline, seconds
        self._motion = _Recorded(wish, pipeline.source.rotation_deg)
        self._replay = pipeline.replaying(self._motion, "first", 0.0, seconds)
        self.about = [f"Imagined motion: {wish.mood}, seed {wish.seed}, {seconds:g} s."]
        self.notes: list[str] = []
        self.has_face = True

    @contextmanager
    def opened(self) -> Iterator[Drive]:
        """Its rate; its place beside the result takes a square with the keypoints."""
        header, count = self._motion.header, max(1, round(self._seconds * RATE_HZ))
        yield Drive(header.fps, header.time_base, (SQUARE_PX, SQUARE_PX), count)

    def recorder(self, path: Path, drive: Drive) -> RowRecorder:
        """What writes the rows."""
        recorder = RowRecorder(path, self._motion, overwrite=self._job.overwrite)
        object.__setattr__(self._motion, "recorder", recorder)
        return recorder

    def animated(self) -> Generator[tuple[Frame, Results]]:
        """Yield a black frame and the results for each row."""
        return replayed(self._pipeline, self._pipeline.followed(self._replay))

    def shown(self, frame: Frame, results: Results) -> Array:
        """The driver's keypoints."""
        return driver_keypoints(frame.image, results.points)


@dataclass(frozen=True)
class Imagining:
    """A wish and a length, as ``render_by`` takes them."""

    wish: Wish
    seconds: float

    def __post_init__(self) -> None:
        expect_length(self.seconds)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"imagined motion ({self.wish.mood}, seed {self.wish.seed})"

    @property
    def inputs(self) -> tuple[Path, ...]:
        """No files."""
        return ()

    def job(self, job: RenderJob, source: Path) -> RenderJob:
        """The job; InputError for options that need a driving video."""
        plain = RenderJob()
        unfit = [name for name in _UNUSED if getattr(job, name) != getattr(plain, name)]
        if job.pipeline.driving_crop != plain.pipeline.driving_crop:
            unfit.append("driving_crop")
        if unfit:
            option = unfit[0].replace("_", "-")
            raise InputError(
                f"imagine: expected options that need no driving video, got --{option}; leave it"
                " out"
            )
        if job.pipeline.tracker != "classical":
            raise InputError(
                f"--tracker {job.pipeline.tracker}: expected classical, whose keypoints imagined"
                " motion has, got another; leave the option out"
            )
        return job

    def record(self) -> dict[str, Any]:
        """How the result's record describes it."""
        wish = self.wish
        return {"name": self.name, "mood": wish.mood, "seed": wish.seed, "seconds": self.seconds}

    def more(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def driver(self, job: RenderJob, pipeline: Pipeline) -> ImaginedDriver:
        """Begin with the source's pose."""
        return ImaginedDriver(self.wish, self.seconds, job, pipeline)
