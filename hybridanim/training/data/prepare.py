"""A list of clips -> the cache that training reads, made by several processes.

What is there already is not made again; a clip whose file, options or tracker changed has another
name or key, and is. One listing for each split then names the clips of this run.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.prepare import driver_scan

from . import cache as data_cache
from . import dataset_index, making
from .dataset_index import TRAIN, Footage
from .keypoint_sets import SetMaker, SetsWanted
from .making import Outcome, Recipe

Report = Callable[[int, int, str], None]  # clips done, of how many, which
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EPERM)


def prepare(
    footage: Sequence[Footage],
    cache: Path,
    recipe: Recipe,
    *,
    workers: int = 1,
    report: Report = lambda done, total, what: None,
) -> list[Outcome]:
    """Fill the cache; one outcome a clip, in order.

    Raises InputError when the cache cannot be written or the disk is, or would be, full.
    """
    maker = SetMaker(recipe.sets)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        todo = [one for one in footage if not making.is_ready(one, cache, recipe, maker)]
        _check_space(len(todo), cache, recipe)
        found = {
            outcome.footage.name: outcome for outcome in _run(todo, cache, recipe, workers, report)
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
    return [found.get(one.name) or making.known(one, cache, recipe) for one in footage]


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
    todo: list[Footage], cache: Path, recipe: Recipe, workers: int, report: Report
) -> Iterator[Outcome]:
    if workers <= 1 or len(todo) <= 2:
        maker = SetMaker(recipe.sets)
        for done, one in enumerate(todo):
            report(done, len(todo), one.name)
            yield making.make(one, cache, recipe, maker)
        return
    start, set_up = get_context("spawn"), (recipe.sets,)
    pool = ProcessPoolExecutor(workers, start, initializer=_set_up, initargs=set_up)
    try:
        jobs = [pool.submit(_make_in_worker, one, cache, recipe) for one in todo]
        for done, job in enumerate(as_completed(jobs), start=1):
            outcome = job.result()
            report(done, len(todo), outcome.footage.name)
            yield outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_maker: SetMaker | None = None  # of a worker process


def _set_up(wanted: SetsWanted) -> None:
    """One thread a worker, and Ctrl-C is the parent's business."""
    import signal

    import cv2

    global _maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _maker = SetMaker(wanted)


def _make_in_worker(footage: Footage, cache: Path, recipe: Recipe) -> Outcome:
    assert _maker is not None
    return making.make(footage, cache, recipe, _maker)


def show_faces(footage: Sequence[Footage], looked_at: int = 12) -> bool:
    """Whether most clips show a face, by a few frames of some of them."""
    aligner = SetMaker(SetsWanted()).aligner
    chosen = {round(i) for i in np.linspace(0, len(footage) - 1, min(looked_at, len(footage)))}
    votes: list[bool] = []
    for i in sorted(chosen):
        try:
            with io.open_source(footage[i].path) as reader:
                few = [frame.image for frame in itertools.islice(reader, 0, 25, 12)]
        except InputError:
            continue  # it is listed when the clips are prepared
        seen = [driver_scan.detect(image, 0, 0.0, aligner) for image in few]
        votes.append(any(one is not None and one.landmarks_xy_px is not None for one in seen))
    return sum(votes) > len(votes) / 2


def split(outcomes: Sequence[Outcome], held_out: tuple[float, float], seed: int) -> list[Outcome]:
    """Those with clips, each in its identity's split (data_footage.split_by_identity)."""
    useful = [outcome for outcome in outcomes if outcome.clips]
    placed = dataset_index.split_by_identity([one.footage for one in useful], held_out, seed)
    return [replace(one, footage=footage) for one, footage in zip(useful, placed, strict=True)]


def write_listings(outcomes: Sequence[Outcome], cache: Path, folder: Path) -> dict[str, Path]:
    """One listing for each split that has clips; split -> file. Older ones are removed."""
    found: dict[str, list[dict[str, str]]] = {}
    for outcome in outcomes:
        one = outcome.footage
        for name in outcome.clips:
            row = {
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
        data_cache.write_listing(listing, cache, found[name])
    return listings


def left_out(outcomes: Sequence[Outcome]) -> list[str]:
    """Lines that say what was left out and why, by clip."""
    return [
        f"{outcome.footage.name}{f', {where}' if where else ''}: {why}"
        for outcome in outcomes
        for where, why in outcome.left_out.items()
    ]


def unused(outcomes: Sequence[Outcome], cache: Path) -> tuple[int, int]:
    """Cached clips of earlier files or options, of no use to this run: how many, their bytes."""
    named = {name for outcome in outcomes for name in outcome.clips}
    rest = [path for path in cache.glob("*.npy") if path.stem not in named]
    return len(rest), sum(path.stat().st_size for path in rest)


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
