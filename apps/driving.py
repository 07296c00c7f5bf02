"""What drives a render: a video, or a motion file or key frames in its place.

A ``Driving`` says what is given; its ``Driver`` is prepared, then opened (as a context manager),
then iterated with ``animated``. ``render`` uses all alike; imagined motion is in ``imagining``.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from hybridanim import files, io, paths
from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.io.timing import time_base_of
from hybridanim.motion import keyframes
from hybridanim.motion.keyframes import Keyframes
from hybridanim.motion.motion_file import Motion
from hybridanim.prepare.hand_driver import save_motion
from hybridanim.prepare.motion_recorder import MotionRecorder
from hybridanim.prepare.people import covered
from hybridanim.types import Array, Frame, Results
from hybridanim.visualization import fitted_face
from hybridanim.visualization.overview import SQUARE_PX, driver_keypoints
from stages.pipeline import Pipeline

from . import scanning
from .guards import refuse_swapped
from .streaming import animated, replayed


@dataclass(frozen=True)
class Drive:
    """An opened driver: what the output takes from it."""

    fps: Fraction
    time_base: Fraction
    size: tuple[int, int]  # width and height of its pictures beside the result
    frame_count: int | None  # of the cut; None = unknown
    audio: Path | None = None


class Recorder(Protocol):
    """Writes the motion while it is animated; a context manager whose end completes the file."""

    is_empty: bool  # no head was tracked, so that there is no file

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Complete the file, or leave none after an error."""
        ...


class Driver(Protocol):
    """A driver of a render."""

    about: list[str]  # sentences for the user: what was chosen
    notes: list[str]  # what they should know of the result
    has_face: bool  # whether a look before the run found one

    def opened(self) -> AbstractContextManager[Drive]:
        """Open it; at its end ``notes`` is complete."""
        ...

    def recorder(self, path: Path, drive: Drive) -> Recorder | None:
        """What writes the motion into this file, while it is open; None: the driver itself."""
        ...

    def animated(self) -> Generator[tuple[Frame, Results]]:
        """Yield each frame with its results."""
        ...

    def shown(self, frame: Frame, results: Results) -> Array:
        """Its picture beside the result, (H, W, 3) uint8 RGB."""
        ...


class Driving(Protocol):
    """What a render is asked to move the source by."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files that are read."""
        ...

    def job(self, job: RenderJob, source: Path) -> RenderJob:
        """The job with what the driver fixes; InputError for what does not go with it."""
        ...

    def record(self) -> str | Path | dict[str, Any]:
        """How the result's record describes it: a path, or its entries."""
        ...

    def driver(self, job: RenderJob, pipeline: Pipeline) -> Driver:
        """Prepare it; the pipeline has its source. Raises InputError where it does not serve."""
        ...

    def more(self) -> dict[str, Any]:
        """Further entries of the record's part ``driving``."""
        ...


class FileDriving:
    """A video, a folder of pictures, a motion file, or key frames."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._motion: Motion | Keyframes | None = None

    @property
    def name(self) -> str:
        """Of the file."""
        return self._path.name

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file."""
        return (self._path,)

    def job(self, job: RenderJob, source: Path) -> RenderJob:
        """Open a motion file, if it is one: the job with its tracker."""
        refuse_swapped(job, source, self._path)
        self._motion = read_motion(job, self._path)
        return job if self._motion is None else with_tracker_of(job, self._motion)

    def record(self) -> Path:
        """The file."""
        return self._path

    def more(self) -> dict[str, Any]:
        """The settings that a motion was saved with."""
        if not isinstance(self._motion, Motion):
            return {}
        return {"saved_with": json.loads(self._motion.header.settings)}

    def driver(self, job: RenderJob, pipeline: Pipeline) -> Driver:
        """Look through the video, or choose the motion's reference frame."""
        if self._motion is None:
            return VideoDriver(self._path, job, pipeline)
        if isinstance(self._motion, Keyframes):
            return KeyframesDriver(self._motion, job, pipeline)
        return MotionDriver(self._motion, job, pipeline)


