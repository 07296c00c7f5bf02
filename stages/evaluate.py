"""Folder of clips -> how well each way reconstructs them: table, JSON, a strip of pictures.

Source = frame 0, absolute motion, every frame is the truth of what it drives. ``copy`` shows the
source unchanged: whatever does not beat it is worth nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from hybridanim import io
from hybridanim.config import EvaluateJob
from hybridanim.errors import InputError
from hybridanim.judges import Judge
from hybridanim.metrics import Stillness
from hybridanim.reconstruction import Score, Truth
from hybridanim.show import sheet
from hybridanim.types import Array, Crop

from . import Pipeline
from .terminal import listen, progress

VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif"}
Progress = Callable[[int, int, str], None]


def command(words: list[str]) -> int:
    """The word ``evaluate`` of the command line; the exit code."""
    listen()
    config = (tyro.conf.PositionalRequiredArgs,)
    job = tyro.cli(EvaluateJob, args=words, prog="run_pipeline.py evaluate", config=config)
    with progress(" clips") as show:
        result = evaluate(job, show)
    print(table(result))
    for line in result["skipped"]:
        print(f"left out: {line}")
    return 0


def evaluate(job: EvaluateJob, report: Progress | None = None) -> dict:
    """Run all ways over all clips; InputError when there is nothing to run on."""
    clips = sorted(p for p in job.folder.glob("*") if p.suffix.lower() in VIDEOS)[: job.clips]
    if not clips:
        raise InputError(
            f"evaluate {job.folder}: expected a folder of video clips, found none;"
            f" put {', '.join(sorted(VIDEOS))} files there"
        )
    judge = Judge(job.networks) if job.networks else None
    scores = {method: Score() for method in job.methods}
    rows: list[list[Array]] = []
    skipped: list[str] = []
    for done, clip in enumerate(clips):
        if report:
            report(done, len(clips), clip.name)
        try:
            rows.append(_one_clip(clip, job, scores, judge))
        except InputError as error:
            skipped.append(f"{clip.name}: {error}")
    result = {
        "definition": "source = frame 0, absolute motion, every frame the truth of its result",
        "clips": len(clips) - len(skipped),
        "skipped": skipped,
        "frames": len(next(iter(scores.values())).values.get("l1", [])),
        "methods": {method: score.summary() for method, score in scores.items()},
    }
    if job.json is not None:
        job.json.write_text(json.dumps(result, indent=2) + "\n")
    if job.strip is not None and rows:
        labels = ["source", "driving", *job.methods]
        io.write_picture(
            job.strip,
            sheet.sheet([c for r in rows for c in r], labels * len(rows), 192, columns=len(labels)),
        )
    return result


def _one_clip(
    clip: Path, job: EvaluateJob, scores: dict[str, Score], judge: Judge | None
) -> list[Array]:
    """Add a clip to the scores; the pictures of its middle frame."""
    still, count = Stillness(), 0
    with io.open_source(clip) as reader:
        for frame in reader:
            still.add(frame.image)
            count += 1
    background = still.mask()
    pipelines: dict[str, Pipeline] = {}
    row: list[Array] = []
    source = np.zeros((0, 0, 3), np.uint8)
    with io.open_source(clip) as reader:
        for frame in reader:
            image = frame.image
            if frame.index == 0:
                pipelines = {m: _pipeline(m, image, job) for m in job.methods if m != "copy"}
                source = image
                continue
            results = {"copy": source}
            for method, pipeline in pipelines.items():
                results[method] = pipeline.animate(image, frame.time_s)
            if frame.index == count // 2:
                row = [source, image, *(results[m] for m in job.methods)]
            if frame.index % job.every == 0:
                _score(scores, Truth(image), results, background, judge)
    for score in scores.values():
        score.end_clip()
    return row


def _pipeline(method: str, first: Array, job: EvaluateJob) -> Pipeline:
    """A pipeline whose source and driver share frame 0 and its coordinates."""
    if first.shape[0] != first.shape[1]:
        raise InputError(
            f"expected square frames, got {first.shape[1]}x{first.shape[0]}; crop the clip first"
        )
    options: dict[str, Any] = {"renderer": method, "motion": "absolute", "crop": "none"}
    if method == "learned":
        options["weights"] = job.weights
    pipeline = Pipeline.load(smooth=job.smooth, **options)
    pipeline.set_source(first)
    pipeline.keypoints.set_crop(Crop(0.0, 0.0, float(first.shape[0])))
    pipeline.animate(first, 0.0)
    return pipeline


def _score(
    scores: dict[str, Score],
    truth: Truth,
    results: dict[str, Array],
    background: Array,
    judge: Judge | None,
) -> None:
    if judge is not None:
        truth.mesh = judge.mesh(truth.image)
        if truth.mesh is not None:
            truth.embedding = judge.embedding(truth.image, truth.mesh)
    for method, score in scores.items():
        score.add(truth, results[method], background, judge)


def table(result: dict) -> str:
    """The methods as lines of text."""
    names = sorted({name for row in result["methods"].values() for name in row})
    lines = ["method    " + "".join(f"{name:>18}" for name in names)]
    for method, row in result["methods"].items():
        cells = "".join(f"{row.get(name, float('nan')):18.4f}" for name in names)
        lines.append(f"{method:<10}{cells}")
    return "\n".join(lines)
