"""Fit the landmark cascade: python -m calibration.alignment --clips DIR --portraits DIR ...

The landmark networks (the teacher) run over clips and portraits once and --teacher keeps what they
find; every --every-th frame becomes samples, and the fitted weights are written as safetensors. The
networks are needed here only. Method: docs/guide/landmarks.md; data:
hybridanim/weights/alignment.md.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import multiprocessing
import os
import sys
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save

from hybridanim import command_line, files, paths
from hybridanim.errors import InputError
from hybridanim.face.landmarks import GROUPS, MESH
from hybridanim.face.mesh_network import Teacher, expect_networks, points_from_mesh, teach_clip
from hybridanim.training.landmarks import mean as alignment_mean
from hybridanim.training.landmarks import training
from hybridanim.training.landmarks.samples import (
    Sample,
    Variant,
    augment,
    clip_samples,
    picture_sample,
)

_samples: list[Sample] = []  # read by the forked workers, never sent to them


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="folder of training clips")
    parser.add_argument("--portraits", type=Path, help="folder of still pictures")
    parser.add_argument("--networks", type=Path, required=True, help="the teacher's networks")
    parser.add_argument("--teacher", type=Path, default=Path("scratch/teacher"))
    parser.add_argument(
        "--output", type=Path, default=Path("hybridanim/weights/alignment.safetensors")
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    parser.add_argument("--every", type=int, default=6, help="use every so many frames")
    parser.add_argument("--copies", type=int, default=2, help="variants of each sample")
    parser.add_argument("--shape", action="store_true", help="print the mean shapes, fit nothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return parser


def _identities(clips: Path) -> dict[str, str]:
    """Clip stem -> person, from clips.csv next to the folder; without it, one person a clip."""
    table = clips.parent / "clips.csv"
    if not table.is_file():
        return {}
    with table.open() as lines:
        return {Path(row["file"]).stem: row["identity"] for row in csv.DictReader(lines)}


def _teach(job: tuple[Path, Path, Path]) -> int:
    clip, networks, output = job
    cv2.setNumThreads(1)
    return 0 if output.is_file() else teach_clip(Teacher(networks), clip, output)


def _still(job: tuple[Path, Path]) -> Sample | None:
    path, networks = job
    return picture_sample(path, Teacher(networks))


def _collect(job: tuple[Path, Path, int]) -> list[Sample]:
    return list(clip_samples(*job))


def _vary(job: tuple[int, int, int]) -> Variant:
    index, copy, seed = job
    return augment(_samples[index], _samples, np.random.default_rng([seed, copy, index]))


def _start() -> None:
    cv2.setNumThreads(1)


def _print_shape(teacher_files: list[Path]) -> None:
    """The source of ``hybridanim/face/mean_shape.py``'s two constants."""
    flat = [(s.truth - s.box[:2]) / s.box[2] for s in _samples]
    mean = alignment_mean.mean_shape(flat)
    solid = []
    for path in teacher_files:
        with np.load(path) as data:
            xy = points_from_mesh(data["xyz_px"], data["lids_xy_px"], data["iris_xy_px"])
            depth = data["xyz_px"][:, MESH, 2].astype(np.float32)
            sure = data["score"] > 0.9
        for side in ("left", "right"):  # the irises have no depth of their own
            depth[:, GROUPS[f"{side}_iris"][0]] = depth[:, list(GROUPS[f"{side}_eye"])].mean(1)
        solid += list(np.dstack([xy, depth])[sure][::10])
    print(alignment_mean.as_literal("MEAN_SHAPE", mean))
    print(alignment_mean.as_literal("MEAN_SHAPE_3D", alignment_mean.mean_shape_3d(solid, mean)))


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0, or 2 with one line on stderr when the data cannot be used."""
    return command_line.run("error", lambda: _run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    clips = _clips(options)
    _make_folder(options.teacher)
    if not options.shape:
        _make_folder(options.output.absolute().parent)
    _fit(options, clips)
    return 0


def _clips(options: argparse.Namespace) -> list[Path]:
    """The clips; InputError where the options cannot be used or the output must stay as it is."""
    for option, least in (("every", 1), ("copies", 1), ("seed", 0), ("workers", 1)):
        value = getattr(options, option)
        if value < least:
            raise InputError(f"--{option}: expected {least} or more, got {value}; leave it out")
    for option in ("clips", "portraits", "networks"):
        folder = getattr(options, option)
        if folder is not None and not paths.is_folder(folder):
            raise InputError(f"--{option}: expected a folder, got {folder}; check the name")
    inputs = [options.clips, options.networks, options.teacher]
    if not options.shape:
        paths.refuse_replacing(
            [("--output", options.output)],
            inputs + ([options.portraits] if options.portraits else []),
            overwrite=options.overwrite,
        )
    clips = sorted(options.clips.glob("*.mp4"))
    if not clips:
        raise InputError(
            f"--clips: expected mp4 files in {options.clips}, got none; check the folder"
        )
    return clips


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise paths.unusable(folder, error) from error


def _fit(options: argparse.Namespace, clips: list[Path]) -> None:
    """Teach, collect, vary, fit, write."""
    expect_networks(options.networks)  # before there are workers that would have to be stopped
    teacher_files = [options.teacher / f"{clip.stem}.npz" for clip in clips]
    with multiprocessing.get_context("fork").Pool(options.workers, _start) as pool:
        pool.map(
            _teach, [(c, options.networks, t) for c, t in zip(clips, teacher_files, strict=True)], 1
        )
        jobs = [(c, t, options.every) for c, t in zip(clips, teacher_files, strict=True)]
        for part in pool.imap(_collect, jobs, 1):
            _samples.extend(part)
        stills = sorted(options.portraits.glob("*.[jp][pn]g")) if options.portraits else []
        looks = pool.map(_still, [(path, options.networks) for path in stills], 8)
    if options.shape:
        _print_shape(teacher_files)
        return
    people = _identities(options.clips)
    found = [sample for sample in looks if sample]
    _samples.extend(found * 3)  # a still is one look where a clip is many: weigh it up
    print(f"{len(_samples)} samples, {len(found)} of {len(stills)} pictures")
    names = [people.get(sample.who, sample.who) for sample in _samples]
    with multiprocessing.get_context("fork").Pool(options.workers, _start) as pool:
        jobs = [(i, c, options.seed) for c in range(options.copies) for i in range(len(_samples))]
        variants = pool.map(_vary, jobs, 64)
        held = np.array([_is_held_out(names[i]) for i, _, _ in jobs])
        plan = training.Plan(seed=options.seed)
        tensors = training.fit_cascade(training.Data(variants, held, plan, pool.starmap), print)
    data = save(tensors)
    paths.write_whole("--output", options.output, data, overwrite=options.overwrite)
    print("sha256", files.sha256(options.output))


def _is_held_out(name: str) -> bool:
    """All pictures of one person in four calibrate the confidence."""
    return hashlib.sha256(name.encode()).digest()[0] % 4 == 0


if __name__ == "__main__":
    sys.exit(main())
