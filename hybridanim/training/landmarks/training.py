"""Samples -> weights of the landmark cascade, by principal components and ridge regression.

There is no gradient descent: each step is a closed-form linear fit to the samples after the steps
before it. The classifier that gives the confidence ("judge" in the weights file) is another linear
fit, calibrated on people to whom it was not fitted. Xiong and De la Torre 2013; Hoerl and Kennard
1970; Platt 1999.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridanim import geometry
from hybridanim.face import aligner
from hybridanim.face.aligner import COARSE, DETAILS, FINE, Level, Step
from hybridanim.face.landmarks import interocular
from hybridanim.types import Array, FaceBox

from .samples import Variant, displaced_starts, face_box, faceless_variants
from .solve import components, fit_judge, reduce_rank, ridge

Map = Callable[..., Iterable]
Report = Callable[[str], None]
_CHUNK = 128


@dataclass(frozen=True, slots=True)
class Cascade:
    """The steps of one level."""

    spacings_px: tuple[float, ...]  # of the descriptors' cells, one a step
    components: int  # principal directions of each point's descriptor


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and seed of the fit."""

    coarse: Cascade = Cascade((7.0, 5.0, 4.0), 24)
    fine: Cascade = Cascade((8.0, 6.0, 4.0), 30)
    details: Cascade = Cascade((7.0, 5.0), 40)
    ways: int = 64  # in which a step moves its points together
    ridge: float = 1.0  # best of 0.03 to 3 in four-fold cross-validation over people
    judged: int = 3000  # variants that the classifiers are fitted to
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Data:
    """Variants, which of them belong to held-out people, and how to map over them."""

    variants: Sequence[Variant]
    held: Array  # (N,) bool: of people on whom the classifiers are calibrated
    plan: Plan
    run: Map


def start_shapes(variants: Sequence[Variant], rng: np.random.Generator) -> Array:
    """(N, L, 2): the mean face, in half of them at a detector's box, else at the last frame's."""
    boxes = []
    for variant in variants:
        if rng.random() < 0.5:
            boxes.append(_detected(variant, rng))
        else:
            boxes.append(aligner.box_from_landmarks(_followed(variant, rng)))
    return np.array([aligner.box_shape(face, roll) for face, roll in boxes], np.float32)


def _detected(variant: Variant, rng: np.random.Generator) -> tuple[FaceBox, float]:
    """A box with a detector's errors; its roll is off by up to 18 degrees: three are tried."""
    x, y, side = variant.box
    shift = rng.normal(0, 0.05, 2) * side
    box = np.array([x + shift[0], y + shift[1], side * np.exp(rng.normal(0, 0.1))])
    return face_box(box), _roll(variant.truth) + rng.uniform(-18, 18)


def _roll(shape: Array) -> float:
    return aligner.box_from_landmarks(shape)[1]


def _followed(variant: Variant, rng: np.random.Generator) -> Array:
    """(L, 2): the neighbour's points with a head's random motion and a fit's random errors."""
    eyes = float(interocular(variant.truth))
    middle = variant.neighbour.mean(0)
    much = 2.0 if rng.random() < 0.25 else 1.0
    turn = geometry.similarity(np.exp(rng.normal(0, 0.04 * much)), rng.normal(0, 4 * much))
    moved = (variant.neighbour - middle) @ turn.T + middle + rng.normal(0, 0.07 * much * eyes, 2)
    return moved + rng.normal(0, 0.02 * eyes, moved.shape)


def _features_of(
    variants: Sequence[Variant], matrices: Array, shapes: Array, level: Level, step: Step
) -> Array:
    """(n, ...) float32: a step's features at ``shapes`` in the patches cut by ``matrices``.

    They are descriptors (n, N, D) while the step has no basis yet.
    """
    features = []
    offsets = aligner.cell_offsets(step.spacing_px)
    for variant, matrix, shape in zip(variants, matrices, shapes, strict=True):
        patch = aligner.cut_patch(variant.grey, matrix, level.side_px)
        maps = aligner.gradient_maps(patch, level)
        found = aligner.descriptors(maps, shape, offsets, level.shrink)
        features.append(aligner.project(step, found) if step.basis.size else found)
    return np.array(features, np.float32)


