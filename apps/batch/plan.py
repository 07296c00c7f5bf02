"""A list of jobs, or two folders, and an output folder -> Plan: every job with all its options.

Names and values of options are checked here, for all jobs, before anything is started; inputs that
cannot be read are a matter of their own job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hybridanim import files, io, paths, schema
from hybridanim.config import RenderJob
from hybridanim.errors import InputError

from . import jobs_file
from .jobs_file import FILES, Listing, Row

VIDEOS = frozenset([".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif"])
PER_JOB = ("output", "debug", "save_motion")  # lie in the output folder
HIDDEN = ("output",)  # has no meaning for all jobs
_INPUTS = ("profile", "weights", "background")  # files that a job's options name


@dataclass(frozen=True)
class Planned:
    """One job."""

    name: str  # of its output in the folder, unique
    source: Path
    driving: Path
    job: RenderJob


@dataclass(frozen=True)
class Plan:
    """All jobs of a batch."""

    out: Path
    jobs: tuple[Planned, ...]


def plan(
    jobs: Path | None = None,
    *,
    out: Path,
    sources: Path | None = None,
    drivers: Path | None = None,
    common: RenderJob | None = None,
    ending: str = ".mp4",
) -> Plan:
    """Plan the jobs of a file, or every source of a folder with every driver of another.

    common: options for all jobs, in place of those of the file; those of a single job win. ending:
    of outputs that have no name. Raises InputError for options that do not fit, two jobs of one
    output, or nothing to do.
    """
    _expect_ending(ending)
    listing = listed(jobs, sources, drivers, ending)
    return _plan(listing, common or common_of(listing), Path(out), ending)


def plan_pairs(
    sources: Sequence[Path],
    drivers: Sequence[Path],
    *,
    out: Path,
    common: RenderJob,
    ending: str = ".mp4",
) -> Plan:
    """Plan every source with every driver, given as files; raises InputError as ``plan`` does."""
    _expect_ending(ending)
    return _plan(_of_files(sources, drivers, ending), common, Path(out), ending)


def _plan(listing: Listing, base: RenderJob, inside: Path, ending: str) -> Plan:
    if base.save_motion is not None and base.save_motion.name != str(base.save_motion):
        raise InputError(
            f"batch: expected --save-motion with a file name for all jobs, got {base.save_motion};"
            " it is put after each job's name in the output folder"
        )
    planned = [_planned(row, listing.folder, base, inside, ending) for row in listing.rows]
    _refuse_same(planned, [row.where for row in listing.rows])
    return Plan(inside, tuple(planned))


def listed(
    jobs: Path | None, sources: Path | None, drivers: Path | None, ending: str = ".mp4"
) -> Listing:
    """The list of a file, or of two folders."""
    if jobs is not None and sources is None and drivers is None:
        return jobs_file.read(jobs)
    if jobs is None and sources is not None and drivers is not None:
        return _of_folders(sources, drivers, ending)
    raise InputError(
        "batch: expected either a list of jobs, or --sources DIR with --drivers DIR, got"
        f" {'both' if jobs is not None else 'neither'}; see docs/guide/batch.md"
    )


def common_of(listing: Listing, base: RenderJob | None = None) -> RenderJob:
    """The options that a list has for all its jobs; base: those that it does not have."""
    for name in HIDDEN:
        if name in listing.common:
            raise InputError(
                f"batch: expected {name} in each job, got it for all; give it there, or --ending"
            )
    options = schema.flat_options(RenderJob, listing.common)
    _expect_known(options, "batch, for all jobs")
    own = _located(options, listing.folder)
    values = schema.flat(base or RenderJob()) | own
    return schema.from_flat(RenderJob, values, "batch, for all jobs")


def _of_folders(sources: Path, drivers: Path, ending: str) -> Listing:
    pictures = _found(sources, "--sources", "pictures", _is_source)
    videos = _found(drivers, "--drivers", "driving videos", _is_driver)
    return _of_files(pictures, videos, ending)


def _of_files(pictures: Sequence[Path], videos: Sequence[Path], ending: str) -> Listing:
    rows = [
        Row(f"{source.name} with {driving.name}", {"source": source, "driving": driving})
        for driving in videos
        for source in pictures
    ]
    return Listing(Path.cwd(), rows=tuple(_named_apart(rows, ending)))


def _found(folder: Path, option: str, what: str, fits: Callable[[Path], bool]) -> list[Path]:
    if not paths.is_folder(folder):
        raise InputError(f"{option}: expected a folder of {what}, got {folder}; check the name")
    here = sorted(p for p in folder.absolute().iterdir() if not p.name.startswith("."))
    found = [path for path in here if path.is_file() and fits(path)]
    if not found:
        raise InputError(f"{option} {folder}: expected {what}, found none; put some there")
    return found


def _is_source(path: Path) -> bool:
    return io.is_picture(path) or path.suffix.lower() in VIDEOS


def _is_driver(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS or files.is_safetensors(path)


def _named_apart(rows: Sequence[Row], ending: str) -> list[Row]:
    """Rows of files that differ in their ending alone get it as part of their output's name."""
    names = [_usual_name(row.options) for row in rows]
    twice = {name for name in names if names.count(name) > 1}
    out = []
    for row, name in zip(rows, names, strict=True):
        options = dict(row.options)
        if name in twice:
            name = "-".join(row.options[key].name.replace(".", "_") for key in FILES)
            options["output"] = f"{name}{ending}"
        out.append(Row(row.where, options))
    return out


