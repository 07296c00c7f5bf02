"""RenderJob, a source and a driving file -> a video: reading, the pipeline, writing.

The run is streamed: reading, stages 1 to 3, stages 4 and 5, and writing process different frames at
the same time, with only a few frames in memory. Outputs appear when they are complete; an
interruption keeps the frames that are done.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim import io, paths, processors
from hybridanim.config import PipelineConfig, RenderJob
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.prepare import driver_scan
from hybridanim.prepare.driver_scan import Observation
from hybridanim.profiles import load_profiles
from hybridanim.rendering.output_frame import Composer
from hybridanim.types import Array, Source
from hybridanim.visualization.debug_writer import DebugWriter
from stages.pipeline import Pipeline, build

from .guards import DebugOutputs, refuse_clashes, undisturbed
from .held import HeldStretches
from .streaming import animated, half_of, shared_processors, sharing

SCAN_S = 60.0  # length of the driving video's preview scan before the run
_SCAN_EVERY_S = 0.4  # interval of the scan
Progress = Callable[[int, int | None, str], None]  # frames done, total, name of the step


@dataclass
class Summary:
    """Result of a run."""

    output: Path
    frames: int = 0
    frozen: int = 0  # frames without a tracked head
    is_interrupted: bool = False
    has_debug: bool = False  # whether debug outputs were written
    notes: list[str] = field(default_factory=list)  # sentences for the user


def render(
    job: RenderJob, source_path: Path, driving_path: Path, progress: Progress | None = None
) -> Summary:
    """Animate the source file by the driving file and write all outputs of the job.

    Raises InputError for unusable files or options.
    """
    report = progress or (lambda done, total, step: None)
    watch = processors.Watch()
    refuse_clashes(job, source_path, driving_path)
    picture = _source_picture(source_path, job.source_time)
    summary, held = Summary(job.output), HeldStretches()
    free = _note_other_programs(summary, watch.others())
    pipeline = build(sharing(job.pipeline, free), load_profiles(job.profile))
    source = pipeline.set_source(picture)
    report(0, None, "looking through the driving video")
    observations, chosen = _scan(driving_path, job, pipeline)
    record = provenance.describe(source_path, driving_path, job)
    with ExitStack() as quiet, ExitStack() as stack:
        reader = stack.enter_context(io.open_source(driving_path, job.start, job.end))
        pipeline.use_scan(observations, reader.height, reader.width)
        _set_reference(pipeline, job, chosen, summary)
        composer = Composer(job, source)
        sink = stack.enter_context(_open_sink(job, reader, composer, driving_path, record))
        debug = DebugOutputs(_open_debug(job, reader, source, record))
        stack.push(debug.leave)
        total = _expected_frames(job, reader)
        stack.enter_context(shared_processors(free))
        try:
            for frame, results in stack.enter_context(closing(animated(pipeline, reader))):
                sink.write(composer(results.picture.image, frame.image), frame.time_s)
                debug.write(results)
                summary.frames += 1
                summary.frozen += results.points.is_frozen
                held.add(results)
                report(summary.frames, total, "animating")
        except KeyboardInterrupt:
            if not sink.count:
                raise
            quiet.enter_context(undisturbed())
            summary.is_interrupted, summary.frames = True, sink.count
            sink.abort_keep(_name_of_part(job, summary))
            debug.close("interrupted")
        quiet.enter_context(undisturbed())
        if not summary.frames:
            raise InputError(
                f"{driving_path.name}: expected frames between --start and --end, found none;"
                " choose another range"
            )
        _refuse_no_head(summary, bool(observations))
        stack.close()
        summary.has_debug = job.debug is not None and not debug.failure
        warnings = reader.warning, sink.warning, debug.failure
        summary.notes += [warning for warning in warnings if warning]
        for info in pipeline.runtime_info:
            summary.notes += info.notes
        summary.notes += config_notes(job.pipeline)
        held.finish(1 / float(reader.fps) if reader.fps else 0.0)
        summary.notes += held.sentences()
        provenance.write_sidecar(sink.path, record)
    return summary


def config_notes(config: PipelineConfig) -> list[str]:
    """Sentences about settings that have no effect beside others."""
    if config.track.face_fit or config.keypoints.head_motion == "2d":
        return []
    return [
        "The head moves in the plane: --head-motion 3d needs the fitted face, which --no-face-fit"
        " switches off."
    ]


def _name_of_part(job: RenderJob, summary: Summary) -> Path | None:
    """Path for a partial result, such that it does not replace a complete one; adds a note."""
    kept = job.output
    if not (any(kept.iterdir()) if kept.is_dir() else kept.exists()):
        return None
    summary.output = paths.free_name(kept.with_name(f"{kept.stem}.partial{kept.suffix}"))
    summary.notes.append(f"{kept} is the earlier result; this one is beside it.")
    return summary.output


def _source_picture(path: Path, time_s: float) -> Array:
    """The picture to animate: the file itself, or a video's frame at that time."""
    try:
        return io.read_source_picture(path, time_s)
    except InputError as error:  # name the options of the command line
        text = str(error).replace("driving video:", "source:")
        text = text.replace("start:", "--source-time:").replace("earlier start", "earlier time")
        raise InputError(text) from error


