"""Weights file -> a folder of ONNX files, checked, with a text that says what goes in and out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from hybridanim import __version__, extras, files, paths
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.networks.weights import DETECTOR, RENDERER, read_header
from hybridanim.text import encoded

from .terminal import PROGRAM, listen, make_folder

README = "README.txt"


@dataclass(frozen=True)
class ExportJob:
    """Networks as ONNX files, for other programs."""

    out: Path
    """Folder that the files go to; it is made where it is missing."""
    weights: Path | None = None
    """Weights of one's own; without it, the repository's renderer and keypoint detector."""
    overwrite: bool = False
    """Replace files that are there already."""


def command(argv: list[str]) -> int:
    """Run the subcommand ``export``; returns the exit code."""
    listen()
    job = tyro.cli(ExportJob, args=argv, prog=f"{PROGRAM} export", description=__doc__)
    for path in export(job):
        print(path)
    return 0


def export(job: ExportJob) -> list[Path]:
    """Write the files; their paths. InputError where weights, folder or packages do not serve."""
    extras.expect_for_export()  # before seconds of imports
    from hybridanim.networks.weights import read_weights
    from hybridanim.runtime import graphs as networks  # imports torch
    from hybridanim.runtime import onnx

    graphs, origin = [], []
    sources = _weights_files(job.weights)
    for path in sources:
        found = read_weights(path)
        origin.append({"file": path.name, "sha256": found.sha256, "kind": found.kind})
        if found.animator is not None:
            graphs.append(networks.animator_graphs(found.animator))
        if found.monkeynet is not None:
            graphs.append(networks.monkeynet_graphs(found.monkeynet))
            graphs.append(networks.detector_graphs(found.monkeynet.detector))
        if found.detector is not None:
            graphs.append(networks.detector_graphs(found.detector))
    make_folder(job.out)
    together = [graph for part in graphs for graph in part]
    _refuse_to_replace(job, [job.out / f"{graph.name}.onnx" for graph in together], sources)
    written = onnx.write(together, job.out)
    for part in graphs:
        if wrong := onnx.failure(part, job.out):
            raise InputError(
                f"export: expected files that repeat the networks, got others: {wrong}; do not use"
                f" what lies in {job.out}, and report it with the versions that doctor shows"
            )
    about = {"tool": f"{provenance.TOOL} {__version__}", "weights": origin}
    readme = job.out / README
    with files.atomic_write(readme) as file:
        file.write(encoded(onnx.readme(together, about)))
    return [*written, readme]


def _weights_files(given: Path | None) -> list[Path]:
    """That file, or those of the repository that are there."""
    if given is not None:
        return [given]
    read_header(RENDERER.path)  # says what to do when it is missing
    return [path for path in (RENDERER.path, DETECTOR.path) if path.is_file()]


def _refuse_to_replace(job: ExportJob, written: list[Path], weights: list[Path]) -> None:
    outputs = [("--out", path) for path in (*written, job.out / README)]
    paths.refuse_replacing(outputs, weights, overwrite=job.overwrite)
