"""Clips and pictures -> labels: MediaPipe's attention mesh of every frame, as a teacher.

    python -m calibration.face_labels CLIPS... --output DIR --environment DIR [--install]

Writes DIR/NAME.npy for each file: (N, 478, 3) float32, x and y in pixels of the frame from the
outer edge of its first pixel (half a pixel more than ``_px`` elsewhere), z away from the camera in
the same unit, NaN rows where no face was found. N is 1 for a picture. The networks run in a virtual
environment of their own (hybridanim.evaluation.attention_mesh); they are not part of this package.
Files that are done are kept, so the same command goes on after an interruption. Where the process
takes longer than --limit-s for one picture, it is killed and the run ends with an error.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hybridanim import command_line, files, paths
from hybridanim.errors import InputError
from hybridanim.evaluation import attention_mesh
from hybridanim.evaluation.attention_mesh import STILL, AttentionMesh, MeshError
from hybridanim.face.mesh import COUNT
from hybridanim.io import is_picture, open_source, read_picture
from hybridanim.training.data.dataset_index import VIDEOS
from hybridanim.types import Array

_MOST_LIMIT_S = 86400
_CLIP = 1  # the stream of a clip's frames


@dataclass(frozen=True)
class Labelled:
    """What was found in one file."""

    name: str
    frames: int = 0
    faces: int = 0  # frames with a face
    note: str = ""  # what could not be read, or ""
    failure: str = ""  # why there are no labels, or ""


def plan(inputs: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """The files to label and the places of their labels; folders stand for the files in them.

    Raises InputError for nothing to label, and where two files would have labels of one name.
    """
    found: list[Path] = []
    for path in inputs:
        is_there = paths.is_folder(path) or paths.is_file(path)
        inside = sorted(path.iterdir()) if paths.is_folder(path) else [path]
        fit = [p for p in inside if is_picture(p) or p.suffix.lower() in VIDEOS]
        if not fit or not is_there:
            raise InputError(
                f"{path}: expected a clip, a picture, or a folder of them, found none; check the"
                " path"
            )
        found += fit
    places: dict[Path, Path] = {}
    for path in dict.fromkeys(found):
        place = output / f"{path.stem}.npy"
        if place in places:
            raise InputError(
                f"{path}: expected names that differ without their endings, got"
                f" {places[place]} too; label them into two folders"
            )
        places[place] = path
    return [(path, place) for place, path in places.items()]


def label(
    path: Path, place: Path, mesh: AttentionMesh, stop: Callable[[], bool] = lambda: False
) -> Labelled:
    """Write the labels of one file to ``place``, completely or not at all.

    stop: asked before every frame; once it is true, nothing is written. A file that cannot be read
    gives a Labelled with the reason. Raises MeshError where the process has ended.
    """
    is_still = is_picture(path)
    rows, notes = [], []
    nothing = np.full((COUNT, 3), np.nan, np.float32)
    mesh.end(_CLIP)  # the frames of another file
    try:
        for image in _frames(path, notes):
            if stop():
                return Labelled(path.name, failure="stopped")
            points = mesh(image, STILL if is_still else _CLIP)
            rows.append(nothing if points is None else points)
    except MeshError as error:
        raise MeshError(f"{path.name}: {error}") from error
    except InputError as error:
        return Labelled(path.name, failure=str(error))
    if not rows:
        return Labelled(path.name, failure="expected frames, found none; take it out")
    points = np.array(rows, np.float32)
    with files.atomic_write(place) as file:
        np.save(file, points)
    faces = int(np.isfinite(points[:, 0, 0]).sum())
    return Labelled(path.name, len(rows), faces, *notes)


def _frames(path: Path, notes: list[str]) -> Iterator[Array]:
    """Every frame, (H, W, 3) uint8 RGB; at the end, what could not be read is added to notes."""
    if is_picture(path):
        yield read_picture(path)
        return
    with open_source(path) as reader:
        for frame in reader:
            yield frame.image
        notes += [reader.warning] if reader.warning else []


def label_all(
    jobs: Sequence[tuple[Path, Path]],
    environment: Path,
    processes: int,
    limit_s: float = attention_mesh.LIMIT_S,
) -> Generator[Labelled]:
    """The labels of all files, by several processes of the environment; in the order of finishing.

    jobs: see ``plan``. limit_s: of one picture. Raises InputError where the environment cannot be
    used, or takes longer. When the caller or an error ends it early, files that are not complete
    have no labels.
    """
    stop = threading.Event()
    meshes: queue.SimpleQueue[AttentionMesh] = queue.SimpleQueue()
    with ExitStack() as stack:
        count = min(processes, len(jobs))
        opened = [stack.enter_context(AttentionMesh(environment, limit_s)) for _ in range(count)]
        for mesh in opened:
            mesh.wait()
            meshes.put(mesh)

        def work(path: Path, place: Path) -> Labelled:
            mesh = meshes.get()
            try:
                return label(path, place, mesh, stop.is_set)
            finally:
                meshes.put(mesh)

        pool = stack.enter_context(ThreadPoolExecutor(meshes.qsize()))
        running = [pool.submit(work, *job) for job in jobs]
        try:
            for done in as_completed(running):
                yield done.result()
        finally:
            stop.set()
            if not all(one.done() for one in running):
                for mesh in opened:  # nobody waits for an answer that may never come
                    mesh.kill()
            pool.shutdown(wait=True, cancel_futures=True)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code: 2 also where some files could not be labelled."""
    parser = argparse.ArgumentParser(
        prog="python -m calibration.face_labels",
        description="Label the faces of clips and pictures by MediaPipe's attention mesh.",
    )
    parser.add_argument("clips", type=Path, nargs="+", help="clips, pictures, folders of them")
    parser.add_argument("--output", type=Path, required=True, help="folder of the labels")
    parser.add_argument(
        "--environment", type=Path, required=True, help="virtual environment with mediapipe"
    )
    parser.add_argument(
        "--install",
        action="store_true",
        help=f"make the environment if it is missing, and install {attention_mesh.PACKAGES[0]} in"
        " it; downloads packages",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--limit-s",
        type=float,
        default=attention_mesh.LIMIT_S,
        help="most seconds that the process may take for one picture",
    )
    parser.add_argument("--overwrite", action="store_true", help="label files again that are done")
    options = parser.parse_args(arguments)
    return command_line.run("error", lambda: _run_or_stop(options))


