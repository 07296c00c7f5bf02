"""How near imagined motion is to recorded motion, and how fast it is.

    python -m benchmarks.imagined --train MOTIONS --held MOTIONS [--source PICTURE] [--out TABLE.md]

MOTIONS are folders of motion files (tools/fit_motions.py), ``--held`` of people that training never
saw. Frechet distances of windows of 2.6 s to those of the held clips (motion/motion_measures.py):
of the training clips, which is what other people's real motion has; of imagined motion, in the
moods' shares of the held clips; of held windows with their rows shuffled; of noise with their mean
and deviation; and of their mean pose. Statistics of each mood, imagined and real. With a source,
frames per second of ``Pipeline.imagine`` at 256 pixels, by wall clock and by processor time.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np

from hybridanim import command_line, files, io
from hybridanim.motion import (
    imagined_motion,
    imagined_network,
    moods,
    motion_measures,
    motion_track,
)
from hybridanim.motion.imagined_motion import Wish
from hybridanim.motion.motion_measures import WINDOW, Figures, Space
from hybridanim.motion.motion_track import RATE_HZ, Track
from hybridanim.types import Array
from stages.pipeline import Pipeline

_SEEDS, _SECONDS, _WARM_S = 16, 24, 2.0
_STEP = 16  # rows between two windows
_FRAMES, _WARM_FRAMES, _REPEATS = 50, 10, 5
Moving = tuple[Array, Array, Array]  # values, blinks, where they begin


def read(folder: Path) -> list[Track]:
    """The tracks of a folder of motion files."""
    return [t for path in sorted(folder.glob("*.safetensors")) for t in motion_track.read(path)]


def imagined(mood: str, seed: int, seconds: float) -> Moving:
    """One imagined track, without its first seconds, in which it leaves the rest."""
    skipped = round(_WARM_S * RATE_HZ)
    rows = itertools.islice(
        imagined_motion.values(Wish(mood, seed)), skipped, skipped + round(seconds * RATE_HZ)
    )
    values, blinks = zip(*rows, strict=True)
    blinks = np.array(blinks)
    return np.stack(values), blinks, (blinks > 0) & (np.r_[0.0, blinks[:-1]] == 0)


def windows(tracks: Sequence[Array]) -> list[Array]:
    """All windows of tracks, ``_STEP`` rows apart."""
    return [t[s : s + WINDOW] for t in tracks for s in range(0, len(t) - WINDOW + 1, _STEP)]


def mood_of(window: Array) -> str:
    """As the shipped network's statistics tell it."""
    tables = imagined_network.load().tables
    found = (moods.statistics(window) - tables.statistic_mean) / tables.statistic_deviation
    return moods.label(np.clip(found, -2.5, 2.5))


def distances(train: list[Track], held: list[Track], made: dict[str, list[Moving]]) -> list[str]:
    """Lines of the first table."""
    rng = np.random.default_rng(1)
    real = windows([one.values for one in held])
    shares = {m: sum(mood_of(w) == m for w in real) / len(real) for m in moods.MOODS}
    mixed: list[Array] = []
    for mood, share in shares.items():
        own = windows([values for values, _, _ in made[mood]])
        count = round(share * 400)
        mixed += [own[i] for i in rng.choice(len(own), min(count, len(own)), replace=False)]
    rows = np.concatenate(real)
    noise = [rng.normal(rows.mean(0), rows.std(0), real[0].shape) for _ in real]
    sets = {
        "training clips (other people)": windows([one.values for one in train]),
        "**imagined**": mixed,
        "held clips, rows shuffled": [rng.permutation(w) for w in real],
        "noise": noise,
        "mean pose": [np.repeat(rows.mean(0)[None], WINDOW, 0)] * len(real),
    }
    described = {k: np.stack([motion_measures.features(w) for w in v]) for k, v in sets.items()}
    truth = np.stack([motion_measures.features(w) for w in real])
    space = Space.of(truth)
    lines = ["| | windows | Frechet distance | diversity |", "|---|---|---|---|"]
    lines.append(
        f"| held clips | {len(truth)} | 0 | {motion_measures.diversity(space(truth)):.2f} |"
    )
    for name, found in described.items():
        inside = space(found)
        apart, spread = (
            motion_measures.frechet(inside, space(truth)),
            motion_measures.diversity(inside),
        )
        lines.append(f"| {name} | {len(found)} | {apart:.1f} | {spread:.2f} |")
    return lines


def _cells(found: Figures) -> str:
    return " | ".join(f"{getattr(found, f.name):.3g}" for f in fields(found))


def of_moods(tracks: list[Track], made: dict[str, list[Moving]]) -> list[str]:
    """Lines of the second table."""
    names = [f.name.replace("_", " ") for f in fields(Figures)]
    lines = ["| mood | | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    real: dict[str, list[Moving]] = {m: [] for m in moods.MOODS}
    for one in tracks:
        for start in range(0, len(one.values) - WINDOW + 1, WINDOW // 2):
            part = slice(start, start + WINDOW)
            mood = mood_of(one.values[part])
            real[mood].append((one.values[part], one.blinks[part], one.onsets[part]))
    for mood in moods.MOODS:
        lines.append(f"| {mood} | imagined | {_cells(motion_measures.figures(made[mood]))} |")
        if real[mood]:
            lines.append(f"| | real | {_cells(motion_measures.figures(real[mood]))} |")
    return lines


def speed(source: Path) -> list[str]:
    """Lines on the speed at 256 pixels."""
    pipeline = Pipeline.load(size=256)
    pipeline.set_source(io.read_picture(source))
    pictures = pipeline.imagine("talking", None, 1)
    list(itertools.islice(pictures, _WARM_FRAMES))
    wall, own = [], []
    for _ in range(_REPEATS):
        began_s, used_s = time.perf_counter(), time.process_time()
        list(itertools.islice(pictures, _FRAMES))
        wall.append(_FRAMES / (time.perf_counter() - began_s))
        own.append(_FRAMES / (time.process_time() - used_s))
    rows = imagined_motion.values(Wish("talking", 1))
    used_s = time.process_time()
    list(itertools.islice(rows, 2000))
    row_ms = (time.process_time() - used_s) / 2
    return [
        f"256x256, renderer painted: {statistics.median(wall):.0f} frames a second by the wall"
        f" clock ({min(wall):.0f} to {max(wall):.0f}), {statistics.median(own):.0f} for each"
        f" second of processor time ({min(own):.0f} to {max(own):.0f}). The rows alone take"
        f" {row_ms:.2f} ms a frame."
    ]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the tables; returns the exit code."""
    return command_line.run("benchmarks.imagined", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imagined", description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="motion files that were learned")
    parser.add_argument("--held", type=Path, required=True, help="motion files of other people")
    parser.add_argument("--source", type=Path, help="picture for the speed; without it, none")
    parser.add_argument("--out", type=Path, help="Markdown file for the tables, replaced")
    return parser


def _run(options: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    train, held = read(options.train), read(options.held)
    made = {m: [imagined(m, s, _SECONDS) for s in range(_SEEDS)] for m in moods.MOODS}
    parts = [distances(train, held, made), of_moods([*train, *held], made)]
    if options.source is not None:
        parts.append(speed(options.source))
    text = "\n\n".join("\n".join(part) for part in parts) + "\n"
    print(text)
    if options.out is not None:
        with files.atomic_write(options.out) as file:
            file.write(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
