"""A list of clips -> the cache that training reads: frames and keypoints, made by processes.

A clip is decoded twice: once to select the parts that are worth training on (clip_quality), once to
crop, resize and keep the frames of those parts and to make their keypoint sets (keypoint_sets). Its
plan, a small .json that is written last, lists its parts and what was left out.

What is in the cache is not made again, but a clip whose file, options or tracker have changed has
another name or key, and is. A listing for each split names the clips of a run.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from hybridanim import geometry, io
from hybridanim.config import PipelineConfig
from hybridanim.errors import InputError
from hybridanim.files import atomic_write
from hybridanim.prepare import driver_scan
from hybridanim.prepare.source import source_crop
from hybridanim.prepare.source_head import find_head
from hybridanim.profiles import Profiles
from hybridanim.types import Array, Crop

from . import clip_quality, dataset_index, portraits
from .cache import EXACT, PER_FRAME, TRACKED, read_points, write_listing
from .clip_quality import Part, Wants
from .dataset_index import TRAIN, DatasetEntry, fingerprint
from .keypoint_sets import SetMaker, SetsWanted
from .portraits import MotionRange

Progress = Callable[[int, int, str], None]  # clips done, of how many, which
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EPERM)
_VERSION = 1  # increase it when the same clip gives other frames
_TRACKED_PX = 256  # smallest side of the pictures in which keypoints are searched
_LEAST_SEEN = 4  # frames of a part in which all keypoint sets must be there
_PORTRAIT_FRAMES = 24  # of the synthetic motion of a picture
_HEAD_REACH = 0.5  # sigma of the window in which a portrait moves, normalised
_MOST_FPS = 35.0  # faster clips are reduced to about 30 frames a second


@dataclass(frozen=True)
class Recipe:
    """Options of the cache."""

    size: int = 256
    """Side of the kept frames."""
    most: int = 120
    """Frames kept of each part."""
    wants: Wants = field(default_factory=Wants)
    sets: SetsWanted = field(default_factory=SetsWanted)

    def name(self, entry: DatasetEntry) -> str:
        """Name of a clip in the cache; it depends on the file's state and on these options."""
        made = [_VERSION, self.size, self.most, asdict(self.wants), fingerprint(entry.path)]
        key = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:10]
        return f"{entry.name}-{key}"


@dataclass(frozen=True)
class Outcome:
    """The result of preparing one clip."""

    entry: DatasetEntry
    clips: tuple[str, ...] = ()  # names in the cache
    left_out: dict[str, str] = field(default_factory=dict)  # frames, or "" for all -> why


def prepare(
    entries: Sequence[DatasetEntry],
    cache: Path,
    recipe: Recipe,
    *,
    workers: int = 1,
    progress: Progress = lambda done, total, what: None,
) -> list[Outcome]:
    """Fill the cache; one outcome a clip, in order.

    Raises InputError when the cache cannot be written or the disk is, or would be, full.
    """
    maker = SetMaker(recipe.sets)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        todo = [one for one in entries if not is_ready(one, cache, recipe, maker)]
        _check_space(len(todo), cache, recipe)
        found = {
            outcome.entry.name: outcome for outcome in _run(todo, cache, recipe, workers, progress)
        }
    except BrokenProcessPool as error:
        raise InputError(
            "--workers: expected every process to end its clips, one was killed (out of memory,"
            " perhaps); what is done is kept, go on with --workers 1"
        ) from error
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise InputError(
            f"--cache {cache}: expected room to write the cached frames, got"
            f" {error.strerror!r}; free some space, or give another place with --cache"
        ) from error
    return [found.get(one.name) or read_outcome(one, cache, recipe) for one in entries]


def _check_space(clips: int, cache: Path, recipe: Recipe) -> None:
    """InputError when the frames of so many clips would not fit."""
    needed = clips * recipe.most * recipe.size**2 * 3
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise InputError(
            f"--cache {cache}: expected {needed / 1e9:.1f} GB free for {clips} clips, got"
            f" {free / 1e9:.1f}; free some space, keep fewer frames with --frames, or give"
            " another place with --cache"
        )


