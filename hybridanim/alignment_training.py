"""Samples -> weights of the landmark cascade, by principal components and ridge regression.

Nothing is learned by gradient descent: each step is one closed-form linear fit, on the samples as
the steps before it left them, and the judge that gives the confidence is another, calibrated on
people that no step has seen. Xiong and De la Torre 2013; Hoerl and Kennard 1970; Platt 1999.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import linalg

from . import alignment
from .alignment import COARSE, FINE, Level, Step
from .alignment_points import interocular
from .alignment_samples import CANVAS_PX, Variant, face_box
from .types import Array

Map = Callable[..., Iterable]
_CHUNK = 128


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fitted."""

    coarse_spacing_px: tuple[float, ...] = (6.0, 4.0)
    fine_spacing_px: tuple[float, ...] = (8.0, 6.0, 4.0)
    coarse_components: int = 24  # of each landmark's descriptor
    fine_components: int = 30
    modes: int = 3  # of the shape that a fine fit starts from
    ridges: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)  # tried on people left out
    judged: int = 6000  # variants that the judges learn from
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Data:
    """Variants, which of them are of people held out, and how to run over them."""

    variants: Sequence[Variant]
    fold: Array  # (N,) int: people in one fold are judged by fits on the others
    plan: Plan
    run: Map


def ridge(features: Array, targets: Array, *strengths: float) -> list[Array]:
    """One (D, T) float64 per strength, minimising |F W - Y|^2 + strength * n * mean(F^2) |W|^2.

    The last column of F (N, D) is 1 and its weights are not shrunk.
    """
    return _solve(*_moments(features, targets), strengths)


def _moments(features: Array, targets: Array) -> tuple[Array, Array]:
    width = features.shape[1]
    gram, cross = np.zeros((width, width)), np.zeros((width, targets.shape[1]))
    for i in range(0, len(features), 4096):
        part = features[i : i + 4096]
        gram += part.T @ part
        cross += part.T @ targets[i : i + 4096]
    return gram, cross


def _solve(gram: Array, cross: Array, strengths: Sequence[float]) -> list[Array]:
    width = len(gram)
    variance = (np.trace(gram) - gram[-1, -1]) / max(width - 1, 1)
    shrunk = np.append(np.ones(width - 1), 0)
    return [
        linalg.solve(gram + np.diag(strength * variance * shrunk), cross, assume_a="pos")
        for strength in strengths
    ]


@dataclass(frozen=True, slots=True)
class Ridge:
    """The chosen fit."""

    weights: Array  # (D, T), from all rows
    predicted: Array  # (N, T) float32, each row by a fit without its fold
    strength: float
    left: float  # mean absolute error of ``predicted``


def choose_ridge(features: Array, targets: Array, fold: Array, strengths: Sequence[float]) -> Ridge:
    """The strength that predicts folds best from the other folds; fold: (N,) int."""
    parts = [_moments(features[fold == k], targets[fold == k]) for k in range(fold.max() + 1)]
    gram, cross = (sum(part[i] for part in parts) for i in (0, 1))
    predicted = np.zeros((len(strengths), *targets.shape), np.float32)
    for k, part in enumerate(parts):
        fits = _solve(gram - part[0], cross - part[1], strengths)
        for row, fit in zip(predicted, fits, strict=True):
            row[fold == k] = features[fold == k] @ fit.astype(np.float32)
    left = np.abs(predicted - targets).mean((1, 2))
    best = int(np.argmin(left))
    weights = _solve(gram, cross, strengths[best : best + 1])[0]
    return Ridge(weights, predicted[best], strengths[best], float(left[best]))


def components(found: Array, count: int) -> tuple[Array, Array]:
    """Mean (L, D) and the ``count`` first principal directions (L, D, K) of (N, L, D)."""
    mean = found.mean(0, dtype=np.float64)
    bases = []
    for i in range(found.shape[1]):
        centred = found[:, i] - mean[i]
        _, vectors = np.linalg.eigh(centred.T @ centred)
        bases.append(vectors[:, : -count - 1 : -1])
    return mean.astype(np.float32), np.array(bases, np.float32)


