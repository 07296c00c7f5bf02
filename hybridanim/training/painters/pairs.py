"""Labelled clips -> windows as the warp renderer leaves them, and as they should be.

Two frames of a clip make a pair: the first one is the source, whose head takes the pose and the
expression of the second. It is moved and rendered as at run time, with errors of the fit as the
landmark networks make them, and the windows are cut from the result, from the second frame (the
truth) and from the source. Each clip becomes two files, which are mapped into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridanim import files, io
from hybridanim.config import RenderConfig
from hybridanim.errors import InputError
from hybridanim.face import face_fit, mesh_labels, paint_windows
from hybridanim.face.face_fit import Observation
from hybridanim.face.face_model import AXES, FaceModel, measure
from hybridanim.face.face_windows import WindowKind
from hybridanim.face.landmarks import MESH
from hybridanim.face.paint_windows import EYE, KINDS, MOUTH
from hybridanim.motion import head_mesh, head_transfer
from hybridanim.rendering import warp
from hybridanim.training.diversity import most_different
from hybridanim.types import Array, Crop, FaceFit, HeadBox, HeadPose, HeadTarget, Keypoints, Source

SOURCES, TARGETS = 6, 40  # source frames of a clip, and frames that each is animated to
_CELLS = 128  # of the flow, as the warp renderer takes for pictures of this size
_LABEL_CORNER = np.array([0.5, 0.5, 0.0], np.float32)  # labels count from the edge of a pixel
_MOUTH, _WIDE = AXES.index("jaw_open"), AXES.index("mouth_wide")
_LIDS = [AXES.index("left_lid_open"), AXES.index("right_lid_open")]
_LOOKS = np.array([0.05, 0.1, 0.1, 0.25])  # what counts as one difference: ``_looks``
_FIT_NOISE = 0.25  # largest deviation of the source's expression coefficients
_SHIFT, _ROLL, _ZOOM = 0.004, 0.012, 0.008  # deviations of the source's pose: heads, radians
_TARGET_SHARE, _OPENING_NOISE = 0.3, 0.07  # share of targets with noise of their own


def row_type(kind: WindowKind) -> np.dtype:
    """One pair of windows of a kind."""
    picture = (kind.height_px, kind.width_px, 3)
    points = (len(kind.points), 2)
    return np.dtype(
        [
            *((name, np.uint8, picture) for name in ("warped", "own", "true")),
            *((name, np.float32, points) for name in ("now", "was")),
            ("turn", np.float32, (2,)),
        ]
    )


@dataclass(frozen=True)
class Footage:
    """A labelled clip with the face fitted in every frame that shows one."""

    frames: list[Array]  # (S, S, 3) uint8 RGB
    fits: list[FaceFit]


def fitted(media: Path, label: Path, model: FaceModel) -> Footage:
    """Read a clip and fit its labels; InputError when they do not belong together."""
    labels = mesh_labels.read(label)
    with io.open_source(media) as clip:
        frames = [frame.image for frame in clip]
    if len(frames) != len(labels):
        raise InputError(
            f"{label}: expected labels of the {len(frames)} frames of {media}, got {len(labels)};"
            " make them again with python -m calibration.face_labels"
        )
    shown = [i for i in range(len(labels)) if np.isfinite(labels[i]).all()]
    points = labels - _LABEL_CORNER
    state = None
    for i in shown[::3]:  # the identity first
        state, _ = face_fit.fit(model, Observation(points[i], 1.0), state)
    fits = []
    for i in shown:
        state, fit = face_fit.fit(model, Observation(points[i], 1.0), state)
        fits.append(fit)
    return Footage([_square(frames[i]) for i in shown], fits)


def _square(frame: Array) -> Array:
    side = min(frame.shape[:2])
    return np.ascontiguousarray(frame[:side, :side])


def _looks(fits: Sequence[FaceFit]) -> Array:
    """(N, 4) opening and width of the mouth, opening of the eyes, yaw; differences of unit size."""
    q = np.array([fit.quantities for fit in fits])
    yaw = np.array([fit.pose.rotation[0, 2] for fit in fits])
    return np.column_stack([q[:, _MOUTH], q[:, _WIDE], q[:, _LIDS].mean(1), yaw]) / _LOOKS


def choose_targets(looks: Array, source: int, count: int, rng: np.random.Generator) -> list[int]:
    """Frames for one source; such with another look, above all blinks, are drawn more often."""
    apart = np.abs(looks - looks[source])
    lids = looks[:, 2] * _LOOKS[2]
    shut = np.clip((np.median(lids) - lids) / 0.12, 0, 1)
    weight = 0.1 + np.minimum(apart, [3, 2, 3, 1.5]).sum(1) + 4 * shut
    weight[source] = 0
    return list(rng.choice(len(looks), min(count, len(looks) - 1), False, weight / weight.sum()))


def source_of(image: Array, fit: FaceFit, model: FaceModel) -> Source:
    """A source of a whole square frame; its mask covers everything."""
    size = len(image)
    points = fit.pose.project(model.vertices_of(fit))[:, :2]
    landmarks = points[np.where(MESH >= 0, MESH, 468)].astype(np.float32)
    none = np.zeros((0, 2), np.float32)
    return Source(
        picture=image,
        crop=Crop(0.0, 0.0, float(size)),
        image=image,
        keypoints=Keypoints(none, np.zeros((0, 2, 2), np.float32), none[:, 0]),
        head=HeadBox((size / 2, size / 2), fit.pose.scale_px),
        subject=np.ones((size, size), np.float32),
        inpainted_background=image,
        landmarks_xy_px=landmarks,
        face=fit,
    )


def _noisy(fit: FaceFit, rng: np.random.Generator, amount: float) -> FaceFit:
    """The fit with errors as of the landmark networks; amount in [0, 1]."""
    pose = fit.pose
    c, s = (float(f(amount * rng.normal(0, _ROLL))) for f in (np.cos, np.sin))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    shift = pose.shift_px + amount * rng.normal(0, _SHIFT, 2) * pose.scale_px
    zoom = float(np.exp(amount * rng.normal(0, _ZOOM)))
    expression = fit.expression + amount * rng.normal(0, _FIT_NOISE, len(fit.expression))
    return FaceFit(
        HeadPose(turn @ pose.rotation, pose.scale_px * zoom, shift), fit.identity,
        expression.astype(np.float32), fit.confidence, fit.quantities, fit.neutral,
    )  # fmt: skip


def _target(
    own: FaceFit, true: FaceFit, now: FaceFit, source: Source, model: FaceModel,
    rng: np.random.Generator,
) -> HeadTarget:  # fmt: skip
    """The head of ``now``, off by what the source's own fit is off from the true one."""
    expression = now.expression + (own.expression - true.expression)
    if rng.random() < _TARGET_SHARE:
        face = measure(model.vertices(now.identity, now.expression))
        off = rng.normal(0, _OPENING_NOISE, 3) * face[[_MOUTH, *_LIDS]]
        names = [AXES[i] for i in (_MOUTH, *_LIDS)]
        expression = expression + model.along(**dict(zip(names, map(float, off), strict=True)))
    turn = own.pose.rotation @ true.pose.rotation.T
    pose = HeadPose(
        turn @ now.pose.rotation,
        now.pose.scale_px * own.pose.scale_px / true.pose.scale_px,
        now.pose.shift_px + (own.pose.shift_px - true.pose.shift_px),
    )
    body = np.eye(2, 3, dtype=np.float32)
    return HeadTarget(head_transfer.in_crop(pose, source), expression.astype(np.float32), body)