def _usual_name(options: Mapping[str, Any]) -> str:
    return "-".join(Path(options[name]).stem for name in FILES)


def _planned(row: Row, folder: Path, base: RenderJob, out: Path, ending: str) -> Planned:
    options = dict(row.options)
    for name in FILES:
        if not isinstance(options.get(name), str | Path) or not str(options[name]):
            raise InputError(
                f"{row.where}: expected {name} = a file, got {options.get(name)!r}; add it"
            )
    given = {name: folder / options.pop(name) for name in FILES}
    output = options.pop("output", None) or f"{_usual_name(given)}{ending}"
    options = schema.flat_options(RenderJob, options)
    _expect_known(options, row.where)
    own = _located(options, folder)
    values = schema.flat(base) | {"output": output, **own}
    try:
        job = schema.from_flat(RenderJob, values, row.where)
    except InputError as error:
        text = str(error)
        raise InputError(text if row.where in text else f"{row.where}: {text}") from error
    name = str(_inside(job.output, row.where))
    _expect_ending(job.output.suffix, row.where)
    stem = name.removesuffix(job.output.suffix) or name
    job = _placed(job, out, stem, set(own), row.where)
    return Planned(name, given["source"], given["driving"], job)


def _expect_known(options: Mapping[str, Any], where: str) -> None:
    """Raise InputError for the first name that is none of an option."""
    known = list(schema.flat_hints(RenderJob))
    for name in options:
        if name not in known:
            schema.refuse_unknown(name, known, where)


def _located(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options whose files lie in this folder where their names are relative."""
    found = dict(options)
    for name in _INPUTS:
        value = found.get(name)
        if isinstance(value, list | tuple):
            found[name] = [folder / one if isinstance(one, str | Path) else one for one in value]
        elif isinstance(value, str | Path) and (name != "background" or _lies(folder / value)):
            found[name] = folder / value if name != "background" else str(folder / value)
    return found


def _lies(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _placed(job: RenderJob, out: Path, stem: str, own: set[str], where: str) -> RenderJob:
    """The job with its outputs in the folder; those for all jobs have its name in front."""
    further = {}
    for option in PER_JOB[1:]:
        path = getattr(job, option)
        if path is not None and option not in own:
            path = Path(f"{stem}.{path.name}")
        further[option] = None if path is None else out / _inside(path, where)
    return replace(job, output=out / job.output, **further)


def _inside(path: Path, where: str) -> Path:
    """The path; InputError unless it leads to a place in the output folder."""
    if path.is_absolute() or ".." in path.parts or path.parts[:1] == (".batch",):
        raise InputError(
            f"{where}: expected the name of an output in the folder of --out, got {path}; leave its"
            " folders out"
        )
    return path


def _expect_ending(ending: str, where: str = "--ending") -> None:
    known = ("", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif", ".png", ".jpg", ".webp", ".tif")
    if ending.lower() not in known:
        listed = ", ".join(known[1:])
        raise InputError(
            f"{where}: expected an output that ends in {listed}, or a folder without an ending, got"
            f" {ending!r}; change it"
        )


def _refuse_same(planned: Sequence[Planned], wheres: Sequence[str]) -> None:
    """Raise InputError where two jobs would write one output."""
    taken: dict[str, str] = {}
    for one, where in zip(planned, wheres, strict=True):
        outputs = [one.job.output, one.job.debug, one.job.save_motion]
        for path in outputs:
            key = str(path).casefold()
            if path is not None and taken.setdefault(key, where) != where:
                raise InputError(
                    f"{where}: expected an output of its own, got that of {taken[key]},"
                    f" {path.name}; give both a name by output"
                )
