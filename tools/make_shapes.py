"""Draw a set of moving creatures: a category to learn from scratch, with everything generated.

``python -m tools.make_shapes out/shapes`` writes out/shapes/clips (to learn from) and
out/shapes/unseen (other creatures, to try it on). Each has proportions, colours, a pattern and a
background of its own; limbs swing, bend, stretch and pass in front of and behind the body.
Deterministic: equal options give equal pixels. A minute or two.
"""

from __future__ import annotations

import argparse
import colorsys
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

if __package__ in (None, ""):  # run as a script: the repository's root is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hybridanim import command_line, paths
from hybridanim.types import Array

from .driving_head import film

_FINE = 4  # drawn this many times larger, then averaged
_SHIFT = 4  # binary digits behind the point of a coordinate
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Limb:
    """Two segments from a joint of the body; lengths and widths in units of the picture."""

    joint: tuple[float, float]  # in the body's own axes, x right, y down
    lengths: tuple[float, float]
    width: float
    rest_deg: float  # direction of the upper segment, 0 = down, positive to the right
    is_before: bool  # of the body
    end: int  # colour of the glove or shoe


@dataclass(frozen=True)
class Swing:
    """What a moving number does: middle + amount * sin(turns * 2 pi t + phase), t in [0, 1]."""

    amount: float
    turns: float
    phase: float

    def __call__(self, t: float) -> float:
        """The number at a time."""
        return self.amount * float(np.sin(2 * np.pi * self.turns * t + self.phase))


@dataclass(frozen=True)
class Creature:
    """One identity: what does not change while it moves."""

    body: tuple[float, float]  # half width and half height
    head: float  # radius
    limbs: tuple[Limb, ...]
    colours: tuple[Colour, ...]  # body, belly, limbs, glove, head, pattern, shoe
    stripes: int
    has_ears: bool
    background: Array  # (S, S, 3) uint8 at the fine size


def _colour(
    rng: np.random.Generator,
    bright: tuple[float, float] = (0.5, 1.0),
    strong: tuple[float, float] = (0.4, 0.95),
) -> Colour:
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*strong), rng.uniform(*bright))
    return (round(255 * rgb[0]), round(255 * rgb[1]), round(255 * rgb[2]))


def make_creature(seed: int, size: int) -> Creature:
    """The creature of that number, for pictures of size x size pixels."""
    rng = np.random.default_rng([11, seed])
    wide, high = rng.uniform(0.095, 0.14), rng.uniform(0.14, 0.19)
    arms, legs = rng.uniform(0.11, 0.16), rng.uniform(0.11, 0.15)
    width = rng.uniform(0.05, 0.08)
    limbs = []
    for side in (-1, 1):
        joint = (side * 0.85 * wide, -0.6 * high)
        rest = side * rng.uniform(35, 75)
        limbs.append(Limb(joint, (arms, 0.9 * arms), width, rest, side > 0, 3))
        joint = (side * 0.55 * wide, 0.85 * high)
        limbs.append(Limb(joint, (legs, legs), 1.15 * width, side * rng.uniform(5, 20), False, 6))
    colours = [_colour(rng) for _ in range(7)]
    # every creature differs, but a glove is light and a shoe dark: as hands look like hands
    colours[3], colours[6] = _colour(rng, (0.9, 1.0), (0.0, 0.15)), _colour(rng, (0.1, 0.25))
    return Creature(
        body=(wide, high),
        head=rng.uniform(0.085, 0.125),
        limbs=tuple(limbs),
        colours=tuple(colours),
        stripes=int(rng.integers(0, 4)),
        has_ears=bool(rng.random() < 0.5),
        background=_background(rng, size * _FINE),
    )


