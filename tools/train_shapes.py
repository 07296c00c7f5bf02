"""A second category from scratch: draw creatures, learn them, animate one that was never seen.

``python -m tools.train_shapes``, a quarter of an hour on two cores. It runs the subcommand
``train`` and an animation of run_pipeline.py (docs/guide/objects.md), and writes a strip.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

if __package__ in (None, ""):  # run as a script: the repository's root is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from apps.main import main as hybridanim_main
from hybridanim import command_line, io, paths
from hybridanim.types import Array
from hybridanim.visualization import sheet
from stages.pipeline import Pipeline

from . import make_shapes

SIZE = 128
PAIRS = ((1000, 1001), (1004, 1005))  # driver and source, neither of them learned from
MOMENTS = (0, 9, 18, 27, 36, 45, 54)


def words(shapes: Path, out: Path, time_budget: str, more: list[str]) -> list[str]:
    """The words of the training."""
    places = ["--data", str(shapes / "clips"), "--validation", str(shapes / "unseen")]
    told = ["--out", str(out), "--kind", "object", "--size", str(SIZE)]
    return ["train", *places, *told, "--time-budget", time_budget, *more]


def animated(weights: Path, source: Array, clip: Path) -> list[Array]:
    """The source moved like the clip, at the strip's moments."""
    pipeline = Pipeline.load(
        tracker="learned", renderer="learned", weights=weights, crop="none", size=SIZE
    )
    pipeline.set_source(source)
    found = []
    with io.open_source(clip) as driving:
        for frame in driving:
            picture = pipeline.animate(frame.image, frame.time_s)
            if frame.index in MOMENTS:
                found.append(picture)
    return found


def frames(clip: Path) -> list[Array]:
    """A clip's own frames at the strip's moments."""
    with io.open_source(clip) as driving:
        return [frame.image for frame in driving if frame.index in MOMENTS]


def strip(weights: Path, unseen: Path) -> Array:
    """Rows: a driver; its own first picture, moved; another creature's first picture, moved."""
    rows = []
    for driver, source in PAIRS:
        clip, other = (unseen / f"creature{seed:04d}__0.mp4" for seed in (driver, source))
        truth = frames(clip)
        rows.append(truth)
        rows += [animated(weights, first, clip) for first in (truth[0], frames(other)[0])]
    pictures = [np.hstack([sheet.fit(x, SIZE, SIZE) for x in row]) for row in rows]
    return np.vstack(pictures)


def measured(curves: Path) -> str:
    """The last validation, as a table: unseen creatures rebuilt from their first frame."""
    with curves.open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    lines = [f"{row['samples']} pairs", "                 L1     PSNR   SSIM"]
    names = (("copy the source", "copy"), ("closed form", "warp"), ("the networks", "net"))
    for name, key in names:
        l1, psnr, ssim = (
            float(row[f"reconstruction_{SIZE}_learned_{key}_{metric}"])
            for metric in ("l1", "psnr", "ssim")
        )
        lines.append(f"{name:15s} {l1:.4f}  {psnr:5.2f}  {ssim:.3f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code."""
    return command_line.run("train_shapes", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(description="Learn drawn creatures from scratch.")
    parser.add_argument("--shapes", type=Path, default=Path("out/shapes"), help="the drawn clips")
    parser.add_argument("--out", type=Path, default=Path("runs/shapes"), help="the run")
    parser.add_argument("--time-budget", default="15m", help="of the training")
    given, more = parser.parse_known_args(arguments)
    if not (given.shapes / "unseen").is_dir():
        make_shapes.make(given.shapes, size=SIZE)
    code = hybridanim_main(words(given.shapes, given.out, given.time_budget, more))
    if code:
        return code
    print(measured(given.out / "curves.csv"))
    picture = paths.free_name(given.out / "strip.jpg")
    io.write_picture(picture, strip(given.out / "best.safetensors", given.shapes / "unseen"))
    print(f"Driver, itself moved, another moved: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