def _run(
    todo: list[DatasetEntry], cache: Path, recipe: Recipe, workers: int, progress: Progress
) -> Iterator[Outcome]:
    if workers <= 1 or len(todo) <= 2:
        maker = SetMaker(recipe.sets)
        for done, one in enumerate(todo):
            progress(done, len(todo), one.name)
            yield prepare_clip(one, cache, recipe, maker)
        return
    start, set_up = get_context("spawn"), (recipe.sets,)
    pool = ProcessPoolExecutor(workers, start, initializer=_set_up, initargs=set_up)
    try:
        jobs = [pool.submit(_prepare_in_worker, one, cache, recipe) for one in todo]
        for done, job in enumerate(as_completed(jobs), start=1):
            outcome = job.result()
            progress(done, len(todo), outcome.entry.name)
            yield outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_maker: SetMaker | None = None  # of a worker process


def _set_up(wanted: SetsWanted) -> None:
    """One thread for each worker; Ctrl-C is handled by the parent process."""
    global _maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _maker = SetMaker(wanted)


def _prepare_in_worker(entry: DatasetEntry, cache: Path, recipe: Recipe) -> Outcome:
    assert _maker is not None
    return prepare_clip(entry, cache, recipe, _maker)


def show_faces(entries: Sequence[DatasetEntry], count: int = 12) -> bool:
    """Whether most clips show a face, judged by a few frames of some of the clips."""
    aligner = SetMaker(SetsWanted()).aligner
    chosen = {round(i) for i in np.linspace(0, len(entries) - 1, min(count, len(entries)))}
    votes: list[bool] = []
    for i in sorted(chosen):
        try:
            with io.open_source(entries[i].path) as reader:
                few = [frame.image for frame in itertools.islice(reader, 0, 25, 12)]
        except InputError:
            continue  # it is listed when the clips are prepared
        seen = [driver_scan.detect(image, 0, 0.0, aligner) for image in few]
        votes.append(any(one is not None and one.landmarks_xy_px is not None for one in seen))
    return sum(votes) > len(votes) / 2


def split(outcomes: Sequence[Outcome], held_out: tuple[float, float], seed: int) -> list[Outcome]:
    """Outcomes that have clips, each with a split (dataset_index.split_by_identity)."""
    useful = [outcome for outcome in outcomes if outcome.clips]
    placed = dataset_index.split_by_identity([one.entry for one in useful], held_out, seed)
    return [replace(one, entry=entry) for one, entry in zip(useful, placed, strict=True)]


def write_listings(outcomes: Sequence[Outcome], cache: Path, folder: Path) -> dict[str, Path]:
    """One listing for each split that has clips; split -> file. Older ones are removed."""
    found: dict[str, list[dict[str, str]]] = {}
    for outcome in outcomes:
        one = outcome.entry
        for name in outcome.clips:
            row = {
                **dict(one.about),
                "clip": name,
                "identity": one.identity,
                "label": one.label,
                "file": str(one.path),
            }
            found.setdefault(one.split or TRAIN, []).append(row)
    folder.mkdir(parents=True, exist_ok=True)
    for name in dataset_index.SPLITS:
        (folder / f"{name}.json").unlink(missing_ok=True)
    listings = {name: folder / f"{name}.json" for name in found}
    for name, listing in listings.items():
        write_listing(listing, cache, found[name])
    return listings


def left_out(outcomes: Sequence[Outcome]) -> list[str]:
    """Lines with what was left out of each clip, and why."""
    return [
        f"{outcome.entry.name}{f', {where}' if where else ''}: {why}"
        for outcome in outcomes
        for where, why in outcome.left_out.items()
    ]


def unused(outcomes: Sequence[Outcome], cache: Path) -> tuple[int, int]:
    """Number and bytes of cached clips that this run does not use."""
    named = {name for outcome in outcomes for name in outcome.clips}
    rest = [path for path in cache.glob("*.npy") if path.stem not in named]
    return len(rest), sum(path.stat().st_size for path in rest)


