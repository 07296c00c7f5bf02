"""The subcommand live: animates SOURCE by a camera's pictures, in real time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import tyro

from apps import options
from apps.guards import undisturbed
from apps.sources import source_picture
from apps.terminal import PROGRAM, example_source, listen
from hybridanim import files, processors
from hybridanim.config import PipelineConfig
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.live import access
from hybridanim.live.camera import Camera, CameraError, Shot, make_camera
from hybridanim.live.capture import Capture
from hybridanim.live.config import LiveJob, read_live_job
from hybridanim.live.loop import Loop
from hybridanim.live.mailbox import Mailbox
from hybridanim.live.quality import Quality, QualityGovernor, quality_levels
from hybridanim.live.sharing import Sharing
from hybridanim.live.window import DisplayCheck
from hybridanim.tracking.registry import TRACKERS
from hybridanim.types import Array
from stages.build import is_more_than_warp, uses_networks

from . import devices
from .animator import Animator
from .outputs import build_record, finish, open_outputs, refuse_to_replace

CONSENT_TEXT = (
    "Animate only people who have agreed to it, and let nobody take the result for a recording."
)

MAIN = (  # shown first by --help
    *("camera", "list_cameras", "serve", "virtual_camera", "output"),
    *("size", "renderer", "tracker", "paste_back"),
)


@dataclass(frozen=True)
class Files:
    """Positional arguments."""

    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SOURCE")] = ()
    """Pictures (or videos, whose first frame counts); keys n and 1 to 9 change between them."""
    config: Path | None = None
    """Read options from this TOML file; options given here win."""


def command(argv: list[str]) -> int:
    """Run the subcommand live with these arguments; returns the exit code."""
    listen()
    path = options.config_path(argv)
    job = read_live_job(path) if path else LiveJob()
    text = "Animate pictures by a camera, now. Without SOURCE: the example's picture."
    given, job = options.parse(argv, Files(), job, MAIN, f"{PROGRAM} live", text)
    if job.list_cameras:
        print("\n".join(devices.lines(devices.list_cameras())))
        return 0
    sources = given.sources or (example_source(),)
    if given.config is not None:
        refuse_to_replace(job, sources, given.config)
    live(job, sources)
    return 0


def live(
    job: LiveJob, sources: tuple[Path, ...], make: Callable[[], Camera] | None = None
) -> dict[str, Any]:
    """Run until the end; returns the report. make: opens cameras in place of the job's."""
    refuse_to_replace(job, sources)
    if job.serve is not None:
        access.bound_address(job.serve_address)  # before seconds of loading
    if is_first_run():
        print(CONSENT_TEXT, flush=True)
    display = None if job.window == "no" else DisplayCheck()
    make = make or (lambda: make_camera(job.camera, job.camera_size, job.camera_rate, job.loop))
    record = build_record(job, sources[0], make().name)
    shots: Mailbox[Shot] = Mailbox()
    capture = Capture(make, shots)
    capture.start()  # opening a camera takes seconds: the pipeline is built meanwhile
    sharing = Sharing(min(processors.count(), cv2.getNumThreads())) if job.adapt else None
    try:
        pictures = [source_picture(path) for path in sources]
        if sharing is not None:
            sharing.begin()
        animator = _animator(job, pictures, sharing)
        levels = _levels(job.pipeline) if job.adapt else ()
        governor = QualityGovernor(levels, job.latency, sharing)
        loop = Loop(animator, capture, shots, governor)
        tags = provenance.container_tags(record)
        outputs = open_outputs(job, display, animator.still(), tags, loop.press)
    except BaseException:
        capture.stop()
        raise
    threads = cv2.getNumThreads()
    try:
        governor.choose_start(animator.warm_up)
        _wait(capture)
        print("\n".join(outputs.notes), flush=True)
        loop.run(outputs, job.seconds)
    except KeyboardInterrupt:
        pass  # the usual way to end
    finally:
        with undisturbed():
            capture.stop()
            outputs.close()
            cv2.setNumThreads(threads)
    report = loop.report() | {"outputs": outputs.report()}
    finish(job, report, outputs, record)
    return report


def _animator(job: LiveJob, pictures: list[Array], sharing: Sharing | None) -> Animator:
    """An animator whose networks have the threads that other programs leave them.

    A number that the job gives is kept.
    """
    networks = job.pipeline.networks
    if sharing is None or networks.threads:
        return Animator(job, pictures)
    if sharing.is_lowered:
        networks = replace(networks, threads=sharing.threads)
    job = replace(job, pipeline=replace(job.pipeline, networks=networks))
    return Animator(job, pictures, adapts_networks=True)


def is_first_run() -> bool:
    """True until it has returned True once; a file in the user's cache folder remembers that.

    Where that file cannot be kept, every run is the first.
    """
    folder = files.cache_folder()
    if folder is None:
        return True
    marker = folder / "consent"
    try:
        if marker.exists():
            return False
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError:
        pass  # so the next run is the first one, too
    return True


def _wait(capture: Capture) -> None:
    try:
        capture.wait()
    except CameraError as error:
        raise InputError(
            f"--camera: expected pictures, but {error}; {PROGRAM} live --list-cameras shows"
            " what there is, and --camera FILE takes a video instead"
        ) from error


def _levels(config: PipelineConfig) -> tuple[Quality, ...]:
    return quality_levels(
        config,
        uses_anchors=TRACKERS[config.tracker].uses_anchors,
        uses_networks=uses_networks(config),
        is_more_than_warp=is_more_than_warp(config),
    )