def _run_or_stop(options: argparse.Namespace) -> int:
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    if not 1 <= options.jobs <= 64:
        raise InputError(f"--jobs: expected 1 to 64, got {options.jobs}; leave it out")
    if not 0 < options.limit_s <= _MOST_LIMIT_S:
        raise InputError(
            f"--limit-s: expected above 0 and at most {_MOST_LIMIT_S} s, got {options.limit_s};"
            " leave it out"
        )
    jobs = plan(options.clips, options.output)
    todo = [job for job in jobs if options.overwrite or not paths.is_file(job[1])]
    paths.refuse_replacing(
        [("--output", place) for _, place in todo],
        [path for path, _ in jobs],
        overwrite=options.overwrite,
    )
    if options.install:
        attention_mesh.install(options.environment)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        found = _label_with_progress(todo, options) if todo else []
    except OSError as error:
        raise paths.unusable(options.output, error) from error
    whole = [one for one in found if not one.failure]
    for one in found:
        if one.note or one.failure:
            print(f"{one.name}: {one.failure or one.note}", file=sys.stderr)
    frames, faces = sum(one.frames for one in whole), sum(one.faces for one in whole)
    print(
        f"{len(whole)} files labelled, {len(jobs) - len(todo)} kept; a face in {faces} of {frames}"
        f" frames; {options.output}"
    )
    return 2 if len(whole) < len(found) else 0


def _label_with_progress(
    todo: Sequence[tuple[Path, Path]], options: argparse.Namespace
) -> list[Labelled]:
    found: list[Labelled] = []
    labels = label_all(todo, options.environment, options.jobs, options.limit_s)
    with closing(labels), tqdm(total=len(todo), unit=" files", disable=None) as bar:
        for one in labels:
            found.append(one)
            bar.set_postfix(frames=sum(other.frames for other in found), refresh=False)
            bar.update()
    return found


if __name__ == "__main__":
    sys.exit(main())