def _background(rng: np.random.Generator, size: int) -> Array:
    """A soft slope of two colours with a few faint discs and bars; it never moves."""
    ends = [np.array(_colour(rng, (0.35, 0.65), (0.1, 0.45)), np.float32) for _ in range(2)]
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    share = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)[..., None]
    image = ends[0] + share * (ends[1] - ends[0])
    for _ in range(rng.integers(3, 8)):
        layer = image.copy()
        centre = tuple(int(v) for v in rng.integers(0, size, 2))
        if rng.random() < 0.5:
            cv2.circle(layer, centre, int(size * rng.uniform(0.04, 0.16)), _colour(rng), -1)
        else:
            other = tuple(int(v) for v in rng.integers(0, size, 2))
            cv2.line(layer, centre, other, _colour(rng), int(size * rng.uniform(0.01, 0.05)))
        image = 0.8 * image + 0.2 * layer
    return image.round().astype(np.uint8)


def poses(seed: int, clip: int, count: int, limbs: int) -> Iterator[dict[str, Array]]:
    """Of every frame: ``body`` x, y, roll, growth, head roll; ``limbs`` (L, 3) angle, bend,
    stretch.
    """
    rng = np.random.default_rng([12, seed, clip])

    def swing(most: float, least: float = 0.4) -> Swing:
        amount = most * rng.uniform(least, 1)
        return Swing(amount, rng.uniform(0.6, 1.8), rng.uniform(0, 2 * np.pi))

    body = [swing(0.11), swing(0.06), swing(14), swing(0.1), swing(18)]
    each = [(swing(45), swing(35), swing(0.15)) for _ in range(limbs)]
    for i in range(count):
        t = i / 60
        yield {
            "body": np.array([s(t) for s in body]),
            "limbs": np.array([[s(t) for s in three] for three in each]),
        }


class _Brush:
    """Draws in units of the picture, in axes of its own, with soft edges."""

    def __init__(self, image: Array, matrix: Array) -> None:
        self._image, self._matrix, self._side = image, matrix, image.shape[0]
        self.scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))

    def places(self, xy: Array) -> Array:
        """(N, 2) of these axes in the picture."""
        return xy @ self._matrix[:, :2].T + self._matrix[:, 2]

    def shape(self, xy: Array, colour: Colour) -> None:
        """A filled outline (N, 2)."""
        px = np.round(self.places(xy) * self._side * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(self._image, [px], colour, cv2.LINE_AA, _SHIFT)

    def disc(self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour) -> None:
        """An ellipse along these axes."""
        t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        outline = np.stack([radii[0] * np.cos(t), radii[1] * np.sin(t)], 1) + np.array(centre)
        self.shape(outline, colour)

    def bone(self, start: Array, end: Array, widths: tuple[float, float], colour: Colour) -> None:
        """A capsule that narrows from start to end."""
        along = (end - start) / max(1e-6, float(np.linalg.norm(end - start)))
        across = np.array([-along[1], along[0]])
        t = np.linspace(0, np.pi, 13)[:, None]
        first = start + widths[0] / 2 * (np.cos(t) * across - np.sin(t) * along)
        last = end + widths[1] / 2 * (-np.cos(t) * across + np.sin(t) * along)
        self.shape(np.concatenate([first, last]), colour)


def draw(creature: Creature, pose: dict[str, Array]) -> Array:
    """One frame, (S, S, 3) uint8 RGB."""
    image = creature.background.copy()
    x, y, roll_deg, growth, tilt_deg = pose["body"]
    turn = (1 + growth) * _turn(roll_deg)
    brush = _Brush(image, np.column_stack([turn, [0.5 + x, 0.52 + y]]))
    moves = list(zip(creature.limbs, pose["limbs"], strict=True))
    for limb, move in moves:
        if not limb.is_before:
            _draw_limb(brush, creature, limb, move)
    _draw_body(brush, creature)
    neck = np.array([0, -0.95 * creature.body[1]])
    place = brush.places(neck[None])[0]
    _draw_head(_Brush(image, np.column_stack([turn @ _turn(tilt_deg), place])), creature)
    for limb, move in moves:
        if limb.is_before:
            _draw_limb(brush, creature, limb, move)
    size = image.shape[0] // _FINE
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _turn(degrees: float) -> Array:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s], [s, c]])