def _scan(
    path: Path, job: RenderJob, pipeline: Pipeline
) -> tuple[list[Observation], tuple[Observation, Array] | None]:
    """Preview scan: observations of the driver at intervals over the first minute of the cut.

    Also returns the reference observation and its picture; None for the first frame.
    """
    end = min(job.start + SCAN_S, job.end or float("inf"))
    wanted = int(job.reference) if job.reference.isdecimal() else -1
    found: list[Observation] = []
    chosen: tuple[Observation, Array] | None = None
    due = 0.0
    with io.open_source(path, job.start, None if wanted >= 0 else end) as reader:
        first_s: float | None = None
        for frame in reader:
            first_s = frame.time_s if first_s is None else first_s
            passed = frame.time_s - first_s
            if passed >= due or frame.index == wanted:
                observation = pipeline.detect(frame.image, frame.index, frame.time_s)
                if observation is not None:
                    found.append(observation)
                    if _is_reference(observation, chosen and chosen[0], job, pipeline):
                        chosen = observation, frame.image
                due = max(due, passed + _SCAN_EVERY_S) if passed >= due else due
            if passed > SCAN_S and frame.index >= wanted:
                break
    return found, chosen


def _is_reference(
    observation: Observation, best: Observation | None, job: RenderJob, pipeline: Pipeline
) -> bool:
    """Whether this observation is a better reference frame than the best before it."""
    if job.reference == "first" or pipeline.source is None:
        return False
    if job.reference == "auto":
        both = [observation] if best is None else [best, observation]
        return driver_scan.nearest(both, pipeline.source) is observation
    return observation.index == int(job.reference)


def _set_reference(
    pipeline: Pipeline, job: RenderJob, chosen: tuple[Observation, Array] | None, summary: Summary
) -> None:
    """Set the pipeline's reference frame; adds a note."""
    observation, picture = chosen or (None, None)
    if job.reference.isdecimal() and (observation is None or not observation.is_clear):
        raise InputError(
            f"--reference {job.reference}: expected a frame with a clear face, found none"
            " there; choose another frame, or auto"
        )
    if observation is not None and pipeline.set_reference(picture, observation):
        summary.notes.append(f"Reference: frame {observation.index} ({observation.time_s:.2f} s).")


def _open_sink(
    job: RenderJob,
    reader: io.VideoReader,
    composer: Composer,
    driving_path: Path,
    record: dict[str, Any],
) -> io.VideoWriter:
    still = composer(composer.source.image, np.zeros((reader.height, reader.width, 3), np.uint8))
    return io.open_sink(
        job.output,
        reader.fps,
        (still.shape[1], still.shape[0]),
        overwrite=job.overwrite,
        audio_from=driving_path if job.audio and reader.has_audio else None,
        metadata=provenance.container_tags(record),
        time_base=reader.time_base,
    )


def _open_debug(
    job: RenderJob,
    reader: io.VideoReader,
    source: Source,
    record: dict[str, Any],
) -> DebugWriter | None:
    if job.debug is None:
        return None
    return DebugWriter(
        job.debug,
        reader.fps,
        source,
        settings=record["settings"],
        versions={"python": record["python"], **record["packages"]},
        title=f"{record['source']['name']} driven by {record['driving']['name']}",
        overwrite=job.overwrite,
    )


def _expected_frames(job: RenderJob, reader: io.VideoReader) -> int | None:
    """Number of frames in the cut by the file's metadata; None if unknown."""
    if reader.frame_count is None:
        return None
    end_s = job.end if job.end is not None else float("inf")
    length_s = min(end_s, reader.duration_s or end_s) - job.start
    if length_s == float("inf"):
        return reader.frame_count
    return max(1, min(reader.frame_count, round(length_s * reader.fps)))


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


def _refuse_no_head(summary: Summary, has_face: bool) -> None:
    """Raise InputError when the result would be a still picture."""
    if summary.frozen >= summary.frames and not has_face and not summary.is_interrupted:
        raise InputError(
            "driving video: expected a face, found none in any frame; try one that shows it from"
            " the front, or cut it with --start and --end"
        )
