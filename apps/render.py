"""RenderJob, a source and a driver -> a video: reading, the pipeline, writing.

The run is streamed: reading, stages 1 to 3, stages 4 and 5, and writing process different frames at
the same time, with only a few frames in memory. Outputs appear when they are complete; an
interruption keeps the frames that are done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim import io, paths, processors
from hybridanim.config import PipelineConfig, RenderJob, replaces_background
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.profiles import load_profiles
from hybridanim.rendering.output_frame import Composer
from hybridanim.types import Source
from hybridanim.visualization.debug_writer import DebugWriter
from stages.pipeline import Pipeline, build

from .driving import Drive, Driver, Driving, FileDriving, Recorder
from .guards import DebugOutputs, note_remains, refuse_clashes, undisturbed
from .held import HeldStretches
from .sources import source_picture
from .streaming import half_of, shared_processors, sharing

_NO_SOURCE_FACE = (
    "No face was fitted to the source: its head moves by keypoints alone. If the result shows the"
    " wrong part of the picture, give the face by --crop X,Y,W,H or --face N."
)
Progress = Callable[[int, int | None, str], None]  # frames done, total, one of events.STEPS


@dataclass
class Summary:
    """Result of a run."""

    output: Path
    record: Path | None = None  # the JSON file beside it
    frames: int = 0
    frozen: int = 0  # frames without a tracked head
    fitted: int = 0  # frames with a fitted face of the driver
    is_interrupted: bool = False
    has_debug: bool = False  # whether debug outputs were written
    took_s: float = 0.0  # the whole run
    animating_s: float = 0.0  # from the first frame that was read to the last one written
    about: list[str] = field(default_factory=list)  # sentences for the user: what was chosen
    notes: list[str] = field(default_factory=list)  # what they should know of the result

    @property
    def fps(self) -> float:
        """Frames a second while animating."""
        return self.frames / self.animating_s if self.animating_s > 0 else 0.0

    def figures(self, debug: Path | None = None) -> dict[str, Any]:
        """The result, for programs; debug: the folder of debug outputs."""
        return {
            "output": self.output,
            "record": self.record,
            "debug": debug,
            "frames": self.frames,
            "frames_held": self.frozen,
            "seconds": round(self.took_s, 2),
            "seconds_animating": round(self.animating_s, 2),
            "fps": round(self.fps, 2),
            "is_interrupted": self.is_interrupted,
        }


def render(
    job: RenderJob,
    source_path: Path,
    driving_path: Path,
    progress: Progress | None = None,
    *,
    share: float | None = None,
) -> Summary:
    """Animate the source file by the driving file and write all outputs of the job.

    share: processors that it may use; None = those that other programs leave. Raises InputError for
    unusable files or options.
    """
    return render_by(job, source_path, FileDriving(driving_path), progress, share=share)


def render_by(
    job: RenderJob,
    source_path: Path,
    driving: Driving,
    progress: Progress | None = None,
    *,
    share: float | None = None,
) -> Summary:
    """Animate the source file by any driver and write all outputs of the job.

    share: see ``render``. Raises InputError for unusable files or options.
    """
    report = progress or (lambda done, total, step: None)
    start_s, watch = time.perf_counter(), processors.Watch()
    refuse_clashes(job, source_path, *driving.inputs)
    job = driving.job(job, source_path)
    report(0, None, "source")
    picture = source_picture(source_path, job.source_time, alpha=True)
    summary, held = Summary(job.output), HeldStretches()
    free = share or _note_other_programs(summary, watch.others())
    settings = sharing(job.pipeline, free)
    if job.debug is None:  # nothing shows them
        settings = replace(settings, dense=replace(settings.dense, explain=False))
    pipeline = build(settings, load_profiles(job.profile))
    source = pipeline.set_source(picture)
    report(0, None, "scan")
    driver = driving.driver(job, pipeline)
    record = provenance.describe(source_path, driving.record(), job)
    record["driving"] |= driving.more()
    with ExitStack() as quiet, ExitStack() as stack:
        drive = stack.enter_context(driver.opened())
        composer = Composer(job, source)
        sink = stack.enter_context(_open_sink(job, drive, composer, record))
        recorder = _open_recorder(job, drive, driver)
        if recorder is not None:
            stack.enter_context(recorder)
        debug = DebugOutputs(_open_debug(job, drive, source, record))
        stack.push(debug.leave)
        stack.enter_context(shared_processors(free))
        report(0, drive.frame_count, "animate")
        first_s = time.perf_counter()
        try:
            for frame, results in stack.enter_context(closing(driver.animated())):
                shown = driver.shown(frame, results) if job.side_by_side else frame.image
                picture = results.picture
                sink.write(composer(picture.image, shown, picture.alpha), frame.time_s)
                debug.write(results)
                summary.frames += 1
                summary.frozen += results.points.is_frozen
                summary.fitted += results.tracks.face is not None
                held.add(results)
                report(summary.frames, drive.frame_count, "animate")
        except KeyboardInterrupt:
            if not sink.count:
                raise
            quiet.enter_context(undisturbed())
            summary.is_interrupted, summary.frames = True, sink.count
            sink.abort_keep(_name_of_part(job, summary))
            debug.close("interrupted")
        quiet.enter_context(undisturbed())
        summary.animating_s = time.perf_counter() - first_s
        if not summary.frames:
            raise InputError(
                f"{driving.name}: expected frames between --start and --end, found none;"
                " choose another range"
            )
        refuse_no_head(summary, driver.has_face)
        report(0, None, "finish")
        stack.close()
        summary.about += driver.about
        summary.notes += driver.notes
        if recorder is not None and recorder.is_empty:
            summary.notes.append("No motion file: no head was tracked.")
        summary.has_debug = job.debug is not None and not debug.failure
        summary.notes += filter(None, (sink.warning, debug.failure))
        held.finish(1 / float(drive.fps) if drive.fps else 0.0)
        if summary.fitted and source.face is None:
            summary.notes.append(_NO_SOURCE_FACE)
        summary.notes += [*_notes_of(pipeline, job), *_note_white(job, source), *held.sentences()]
        summary.notes += note_remains(job.output, job.debug)
        summary.record = provenance.write_sidecar(sink.path, record)
    summary.took_s = time.perf_counter() - start_s
    return summary


def _notes_of(pipeline: Pipeline, job: RenderJob) -> list[str]:
    """What its stages and networks had to do otherwise, and settings without an effect."""
    runtime = [note for info in pipeline.runtime_info for note in info.notes]
    return [*pipeline.notes, *runtime, *config_notes(job.pipeline)]


def config_notes(config: PipelineConfig) -> list[str]:
    """Sentences about settings that have no effect beside others."""
    if config.track.face_fit or config.keypoints.head_motion == "2d":
        return []
    return [
        "The head moves in the plane: --head-motion 3d needs the fitted face, which --no-face-fit"
        " switches off."
    ]


def _note_white(job: RenderJob, source: Source) -> list[str]:
    """A sentence where the source's transparency is not kept, or none."""
    is_lost = not io.holds_alpha(job.output) or job.pipeline.render.paste_back
    if (
        source.alpha is None
        or replaces_background(job.pipeline.keypoints.background)
        or not is_lost
    ):
        return []
    return [
        "The source is transparent and lies on white here; a .mov, .webm or .png file, or a folder,"
        " without --paste-back, keeps its transparency."
    ]