def start_shapes(variants: Sequence[Variant], rng: np.random.Generator) -> Array:
    """(N, L, 2): the mean shape in each variant's box, the box moved as detectors err."""
    starts = []
    for variant in variants:
        x, y, side = variant.box
        jitter = rng.normal(0, 0.05, 2) * side
        box = np.array([x + jitter[0], y + jitter[1], side * np.exp(rng.normal(0, 0.1))])
        # the product tries three leans; the nearest of them is this far off
        roll = _roll(variant.truth) + rng.uniform(-18, 18)
        starts.append(alignment.box_shape(face_box(box), roll if rng.random() < 0.6 else 0.0))
    return np.array(starts, np.float32)


def _roll(shape: Array) -> float:
    return alignment.box_from_landmarks(shape)[1]


def follow_shapes(variants: Sequence[Variant], rng: np.random.Generator) -> Array:
    """(N, L, 2): what a tracker starts from, the neighbour's points moved as heads move."""
    starts = []
    for variant in variants:
        eyes = float(interocular(variant.truth))
        middle = variant.neighbour.mean(0)
        much = 2.0 if rng.random() < 0.25 else 1.0
        angle, size = np.deg2rad(rng.normal(0, 4 * much)), np.exp(rng.normal(0, 0.04 * much))
        turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = rng.normal(0, 0.07 * much * eyes, 2)
        moved = (variant.neighbour - middle) @ turn.T + middle + shift
        starts.append(moved + rng.normal(0, 0.02 * eyes, moved.shape))
    return np.array(starts, np.float32)


def settle_loosely(starts: Array, modes: Array, deviations: Array, rng: np.random.Generator):
    """``alignment.settle`` with the modes disturbed, so that no step learns to trust them."""
    out = []
    for start in starts:
        noise = rng.normal(0, 0.7, len(deviations)) * deviations
        trust = float(rng.random() < 0.75)
        out.append(alignment.settle(start, modes, deviations, trust=trust, noise=noise))
    return np.array(out, np.float32)


def _levelled(variant: Variant, start: Array, level: Level) -> tuple[Array, Array]:
    """Gradient maps of one variant at a level, and patch_from_picture."""
    matrix = alignment.similarity_between(start, level.reference)
    patch = alignment.cut_patch(variant.grey, matrix, level.side_px)
    return alignment.gradient_maps(patch, level), matrix


def _features_of(
    variants: Sequence[Variant], starts: Array, shapes: Array, level: Level, step: Step
) -> Array:
    """(n, ...) float32: a step's features at ``shapes`` in the patches levelled by ``starts``.

    They are descriptors (n, L, D) while the step has no basis yet.
    """
    features = []
    for variant, start, shape in zip(variants, starts, shapes, strict=True):
        maps, _ = _levelled(variant, start, level)
        offsets = alignment.cell_offsets(step.spacing_px)
        found = alignment.descriptors(maps, shape, offsets, level.shrink)
        features.append(alignment.project(step, found) if step.basis.size else found)
    return np.array(features, np.float32)


def features_at(
    variants: Sequence[Variant], starts: Array, shapes: Array, level: Level, step: Step, run: Map
) -> Array:
    """_features_of over all variants, in chunks, through ``run`` (a pool's starmap)."""
    parts = [slice(i, i + _CHUNK) for i in range(0, len(variants), _CHUNK)]
    jobs = [(variants[p], starts[p], shapes[p], level, step) for p in parts]
    return np.concatenate(list(run(_features_of, jobs)))


def to_patch(shapes: Array, starts: Array, level: Level) -> Array:
    """(N, L, 2) float32: picture points in the patches levelled by ``starts``."""
    pairs = zip(shapes, starts, strict=True)
    found = [alignment.apply(alignment.similarity_between(b, level.reference), a) for a, b in pairs]
    return np.array(found, np.float32)


