"""Methods or folders of finished clips -> a folder with the page of a blind study, and its key.

Every clip is made or coded anew at one size and by one encoder, and its name is drawn at random, so
that nothing but the picture tells methods apart. The folder appears when it is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from apps.sources import source_picture
from apps.terminal import PROGRAM, listen, progress
from hybridanim import __version__, files, io, paths
from hybridanim.errors import InputError
from hybridanim.evaluation import cross_identity, study, study_page
from hybridanim.evaluation.study import Key
from hybridanim.evaluation.study_page import Shown
from hybridanim.geometry import crop_image
from hybridanim.io import provenance
from hybridanim.text import encoded
from hybridanim.types import Array, Crop
from hybridanim.visualization.sheet import fit

from .cross_identity import Driver, scan_driver, start_frame
from .job import VIDEOS
from .methods import MethodRunner, chosen_methods
from .results import frames_of
from .study_job import StudyJob
from .workers import Progress, silent

PAGE, CLIPS = "index.html", "clips"
_STILL_PX = 320


@dataclass(frozen=True)
class Pair:
    """A source and a driver, and the finished clip of each method, if there is one."""

    name: str
    source: Path
    driver: Path
    clips: tuple[Path, ...] = ()


@dataclass
class Made:
    """What was made."""

    page: Path
    key: Path
    trials: int
    left_out: list[str]


def command(argv: list[str]) -> int:
    """Run ``evaluate study``; returns the exit code."""
    listen()
    job = tyro.cli(StudyJob, args=argv, prog=f"{PROGRAM} evaluate study")
    with progress(" pairs") as show:
        made = make(job, show)
    for line in made.left_out:
        print(f"left out: {line}")
    print(f"{made.trials} comparisons in {made.page}; give its folder to the voters.")
    print(f"Keep the key to yourself: {made.key}")
    return 0


def make(job: StudyJob, report: Progress = silent) -> Made:
    """Make the folder and the key; InputError where there is nothing to show."""
    _refuse_to_replace(job)
    names = job.names or tuple(folder.name for folder in job.clips)
    pairs = _finished_pairs(job) if job.clips else _drawn_pairs(job)
    part = _part_folder(job.out)
    try:
        (part / CLIPS).mkdir()
        shown, left_out = _write_clips(job, pairs, part, report)
        if not shown:
            raise InputError(
                f"evaluate study: expected pairs that can be animated, got none of {len(pairs)}:"
                f" {left_out[0]}; choose other --sources or --drivers"
            )
        key = study.make_key(study.draw_trials(list(shown), names, job.seed), names)
        _write_page(part / PAGE, key, shown, names)
        about = {"seed": job.seed, "tool": f"{provenance.TOOL} {__version__}"}
        text = json.dumps(provenance.to_json(study.key_to_json(key, about)), indent=1) + "\n"
        paths.write_whole("--key", job.key_path, encoded(text), overwrite=False)
        _appear(part, job)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Made(job.out / PAGE, job.key_path, len(key.trials), left_out)


def _refuse_to_replace(job: StudyJob) -> None:
    found = paths.look(job.out)
    if found is not None:
        raise InputError(
            f"evaluate study {job.out}: expected a new folder, got one that exists; choose another"
            " name"
        )
    inputs = [path for path in (job.sources, job.drivers, *job.clips) if path is not None]
    paths.refuse_replacing([("--key", job.key_path)], inputs, overwrite=False)


def _part_folder(out: Path) -> Path:
    try:
        return files.part_folder(out, ".partial")
    except OSError as error:
        raise paths.unusable(out, error) from error


def _appear(part: Path, job: StudyJob) -> None:
    """Give the folder its name; without it there is no key, either."""
    try:
        part.rename(job.out)
    except OSError as error:
        job.key_path.unlink()
        raise paths.unusable(job.out, error) from error


def _drawn_pairs(job: StudyJob) -> list[Pair]:
    assert job.sources is not None and job.drivers is not None
    sources = [p for p in sorted(job.sources.iterdir()) if _is_source(p)]
    drivers = [p for p in sorted(job.drivers.iterdir()) if p.suffix.lower() in VIDEOS]
    drawn = cross_identity.draw_pairs(sources, drivers, job.pairs, job.seed)
    if not drawn:
        raise InputError(
            f"evaluate study: expected pictures in {job.sources} and videos in {job.drivers}, got"
            f" {len(sources)} and {len(drivers)}; check the folders"
        )
    drawn.sort(key=lambda pair: (pair[1], pair[0]))  # a driver is scanned once
    return [Pair(f"{s.name} < {d.name}", s, d) for s, d in drawn]


def _is_source(path: Path) -> bool:
    return io.is_picture(path) or path.suffix.lower() in VIDEOS


def _finished_pairs(job: StudyJob) -> list[Pair]:
    """Clips that are in every folder, with the source and the driver that their records name."""
    assert job.sources is not None and job.drivers is not None
    first, *others = job.clips
    names = [p.name for p in sorted(first.iterdir()) if p.suffix.lower() in VIDEOS]
    names = [name for name in names if all(paths.is_file(folder / name) for folder in others)]
    if not names:
        raise InputError(
            "evaluate study --clips: expected clips of the same names in all folders, got none;"
            " animate the same pairs into each of them"
        )
    chosen = sorted(np.random.default_rng(job.seed).permutation(len(names))[: job.pairs])
    pairs = []
    for name in (names[int(k)] for k in chosen):
        source, driver = _made_from(first / name)
        clips = tuple(folder / name for folder in job.clips)
        pairs.append(Pair(name, job.sources / source, job.drivers / driver, clips))
    return pairs


def _made_from(clip: Path) -> tuple[str, str]:
    """Names of the source and of the driver of a finished clip, by the record beside it."""
    record = provenance.sidecar_path(clip)
    try:
        table = json.loads(paths.read_text(record))
        return str(table["source"]["name"]), str(table["driving"]["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"evaluate study --clips {clip}: expected its record {record.name} beside it, which"
            " names source and driver, got none; keep the records with the clips"
        ) from error


Names = dict[str, list[str]]  # pair -> files: driver, source, and each method's clip


def _write_clips(
    job: StudyJob, pairs: Sequence[Pair], folder: Path, report: Progress
) -> tuple[Names, list[str]]:
    """Write driver, source and each method's clip of every pair; also what was left out."""
    random = np.random.default_rng()  # names tell nothing, also to those who know the seed
    player = _Finished(job) if job.clips else _Animated(job)
    shown: Names = {}
    left_out: list[str] = []
    for done, pair in enumerate(pairs):
        report(done, len(pairs), pair.name[:40])
        count = len(job.names or job.clips)
        names = [f"{CLIPS}/{random.bytes(8).hex()}.mp4" for _ in range(count + 1)]
        still = f"{CLIPS}/{random.bytes(8).hex()}.jpg"
        try:
            picture, rate, rows = player.play(pair)
            _write_videos([folder / name for name in names], rate, rows)
            io.write_picture(folder / still, fit(picture, _STILL_PX, _STILL_PX))
        except InputError as error:
            left_out.append(f"{pair.name}: {error}")
            continue
        shown[pair.name] = [names[0], still, *names[1:]]
    report(len(pairs), len(pairs), "done")
    return shown, left_out


