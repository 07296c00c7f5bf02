"""Labelled clips and pictures -> augmented windows with the mesh points in them.

Rare looks are drawn more often (``balance``); close looks come in pairs of one clip, so that their
change can be compared. Augmentation misplaces the window as a tracker would, stretches, bends and
mirrors the face, changes the light, blurs, adds noise and covers parts. Some windows of the face
network show no face. A batch is a function of the seed and the step alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.face import face_fit, face_windows, mesh_labels
from hybridanim.face.face_model import FaceModel
from hybridanim.face.face_windows import FACE, WindowKind
from hybridanim.types import Array, HeadPose

from . import balance, variation

_SHIFT = {"face": 0.045, "eye": 0.012, "mouth": 0.018}  # deviation of a window, head sizes
_ROLL_DEG, _ZOOM = 6.0, 0.07  # deviations of its angle, and of the logarithm of its size
_STRETCH = {"face": 0.04, "eye": 0.08, "mouth": 0.09}  # deviation of the logarithm
_BEND = {"eye": 0.02, "mouth": 0.02}  # deviation of local shifts, window widths
_BENT, _GLASSES = 0.5, 0.15  # shares of the close looks, and of the eyes
_FAR_SHARE, _FAR = 0.15, 2.2  # share of windows that are misplaced more, and how much more
_FACELESS = 0.1  # share of windows without a face, of the face network
# labels count from the outer edge of the first pixel, as the teacher gives them
_LABEL_CORNER = np.array([0.5, 0.5, 0.0], np.float32)
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Footage:
    """Frames with labels; one row a frame."""

    greys: list[Array]  # (H, W) uint8
    points: Array  # (N, 478, 3) float32, pixels of the frame
    poses: list[HeadPose]
    clips: Array  # (N,) int, number of the clip
    weight: Array  # (N,) float, how often to draw the frame


def poses_of(points: Array, model: FaceModel) -> list[HeadPose]:
    """The pose of every mesh (N, 478, 3), by the points that move with the skull."""
    return [face_fit.pose_of(model, one) for one in points]


def read(folders: Sequence[tuple[Path, Path]], model: FaceModel, every: int = 1) -> Footage:
    """Read clips and pictures with their labels.

    folders: (folder of clips or pictures, folder of their labels NAME.npy). Raises InputError when
    there is nothing labelled, or the labels do not belong to the frames.
    """
    greys: list[Array] = []
    points: list[Array] = []
    clips: list[int] = []
    for number, (media, label) in enumerate(_pairs(folders)):
        labels = mesh_labels.read(label)
        frames = list(_greys(media))
        if len(frames) != len(labels):
            raise InputError(
                f"{label}: expected labels of the {len(frames)} frames of {media}, got"
                f" {len(labels)}; make them again with python -m calibration.face_labels"
            )
        rows = [i for i in range(0, len(labels), every) if np.isfinite(labels[i]).all()]
        greys += [frames[i] for i in rows]
        points += [labels[i].astype(np.float32) - _LABEL_CORNER for i in rows]
        clips += [number] * len(rows)
    if not greys:
        shown = ", ".join(str(labels) for _, labels in folders)
        raise InputError(
            f"labels: expected labelled frames in {shown}, found none; make them with"
            " python -m calibration.face_labels"
        )
    stacked, numbers = np.array(points), np.array(clips)
    poses = poses_of(stacked, model)
    return Footage(greys, stacked, poses, numbers, balance.weights(stacked, poses, numbers))


def _pairs(folders: Sequence[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    for media, labels in folders:
        for file in sorted(media.iterdir()):
            label = labels / f"{file.stem}.npy"
            if label.is_file():
                yield file, label


def _greys(file: Path) -> Iterator[Array]:
    if file.suffix.lower() in _SUFFIXES:
        yield cv2.cvtColor(io.read_picture(file), cv2.COLOR_RGB2GRAY)
        return
    with io.open_source(file) as clip:
        for frame in clip:
            yield cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)


def balanced(footage: Footage, kind: WindowKind) -> Footage:
    """The footage with its frames weighed for this kind of window."""
    weight = balance.weights(footage.points, footage.poses, footage.clips, kind.name)
    return replace(footage, weight=weight)


@dataclass(frozen=True, slots=True)
class Batch:
    """Network input and what it should give."""

    windows: Array  # (B, 1, H, W) float32
    points: Array  # (B, N, D) float32, window widths from the centre
    is_face: Array  # (B,) float32, 1 or 0


@dataclass(frozen=True, slots=True)
class Way:
    """How a window is placed and deformed; both windows of a pair have the same."""

    is_mirrored: bool  # of eyes: it is the right one
    seed: int  # of misplacement, stretch and bending


def batch(
    footage: Footage, kind: WindowKind, count: int, rng: np.random.Generator, mirror: Array
) -> Batch:
    """``count`` augmented windows; mirror: (478,) as in the face model.

    Windows of eyes and mouths are pairs: rows 2 i and 2 i + 1 are of one clip, and of one eye; both
    are misplaced, stretched and bent alike, so what differs between them is the expression.
    """
    rows = rng.choice(len(footage.greys), count, p=footage.weight)
    sides, seeds = rng.random(count) < 0.5, rng.integers(2**63, size=count)
    if kind is not FACE:
        rows[1::2] = [_partner(footage, row, rng) for row in rows[: count - 1 : 2]]
        sides[1::2], seeds[1::2] = sides[: count - 1 : 2], seeds[: count - 1 : 2]
    windows, points, is_face = [], [], []
    for row, side, seed in zip(rows, sides, seeds, strict=True):
        if kind is FACE and rng.random() < _FACELESS:
            windows.append(_faceless(footage, row, rng))
            points.append(np.zeros((len(kind.points), 3)))
            is_face.append(0.0)
            continue
        way = Way(is_mirrored=bool(side), seed=int(seed))
        window, found = _variant(footage, row, kind, rng, mirror, way)
        windows.append(window)
        points.append(found)
        is_face.append(1.0)
    return Batch(
        face_windows.normalised(np.array(windows)),
        np.array(points, np.float32),
        np.array(is_face, np.float32),
    )


def _partner(footage: Footage, row: int, rng: np.random.Generator) -> int:
    """Another frame of a frame's clip, or the same."""
    others = np.flatnonzero(footage.clips == footage.clips[row])
    share = footage.weight[others]
    return int(rng.choice(others, p=share / share.sum()))


