"""Folder of clips -> how well each method reconstructs or animates: table, JSON, pictures.

All methods run over the same frames and are measured by the same networks. ``copy`` shows the
source unchanged: it is the baseline (docs/guide/evaluating.md).
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from apps.guards import undisturbed
from apps.terminal import PROGRAM, listen, progress
from hybridanim import io, paths
from hybridanim.errors import InputError
from hybridanim.evaluation import cross_identity, perceptual, strip, table
from hybridanim.training.data import published
from hybridanim.training.data.dataset_index import TEST

from . import landmarks, study, tally
from .job import VIDEOS, EvaluateJob, measures_faces, select_evenly, with_protocol
from .methods import Method, chosen_methods
from .results import to_json, write_json
from .workers import Progress, Task, Worker, run, silent

FACE_METRICS = "AKD, MKR, CSIM, AED, head pose, jitter, eyes and mouth"


def command(argv: list[str]) -> int:
    """Run ``evaluate``, or its ``landmarks``, ``study`` or ``tally``; returns the exit code."""
    further = {"landmarks": landmarks.command, "study": study.command, "tally": tally.command}
    if argv and argv[0] in further:
        return further[argv[0]](argv[1:])
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
    if result["interrupted"]:
        return 130
    if not result["clips"]:
        raise InputError(
            f"evaluate: expected clips that can be measured, got none of {len(result['skipped'])};"
            " see the lines above"
        )
    return 0


def evaluate(job: EvaluateJob, report: Progress | None = None) -> dict[str, Any]:
    """Run all methods over all clips or pairs; InputError when there is nothing to run on."""
    job = with_protocol(job)
    with tempfile.TemporaryDirectory(prefix="hybridanim-") as scratch:  # of strips and cut clips
        return _evaluated(job, Path(scratch), report)


def _evaluated(job: EvaluateJob, scratch: Path, report: Progress | None) -> dict[str, Any]:
    methods = chosen_methods(job)
    tasks = _tasks(job, scratch)
    _refuse_to_replace(job, methods, tasks)
    notes = missing(job, methods)
    measure = partial(Worker, job, methods)
    results, is_interrupted = run(tasks, measure, job.jobs, report or silent)
    with undisturbed():
        if is_interrupted and not any(not r.failure for r in results):
            raise KeyboardInterrupt
        result = to_json(job, methods, results, is_interrupted, notes)
        if job.json is not None:
            write_json(job.json, result, overwrite=job.overwrite)
        candidates = [r.candidates for r in results if not r.failure]
        if job.strip is not None and candidates:
            picture = strip.draw(candidates, job.worst)
            io.write_picture(job.strip, picture, overwrite=job.overwrite)
    return result


def _refuse_to_replace(job: EvaluateJob, methods: tuple[Method, ...], tasks: list[Task]) -> None:
    """Raise InputError when --json or --strip would replace an input or another file."""
    written = [("--json", job.json), ("--strip", job.strip)]
    folders = [job.folder, job.sources, job.drivers, job.networks, job.mesh_environment]
    folders += [job.backbones, job.weights]
    folders += [method.weights for method in methods]
    clips = [path for task in tasks for path in (task.source, task.driver) if path is not None]
    paths.refuse_replacing(
        [(option, path) for option, path in written if path is not None],
        [*clips, *(path for path in folders if path is not None)],
        overwrite=job.overwrite,
    )


def missing(job: EvaluateJob, methods: tuple[Method, ...]) -> list[str]:
    """One line for each group of metrics that this run cannot measure, and what to do about it."""
    lines = perceptual.find(job.backbones)[2]
    if job.bodies:
        if job.mesh_environment is None:
            lines.append(
                "AKD, MKR of bodies not measured: no pose network; give an environment with"
                " mediapipe by --mesh-environment (docs/guide/evaluating.md)"
            )
    elif not measures_faces(job):
        lines.append(f"{FACE_METRICS} not measured: --protocol {job.protocol} shows no faces")
    elif any(method.is_object for method in methods):
        lines.append(f"{FACE_METRICS} not measured: the weights are of a kind without a face")
    elif job.networks is None and job.mesh_environment is not None:
        lines.append("CSIM, AED not measured: no network of identity; give --networks")
    elif job.networks is None:
        lines.append(
            f"{FACE_METRICS} not measured: no networks that measure faces; to measure them, pip"
            " install openvino and give the folder of the networks in docs/guide/evaluating.md by"
            " --networks, or an environment with mediapipe by --mesh-environment"
        )
    return lines


def _tasks(job: EvaluateJob, scratch: Path) -> list[Task]:
    if job.protocol != "none":
        assert job.folder is not None
        found = published.read(job.protocol, job.folder, scratch)
        tested = [one for one in found if one.split == TEST]
        if not tested:
            raise InputError(
                f"--protocol {job.protocol}: expected clips in {job.folder / TEST}, found none;"
                " put the published test split there"
            )
        return [Task(one.path, label=one.name) for one in select_evenly(tested, job.clips)]
    if not job.cross:
        return [Task(clip) for clip in _select_files(job.folder, VIDEOS, "clips", job.clips)]
    drivers = _select_files(job.drivers or job.folder, VIDEOS, "driving videos", job.clips)
    if job.sources is None:
        sources = _select_files(job.folder, VIDEOS, "clips", job.clips)
    else:
        sources = _select_files(job.sources, None, "pictures", 10**6)
    pairs = cross_identity.draw_pairs(sources, drivers, job.pairs, job.seed)
    # pairs of one driver stand together, so that a process scans it once
    return [Task(s, d) for s, d in sorted(pairs, key=lambda pair: (pair[1], pair[0]))]


def _select_files(
    folder: Path | None, endings: set[str] | None, what: str, most: int
) -> list[Path]:
    """At most ``most`` files of the folder, evenly spread over the sorted names."""
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
    return select_evenly(found, most)
