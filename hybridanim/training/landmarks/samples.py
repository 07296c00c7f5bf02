"""Clips and pictures with a teacher's points -> samples for the landmark cascade; augmentation.

A sample is a grey picture with its true points, the points of a neighbouring frame (from which a
tracker would start) and the face box. Augmentation rotates, scales, mirrors, changes the light,
blurs, adds noise and JPEG artefacts, and covers parts with hand-like patches. The same seed gives
the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from hybridanim.errors import InputError
from hybridanim.face.aligner import NO_MAP, box_from_landmarks, invert
from hybridanim.face.cascade import detect_faces
from hybridanim.face.landmarks import MIRROR, interocular
from hybridanim.face.mesh_network import Teacher, frames_of, points_from_mesh
from hybridanim.geometry import apply_affine
from hybridanim.types import Array, FaceBox

CANVAS_PX = 208  # side of an augmented picture
_LEAST_SCORE = 0.8


@dataclass(frozen=True, slots=True)
class Sample:
    """One face."""

    grey: Array  # (H, W) uint8
    truth: Array  # (L, 2) float32
    neighbour: Array  # (L, 2) float32, true points of a near frame
    box: Array  # (3,) float32: centre x, y and side of the face box
    who: str  # name of the clip or picture


@dataclass(frozen=True, slots=True)
class Variant:
    """A sample after augmentation: CANVAS_PX square."""

    grey: Array
    truth: Array
    neighbour: Array
    box: Array
    hidden: float  # share of the points that an occluder covers


def _box(grey: Array, truth: Array) -> Array:
    """The face detector's box of this face; if it finds none, the box of the points."""
    face, _ = box_from_landmarks(truth)
    near = [
        found
        for found in detect_faces(grey)
        if 0.6 < found.width_px / face.width_px < 1.6
        and np.hypot(*np.subtract(found.center_xy_px, face.center_xy_px)) < 0.4 * face.width_px
    ]
    chosen = near[0] if near else face
    return np.array([*chosen.center_xy_px, chosen.width_px], np.float32)


def clip_samples(clip: Path, teacher_points: Path, every: int) -> Iterator[Sample]:
    """Every ``every``-th frame of a clip with the teacher's points of that frame (a .npz file)."""
    with np.load(teacher_points) as data:
        xy = points_from_mesh(data["xyz_px"], data["lids_xy_px"], data["iris_xy_px"])
        sure = data["score"] > _LEAST_SCORE
    for i, image in enumerate(frames_of(clip)):
        if i % every or i >= len(xy) or not sure[i]:
            continue
        other = max(0, i - every // 2)
        neighbour = xy[other] if sure[other] else xy[i]
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        yield Sample(grey, xy[i], neighbour, _box(grey, xy[i]), clip.stem)


def picture_sample(path: Path, teacher: Teacher) -> Sample | None:
    """A picture at 256 pixels with the teacher's points; None if it finds no face."""
    image = cv2.imread(str(path))
    if image is None:
        raise InputError(f"{path}: expected a picture, cannot read it; take it out of the folder")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    image = cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA)
    teacher.reset()
    mesh = teacher(image)
    if mesh is None or mesh.score < _LEAST_SCORE:
        return None
    truth = points_from_mesh(mesh.xyz_px, mesh.lids_xy_px, mesh.iris_xy_px)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return Sample(grey, truth, truth, _box(grey, truth), path.stem)


def augment(sample: Sample, others: list[Sample], rng: np.random.Generator) -> Variant:
    """One random variant of a sample."""
    width = sample.grey.shape[1]
    grey, truth, near, box = sample.grey, sample.truth, sample.neighbour, sample.box
    if rng.random() < 0.5:
        grey = grey[:, ::-1]
        truth, near = (_mirrored(xy, width) for xy in (truth, near))
        box = np.array([width - 1 - box[0], box[1], box[2]], np.float32)
    matrix = _random_view(truth, rng)
    displacement = _random_displacement(
        float(interocular(truth)) * np.sqrt(np.linalg.det(matrix[:, :2])), rng
    )
    grey = _resample(np.ascontiguousarray(grey), matrix, displacement)
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    truth, near = (_displaced(apply_affine(matrix, xy), displacement) for xy in (truth, near))
    box = np.array([*apply_affine(matrix, box[:2]), box[2] * scale], np.float32)
    grey, hidden = _occlude(grey, truth, others, rng)
    return Variant(_relight(grey, rng), truth, near, box, hidden)


def _mirrored(xy: Array, width: int) -> Array:
    flipped = xy[MIRROR].copy()
    flipped[:, 0] = width - 1 - flipped[:, 0]
    return flipped


def _random_view(truth: Array, rng: np.random.Generator) -> Array:
    """2x3 affine: rotation, scale, slight stretch; the face lies near the canvas's middle."""
    roll = rng.uniform(-35, 35) if rng.random() < 0.5 else rng.normal(0, 8)
    angle = np.deg2rad(roll)
    scale = rng.uniform(30, 60) / float(interocular(truth))
    stretch = np.exp(rng.normal(0, 0.04, 2))
    shear = rng.normal(0, 0.03)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = scale * turn @ np.array([[stretch[0], shear], [0, stretch[1]]])
    target = (CANVAS_PX - 1) / 2 + rng.normal(0, 6, 2)
    return np.column_stack([linear, target - linear @ truth.mean(0)])


def _random_displacement(eyes_px: float, rng: np.random.Generator) -> Array:
    """(S, S, 2) float32: a smooth displacement, for faces of other proportions."""
    size = eyes_px * rng.uniform(0, 0.06)
    coarse = rng.normal(0, size, (5, 5, 2)).astype(np.float32)
    return cv2.resize(coarse, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)