def processors() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare_clip(entry: DatasetEntry, cache: Path, recipe: Recipe, maker: SetMaker) -> Outcome:
    """Cache what is missing of one clip; an unreadable clip is an outcome, too, no error."""
    name = recipe.name(entry)
    plan = cache / f"{name}.json"
    try:
        if entry.is_portrait:
            parts, left_out, names = [_prepare_portrait(entry, cache, recipe, maker)], {}, [name]
        else:
            parts, left_out = _parts_of(entry, plan, recipe, maker)
            names = [name if len(parts) == 1 else f"{name}.{i}" for i in range(len(parts))]
            _write_parts(entry, dict(zip(names, parts, strict=True)), cache, recipe, maker)
    except InputError as error:
        return Outcome(entry, (), {"": f"unreadable: {error}"})
    table = {
        "file": str(entry.path),
        "clips": names,
        "parts": [[part.start, part.stop, asdict(part.crop)] for part in parts],
        "left_out": left_out,
    }
    text = json.dumps(table, indent=1)
    with atomic_write(plan) as file:
        file.write(text.encode())
    return read_outcome(entry, cache, recipe)


def is_ready(entry: DatasetEntry, cache: Path, recipe: Recipe, maker: SetMaker) -> bool:
    """Whether nothing of a clip is missing in the cache."""
    plan = cache / f"{recipe.name(entry)}.json"
    if not plan.is_file():
        return False
    files = [cache / f"{name}.npz" for name in json.loads(plan.read_text())["clips"]]
    return all(
        file.with_suffix(".npy").is_file() and not maker.missing(read_points(file))
        for file in files
    )


def read_outcome(entry: DatasetEntry, cache: Path, recipe: Recipe) -> Outcome:
    """The outcome of a cached clip; parts with too few keypoints are left out."""
    table = json.loads((cache / f"{recipe.name(entry)}.json").read_text())
    names, left_out = [], dict(table["left_out"])
    for name, (start, stop, _) in zip(table["clips"], table["parts"], strict=True):
        points = read_points(cache / f"{name}.npz")
        seen = [np.isfinite(points[known]).all((1, 2)) for known in recipe.sets.names]
        if seen and np.logical_and.reduce(seen).sum() < _LEAST_SEEN:
            left_out[f"frames {start} to {stop - 1}"] = "keypoints are found in too few frames"
        else:
            names.append(name)
    return Outcome(entry, tuple(names), left_out)


def _parts_of(
    entry: DatasetEntry, plan: Path, recipe: Recipe, maker: SetMaker
) -> tuple[list[Part], dict[str, str]]:
    """The parts of a clip, from its plan or by inspecting it."""
    if plan.is_file():
        table = json.loads(plan.read_text())
        parts = [Part(start, stop, Crop(**crop)) for start, stop, crop in table["parts"]]
        return parts, table["left_out"]
    wants = recipe.wants
    with io.open_source(entry.path) as reader:
        step = _step(float(reader.fps))
        frames = (frame for frame in reader if frame.index % step == 0)
        aligner = maker.aligner if wants.square == "face" else None
        seen = clip_quality.inspect(frames, float(reader.fps) / step, aligner)
    return clip_quality.parts(seen, wants)


def _step(fps: float) -> int:
    return max(1, round(fps / 30)) if fps > _MOST_FPS else 1