def to_picture(shapes: Array, starts: Array, level: Level) -> Array:
    """The inverse of ``to_patch``."""
    found = []
    for shape, start in zip(shapes, starts, strict=True):
        matrix = alignment.similarity_between(start, level.reference)
        found.append(alignment.apply(alignment.invert(matrix), shape))
    return np.array(found, np.float32)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A step, and how it left the variants when fitted without their people."""

    step: Step
    shapes: Array  # (N, L, 2) float32, patch pixels, after the step
    features: Array  # (N, D) float32, what the step read
    said: str


def fit_step(data: Data, starts: Array, shapes: Array, level: Level, spacing_px: float) -> Fitted:
    """The next step of a cascade.

    ``shapes`` goes on with each person's own fold left out: a step that has seen a face leaves
    smaller errors on it than on a stranger, and the next step would learn to expect those.
    """
    none = np.zeros(0, np.float32)
    bare = Step(spacing_px, none, none, none)
    variants, plan, run = data.variants, data.plan, data.run
    few = slice(None, None, max(1, len(variants) // 4000))
    found = features_at(variants[few], starts[few], shapes[few], level, bare, run)
    count = plan.coarse_components if level is COARSE else plan.fine_components
    half = Step(spacing_px, *components(found, count), none)
    features = features_at(variants, starts, shapes, level, half, run)
    truths = to_patch(np.array([variant.truth for variant in variants]), starts, level)
    targets = (truths - shapes).reshape(len(truths), -1)
    best = choose_ridge(features, targets, data.fold, plan.ridges)
    step = replace(half, weights=best.weights.astype(np.float32))
    said = f"step of {spacing_px} px: ridge {best.strength}, left over {best.left:.3f} px"
    return Fitted(step, shapes + best.predicted.reshape(shapes.shape), features, said)


def run_steps(
    variants: Sequence[Variant], starts: Array, level: Level, steps: Sequence[Step], run: Map
) -> tuple[Array, Array]:
    """Points (N, L, 2) in picture pixels after all steps, and the last step's features."""
    shapes = to_patch(starts, starts, level)
    features = np.zeros(0, np.float32)
    for step in steps:
        features = features_at(variants, starts, shapes, level, step, run)
        shapes = shapes + (features @ step.weights).reshape(shapes.shape)
    return to_picture(shapes, starts, level), features


def errors(found: Array, variants: Sequence[Variant]) -> Array:
    """(N,) mean point error over the distance between the eyes."""
    truth = np.array([variant.truth for variant in variants])
    distance = np.linalg.norm(found - truth, axis=-1).mean(-1)
    return distance / interocular(truth)


def strangers(variants: Sequence[Variant], rng: np.random.Generator) -> list[Variant]:
    """Pictures without an upright face: upside down, torn into tiles, or plain texture."""
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


def stray(starts: Array, variants: Sequence[Variant], rng: np.random.Generator) -> Array:
    """Starts pushed off the face by half to two and a half eye distances."""
    eyes = interocular(np.array([variant.truth for variant in variants]))
    angle = rng.uniform(0, 2 * np.pi, len(starts))
    push = eyes * rng.uniform(0.5, 2.5, len(starts))
    return starts + (np.stack([np.cos(angle), np.sin(angle)], 1) * push[:, None])[:, None]


def fit_judge(features: Array, good: Array, held: Array) -> Array:
    """(D,) weights whose logistic is the probability of ``good``, bool (N,).

    Fitted where ``held`` is False, calibrated (Platt) where it is True.
    """
    sign = np.where(good, 1.0, -1.0)[:, None]
    judge = ridge(features[~held], sign[~held], 0.03)[0][:, 0]
    score = features[held] @ judge
    design = np.stack([score, np.ones_like(score)], 1)
    slope = np.array([4.0, 0.0])
    for _ in range(30):  # Newton's method on two numbers
        p = 1 / (1 + np.exp(-design @ slope))
        hessian = (design * (p * (1 - p) + 1e-6)[:, None]).T @ design + 1e-3 * np.eye(2)
        slope = slope + np.linalg.solve(hessian, design.T @ (good[held] - p))
    judge = judge * slope[0]
    judge[-1] += slope[1]
    return judge.astype(np.float32)


def shape_modes(variants: Sequence[Variant], count: int) -> tuple[Array, Array]:
    """Principal modes (2 L, count) of the levelled truths, and their deviations (count,)."""
    reference = alignment.FINE.reference
    rows = []
    for variant in variants:
        matrix = alignment.similarity_between(variant.truth, reference)
        rows.append((alignment.apply(matrix, variant.truth) - reference).ravel())
    spread, vectors = np.linalg.eigh(np.cov(np.array(rows).T))
    order = np.argsort(spread)[::-1][:count]
    return vectors[:, order].astype(np.float32), np.sqrt(spread[order]).astype(np.float32)