def _write_videos(
    targets: Sequence[Path], rate: Fraction, rows: Iterable[tuple[float, list[Array]]]
) -> None:
    """Write pictures that belong together into one video each; none where that fails."""
    with ExitStack() as stack:
        sinks: list[Any] = []
        for time_s, images in rows:
            if not sinks:
                size = images[0].shape[1], images[0].shape[0]
                tags = {"comment": "Generated, but for the driver; not a recording"}
                sinks = [
                    stack.enter_context(io.open_sink(path, rate, size, metadata=tags, crf=16))
                    for path in targets
                ]
            for sink, image in zip(sinks, images, strict=True):
                sink.write(image, time_s)
        if not sinks:
            raise InputError("expected frames, got none; choose another clip")


class _Animated:
    """Pairs animated by the methods."""

    def __init__(self, job: StudyJob) -> None:
        self._job = job.evaluated()
        self._runner = MethodRunner(self._job, chosen_methods(self._job), "relative")
        self._driver: Driver | None = None

    def play(self, pair: Pair) -> tuple[Array, Fraction, Iterator[tuple[float, list[Array]]]]:
        """The source, the rate, and per frame its time with driver and methods' pictures."""
        if self._driver is None or self._driver.path != pair.driver:
            self._driver = scan_driver(pair.driver, self._job)
        source = self._runner.set_source(source_picture(pair.source), "auto")
        if source is None:
            raise InputError("evaluate study: expected a method beside copy; add classical+warp")
        self._runner.set_view(self._driver.view)
        if self._job.reference == "nearest":
            self._runner.set_reference(start_frame(source, self._driver, self._job))
        with io.open_source(pair.driver) as reader:
            rate = reader.fps
        return source.image, rate, self._rows(self._driver, source.image)

    def _rows(self, driver: Driver, copy: Array) -> Iterator[tuple[float, list[Array]]]:
        crop: Crop | None = None
        for frame in frames_of(driver.path, self._job):
            crop = crop or _inside(driver.crop, *frame.image.shape[:2])
            followed = self._runner.track(frame.image, frame.time_s)
            pictures = self._runner.render(followed, copy)
            shown = crop_image(frame.image, crop, self._job.size)
            yield frame.time_s, [shown, *pictures.values()]


def _inside(crop: Crop, height_px: int, width_px: int) -> Crop:
    """The crop, made smaller and moved so that all of it shows the picture."""
    side_px = min(crop.side_px, height_px, width_px)
    grown = (crop.side_px - side_px) / 2
    x, y = (
        float(np.clip(corner + grown, 0, size - side_px))
        for corner, size in ((crop.x_px, width_px), (crop.y_px, height_px))
    )
    return Crop(x, y, side_px)


class _Finished:
    """Pairs whose clips are there."""

    def __init__(self, job: StudyJob) -> None:
        self._job = job

    def play(self, pair: Pair) -> tuple[Array, Fraction, Iterator[tuple[float, list[Array]]]]:
        """As that of ``_Animated``; the clips end with the shortest."""
        with io.open_source(pair.driver) as reader:
            rate = reader.fps
        return source_picture(pair.source), rate, self._rows(pair)

    def _rows(self, pair: Pair) -> Iterator[tuple[float, list[Array]]]:
        side = self._job.size // 2 * 2
        with ExitStack() as stack:
            readers = [
                stack.enter_context(io.open_source(path)) for path in (pair.driver, *pair.clips)
            ]
            for count, frames in enumerate(zip(*readers, strict=False)):
                if count >= self._job.frames:
                    return
                yield frames[0].time_s, [fit(frame.image, side, side) for frame in frames]


def _write_page(path: Path, key: Key, shown: Names, methods: Sequence[str]) -> None:
    at = {method: 2 + k for k, method in enumerate(methods)}
    trials = []
    for trial in key.trials:
        names = shown[trial.pair]
        left, right = names[at[trial.left]], names[at[trial.right]]
        trials.append(Shown(trial.name, left, names[0], right, names[1]))
    path.write_bytes(encoded(study_page.page(key.study, trials)))