def _write_parts(
    entry: DatasetEntry, parts: dict[str, Part], cache: Path, recipe: Recipe, maker: SetMaker
) -> None:
    """Write the missing frames and keypoint sets of the parts."""
    lacking: dict[str, list[str]] = {}
    for name in parts:
        points = read_points(cache / f"{name}.npz")
        sets, has_frames = maker.missing(points), (cache / f"{name}.npy").is_file()
        can_add = has_frames and recipe.size >= _TRACKED_PX and not {TRACKED, PER_FRAME} & set(sets)
        if can_add and sets:  # these sets need nothing but the frames that are kept
            kept = np.load(cache / f"{name}.npy", mmap_mode="r")
            points |= maker.make(sets, kept, list(range(len(kept))))
            write_points(cache / f"{name}.npz", points)
        elif sets or not has_frames:
            lacking[name] = sets
    if not lacking:
        return
    side = max(recipe.size, _TRACKED_PX if recipe.sets.names else 0)
    for name, frames in _frames_of_parts(entry, {name: parts[name] for name in lacking}, side):
        most = min(recipe.most, len(frames))
        numbers = sorted({round(i) for i in np.linspace(0, len(frames) - 1, most)})
        points = read_points(cache / f"{name}.npz")
        points |= {"number": np.array(numbers)} | maker.make(lacking[name], frames, numbers)
        kept = np.array([_shrunk(frames[i], recipe.size) for i in numbers])
        write_frames(cache / f"{name}.npy", kept)
        write_points(cache / f"{name}.npz", points)


def _frames_of_parts(
    entry: DatasetEntry, parts: dict[str, Part], size: int
) -> Iterator[tuple[str, list[Array]]]:
    """(name, frames) of each part, size x size pixels, in the order in which the parts end."""
    waiting = sorted(parts.items(), key=lambda item: item[1].start)
    frames: list[Array] = []
    with io.open_source(entry.path) as reader:
        step = _step(float(reader.fps))
        for frame in reader:
            number, rest = divmod(frame.index, step)
            if rest:
                continue
            name, part = waiting[0]
            if number >= part.start:
                frames.append(geometry.crop_image(frame.image, part.crop, size))
            if number == part.stop - 1:
                yield name, frames
                frames, waiting = [], waiting[1:]
                if not waiting:
                    return


def _prepare_portrait(entry: DatasetEntry, cache: Path, recipe: Recipe, maker: SetMaker) -> Part:
    """Write a picture as a clip with synthetic motion; returns its square as a part."""
    picture, wants, reach = io.read_picture(entry.path), recipe.wants, np.inf
    height, width = picture.shape[:2]
    side = float(min(height, width))
    crop = Crop((width - side) // 2, (height - side) // 2, side)
    if wants.square == "face":
        head, landmarks = find_head(picture, PipelineConfig(), Profiles(), maker.aligner)
        if landmarks is None:
            raise InputError("expected a face with clear features, found none; leave it out")
        crop, reach = source_crop(picture, head, "auto"), _HEAD_REACH
    if crop.side_px < wants.least_px:
        raise InputError(f"expected {wants.least_px} pixels or more, got {crop.side_px:.0f}")
    still = geometry.crop_image(picture, crop, max(recipe.size, _TRACKED_PX))
    # two frames, because trackers need one to start; the second counts
    placed = maker.make(list(recipe.sets.names), [still, still], [1])
    rows = {name: placed[name][0] for name in recipe.sets.names}
    keys = {name: rest for name, rest in placed.items() if name.startswith("key_")}
    seed = int(hashlib.sha256(os.fsencode(entry.name)).hexdigest()[:8], 16)
    count = min(recipe.most, _PORTRAIT_FRAMES)
    path = portraits.smooth_warps(count, np.random.default_rng(seed), MotionRange(), reach=reach)
    frames, points = portraits.animate(_shrunk(still, recipe.size), rows, path)
    name = recipe.name(entry)
    write_frames(cache / f"{name}.npy", frames)
    more = {"number": np.arange(count), EXACT: np.ones(1)}
    write_points(cache / f"{name}.npz", {**more, **points, **keys})
    return Part(0, count, crop)


def write_frames(path: Path, frames: Array) -> None:
    """Write a clip's frames, (N, S, S, 3) uint8, whole or not at all."""
    with atomic_write(path) as file:
        np.save(file, frames)


def write_points(path: Path, points: dict[str, Array]) -> None:
    """Write a clip's keypoint sets (see ``cache``), whole or not at all."""
    with atomic_write(path) as file:
        np.savez(file, **points)  # pyright: ignore[reportArgumentType]


def _shrunk(image: Array, size: int) -> Array:
    return image if len(image) == size else geometry.crop_image(image, geometry.whole(image), size)
