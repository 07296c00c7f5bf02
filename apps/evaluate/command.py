"""Folder of clips -> how well each method reconstructs or animates: table, JSON, pictures.

Methods run side by side over the same frames and are judged by the same networks. ``copy`` shows
the source unchanged: whatever does not beat it is worth nothing (docs/guide/evaluating.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tyro

from apps.guards import undisturbed
from apps.terminal import PROGRAM, listen, progress
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.evaluation import cross_identity, perceptual, strip, table

from . import report as evaluate_report
from .job import EvaluateJob
from .worker import Task
from .workers import Progress, run

FACE_FIGURES = "AKD, MKR, CSIM, AED, head pose, jitter, eyes and mouth"
VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif"}


def command(argv: list[str]) -> int:
    """Run the subcommand ``evaluate``; returns the exit code."""
    listen()
    job = tyro.cli(EvaluateJob, args=argv, prog=f"{PROGRAM} evaluate")
    with progress(" pairs" if job.cross else " clips") as show:
        result = evaluate(job, show)
    print(table.headline(result))
    print(table.table(result, markdown=job.markdown))
    for line in result["not_measured"]:
        print(line)
    for line in result["skipped"]:
        print(f"left out: {line}")
    return 130 if result["interrupted"] else 0


def evaluate(job: EvaluateJob, report: Progress | None = None) -> dict[str, Any]:
    """Run all methods over all clips or pairs; InputError when there is nothing to run on."""
    tasks = _tasks(job)
    notes = missing(job)
    results, is_interrupted = run(tasks, job, report or (lambda done, total, what: None))
    with undisturbed():
        if is_interrupted and not any(not r.failure for r in results):
            raise KeyboardInterrupt
        result = evaluate_report.gathered(job, results, is_interrupted, notes)
        if job.json is not None:
            evaluate_report.write(job.json, result)
        galleries = [r.gallery for r in results if not r.failure]
        if job.strip is not None and galleries:
            picture = strip.strip(galleries, job.worst)
            io.write_picture(job.strip, picture)
    return result


def missing(job: EvaluateJob) -> list[str]:
    """What this run cannot measure, each with what to do about it."""
    lines = perceptual.find(job.backbones)[2]
    if job.is_object:
        lines.append(f"{FACE_FIGURES} not measured: the weights are of a kind without a face")
    elif job.networks is None:
        lines.append(
            f"{FACE_FIGURES} not measured: no networks that look at faces; to measure them, pip"
            " install openvino and give the folder of the networks in docs/guide/evaluating.md by"
            " --networks"
        )
    return lines


def _tasks(job: EvaluateJob) -> list[Task]:
    if not job.cross:
        return [Task(clip) for clip in _chosen(job.folder, VIDEOS, "clips", job.clips)]
    drivers = _chosen(job.drivers or job.folder, VIDEOS, "driving videos", job.clips)
    if job.sources is None:
        sources = _chosen(job.folder, VIDEOS, "clips", job.clips)
    else:
        sources = _chosen(job.sources, None, "pictures", 10**6)
    pairs = cross_identity.draw_pairs(sources, drivers, job.pairs, job.seed)
    # a driver is looked through once by whoever has its pairs together
    return [Task(s, d) for s, d in sorted(pairs, key=lambda pair: (pair[1], pair[0]))]


def _chosen(folder: Path | None, endings: set[str] | None, what: str, most: int) -> list[Path]:
    """At most so many files of the folder, evenly spread over their names."""
    assert folder is not None
    files = sorted(folder.iterdir())
    if endings is None:
        found = [p for p in files if io.is_picture(p) or p.suffix.lower() in VIDEOS]
    else:
        found = [p for p in files if p.suffix.lower() in endings]
    if not found:
        raise InputError(
            f"evaluate {folder}: expected a folder of {what}, found none;"
            f" put {', '.join(sorted(endings or ['.jpg', '.png']))} files there"
        )
    at = np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)
    return [found[i] for i in at]
