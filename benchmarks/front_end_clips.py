"""Composed driving videos with known face boxes: a person enters, leaves, returns, is not alone.

A talking-head clip is cut out by a fixed soft outline of head and shoulders and moved through a
generated room (wood with a cabinet, beige cloth, grey wall), under white or coloured light. The
face box of each frame is the face network's in the clip itself, where the face is whole and large,
moved along. The scenes are listed in ``SCENES``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.io import open_sink, open_source
from hybridanim.types import Array

WIDTH, HEIGHT, RATE_HZ, LENGTH_S = 640, 480, 25, 5.0
COUNT = round(RATE_HZ * LENGTH_S)
_WALK_S = 0.8  # from outside the picture to the place
_LEAST_SCORE = 0.6
Box = tuple[float, float, float, float]  # x, y, width, height in pixels


@dataclass(frozen=True)
class Actor:
    """One person of a scene: when she is there, where, and how large."""

    stays: tuple[tuple[float, float], ...]  # s, from arrival at the place to departure from it
    place: float = 0.5  # centre of the crop, share of the picture's width
    side_px: int = 400  # of the clip's square in the picture
    from_left: bool = True


@dataclass(frozen=True)
class Scene:
    """A composed video."""

    name: str
    room: str  # a key of ROOMS
    actors: tuple[Actor, ...]
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)  # gain of red, green, blue
    flicker: float = 0.0  # relative change of the light's colour over time


_ALWAYS = ((0.0, LENGTH_S),)
_LATE = ((1.8, LENGTH_S),)
_LATE_LEAVES = ((1.8, 3.8),)
_LEAVES = ((0.0, 2.6),)
_RETURNS = ((0.0, 1.5), (3.4, LENGTH_S))
_LIGHTS = {"warm": (1.0, 0.72, 0.5), "green": (0.7, 1.0, 0.75), "blue": (0.6, 0.75, 1.0)}
SCENES = (
    Scene("late_wood", "wood", (Actor(_LATE),)),
    Scene("late_beige", "beige", (Actor(_LATE, from_left=False),)),
    Scene("late_grey", "grey", (Actor(_LATE_LEAVES, 0.4, 360),)),
    Scene("late_wood_small", "wood", (Actor(_LATE_LEAVES, 0.6, 280),)),
    Scene("late_beige_large", "beige", (Actor(_LATE_LEAVES, 0.5, 470),)),
    Scene("late_wood_warm", "wood", (Actor(_LATE),), _LIGHTS["warm"]),
    Scene("leaves_wood", "wood", (Actor(_LEAVES),)),
    Scene("leaves_beige", "beige", (Actor(_LEAVES, 0.6, 360, from_left=False),)),
    Scene("leaves_grey_blue", "grey", (Actor(_LEAVES),), _LIGHTS["blue"]),
    Scene("leaves_wood_small", "wood", (Actor(_LEAVES, 0.35, 300),)),
    Scene("returns_wood", "wood", (Actor(_RETURNS),)),
    Scene("returns_beige", "beige", (Actor(_RETURNS, 0.55, 380, from_left=False),)),
    Scene("returns_grey", "grey", (Actor(_RETURNS, 0.5, 420),)),
    Scene("returns_beige_green", "beige", (Actor(_RETURNS),), _LIGHTS["green"]),
    Scene("two_wood", "wood", (Actor(_ALWAYS, 0.28, 320), Actor(_LATE, 0.74, 330, False))),
    Scene("two_beige", "beige", (Actor(_LEAVES, 0.3, 330), Actor(_ALWAYS, 0.72, 310))),
    Scene("two_grey", "grey", (Actor(_LATE_LEAVES, 0.28, 340), Actor(_RETURNS, 0.72, 330, False))),
    Scene("always_wood", "wood", (Actor(_ALWAYS, 0.5, 380),)),
    Scene("always_beige_warm", "beige", (Actor(_ALWAYS, 0.45, 340),), _LIGHTS["warm"], 0.25),
    Scene("nobody_wood", "wood", ()),
)


def wood(rng: np.random.Generator) -> Array:
    """(H, W, 3) float32: boards with grain, and a cabinet with two doors and knobs."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    long = _noise(rng, 160, 12) + 0.5 * _noise(rng, 60, 5)
    grain = 0.5 + 0.5 * np.sin(0.35 * y + 5 * long + 0.01 * x)
    shade = 0.65 * grain + 0.35 * (0.5 + 0.5 * _noise(rng, 40, 2))
    tone = np.array([122, 78, 44]) + shade[..., None] * np.array([92, 82, 66])
    for seam in range(0, HEIGHT, 96):
        tone[seam : seam + 3] *= 0.55
    left, top = int(rng.integers(60, 380)), int(rng.integers(40, 160))
    for door in range(2):
        a, b = left + 95 * door, top
        cv2.rectangle(tone, (a, b), (a + 90, b + 200), (84, 52, 30), 4)
        cv2.rectangle(tone, (a + 14, b + 16), (a + 76, b + 184), (104, 66, 38), 3)
    for knob in (left + 82, left + 104):
        cv2.circle(tone, (knob, top + 92), 7, (58, 38, 24), -1, cv2.LINE_AA)
        cv2.circle(tone, (knob - 2, top + 90), 2, (220, 200, 170), -1, cv2.LINE_AA)
    cv2.rectangle(tone, (left + 50, top + 140), (left + 138, top + 154), (70, 44, 26), -1)
    return tone.astype(np.float32)


