"""A stretch of a long clip -> files of its ranges; all ranges of a clip -> its output.

The stages see the same frames, view and reference as in a run over the whole clip: what comes
before a stretch is followed by stages 1 to 3 without being rendered. A range is done when both its
file and, after it, a JSON file with the times of its pictures are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import groupby, takewhile
from pathlib import Path

import numpy as np

from apps.driving import Drive, VideoDriver
from apps.guards import refuse_clashes, refuse_swapped
from apps.held import HeldStretches
from apps.render import Progress, Summary, refuse_no_head
from apps.sources import source_picture
from apps.streaming import animated, shared_processors, sharing
from hybridanim import io, paths, schema
from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from hybridanim.io import joining, provenance
from hybridanim.io.encoders import SinkPlan
from hybridanim.profiles import load_profiles
from hybridanim.rendering.output_frame import Composer
from hybridanim.text import encoded
from hybridanim.types import Array, Frame, Results
from stages.pipeline import build

from .ranges import LEAD_S, Cut, Stretch

_MOST_BYTES = 64 << 20  # of a range's JSON file


@dataclass(frozen=True)
class Ranged:
    """What is known of a range that is done."""

    times_s: tuple[float, ...]  # of its pictures
    fps: str  # of the output
    time_base: str
    size: tuple[int, int]
    has_alpha: bool
    has_sound: bool  # whether the output is to have the driving video's
    has_face: bool  # whether a look before the run found one
    frozen: int = 0  # frames without a tracked head
    fitted: int = 0
    notes: tuple[str, ...] = ()


def done_ranges(folder: Path, cut: Cut) -> dict[int, Ranged]:
    """The ranges in a folder that are complete."""
    found = {index: _read(folder, index) for index in range(cut.count)}
    return {index: one for index, one in found.items() if one is not None}


def render_stretch(
    files: tuple[RenderJob, Path, Path],
    cut: Cut,
    stretch: Stretch,
    folder: Path,
    share: float,
    progress: Progress,
    on_range: Callable[[int], None],
) -> int:
    """Render the ranges of a stretch into a folder; returns the number of frames.

    files: the job, source and driving video. share: processors that it may use. on_range: called
    with each range that is done. Raises InputError for unusable files or options.
    """
    job, source_path, driving_path = files
    refuse_clashes(job, source_path, driving_path)
    refuse_swapped(job, source_path, driving_path)
    progress(0, None, "source")
    picture = source_picture(source_path, job.source_time, alpha=True)
    settings = sharing(job.pipeline, share)
    settings = replace(settings, dense=replace(settings.dense, explain=False))
    pipeline = build(settings, load_profiles(job.profile))
    source = pipeline.set_source(picture)
    progress(0, None, "scan")
    driver = VideoDriver(driving_path, job, pipeline)
    with ExitStack() as stack:
        drive = stack.enter_context(driver.opened())
        composer = Composer(job, source)
        writer = stack.enter_context(_Writer(job, drive, composer, driver, cut, folder, on_range))
        stack.enter_context(shared_processors(share))
        frames = stack.enter_context(closing(_frames(driver, job, cut, stretch)))
        total = _expected(drive, job, cut, stretch)
        for is_wanted, group in groupby(frames, lambda f: cut.index(f.time_s) in stretch.ranges):
            if not is_wanted:
                for frame in group:
                    pipeline.follow(pipeline.frame(driver.look(frame.image), frame.time_s))
                continue
            with closing(animated(pipeline, group, driver.look)) as results:
                for frame, result in results:
                    shown = driver.shown(frame, result) if job.side_by_side else frame.image
                    image = composer(result.picture.image, shown, result.picture.alpha)
                    writer.write(image, frame, result)
                    progress(writer.count, total, "animate")
        writer.notes = [*pipeline.notes, *driver.notes]
    return writer.count


def _frames(
    driver: VideoDriver, job: RenderJob, cut: Cut, stretch: Stretch
) -> Generator[Frame, None, None]:
    """The frames that a stretch follows or renders, in order."""
    first, last = stretch.ranges[0], stretch.ranges[-1]
    begin_s = cut.start_s(first)
    if stretch.warm_up_s is None or begin_s is None:
        yield from takewhile(lambda frame: cut.index(frame.time_s) <= last, driver.reader)
        return
    jump_s = begin_s - stretch.warm_up_s
    lead_s = min(job.start + LEAD_S, jump_s)
    for frame in driver.reader:
        if frame.time_s >= lead_s:
            break
        yield frame
    with driver.again(max(job.start, jump_s)) as reader:
        yield from takewhile(lambda frame: cut.index(frame.time_s) <= last, reader)


def _expected(drive: Drive, job: RenderJob, cut: Cut, stretch: Stretch) -> int | None:
    """Number of frames in the ranges of a stretch, by their share of the clip."""
    if drive.frame_count is None:
        return None
    if cut.count == len(stretch.ranges):
        return drive.frame_count
    edges = [job.start, *cut.inner_s]
    length_s = edges[1] - edges[0]
    whole = round(length_s * float(drive.fps))
    rest = max(1, drive.frame_count - whole * (cut.count - 1))
    return sum(rest if index == cut.count - 1 else whole for index in stretch.ranges)


class _Writer:
    """Files of ranges, one after the other; a context manager that leaves whole ranges alone."""

    def __init__(
        self,
        job: RenderJob,
        drive: Drive,
        composer: Composer,
        driver: VideoDriver,
        cut: Cut,
        folder: Path,
        on_range: Callable[[int], None],
    ) -> None:
        self.count = 0
        self.notes: list[str] = []
        self._cut, self._folder, self._on_range = cut, folder, on_range
        self._drive, self._has_alpha = drive, composer.has_alpha
        width, height = drive.size
        still = composer(composer.source.image, np.zeros((height, width, 3), np.uint8))
        self._suffix = joining.part_suffix(job.output) or ""
        self._about = Ranged(
            (),
            str(drive.fps),
            str(drive.time_base),
            (still.shape[1], still.shape[0]),
            composer.has_alpha,
            drive.audio is not None,
            driver.has_face,
        )
        self._index = -1
        self._sink: io.VideoWriter | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._finish()
        elif self._sink is not None:
            self._sink.discard()

    def write(self, image: Array, frame: Frame, results: Results) -> None:
        """Add a picture to the range that its frame is in."""
        index = self._cut.index(frame.time_s)
        if index != self._index:
            self._finish()
            self._begin(index)
        assert self._sink is not None
        self._sink.write(image, frame.time_s)
        self._times.append(frame.time_s)
        self._frozen += results.points.is_frozen
        self._fitted += results.tracks.face is not None
        self._held.add(results)
        self.count += 1

    def _begin(self, index: int) -> None:
        self._index, self._times = index, list[float]()
        self._frozen = self._fitted = 0
        self._held = HeldStretches()
        about = self._about
        self._sink = io.open_sink(
            _film(self._folder, index, self._suffix),
            self._drive.fps,
            about.size,
            overwrite=True,
            time_base=self._drive.time_base,
            has_alpha=about.has_alpha,
        )

    def _finish(self) -> None:
        """Complete the range, and then say so beside it."""
        sink, self._sink = self._sink, None
        if sink is None:
            return
        sink.close()
        self._held.finish(1 / float(self._drive.fps) if self._drive.fps else 0.0)
        done = replace(
            self._about,
            times_s=tuple(self._times),
            frozen=self._frozen,
            fitted=self._fitted,
            notes=(*self.notes, *self._held.sentences()),
        )
        text = json.dumps(provenance.to_json(asdict(done)))
        path = _about(self._folder, self._index)
        paths.write_whole("batch", path, encoded(text), overwrite=True)
        self._on_range(self._index)


def _film(folder: Path, index: int, suffix: str) -> Path:
    return folder / f"{index:05d}{suffix}"


def _about(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.json"


def _read(folder: Path, index: int) -> Ranged | None:
    """What is known of a range; None where it is not complete."""
    path = _about(folder, index)
    try:
        table = json.loads(paths.read_text(path, _MOST_BYTES))
        return schema.exactly(Ranged, table, str(path))
    except (OSError, ValueError, TypeError, RecursionError):  # InputError is a ValueError
        return None


def join_ranges(
    job: RenderJob, source_path: Path, driving_path: Path, cut: Cut, folder: Path
) -> Summary:
    """Join the ranges of a folder into the job's output, with the sound of the whole clip.

    Raises InputError where ranges are missing, or the driver was not found in any frame.
    """
    known = done_ranges(folder, cut)
    if len(known) < cut.count:
        raise InputError(f"batch: expected {cut.count} ranges, got {len(known)}; run it again")
    ranged = [known[index] for index in range(cut.count)]
    first = ranged[0]
    suffix = joining.part_suffix(job.output) or ""
    summary = Summary(job.output)
    summary.frames = sum(len(one.times_s) for one in ranged)
    summary.frozen = sum(one.frozen for one in ranged)
    summary.fitted = sum(one.fitted for one in ranged)
    refuse_no_head(summary, any(one.has_face for one in ranged))
    record = provenance.describe(source_path, driving_path, job)
    plan = SinkPlan(
        target=job.output,
        fps=Fraction(first.fps),
        size=first.size,
        time_base=Fraction(first.time_base),
        audio_from=driving_path if first.has_sound else None,
        metadata=provenance.container_tags(record),
        has_alpha=first.has_alpha,
    )
    parts = [
        joining.Part(_film(folder, index, suffix), one.times_s) for index, one in enumerate(ranged)
    ]
    warning = joining.join(parts, plan, overwrite=job.overwrite)
    summary.notes = list(dict.fromkeys(note for one in ranged for note in one.notes))
    summary.notes += [warning] if warning else []
    summary.record = provenance.write_sidecar(job.output, {**record, "ranges": cut.count})
    return summary