def _variant(
    footage: Footage,
    row: int,
    kind: WindowKind,
    rng: np.random.Generator,
    mirror: Array,
    way: Way,
) -> tuple[Array, Array]:
    """A window, and the points in it."""
    grey, points, pose = footage.greys[row], footage.points[row], footage.poses[row]
    shape_rng = np.random.default_rng(way.seed)
    is_right = kind.name == "eye" and way.is_mirrored  # it is always seen in a mirror
    matrix = true_window(kind, points, pose, int(is_right))
    if way.is_mirrored and not is_right:
        matrix = np.array([[-1, 0, kind.width_px - 1], [0, 1, 0]]) @ _square(matrix)
    matrix = _misplaced(matrix, kind, shape_rng)
    found = in_window(points, matrix, kind, mirror if way.is_mirrored else None)
    if kind is FACE:
        return _relit(face_windows.cut(grey, matrix, kind), rng), found
    if rng.random() < 0.15:  # small faces
        grey, matrix = _coarser(grey, matrix, rng)
    window = face_windows.cut(grey, matrix, kind)
    if shape_rng.random() < _BENT:
        middle = np.array([kind.width_px - 1, kind.height_px - 1]) / 2
        at, deviation = found * kind.width_px + middle, _BEND[kind.name] * kind.width_px
        window, at = variation.bent(window, at, deviation, shape_rng)
        found = (at - middle) / kind.width_px
    if kind.name == "eye" and rng.random() < _GLASSES:
        window = variation.with_glasses(window, rng)
    return _relit(window, rng), found


def true_window(kind: WindowKind, points: Array, pose: HeadPose, side: int = 0) -> Array:
    """(2, 3) window of labelled points (478, 3); side: of the eye."""
    if kind.name == "face":
        return face_windows.face_window(pose)
    if kind.name == "eye":
        return face_windows.eye_window(points[:, :2], pose, side)
    return face_windows.mouth_window(points[:, :2], pose)