def _name_of_part(job: RenderJob, summary: Summary) -> Path | None:
    """Path for a partial result, such that it does not replace a complete one; adds a note."""
    kept = job.output
    if not (any(kept.iterdir()) if kept.is_dir() else kept.exists()):
        return None
    summary.output = paths.free_name(kept.with_name(f"{kept.stem}.partial{kept.suffix}"))
    summary.notes.append(f"{kept} is the earlier result; this one is beside it.")
    return summary.output


def _open_sink(
    job: RenderJob, drive: Drive, composer: Composer, record: dict[str, Any]
) -> io.VideoWriter:
    width, height = drive.size
    still = composer(composer.source.image, np.zeros((height, width, 3), np.uint8))
    return io.open_sink(
        job.output,
        drive.fps,
        (still.shape[1], still.shape[0]),
        overwrite=job.overwrite,
        audio_from=drive.audio,
        metadata=provenance.container_tags(record),
        time_base=drive.time_base,
        has_alpha=composer.has_alpha,
    )


def _open_recorder(job: RenderJob, drive: Drive, driver: Driver) -> Recorder | None:
    return None if job.save_motion is None else driver.recorder(job.save_motion, drive)


def _open_debug(
    job: RenderJob, drive: Drive, source: Source, record: dict[str, Any]
) -> DebugWriter | None:
    if job.debug is None:
        return None
    return DebugWriter(
        job.debug,
        drive.fps,
        source,
        settings=record["settings"],
        versions={"python": record["python"], **record["packages"]},
        title=f"{record['source']['name']} driven by {record['driving']['name']}",
        overwrite=job.overwrite,
    )


def _note_other_programs(summary: Summary, others: float) -> float:
    """Processors that other programs leave; adds a note when fewer threads are used because of it.

    others: processors that they use.
    """
    count = processors.count()
    free = max(1.0, count - others)
    threads = half_of(free)
    if threads < half_of(count):
        summary.notes.append(
            f"Other programs use {others:.1f} of {count} processors; two steps at a time use"
            f" {threads} each."
        )
    return free


def refuse_no_head(summary: Summary, has_face: bool) -> None:
    """Raise InputError when the result would be a still picture."""
    if summary.frozen >= summary.frames and not has_face and not summary.is_interrupted:
        raise InputError(
            "driving video: expected a face, found none in any frame; try one that shows it from"
            " the front, or cut it with --start and --end"
        )
