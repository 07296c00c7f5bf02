"""Results of clips -> figures as JSON, with what is worth knowing about the run."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from hybridanim import __version__, files
from hybridanim.errors import InputError
from hybridanim.evaluation.scores import pooled
from hybridanim.io import provenance

from .job import EvaluateJob
from .results import ClipResult

SCHEMA = 2
DEFINITIONS = {
    False: "source = frame 0, absolute motion, every frame the truth of its result",
    True: "source and driver are different people; relative motion from the frame posed alike",
}


def gathered(
    job: EvaluateJob, results: list[ClipResult], is_interrupted: bool, notes: list[str]
) -> dict[str, Any]:
    """Everything that was measured, as plain JSON values."""
    whole = [r for r in results if not r.failure]
    names = [method.name for method in job.chosen()]
    return {
        "schema": SCHEMA,
        "kind": "cross-identity" if job.cross else "reconstruction",
        "definition": DEFINITIONS[job.cross],
        "clips": len(whole),
        "frames": sum(r.frames for r in whole),
        "interrupted": is_interrupted,
        "methods": {n: pooled([r.scores[n] for r in whole]) for n in names} if whole else {},
        "per_clip": {
            r.name: {"frames": r.frames} | {n: pooled([r.scores[n]]) for n in names} for r in whole
        },
        "skipped": [f"{r.name}: {r.failure}" for r in results if r.failure],
        "not_measured": notes + _faceless(job, whole),
        "settings": provenance.to_json(job),
        "weights": weights_used(job),
        "versions": _versions(),
    }


def _faceless(job: EvaluateJob, results: list[ClipResult]) -> list[str]:
    """A line for the clips in which the judge never saw a face."""
    if job.networks is None or job.is_object:
        return []
    names = [r.name for r in results if not any(s.judged for s in r.scores.values())]
    return [f"face figures not measured, no face seen: {', '.join(names)}"] if names else []


def write(path: Path, result: dict[str, Any]) -> None:
    """Write the JSON file, whole or not at all."""
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    try:
        with files.atomic_write(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise InputError(
            f"--json: expected to write {path}, got '{error.strerror or error}'; choose another"
            " place"
        ) from error


def weights_used(job: EvaluateJob) -> dict[str, str]:
    """sha256 of every weights file that the methods read, by name."""
    own = {method.weights for method in job.chosen() if method.weights}
    own |= set(files.WEIGHTS.glob("*.safetensors"))
    return {file.name: files.sha256(file) for file in sorted(own)}


def _versions() -> dict[str, str | None]:
    names = ("numpy", "opencv-contrib-python", "torch", "openvino", "lpips")
    found: dict[str, str | None] = {"hybridanim": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found | {"commit": provenance.git_commit()}
