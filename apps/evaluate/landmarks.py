"""``evaluate landmarks``: the face that trackers see, beside a teacher's labels: tables and files.

Definitions: hybridanim.evaluation.landmark_errors and docs/guide/evaluating.md.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import tyro

from apps.guards import undisturbed
from apps.terminal import PROGRAM, listen, progress
from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.evaluation import landmark_errors, table
from hybridanim.evaluation.table import DOWN, ONE, UP
from hybridanim.io import provenance
from hybridanim.text import encoded

from .job import VIDEOS, select_evenly
from .landmarks_clips import ClipErrors, LabelledClip, LandmarksWorker
from .landmarks_job import LandmarksJob
from .results import versions, write_json
from .workers import Progress, run, silent

SCHEMA = 1
_FOLLOWED = ("mouth", "eyes", "width", "yaw")
# name in landmark_errors.summary -> head, better, decimals; a dictionary for each table
COLUMNS: tuple[dict[str, tuple[str, str, int]], ...] = (
    {
        "points": ("points %", DOWN, 2),
        "found": ("found", UP, 3),
        "false": ("false", DOWN, 3),
        **{name: (name, DOWN, 4) for name in ("mouth", "eyes", "width")},
        **{f"{name}_deg": (f"{name} deg", DOWN, 2) for name in landmark_errors.ANGLES},
        **{f"{name}_turn_deg": (f"{name} turn", DOWN, 2) for name in landmark_errors.ANGLES},
    },
    *(
        {
            f"{name}_{figure}{kind}": (f"{name} {figure}{kind.replace('_', ' ')}", better, 2)
            for name in _FOLLOWED
            for figure, better in (("r", UP), ("gain", ONE))
        }
        for kind in ("", "_pooled")
    ),
)


def command(argv: list[str]) -> int:
    """Run ``evaluate landmarks``; returns the exit code."""
    listen()
    job = tyro.cli(LandmarksJob, args=argv, prog=f"{PROGRAM} evaluate landmarks")
    with progress(" clips") as show:
        result = evaluate_landmarks(job, show)
    stopped = ", interrupted: those done so far" if result["interrupted"] else ""
    print(f"landmarks: {result['clips']} clips, {result['frames']} frames{stopped}")
    for columns in COLUMNS:
        if text := _table(columns, result["trackers"], job.markdown):
            print(f"{text}\n")
    for line in result["skipped"]:
        print(f"left out: {line}")
    if result["interrupted"]:
        return 130
    if not result["clips"]:
        raise InputError(
            "evaluate landmarks: expected clips that can be measured, got none of"
            f" {len(result['skipped'])}; see the lines above"
        )
    return 0


def evaluate_landmarks(job: LandmarksJob, report: Progress | None = None) -> dict[str, Any]:
    """Run the trackers over all clips that have labels; InputError when none has."""
    tasks, unlabelled = _tasks(job)
    outputs = [(f"--{name}", getattr(job, name)) for name in ("json", "csv")]
    inputs = [job.clips, job.labels, *(task.clip for task in tasks), job.weights]
    paths.refuse_replacing(
        [(option, path) for option, path in outputs if path is not None],
        [path for path in inputs if path is not None],
        overwrite=job.overwrite,
    )
    worker = partial(LandmarksWorker, job)
    results, is_interrupted = run(tasks, worker, job.jobs, report or silent)
    with undisturbed():
        if is_interrupted and all(r.failure for r in results):
            raise KeyboardInterrupt
        result = to_json(job, results, is_interrupted, unlabelled)
        if job.json is not None:
            write_json(job.json, result, overwrite=job.overwrite)
        if job.csv is not None:
            _write_csv(job.csv, result, overwrite=job.overwrite)
    return result


def _tasks(job: LandmarksJob) -> tuple[list[LabelledClip], list[str]]:
    """The clips with labels, and the names of those without."""
    clips = [p for p in sorted(job.clips.iterdir()) if p.suffix.lower() in VIDEOS]
    both = [LabelledClip(clip, job.labels / f"{clip.stem}.npy") for clip in clips]
    tasks = [task for task in both if paths.is_file(task.labels)]
    if not tasks:
        raise InputError(
            f"--labels {job.labels}: expected NAME.npy of the clips in {job.clips}, found none;"
            " python -m calibration.face_labels makes them"
        )
    without = [task.name for task in both if not paths.is_file(task.labels)]
    return select_evenly(tasks, job.limit), without


def to_json(
    job: LandmarksJob,
    results: Sequence[ClipErrors],
    is_interrupted: bool,
    unlabelled: Sequence[str],
) -> dict[str, Any]:
    """All figures and the settings of the run, as plain JSON values."""
    whole = [r for r in results if not r.failure]
    names = job.trackers if whole else ()
    by_clip = {r.name: {name: _summary([r], name) for name in names} for r in whole}
    skipped = [f"{r.name}: {r.failure}" for r in results if r.failure]
    return {
        "schema": SCHEMA,
        "kind": "landmarks",
        "clips": len(whole),
        "frames": sum(len(next(iter(r.comparisons.values())).is_face) for r in whole),
        "interrupted": is_interrupted,
        "trackers": {name: _summary(whole, name) for name in names},
        "per_clip": by_clip,
        "skipped": [*skipped, *(f"{name}: no labels" for name in unlabelled)],
        "settings": provenance.to_json(job),
        "versions": versions(),
    }


def _summary(results: Sequence[ClipErrors], tracker: str) -> dict[str, float]:
    found = landmark_errors.summary([r.comparisons[tracker] for r in results])
    return {name: round(value, 5) for name, value in found.items()}


def _table(
    columns: dict[str, tuple[str, str, int]], trackers: dict[str, Any], markdown: bool
) -> str:
    """A table of the columns that some tracker has; "" without any."""
    shown = {n: c for n, c in columns.items() if any(n in row for row in trackers.values())}
    rows = [["tracker", *(f"{head} {better}" for head, better, _ in shown.values())]]
    for name, row in trackers.items():
        rows.append([name, *(f"{row[n]:.{c[2]}f}" if n in row else "-" for n, c in shown.items())])
    return table.layout(rows, markdown=markdown) if shown else ""


def _write_csv(path: Path, result: dict[str, Any], *, overwrite: bool) -> None:
    """A row per clip and tracker, with all figures of the clip; InputError where it cannot be."""
    rows = [
        {"clip": clip, "tracker": tracker, **figures}
        for clip, found in result["per_clip"].items()
        for tracker, figures in found.items()
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    text = StringIO()
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        with files.atomic_write(path, overwrite=overwrite) as file:
            file.write(encoded(text.getvalue()))
    except OSError as error:
        raise InputError(
            f"--csv: expected to write {path}, got '{error.strerror or error}'; choose another"
            " place"
        ) from error