def _draw_limb(brush: _Brush, creature: Creature, limb: Limb, move: Array) -> None:
    angle_deg, bend_deg, stretch = move
    down, point = np.array([0.0, 1.0]), np.array(limb.joint)
    upper = limb.rest_deg + angle_deg
    lower = upper + bend_deg
    width = limb.width * (1 - 0.5 * stretch)
    middle = point + limb.lengths[0] * (1 + stretch) * (_turn(-upper) @ down)
    end = middle + limb.lengths[1] * (1 + stretch) * (_turn(-lower) @ down)
    brush.bone(middle, end, (0.85 * width, 0.6 * width), creature.colours[2])
    brush.bone(point, middle, (width, 0.85 * width), creature.colours[2])
    brush.disc(
        (float(end[0]), float(end[1])), (0.75 * width, 0.75 * width), creature.colours[limb.end]
    )


def _draw_body(brush: _Brush, creature: Creature) -> None:
    wide, high = creature.body
    brush.disc((0, 0), (wide, high), creature.colours[0])
    brush.disc((0, 0.25 * high), (0.6 * wide, 0.6 * high), creature.colours[1])
    for i in range(creature.stripes):
        level = high * (-0.6 + 0.28 * i)
        half = wide * np.sqrt(1 - (level / high) ** 2)
        thick = 0.05 * high
        outline = np.array([[-half, level], [0, level + 2 * thick], [half, level], [0, level]])
        brush.shape(outline, creature.colours[5])


def _draw_head(brush: _Brush, creature: Creature) -> None:
    r, middle = creature.head, -0.8 * creature.head
    if creature.has_ears:
        for side in (-1, 1):
            brush.disc(
                (side * 0.75 * r, middle - 0.75 * r), (0.4 * r, 0.4 * r), creature.colours[2]
            )
    brush.disc((0, middle), (r, r), creature.colours[4])
    for side in (-1, 1):
        brush.disc((side * 0.38 * r, middle - 0.1 * r), (0.24 * r, 0.28 * r), (250, 250, 250))
        brush.disc((side * 0.34 * r, middle - 0.06 * r), (0.11 * r, 0.14 * r), (15, 15, 20))
    brush.disc((0, middle + 0.45 * r), (0.3 * r, 0.1 * r), (60, 20, 30))


def clip_frames(seed: int, clip: int, *, count: int, size: int) -> Iterator[Array]:
    """The frames of one clip."""
    creature = make_creature(seed, size)
    for pose in poses(seed, clip, count, len(creature.limbs)):
        yield draw(creature, pose)


def make(
    folder: Path,
    *,
    clips: int = 64,
    unseen: int = 8,
    count: int = 60,
    size: int = 128,
    overwrite: bool = False,
) -> None:
    """Write both sets; a creature's clip is named after it, so that no identity is in both.

    Raises InputError, before it writes, where a clip exists and ``overwrite`` is off.
    """
    jobs = [("clips", i) for i in range(clips)] + [("unseen", 1000 + i) for i in range(unseen)]
    places = [folder / part / f"creature{seed:04d}__0.mp4" for part, seed in jobs]
    paths.refuse_replacing([("folder", path) for path in places], (), overwrite=overwrite)
    for path, (_, seed) in tqdm(list(zip(places, jobs, strict=True)), unit="clip"):
        film.write(path, clip_frames(seed, 0, count=count, size=size), fps=25, crf=12)


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code."""
    return command_line.run("make_shapes", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(description="Draw clips of moving creatures.")
    parser.add_argument("folder", type=Path, help="where clips/ and unseen/ are written")
    parser.add_argument("--clips", type=int, default=64, help="creatures to learn from")
    parser.add_argument("--unseen", type=int, default=8, help="other creatures")
    parser.add_argument("--frames", type=int, default=60, help="of each clip")
    parser.add_argument("--size", type=int, default=128, help="pixels, a multiple of 32")
    parser.add_argument("--overwrite", action="store_true", help="replace clips that exist")
    given = parser.parse_args(arguments)
    if given.size % 32 or given.size < 32:
        parser.error(f"--size: expected a multiple of 32, got {given.size}; try 128")
    make(
        given.folder,
        clips=given.clips,
        unseen=given.unseen,
        count=given.frames,
        size=given.size,
        overwrite=given.overwrite,
    )
    print(f"{given.folder}: {given.clips} clips to learn from, {given.unseen} of other creatures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