def read_motion(job: RenderJob, driving_path: Path) -> Motion | Keyframes | None:
    """The motion file, or the key frames, that the driving path names; None for a video.

    Raises InputError for an unfit one, or options that need a video.
    """
    if driving_path.suffix.lower() == ".toml" and paths.is_file(driving_path):
        _refuse_options_of_a_video(job, driving_path)
        return keyframes.load(driving_path)
    if not (paths.is_file(driving_path) and files.is_safetensors(driving_path)):
        return None
    if job.save_motion is not None:
        raise InputError(
            f"--save-motion {job.save_motion}: expected a driving video, got the motion file"
            f" {driving_path.name}; copy that file instead"
        )
    if job.pipeline.driving_crop != "auto":
        raise InputError(
            f"--driving-crop {job.pipeline.driving_crop}: expected a driving video, got the motion"
            f" file {driving_path.name}, which has the crop of the run that saved it; give the"
            " option there"
        )
    return Motion.load(driving_path)


def _refuse_options_of_a_video(job: RenderJob, path: Path) -> None:
    """Raise InputError for options that need a driver, which key frames have not."""
    for option, value, wanted in (
        ("--driving-crop", job.pipeline.driving_crop, "auto"),
        ("--reference", job.reference, "auto"),
    ):
        if value != wanted:
            raise InputError(
                f"{option} {value}: expected a driving video, got the key frames {path.name}, which"
                " are changes of the source itself; leave the option out"
            )


def with_tracker_of(job: RenderJob, motion: Motion | Keyframes) -> RenderJob:
    """The job with the motion's tracker, whose kind of keypoints the source needs, too.

    Raises InputError when the job asks for another one.
    """
    if isinstance(motion, Keyframes):  # no keypoints
        return job
    wanted, given = motion.header.tracker, job.pipeline.tracker
    if given not in (wanted, type(job.pipeline)().tracker):
        raise InputError(
            f"--tracker {given}: expected {wanted}, with which the motion was saved, got another;"
            " leave the option out"
        )
    return replace(job, pipeline=replace(job.pipeline, tracker=wanted))


class VideoDriver:
    """A video, or a folder of pictures."""

    def __init__(self, path: Path, job: RenderJob, pipeline: Pipeline) -> None:
        """Look through the first minute of the cut; the pipeline has its source."""
        self._path, self._job, self._pipeline = path, job, pipeline
        self.about: list[str] = []
        self.notes: list[str] = []
        scan = scanning.upright(path, job, pipeline)
        self._observations, self._chosen = scan.observations, scan.chosen
        self._turn_deg = scan.turn_deg
        if scan.turn_deg:
            self.notes.append(
                f"The driving video was turned by {scan.turn_deg} degrees clockwise: as it is, its"
                f" faces are {scanning.POSES[scan.turn_deg]}."
            )
        self.notes += scan.notes
        self._covered = scan.covered
        self.has_face = bool(self._observations)
        self._reader: io.VideoReader | None = None

    @contextmanager
    def opened(self) -> Iterator[Drive]:
        """Open the video and give the pipeline what the scan found."""
        job, pipeline = self._job, self._pipeline
        with io.open_source(self._path, job.start, job.end, turn_deg=self._turn_deg) as reader:
            self._reader = reader
            pipeline.use_scan(self._observations, reader.height, reader.width)
            self._set_reference()
            audio = self._path if job.audio and reader.has_audio else None
            size = reader.width, reader.height
            count = _expected_frames(job, reader)
            yield Drive(reader.fps, reader.time_base, size, count, audio)
            self.notes += [*reader.notes, *([reader.warning] if reader.warning else [])]
            if paths.is_file(self._path) and io.is_still(self._path):
                self.notes.append(
                    f"{self._path.name} is a single picture, so the result has one frame."
                )

    def recorder(self, path: Path, drive: Drive) -> MotionRecorder:
        """What stages 2 and 3 see of the video."""
        return self._pipeline.record(
            path, drive.fps, time_base=drive.time_base, overwrite=self._job.overwrite
        )

    @property
    def reader(self) -> io.VideoReader:
        """The opened video."""
        assert self._reader is not None
        return self._reader

    def again(self, start_s: float) -> io.VideoReader:
        """The rest of the cut from a later time on, opened once more."""
        return io.open_source(self._path, start_s, self._job.end, turn_deg=self._turn_deg)

    def animated(self) -> Generator[tuple[Frame, Results]]:
        """Yield each frame as read, with its results."""
        return animated(self._pipeline, self.reader, self.look)

    def look(self, image: Array) -> Array:
        """What the pipeline sees of a frame: without pictures of other faces."""
        return covered(image, self._covered)

    def shown(self, frame: Frame, results: Results) -> Array:
        """The frame."""
        return frame.image

    def _set_reference(self) -> None:
        """Set the pipeline's reference frame; adds a note."""
        job, (observation, picture) = self._job, self._chosen or (None, None)
        if job.reference.isdecimal() and (observation is None or not observation.is_clear):
            raise InputError(
                f"--reference {job.reference}: expected a frame with a clear face, found none"
                " there; choose another frame, or auto"
            )
        if observation is not None and self._pipeline.set_reference(picture, observation):
            self.about.append(_reference_note(observation.index, observation.time_s))