def of_clip(
    footage: Footage, model: FaceModel, rng: np.random.Generator,
    sources: int = SOURCES, targets: int = TARGETS,
) -> dict[str, Array]:  # fmt: skip
    """All pairs of a clip: rows of ``row_type`` by the name of the kind."""
    found: dict[str, list[Array]] = {name: [] for name in KINDS}
    if len(footage.fits) < 2:
        return {name: np.zeros(0, row_type(kind)) for name, kind in KINDS.items()}
    looks = _looks(footage.fits)
    for number in most_different(looks, sources):
        true = footage.fits[number]
        fit = _noisy(true, rng, rng.uniform(0, 1))
        source = source_of(footage.frames[number], fit, model)
        head = head_mesh.build(source, model)
        assert head is not None
        prepared = warp.prepare(source, RenderConfig())
        for other in choose_targets(looks, number, targets, rng):
            target = _target(fit, true, footage.fits[other], source, model, rng)
            motion = head_mesh.dense(head, target, _CELLS)
            picture = warp.render(prepared, motion)
            now = _places(model, head, target, len(picture))
            was = _places(model, head, head_transfer.own_target(source), len(picture))
            pictures = picture, source.image, footage.frames[other]
            found["mouth"].append(_row(MOUTH, pictures, now, was, 0))
            found["eye"] += [_row(EYE, pictures, now, was, side) for side in (0, 1)]
    return {name: np.array(rows, row_type(KINDS[name])) for name, rows in found.items()}