def _resample(grey: Array, matrix: Array, displacement: Array) -> Array:
    """The canvas at x shows the picture at inverse(matrix) of x + displacement(x)."""
    line = np.arange(CANVAS_PX, dtype=np.float32)
    at = np.stack(np.meshgrid(line, line), -1) + displacement
    back = invert(matrix).astype(np.float32)
    at = at @ back[:, :2].T + back[:, 2]
    return cv2.remap(grey, at, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _displaced(xy: Array, displacement: Array) -> Array:
    """Places of points on the canvas: x + displacement(x) = xy, by fixed-point iteration."""
    found = xy
    for _ in range(6):
        at = found.astype(np.float32)[None]
        moved = cv2.remap(
            displacement, at, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        found = xy - moved[0]
    return found.astype(np.float32)


def _relight(grey: Array, rng: np.random.Generator) -> Array:
    """Gamma, contrast, a linear shadow, blur, noise and JPEG."""
    picture = grey.astype(np.float32) / 255
    picture = picture ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.4:
        angle = rng.uniform(0, 2 * np.pi)
        line = np.linspace(-1, 1, CANVAS_PX, dtype=np.float32)
        ramp = np.cos(angle) * line[None] + np.sin(angle) * line[:, None]
        picture = picture * (1 + rng.uniform(0, 0.6) * ramp)
    picture = 0.5 + (picture - 0.5) * np.exp(rng.normal(0, 0.25)) + rng.normal(0, 0.08)
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.8))
    if rng.random() < 0.3:
        noise = rng.standard_normal(picture.shape, np.float32)
        picture = picture + noise * np.float32(rng.uniform(0, 0.06))
    out = np.clip(picture * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(20, 80))
        coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    return out


def _occlude(
    grey: Array, truth: Array, others: list[Sample], rng: np.random.Generator
) -> tuple[Array, float]:
    """Cover a part with a finger-like or round patch; returns the share of hidden points, too."""
    if rng.random() > 0.35:
        return grey, 0.0
    eyes = float(interocular(truth))
    mask = np.zeros(grey.shape, np.uint8)
    center = truth[rng.integers(len(truth))] + rng.normal(0, 0.3 * eyes, 2)
    reach = eyes * rng.uniform(0.25, 1.5)
    for _ in range(rng.integers(1, 5)):
        axes = reach * rng.uniform(0.5, 1), reach * rng.uniform(0.2, 0.6)
        at = center + rng.normal(0, 0.3 * reach, 2)
        where = (float(at[0]), float(at[1])), (2 * axes[0], 2 * axes[1]), rng.uniform(0, 180)
        cv2.ellipse(mask, where, 255, -1)
    if rng.random() < 0.5:
        tone = np.median(grey[mask > 0]) if mask.any() else 128
        fill = np.full(grey.shape, np.clip(tone + rng.normal(0, 25), 0, 255), np.uint8)
        fill = cv2.add(fill, cv2.resize(rng.integers(0, 40, (6, 6), np.uint8), grey.shape[::-1]))
    else:
        other = others[rng.integers(len(others))].grey
        turned = cv2.rotate(other, int(rng.integers(0, 3)))
        fill = cv2.resize(turned, grey.shape[::-1])
    soft = cv2.GaussianBlur(mask, (0, 0), 1.0)[..., None].astype(np.float32)[..., 0] / 255
    at = np.clip(np.rint(truth).astype(int), 0, CANVAS_PX - 1)
    hidden = float((mask[at[:, 1], at[:, 0]] > 0).mean())
    return (grey * (1 - soft) + fill * soft).astype(np.uint8), hidden


def face_box(box: Array) -> FaceBox:
    """A FaceBox out of centre x, y and side."""
    x, y, side = (float(v) for v in box)
    return FaceBox(x - side / 2, y - side / 2, side, side)


def faceless_variants(variants: Sequence[Variant], rng: np.random.Generator) -> list[Variant]:
    """Variants without an upright face: upside down, shuffled tiles, or a random texture."""
    out = []
    for variant in variants:
        kind, grey = rng.integers(3), variant.grey
        if kind == 0:
            grey = np.ascontiguousarray(grey[::-1])
        elif kind == 1:
            n = int(rng.choice([26, 52]))
            tiles = grey.reshape(CANVAS_PX // n, n, CANVAS_PX // n, n).swapaxes(1, 2)
            flat = tiles.reshape(-1, n, n)[rng.permutation((CANVAS_PX // n) ** 2)]
            tiles = flat.reshape(CANVAS_PX // n, CANVAS_PX // n, n, n)
            grey = np.ascontiguousarray(tiles.swapaxes(1, 2).reshape(CANVAS_PX, CANVAS_PX))
        else:
            noise = cv2.GaussianBlur(
                rng.standard_normal(grey.shape, np.float32), (0, 0), rng.uniform(0.5, 12)
            )
            noise = noise / max(float(noise.std()), 1e-6) * rng.uniform(5, 50)
            grey = np.clip(128 + noise, 0, 255).astype(np.uint8)
        out.append(replace(variant, grey=grey, hidden=1.0))
    return out


def displaced_starts(starts: Array, variants: Sequence[Variant], rng: np.random.Generator) -> Array:
    """Start shapes displaced from the face by 0.5 to 2.5 distances of the eyes."""
    eyes = interocular(np.array([variant.truth for variant in variants]))
    angle = rng.uniform(0, 2 * np.pi, len(starts))
    push = eyes * rng.uniform(0.5, 2.5, len(starts))
    return starts + (np.stack([np.cos(angle), np.sin(angle)], 1) * push[:, None])[:, None]