def beige(rng: np.random.Generator) -> Array:
    """(H, W, 3) float32: a curtain with folds, and two frames on it."""
    _, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    folds = np.sin(0.09 * x + 3 * _noise(rng, 200, 30)) + 0.4 * np.sin(0.27 * x)
    cloth = 14 * folds + 5 * _noise(rng, 3, 3) + 8 * _noise(rng, 60, 60)
    tone = np.array([208, 178, 150]) + cloth[..., None] * np.array([1.0, 0.95, 0.85])
    for _ in range(2):
        a, b = int(rng.integers(20, 520)), int(rng.integers(20, 160))
        tone[b : b + 90, a : a + 74] = (176, 136, 108)
        cv2.rectangle(tone, (a, b), (a + 74, b + 90), (120, 86, 60), 5)
        cv2.ellipse(tone, (a + 37, b + 45), (20, 28), 0, 0, 360, (206, 160, 130), -1)
    return tone.astype(np.float32)


def grey(rng: np.random.Generator) -> Array:
    """(H, W, 3) float32: a wall with a shelf of books."""
    tone = np.full((HEIGHT, WIDTH, 3), 128.0) + 10 * _noise(rng, 120, 120)[..., None]
    at = 30
    while at < WIDTH - 60:
        width, top = int(rng.integers(12, 34)), int(rng.integers(60, 110))
        tone[top:190, at : at + width] = rng.integers(40, 210, 3)
        at += width + int(rng.integers(0, 8))
    tone[190:202] = (90, 86, 82)
    return tone.astype(np.float32)


ROOMS = {"wood": wood, "beige": beige, "grey": grey}