def _places(
    model: FaceModel, head: head_mesh.SourceHead, target: HeadTarget, size: int
) -> tuple[Array, HeadPose]:
    """Points (478, 2) and pose in pixels of a picture of that size."""
    points = head_mesh.face_points(head, head_mesh.moved(head, target))
    pose = target.pose
    places = (points + 1) * (size / 2) - 0.5
    shift = (np.asarray(pose.shift_px) + 1) * (size / 2) - 0.5
    return places, HeadPose(pose.rotation, pose.scale_px * size / 2, shift)


def _row(
    kind: WindowKind, pictures: tuple[Array, Array, Array],
    now: tuple[Array, HeadPose], was: tuple[Array, HeadPose], side: int,
) -> Array:  # fmt: skip
    matrix = paint_windows.place(kind, *now, side)
    own = paint_windows.place(kind, *was, side)
    warped, source, true = pictures
    row = np.zeros((), row_type(kind))
    row["warped"] = paint_windows.cut(warped, matrix, kind)
    row["own"] = paint_windows.cut(source, own, kind)
    row["true"] = paint_windows.cut(true, matrix, kind)
    row["now"] = paint_windows.inside(kind, now[0], matrix, side)
    row["was"] = paint_windows.inside(kind, was[0], own, side)
    row["turn"] = paint_windows.turn_of(now[1], is_mirrored=side == 1)
    return row


def make(
    folders: Sequence[tuple[Path, Path]], cache: Path, model: FaceModel,
    sources: int = SOURCES, targets: int = TARGETS,
) -> Iterator[str]:  # fmt: skip
    """Make the pairs of clips that the cache lacks; yields a line for each clip.

    folders: (folder of clips, folder of their labels). A clip's files appear whole or not at all.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for media, labels in folders:
        for number, clip in enumerate(sorted(media.iterdir())):
            label = labels / f"{clip.stem}.npy"
            paths = {name: cache / f"{clip.stem}.{name}.npy" for name in KINDS}
            if not label.is_file() or all(path.is_file() for path in paths.values()):
                continue
            rng = np.random.default_rng([7, number])
            found = of_clip(fitted(clip, label, model), model, rng, sources, targets)
            for name, path in paths.items():
                with files.atomic_write(path) as file:
                    np.save(file, found[name], allow_pickle=False)
            yield f"{clip.stem}: {len(found['mouth'])} pairs"


def read(cache: Path, kind: WindowKind) -> list[Array]:
    """The rows of every clip in the cache, mapped into memory; InputError for other files."""
    found = []
    for file in sorted(cache.glob(f"*.{kind.name}.npy")):
        try:
            rows = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{file}: expected pairs of windows, got {error}; remove it and make it again"
            ) from error
        if rows.dtype != row_type(kind) or rows.ndim != 1:
            raise InputError(
                f"{file}: expected rows of {kind.width_px}x{kind.height_px} windows, got"
                f" {rows.dtype}; remove the folder and make the pairs again"
            )
        if len(rows):
            found.append(rows)
    if not found:
        raise InputError(
            f"{cache}: expected pairs of windows, found none; give labelled clips by --data"
        )
    return found