def features_at(
    variants: Sequence[Variant], matrices: Array, shapes: Array, level: Level, step: Step, run: Map
) -> Array:
    """_features_of over all variants, in chunks, through ``run`` (a pool's starmap)."""
    parts = [slice(i, i + _CHUNK) for i in range(0, len(variants), _CHUNK)]
    jobs = [(variants[p], matrices[p], shapes[p], level, step) for p in parts]
    return np.concatenate(list(run(_features_of, jobs)))


def _applied(matrices: Array, shapes: Array) -> Array:
    pairs = zip(matrices, shapes, strict=True)
    return np.array([geometry.apply_affine(matrix, xy) for matrix, xy in pairs], np.float32)


def _truths(variants: Sequence[Variant]) -> Array:
    return np.array([variant.truth for variant in variants])


@dataclass(frozen=True, slots=True)
class Fitted:
    """A step, and the variants after it."""

    step: Step
    shapes: Array  # (N, L, 2) float32, patch pixels, after the step
    features: Array  # (N, D) float32, what the step read
    message: str


def fit_step(
    data: Data, matrices: Array, shapes: Array, level: Level, spacing_px: float, count: int
) -> Fitted:
    """The next step of a level; ``count`` principal directions of each descriptor."""
    none = np.zeros(0, np.float32)
    bare = Step(spacing_px, none, none, none, none)
    few = slice(None, None, max(1, len(shapes) // 2500))
    found = features_at(data.variants[few], matrices[few], shapes[few], level, bare, data.run)
    half = Step(spacing_px, *components(found, count), none, none)
    features = features_at(data.variants, matrices, shapes, level, half, data.run)
    truths = _applied(matrices, _truths(data.variants)[:, list(level.rows)])
    targets = (truths - shapes).reshape(len(truths), -1)
    weights = ridge(features, targets, data.plan.ridge)
    weights, shift = reduce_rank(weights, features @ weights.astype(np.float32), data.plan.ways)
    step = replace(half, weights=weights, shift=shift)
    predicted = features @ weights @ shift
    left = np.abs(predicted - targets).mean()
    message = f"step of {spacing_px} px: left over {left:.3f} of {np.abs(targets).mean():.3f} px"
    return Fitted(step, shapes + predicted.reshape(shapes.shape), features, message)


def run_steps(
    variants: Sequence[Variant], starts: Array, level: Level, steps: Sequence[Step], run: Map
) -> tuple[Array, Array]:
    """Points (N, L, 2) in picture pixels after all steps, and the last step's features."""
    matrices = np.array([level.matrix(start) for start in starts])
    shapes = _applied(matrices, starts[:, list(level.rows)])
    features = np.zeros(0, np.float32)
    for step in steps:
        features = features_at(variants, matrices, shapes, level, step, run)
        shapes = shapes + (features @ step.weights @ step.shift).reshape(shapes.shape)
    return _put_back(starts, matrices, shapes, level), features


def _put_back(starts: Array, matrices: Array, shapes: Array, level: Level) -> Array:
    """The start shapes with the level's rows replaced by ``shapes``, in picture pixels."""
    found = starts.copy()
    back = np.array([aligner.invert(matrix) for matrix in matrices])
    found[:, list(level.rows)] = _applied(back, shapes)
    return found


def errors(found: Array, variants: Sequence[Variant]) -> Array:
    """(N,) mean point error over the distance between the eyes."""
    truth = _truths(variants)
    distance = np.linalg.norm(found - truth, axis=-1).mean(-1)
    return distance / interocular(truth)


def fit_cascade(data: Data, report: Report = lambda _: None) -> dict[str, Array]:
    """The weights file's arrays."""
    plan = data.plan
    rng = np.random.default_rng(plan.seed)
    starts = start_shapes(data.variants, rng)
    coarse, found, seen = fit_level(data, starts, COARSE, plan.coarse, report)
    tensors = _tensors("coarse", coarse)
    tensors["coarse.judge"] = _coarse_judge(data, starts, coarse, found, seen, rng)
    starts = _with_errors(found, rng, 1.0)
    fine, found, seen = fit_level(data, starts, FINE, plan.fine, report)
    tensors |= _tensors("fine", fine)
    tensors["fine.judge"] = _fine_judge(data, starts, fine, found, seen, rng)
    return tensors | fit_details(data, _with_errors(found, rng, 0.5), report)


def _with_errors(shapes: Array, rng: np.random.Generator, much: float) -> Array:
    """The shapes with small errors: on unseen people a level leaves more than on its samples."""
    out = []
    for shape in shapes:
        eyes, middle = float(interocular(shape)), shape.mean(0)
        turn = geometry.similarity(np.exp(rng.normal(0, 0.02 * much)), rng.normal(0, 1.5 * much))
        out.append((shape - middle) @ turn.T + middle + rng.normal(0, 0.02 * much * eyes, 2))
    return np.array(out, np.float32)


def fit_details(data: Data, starts: Array, report: Report) -> dict[str, Array]:
    """The arrays of the detail levels (eyes, mouth), from the shapes after the fine level."""
    tensors: dict[str, Array] = {}
    for name, level in DETAILS.items():
        steps, _, _ = fit_level(data, starts, level, data.plan.details, report)
        tensors |= _tensors(name, steps)
    return tensors


def fit_level(
    data: Data, starts: Array, level: Level, cascade: Cascade, report: Report
) -> tuple[list[Step], Array, Array]:
    """All steps of a level; the points it leaves in the picture; the last step's features."""
    steps: list[Step] = []
    matrices = np.array([level.matrix(start) for start in starts])
    shapes, features = _applied(matrices, starts[:, list(level.rows)]), np.zeros(0)
    for spacing_px in cascade.spacings_px:
        fitted = fit_step(data, matrices, shapes, level, spacing_px, cascade.components)
        steps.append(fitted.step)
        shapes, features = fitted.shapes, fitted.features
        report(fitted.message)
    found = _put_back(starts, matrices, shapes, level)
    wrong = errors(found, data.variants)
    report(f"error: mean {wrong.mean():.4f}, median {np.median(wrong):.4f}")
    return steps, found, features


def _coarse_judge(data, starts, steps, found, seen, rng) -> Array:
    """Good: the coarse fit is near. Bad: it started with a wrong roll, or beside the face."""
    pick = rng.permutation(len(data.variants))[: data.plan.judged]
    variants = [data.variants[i] for i in pick]
    sides = rng.choice([-50.0, 50.0], len(variants))
    leaning = np.array(
        [
            aligner.box_shape(face_box(variant.box), _roll(variant.truth) + side)
            for variant, side in zip(variants, sides, strict=True)
        ],
        np.float32,
    )
    far = displaced_starts(starts[pick], variants, rng).astype(np.float32)
    cases = [(variants, found[pick], seen[pick])]
    for these in (leaning, far):
        cases.append((variants, *run_steps(variants, these, COARSE, steps, data.run)))
    return _judge(cases, data.held[pick], limit=0.14)


def _fine_judge(data, starts, steps, found, seen, rng) -> Array:
    """Good: on the face. Bad: beside it, half hidden, or without a face."""
    pick = rng.permutation(len(data.variants))[: data.plan.judged]
    variants = [data.variants[i] for i in pick]
    faceless = faceless_variants(variants, rng)
    far = displaced_starts(starts[pick], variants, rng).astype(np.float32)
    cases = [(variants, found[pick], seen[pick])]
    for these, at in ((variants, far), (faceless, starts[pick])):
        cases.append((these, *run_steps(these, at, FINE, steps, data.run)))
    return _judge(cases, data.held[pick], limit=0.08)


def _judge(cases, held: Array, *, limit: float) -> Array:
    features, good, clear = [], [], []
    for variants, found, part in cases:
        wrong = errors(found, variants)
        hidden = np.array([variant.hidden for variant in variants])
        features.append(part)
        good.append((wrong < limit) & (hidden < 0.2))
        clear.append(good[-1] | (wrong > 2 * limit) | (hidden > 0.4))  # doubtful ones are left out
    keep = np.concatenate(clear)
    kept_held = np.tile(held, len(cases))[keep]
    return fit_judge(np.concatenate(features)[keep], np.concatenate(good)[keep], kept_held)


def _tensors(name: str, steps: Sequence[Step]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    found[f"{name}.spacing_px"] = np.array([step.spacing_px for step in steps], np.float32)
    for i, step in enumerate(steps):
        for part in ("mean", "basis", "weights", "shift"):
            found[f"{name}.{i}.{part}"] = np.ascontiguousarray(getattr(step, part), np.float16)
    return found
