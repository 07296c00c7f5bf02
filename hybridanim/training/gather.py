"""TrainJob -> the prepared, cleaned and split data of a run, as listings that training reads.

Decides what kind of object the clips show and which tracker is trained for, lists what was left out
(``data/left_out.txt``), and writes a listing for each split. Nothing can be held out of a single
identity: then validation uses training clips, and a message says so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hybridanim import paths
from hybridanim.errors import InputError
from hybridanim.text import encoded
from hybridanim.tracking.registry import TRACKERS

from . import plan
from .archive import Packed
from .data import dataset_index, prepare, published, selection
from .data.cache import DETECTED, TRACKED
from .data.clip_quality import Wants
from .data.dataset_index import TEST, TRAIN, VALIDATION, DatasetEntry
from .data.keypoint_sets import SetsWanted
from .data.prepare import Outcome, Recipe
from .job import TrainJob

Report = Callable[[str], None]
_SHOWN = 12  # lines about clips that were left out; all of them are in the file
_FOLDER = "data"  # of listings, in the folder of the run


@dataclass(frozen=True)
class PreparedData:
    """The data of a run."""

    kind: str
    tracker: str
    listings: dict[str, Path]
    entries: tuple[DatasetEntry, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)
    packed_sets: tuple[str, ...] | None = None
    """Keypoint sets for the renderer of clips that came packed; None: they did not."""


def cache_folder(job: TrainJob) -> Path:
    """Folder of the cached frames."""
    return job.cache or job.out / "cache"


def gather(job: TrainJob, report: Report, progress: prepare.Progress) -> PreparedData:
    """Find, look through, cache and split the clips.

    report: gets messages; progress: gets clips done, number of clips, name of the clip. Raises
    InputError when no usable clips are found.
    """
    entries, skipped = _found(job)
    kind, tracker = _kind_and_tracker(job, entries)
    report(f"{len(entries)} clips in {job.data}: {kind}s, for the {tracker} tracker.")
    recipe = _recipe(job, kind, tracker)
    outcomes = _prepared(job, entries, recipe, progress)
    if job.portraits is not None:
        outcomes += _prepared(job, dataset_index.portraits(job.portraits), recipe, progress)
    held_out = job.held_out
    if job.validation is not None:
        others, more = dataset_index.find(job.validation)
        skipped |= more
        found = _prepared(job, others, recipe, progress)
        outcomes = [*_in_split(outcomes, TRAIN), *_in_split(found, VALIDATION)]
        held_out = (0.0, 0.0)
    lines = [f"{name}: {why}" for name, why in skipped.items()]
    lines += prepare.left_out(outcomes)
    _report_left_out(lines, job.out / _FOLDER, report)
    split = prepare.split(outcomes, held_out, job.seed)
    listings = prepare.write_listings(split, cache_folder(job), job.out / _FOLDER)
    listings = _with_validation(listings, lines, job, report)
    _report_splits(split, report)
    entries = tuple(one.entry for one in split)
    gathered = PreparedData(kind, tracker, listings, entries, recipe)
    _write_summary(gathered, job.out / _FOLDER)
    return gathered


def _found(job: TrainJob) -> tuple[list[DatasetEntry], dict[str, str]]:
    """The clips that are used, and what was left out, name -> reason."""
    if job.layout == "own":
        entries, skipped = dataset_index.find(job.data, job.table)
    else:
        entries = published.read(job.layout, job.data, cache_folder(job) / "unpacked")
        skipped = {}
    if job.select:
        entries, others = selection.selected(entries, job.select)
        skipped |= {one.name: "not among --select" for one in others}
    return entries, skipped


def is_packed(job: TrainJob) -> bool:
    """Whether ``--data`` is a file that ``--pack`` wrote."""
    return paths.is_file(job.data)


def pack(job: TrainJob, data: PreparedData) -> Packed:
    """Write the prepared clips into the file ``--pack``; InputError when they do not fit."""
    from .data import packing

    assert job.pack is not None
    sets = plan.renderer_sets(data.tracker, has_teacher=job.teacher is not None)
    about = {
        "kind": data.kind,
        "tracker": data.tracker,
        "sets": list(data.packed_sets or sets) if data.kind == "face" else [],
    }
    return packing.pack(data.listings, job.pack, about, int(job.pack_mib * 2**20))


def unpack(job: TrainJob, report: Report) -> PreparedData:
    """The data of a file that ``--pack`` wrote; InputError when the options want another kind."""
    from .data import packing

    for name in ("teacher", "table", "portraits", "validation", "select"):
        value = getattr(job, name)
        if value:
            raise InputError(
                f"--{name}: expected none with packed clips, got {value}; give it where they are"
                " packed"
            )
    found = packing.unpack(job.data, cache_folder(job), job.out / _FOLDER)
    kind, tracker = found.about.get("kind"), found.about.get("tracker")
    sets, side = found.about.get("sets"), found.about.get("side_px")
    if kind not in ("face", "object") or tracker not in TRACKERS or not isinstance(sets, list):
        raise InputError(f"--data {job.data}: expected packed clips, got {kind!r}, {tracker!r}")
    for flag, wanted, have in (("--kind", job.kind, kind), ("--tracker", job.tracker, tracker)):
        if wanted not in ("auto", have):
            raise InputError(
                f"{flag} {wanted}: expected {have}, as the clips were packed, got another; leave it"
                " out, or pack them anew"
            )
    listings = _with_validation(found.listings, [], job, report)
    report(f"{job.data}: {kind}s of {side} pixels, for the {tracker} tracker.")
    data = PreparedData(kind, tracker, listings, packed_sets=tuple(str(name) for name in sets))
    _write_summary(data, job.out / _FOLDER)
    return data


def read(job: TrainJob) -> PreparedData:
    """The data that the main process of the same run has prepared."""
    table = json.loads((job.out / _FOLDER / "run.json").read_text(encoding="utf-8"))
    listings = {name: Path(path) for name, path in table["listings"].items()}
    sets = table.get("packed_sets")
    packed = None if sets is None else tuple(sets)
    return PreparedData(table["kind"], table["tracker"], listings, packed_sets=packed)


def add_detections(
    job: TrainJob, gathered: PreparedData, detector: Path, progress: prepare.Progress
) -> PreparedData:
    """Add the keypoint set of a detector; clips in which it finds none are left out."""
    sets = replace(
        gathered.recipe.sets, names=(*gathered.recipe.sets.names, DETECTED), detector=detector
    )
    recipe = replace(gathered.recipe, sets=sets)
    outcomes = _prepared(job, list(gathered.entries), recipe, progress)
    useful = [outcome for outcome in outcomes if outcome.clips]
    if not useful:
        raise InputError(
            f"--tracker {gathered.tracker}: expected a detector that finds faces in these clips,"
            f" got one that finds none ({detector.name}); train it for longer (--time-budget), with"
            " --overwrite"
        )
    listings = prepare.write_listings(useful, cache_folder(job), job.out / _FOLDER)
    listings = _with_validation(listings, prepare.left_out(outcomes), job, lambda line: None)
    gathered = replace(gathered, listings=listings, recipe=recipe)
    _write_summary(gathered, job.out / _FOLDER)
    return gathered


def _kind_and_tracker(job: TrainJob, entries: list[DatasetEntry]) -> tuple[str, str]:
    """The kind, face or object, and the tracker that is trained for."""
    kind = job.kind
    if kind == "auto":
        kind = "face" if prepare.show_faces(entries) else "object"
    tracker = job.tracker
    if tracker == "auto":
        tracker = "classical" if kind == "face" else "learned"
    if kind == "object" and tracker != "learned":
        raise InputError(
            f"--tracker {tracker}: expected clips of faces, found few faces in {job.data}; give"
            " --tracker learned, or --kind face if they are faces"
        )
    return kind, tracker


def _recipe(job: TrainJob, kind: str, tracker: str) -> Recipe:
    square = job.square
    if square == "auto":
        square = "face" if kind == "face" else "middle"
    names: tuple[str, ...] = ()
    if kind == "face":
        chosen = plan.renderer_sets(tracker, has_teacher=job.teacher is not None)
        # motion of body and background comes from the classical tracker in any case
        names = tuple(name for name in (*chosen, TRACKED) if name != DETECTED)
        names = tuple(dict.fromkeys(names))
    wants = Wants(square, least_px=max(32, job.size // 2))
    return Recipe(job.size, job.frames, wants, SetsWanted(names, job.teacher))


def _prepared(
    job: TrainJob, entries: list[DatasetEntry], recipe: Recipe, progress: prepare.Progress
) -> list[Outcome]:
    workers = job.workers or prepare.processors()
    return prepare.prepare(entries, cache_folder(job), recipe, workers=workers, progress=progress)


def _in_split(outcomes: list[Outcome], split: str) -> list[Outcome]:
    return [replace(one, entry=replace(one.entry, split=split)) for one in outcomes]


def _with_validation(
    listings: dict[str, Path], left_out: list[str], job: TrainJob, report: Report
) -> dict[str, Path]:
    """The listings with one for validation; InputError when there is nothing to train on."""
    if TRAIN not in listings:
        raise InputError(
            f"--data {job.data}: expected clips that move, found none of use"
            f" ({'; '.join(left_out[:3]) or 'all are held out'}); see docs/guide/training.md for"
            " what clips should be like"
        )
    if VALIDATION not in listings:
        report(
            "No clips are held out for validation (one identity, or --held-out 0): validation shows"
            " training clips, and says nothing about others. --validation DIR gives some."
        )
        listings = {**listings, VALIDATION: listings[TRAIN]}
    return listings


def _write_summary(gathered: PreparedData, folder: Path) -> None:
    listings = {name: str(path) for name, path in gathered.listings.items()}
    table = {
        "kind": gathered.kind,
        "tracker": gathered.tracker,
        "listings": listings,
        "packed_sets": gathered.packed_sets,
    }
    (folder / "run.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def _report_left_out(lines: list[str], folder: Path, report: Report) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "left_out.txt"
    file.write_bytes(encoded("".join(f"{line}\n" for line in lines)))
    for line in lines[:_SHOWN]:
        report(f"  left out: {line}")
    if len(lines) > _SHOWN:
        report(f"  and {len(lines) - _SHOWN} more: {file}")


def _report_splits(split: list[Outcome], report: Report) -> None:
    parts = []
    for name in (TRAIN, VALIDATION, TEST):
        mine = [one for one in split if one.entry.split == name]
        if mine:
            people = len({one.entry.identity for one in mine})
            parts.append(f"{name}: {sum(len(one.clips) for one in mine)} parts of {people}")
    labels = Counter(one.entry.label for one in split if one.entry.label)
    shown = f" Labels: {', '.join(f'{k} {n}' for k, n in labels.most_common(8))}." if labels else ""
    report(f"Identities, {'; '.join(parts)}.{shown}")