def in_window(points: Array, matrix: Array, kind: WindowKind, mirror: Array | None) -> Array:
    """(N, D) the kind's points in window widths from the centre; mirror: of a mirrored window."""
    own = points if mirror is None else points[mirror]
    own = own[list(kind.points)]
    xy = own[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    xy = (xy - np.array([kind.width_px - 1, kind.height_px - 1]) / 2) / kind.width_px
    if kind is not FACE:
        return xy
    zoom = np.sqrt(abs(np.linalg.det(matrix[:, :2]))) / kind.width_px
    return np.column_stack([xy, own[:, 2] * zoom])


def _square(matrix: Array) -> Array:
    return np.vstack([matrix, [0, 0, 1]])


def _misplaced(matrix: Array, kind: WindowKind, rng: np.random.Generator) -> Array:
    """The window as a tracker would place it, and the face slightly stretched."""
    wild = _FAR if rng.random() < _FAR_SHARE else 1.0
    shift = rng.normal(0, _SHIFT[kind.name] * wild, 2) / kind.width_heads * kind.width_px
    angle = np.deg2rad(rng.normal(0, _ROLL_DEG * wild))
    zoom = np.exp(rng.normal(0, _ZOOM * wild))
    stretch, shear = np.exp(rng.normal(0, _STRETCH[kind.name])), rng.normal(0, 0.025)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = zoom * turn @ np.array([[stretch, shear], [0, 1 / stretch]])
    middle = np.array([kind.width_px - 1, kind.height_px - 1]) / 2
    return np.column_stack([linear, middle + shift - linear @ middle]) @ _square(matrix)


def _coarser(grey: Array, matrix: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The picture at half to one third of the window's resolution."""
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0])) * rng.uniform(0.35, 0.8)
    if zoom >= 1 or zoom * min(grey.shape) < 1:  # nothing would be left of the picture
        return grey, matrix
    small = cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    fx, fy = small.shape[1] / grey.shape[1], small.shape[0] / grey.shape[0]
    back = np.array([[1 / fx, 0, 0.5 / fx - 0.5], [0, 1 / fy, 0.5 / fy - 0.5], [0, 0, 1]])
    return small, matrix @ back


def _relit(window: Array, rng: np.random.Generator) -> Array:
    """Gamma, contrast, a shadow, blur, noise, JPEG, and something that covers a part."""
    height, width = window.shape
    values = window.astype(np.float32) * np.float32(1 / 255)
    values = np.power(values, np.float32(np.exp(rng.normal(0, 0.3))))
    if rng.random() < 0.4:
        angle = rng.uniform(0, 2 * np.pi)
        x = np.linspace(-1, 1, width, dtype=np.float32)
        y = np.linspace(-1, 1, height, dtype=np.float32)
        ramp = np.float32(np.cos(angle)) * x[None] + np.float32(np.sin(angle)) * y[:, None]
        values = values * (1 + np.float32(rng.uniform(0, 0.6)) * ramp)
    values = np.float32(0.5) + (values - np.float32(0.5)) * np.float32(np.exp(rng.normal(0, 0.25)))
    values += np.float32(rng.normal(0, 0.08))
    if rng.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 1.3))
    if rng.random() < 0.3:
        noise = rng.standard_normal(values.shape, np.float32)
        values = values + noise * np.float32(rng.uniform(0, 0.05))
    out = np.clip(values * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
        coded = cv2.imencode(".jpg", out, quality)[1]
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    if rng.random() < 0.12:
        at = rng.uniform(0, [width, height])
        axes = rng.uniform(0.08, 0.35, 2) * width
        shape = (float(at[0]), float(at[1])), (float(axes[0]), float(axes[1])), rng.uniform(0, 180)
        cv2.ellipse(out, shape, int(rng.integers(0, 256)), -1)
    return out


def _faceless(footage: Footage, row: int, rng: np.random.Generator) -> Array:
    """A window beside the face, of half of it, upside down, of shuffled tiles, or of noise."""
    grey, pose = footage.greys[row], footage.poses[row]
    kind = int(rng.integers(4))
    angle = rng.uniform(-0.4, 0.4) + (np.pi if kind == 1 else 0.0)
    scale = pose.scale_px * np.exp(rng.normal(0, 0.35))
    centre = np.array(pose.shift_px)
    if kind in (0, 2):
        way = rng.uniform(0, 2 * np.pi)
        far = rng.uniform(0.45, 1.2) * max(scale, pose.scale_px)
        centre = centre + far * np.array([np.cos(way), np.sin(way)])
    window = face_windows.cut(grey, face_windows.window(FACE, centre, scale, angle), FACE)
    if kind == 3:
        n = int(rng.choice([16, 24, 32]))
        side = FACE.width_px // n
        tiles = window.reshape(side, n, side, n).swapaxes(1, 2).reshape(-1, n, n)
        tiles = tiles[rng.permutation(len(tiles))].reshape(side, side, n, n)
        window = np.ascontiguousarray(tiles.swapaxes(1, 2).reshape(FACE.width_px, -1))
        if rng.random() < 0.4:
            noise = rng.standard_normal(window.shape, np.float32)
            noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 8))
            window = np.clip(128 + noise / noise.std() * rng.uniform(5, 50), 0, 255)
    return _relit(np.asarray(window, np.uint8), rng)