class MotionDriver:
    """A motion file."""

    def __init__(self, motion: Motion, job: RenderJob, pipeline: Pipeline) -> None:
        """Choose the reference frame; InputError for a motion that the source cannot take."""
        self._motion, self._job = motion, job
        self.has_face = False
        self._pipeline = pipeline
        cut = job.reference, job.start, job.end
        self._replay = pipeline.replaying(motion, *cut)
        chosen = self._replay.reference
        header = motion.header
        self.notes: list[str] = []
        self.about = [f"Motion of {motion.count} frames, saved with --tracker {header.tracker}."]
        if chosen is not None:
            self.about.append(_reference_note(chosen.row, chosen.time_s))

    @contextmanager
    def opened(self) -> Iterator[Drive]:
        """The motion's rates; its place beside the result takes a square with the keypoints."""
        job, header = self._job, self._motion.header
        is_cut = job.start > 0 or job.end is not None
        count = None if is_cut else self._motion.count
        yield Drive(header.fps, header.time_base, (SQUARE_PX, SQUARE_PX), count)

    def recorder(self, path: Path, drive: Drive) -> Recorder | None:
        """None: ``read_motion`` refuses to write a motion file from another one."""
        raise NotImplementedError

    def animated(self) -> Generator[tuple[Frame, Results]]:
        """Yield a black frame and the results for each frame of the file."""
        return replayed(self._pipeline, self._pipeline.followed(self._replay))

    def shown(self, frame: Frame, results: Results) -> Array:
        """The driver's keypoints."""
        return driver_keypoints(frame.image, results.points)


class KeyframesDriver:
    """Key frames."""

    def __init__(self, keys: Keyframes, job: RenderJob, pipeline: Pipeline) -> None:
        """Raise InputError for a source without a fitted face, or options that need a driver."""
        self._keys, self._job, self._pipeline = keys, job, pipeline
        self.has_face = True
        self._posing = pipeline.replaying(keys, "auto", job.start, job.end)
        self.notes: list[str] = []
        self.about = [f"{len(keys.keys)} key frames, {keys.duration_s:g} s."]

    @contextmanager
    def opened(self) -> Iterator[Drive]:
        """The key frames' rate; in their place beside the result is the moved mesh.

        At the end, the motion file that the job asks for is written.
        """
        job, keys = self._job, self._keys
        count = len(keys.times_s(job.start, job.end))
        yield Drive(keys.fps, time_base_of(keys.fps), (SQUARE_PX, SQUARE_PX), count)
        if job.save_motion is not None:
            save_motion(
                keys, job.save_motion, face_model.load(), start_s=job.start, end_s=job.end,
                overwrite=job.overwrite,
            )  # fmt: skip

    def recorder(self, path: Path, drive: Drive) -> None:
        """None: ``opened`` writes the file."""

    def animated(self) -> Generator[tuple[Frame, Results]]:
        """Yield a black frame and the results for each frame."""
        return replayed(self._pipeline, self._pipeline.followed(self._posing))

    def shown(self, frame: Frame, results: Results) -> Array:
        """The mesh of the posed head."""
        source, head = self._pipeline.source, results.points.head
        assert source is not None and head is not None
        canvas = np.zeros((SQUARE_PX, SQUARE_PX, 3), np.uint8)
        points = fitted_face.points_of_target(source, head, SQUARE_PX)
        if points is not None:
            fitted_face.put_face(canvas, points)
        return canvas


def _reference_note(index: int, time_s: float) -> str:
    return f"Reference: frame {index} ({time_s:.2f} s)."


def _expected_frames(job: RenderJob, reader: io.VideoReader) -> int | None:
    """Number of frames in the cut by the file's metadata; None if unknown."""
    if reader.frame_count is None:
        return None
    end_s = job.end if job.end is not None else float("inf")
    length_s = min(end_s, reader.duration_s or end_s) - job.start
    if length_s == float("inf"):
        return reader.frame_count
    return max(1, min(reader.frame_count, round(length_s * reader.fps)))