def fit_cascade(data: Data, say: Callable[[str], None] = lambda _: None) -> dict[str, Array]:
    """The weights file's arrays."""
    variants, plan = data.variants, data.plan
    rng = np.random.default_rng(plan.seed)
    modes, deviations = shape_modes(variants, plan.modes)
    starts = start_shapes(variants, rng)
    coarse, found, seen = _fit_level(data, starts, COARSE, plan.coarse_spacing_px, say)
    judge = _coarse_judge(data, starts, coarse, found, seen, rng)
    tensors = _tensors("coarse", coarse, judge)
    near = follow_shapes(variants, rng)
    starts = np.where((rng.random(len(variants)) < 0.4)[:, None, None], found, near)
    starts = settle_loosely(starts, modes, deviations, rng)
    fine, found, seen = _fit_level(data, starts, FINE, plan.fine_spacing_px, say)
    judge = _fine_judge(data, starts, fine, found, seen, rng)
    shape = {"shape.modes": modes, "shape.deviations": deviations}
    return tensors | _tensors("fine", fine, judge) | shape


def _fit_level(
    data: Data, starts: Array, level: Level, spacings_px: Sequence[float], say: Callable
) -> tuple[list[Step], Array, Array]:
    """All steps of a level; the points it leaves in the picture; the last step's features."""
    steps: list[Step] = []
    shapes, features = to_patch(starts, starts, level), np.zeros(0)
    for spacing in spacings_px:
        fitted = fit_step(data, starts, shapes, level, spacing)
        steps.append(fitted.step)
        shapes, features = fitted.shapes, fitted.features
        say(fitted.said)
    found = to_picture(shapes, starts, level)
    wrong = errors(found, data.variants)
    say(f"error on people left out: mean {wrong.mean():.4f}, median {np.median(wrong):.4f}")
    return steps, found, features


def _coarse_judge(data, starts, steps, found, seen, rng) -> Array:
    """Good: the coarse fit came near. Bad: it started leaning far off, or beside the face."""
    pick = rng.permutation(len(data.variants))[: data.plan.judged]
    variants = [data.variants[i] for i in pick]
    sides = rng.choice([-50.0, 50.0], len(variants))
    leaning = np.array(
        [
            alignment.box_shape(face_box(variant.box), _roll(variant.truth) + side)
            for variant, side in zip(variants, sides, strict=True)
        ],
        np.float32,
    )
    far = stray(starts[pick], variants, rng).astype(np.float32)
    cases = [(variants, found[pick], seen[pick])]
    for these in (leaning, far):
        cases.append((variants, *run_steps(variants, these, COARSE, steps, data.run)))
    return _judge(cases, data.fold[pick] == 0, limit=0.14)


def _fine_judge(data, starts, steps, found, seen, rng) -> Array:
    """Good: on the face. Bad: beside it, half hidden, or no face at all."""
    pick = rng.permutation(len(data.variants))[: data.plan.judged]
    variants = [data.variants[i] for i in pick]
    strange = strangers(variants, rng)
    far = stray(starts[pick], variants, rng).astype(np.float32)
    cases = [(variants, found[pick], seen[pick])]
    for these, at in ((variants, far), (strange, starts[pick])):
        cases.append((these, *run_steps(these, at, FINE, steps, data.run)))
    return _judge(cases, data.fold[pick] == 0, limit=0.08)


def _judge(cases, held: Array, *, limit: float) -> Array:
    features, good, clear = [], [], []
    for variants, found, part in cases:
        wrong = errors(found, variants)
        hidden = np.array([variant.hidden for variant in variants])
        features.append(part)
        good.append((wrong < limit) & (hidden < 0.2))
        clear.append(good[-1] | (wrong > 2 * limit) | (hidden > 0.4))  # leave the doubtful out
    keep = np.concatenate(clear)
    kept_held = np.tile(held, len(cases))[keep]
    return fit_judge(np.concatenate(features)[keep], np.concatenate(good)[keep], kept_held)


def _tensors(name: str, steps: Sequence[Step], judge: Array) -> dict[str, Array]:
    found = {
        f"{name}.spacing_px": np.array([step.spacing_px for step in steps], np.float32),
        f"{name}.judge": judge,
    }
    for i, step in enumerate(steps):
        found |= {
            f"{name}.{i}.mean": step.mean.astype(np.float16),
            f"{name}.{i}.basis": step.basis.astype(np.float16),
            f"{name}.{i}.weights": step.weights.astype(np.float16),
        }
    return found