def _noise(rng: np.random.Generator, wide: int, high: int) -> Array:
    """(H, W) float32 in about [-1, 1], of cells so many pixels wide and high."""
    coarse = rng.uniform(-1, 1, (HEIGHT // high + 3, WIDTH // wide + 3)).astype(np.float32)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


@dataclass(frozen=True)
class Person:
    """A clip with the face box of each of its frames and its outline."""

    images: list[Array]  # (S, S, 3) uint8
    boxes: Array  # (T, 4) x, y, width, height
    outline: Array  # (S, S) float32 in [0, 1]

    def at(self, index: int) -> tuple[Array, Array]:
        """The picture and box of a frame; the clip runs forward and backward without end."""
        last = len(self.images) - 1
        turn = index % max(1, 2 * last)
        row = turn if turn <= last else 2 * last - turn
        return self.images[row], self.boxes[row]


def largest_face(faces: Array | None) -> Array | None:
    """(4,) box of the largest row of the face network's output, or None."""
    if faces is None or not len(faces):
        return None
    return faces[int(np.argmax(faces[:, 2] * faces[:, 3])), :4].astype(np.float64)


def read_person(path: Path, network: Path) -> Person | None:
    """The clip at a path; None when the network sees no face in a fifth of its frames."""
    with open_source(path) as reader:
        images = [frame.image for frame, _ in zip(reader, range(COUNT), strict=False)]
    side = images[0].shape[0]
    detector = cv2.FaceDetectorYN.create(str(network), "", (side, side), _LEAST_SCORE)
    found = [largest_face(detector.detect(image[..., ::-1].copy())[1]) for image in images]
    seen = np.array([box is not None for box in found])
    if seen.mean() < 0.8:
        return None
    known = np.array([box for box in found if box is not None])
    rows, all_rows = np.flatnonzero(seen), np.arange(len(images))
    boxes = np.stack([np.interp(all_rows, rows, column) for column in known.T], 1)
    return Person(images, boxes, _outline(side, np.median(boxes, 0)))


def _outline(side: int, box: Array) -> Array:
    """(S, S) float32: a soft mask of head and shoulders about a face box."""
    x, y, width, height = box
    middle, chin = x + width / 2, y + height
    mask = np.zeros((side, side), np.float32)
    head = (round(middle), round(y + 0.42 * height)), (round(0.72 * width), round(0.82 * height))
    cv2.ellipse(mask, *head, 0, 0, 360, 1.0, -1)
    neck = 0.5 * width
    corners = [
        (middle - neck, chin - 0.1 * height), (middle + neck, chin - 0.1 * height),
        (middle + 1.3 * width, chin + 0.35 * height), (middle + 1.6 * width, side),
        (middle - 1.6 * width, side), (middle - 1.3 * width, chin + 0.35 * height),
    ]  # fmt: skip
    cv2.fillPoly(mask, [np.array(corners, np.int32)], 1.0)
    return cv2.GaussianBlur(mask, (0, 0), 0.02 * side)


def _offset(actor: Actor, time_s: float) -> float | None:
    """Distance of the actor from her place in picture widths; None while she is outside."""
    away = min(max(start - time_s, time_s - end, 0.0) for start, end in actor.stays)
    if away >= _WALK_S:
        return None
    return (-1 if actor.from_left else 1) * away / _WALK_S


def _paste(image: Array, person: Person, index: int, left: float, side: int) -> Box:
    """Draw a frame of a person, its square's bottom at the picture's; the face box there."""
    small, box = person.at(index)
    scale = side / small.shape[0]
    matrix = np.array([[scale, 0, left], [0, scale, HEIGHT - side]])
    size = (WIDTH, HEIGHT)
    drawn = cv2.warpAffine(small, matrix, size, flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(person.outline, matrix, size)[..., None]
    image[:] = (1 - cover) * image + cover * drawn
    x, y, width, height = box * scale
    return x + left, y + HEIGHT - side, width, height


def frame_of(
    scene: Scene, people: Sequence[Person], room: Array, index: int
) -> tuple[Array, list[Box]]:
    """One frame (H, W, 3) uint8, and the face boxes in it; they may reach beyond the picture."""
    image, boxes = room.copy(), []
    for actor, person in zip(scene.actors, people, strict=False):
        offset = _offset(actor, index / RATE_HZ)
        if offset is not None:
            left = (actor.place + 0.85 * offset) * WIDTH - actor.side_px / 2
            boxes.append(_paste(image, person, index, left, actor.side_px))
    wave = scene.flicker * np.sin(2 * np.pi * index / (2 * RATE_HZ))
    gain = np.array(scene.light) * (1 + wave * np.array([1.0, 0.0, -1.0]))
    return np.clip(image * gain, 0, 255).astype(np.uint8), boxes


def compose(clips: Path, network: Path, folder: Path) -> list[Path]:
    """Write the scenes that are missing in a folder, each with its boxes in a JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(clips.glob("*.mp4"))
    wanted = [folder / f"{scene.name}.mp4" for scene in SCENES]
    if all(path.with_suffix(".json").is_file() for path in wanted):
        return wanted
    people = [person for path in paths if (person := read_person(path, network)) is not None]
    if not people:
        raise InputError(f"--people: expected clips with a face, found none in {clips}; try others")
    first = 0
    for number, (scene, path) in enumerate(zip(SCENES, wanted, strict=True)):
        rng = np.random.default_rng(number)
        room = ROOMS[scene.room](rng)
        here = [people[(first + i) % len(people)] for i in range(len(scene.actors))]
        first += len(here)
        truth = []
        with open_sink(path, Fraction(RATE_HZ), (WIDTH, HEIGHT), overwrite=True) as sink:
            for index in range(COUNT):
                image, boxes = frame_of(scene, here, room, index)
                sink.write(image, index / RATE_HZ)
                truth.append(boxes)
        with files.atomic_write(path.with_suffix(".json")) as part:
            part.write(json.dumps(truth).encode())
    return wanted
