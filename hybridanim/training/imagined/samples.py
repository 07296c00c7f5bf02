"""Tracks of motion files -> normalised windows, their statistics and moods; batches of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.motion import imagined_features, moods, motion_track
from hybridanim.motion.motion_track import EXPRESSION, RATE_HZ, Track
from hybridanim.networks.imagined_motion_file import Tables
from hybridanim.networks.imagined_motion_sizes import ImagineSizes
from hybridanim.types import Array

_EVERY = 4  # rows between two windows
_BANK = 160  # windows of a mood that the weights file keeps, at most
_MOST_STATISTIC = 2.5  # of a standardised statistic, either way
_BLINK_ROWS = 16  # of the mean course of a blink
_OPEN, _SHUT = 0.18, 0.05  # of a median course that counts as open, and as shut below its most
_LONG_AGO_S = 10.0  # since the last blink, where none is known


@dataclass(frozen=True)
class Corpus:
    """Normalised tracks and all windows of them; W windows."""

    tracks: list[Track]
    features: list[Array]  # (T, F) of each track
    since_s: list[Array]  # (T,) of each track: time since the last blink began
    places: Array  # (W, 2) track and first row
    statistics: Array  # (W, S), standardised
    names: Array  # (W,) mood of each


@dataclass(frozen=True)
class Batch:
    """B windows of one row, the first, and ``length`` rows that follow it."""

    first: Array  # (B, F)
    rows: Array  # (B, length, F)
    conditions: Array  # (B, C)
    onsets: Array  # (B, length) float32, 1 where a blink begins
    since_s: Array  # (B, length)


def read(folder: Path, report: Callable[[str], None]) -> list[Track]:
    """The tracks of all motion files of a folder; InputError where there are none."""
    tracks: list[Track] = []
    for path in sorted(folder.glob("*.safetensors")):
        tracks += motion_track.read(path)
    if not tracks:
        raise InputError(
            f"{folder}: expected motion files with fitted faces, found none; make them with"
            " python -m tools.fit_motions CLIPS FOLDER"
        )
    rows = sum(len(one.values) for one in tracks)
    report(f"{folder}: {len(tracks)} tracks, {rows / RATE_HZ / 60:.1f} minutes")
    return tracks


def tables_of(tracks: list[Track], sizes: ImagineSizes, seed: int) -> Tables:
    """How features and statistics are normalised, the course of a blink, and the moods."""
    values = np.concatenate([one.values for one in tracks]).astype(np.float64)
    basis, mean = _components(values[:, EXPRESSION], sizes.components)
    plain = values[:, : EXPRESSION.start]
    parts = (values[:, EXPRESSION] - mean) @ basis.T
    spread = parts.std(0)
    spread = np.sqrt(spread * spread[0])  # small components stay small: they are mostly noise
    places = _places(tracks)
    found = np.stack([moods.statistics(_window(tracks[a].values, b)) for a, b in places])
    centre, deviation = found.mean(0), found.std(0) + 1e-6
    standard = np.clip((found - centre) / deviation, -_MOST_STATISTIC, _MOST_STATISTIC)
    names = np.array([moods.label(one) for one in standard])
    means = np.r_[plain.mean(0), np.zeros(sizes.components)]
    means[:6] = 0  # rest is rest
    return Tables(
        feature_mean=means.astype(np.float32),
        feature_deviation=np.r_[plain.std(0) + 1e-6, spread].astype(np.float32),
        basis=basis.astype(np.float32),
        basis_mean=mean.astype(np.float32),
        statistic_mean=centre.astype(np.float32),
        statistic_deviation=deviation.astype(np.float32),
        blink=_blink(tracks),
        moods=_banks(standard, names, np.random.default_rng([seed, 2])),
    )


def _components(expression: Array, count: int) -> tuple[Array, Array]:
    """Principal components (count, E) of expressions by how far they move the face; their mean."""
    sigma = face_model.load().expression_sigma.astype(np.float64)
    mean = expression.mean(0)
    _, _, right = np.linalg.svd((expression - mean) * sigma, full_matrices=False)
    # orthonormal in the coefficients, so that the transpose is the inverse
    left, _, rest = np.linalg.svd(right[:count] / sigma, full_matrices=False)
    return left @ rest, mean


def _banks(standard: Array, names: Array, rng: np.random.Generator) -> dict[str, Array]:
    banks = {}
    for name in moods.MOODS:
        rows = np.flatnonzero(names == name)
        if not len(rows):
            raise InputError(
                f"motion files: expected windows of the mood {name}, found none; add clips in"
                " which people move in that way"
            )
        rows = rng.choice(rows, min(_BANK, len(rows)), replace=False)
        banks[name] = standard[np.sort(rows)].astype(np.float32)
    return banks


def _blink(tracks: list[Track]) -> Array:
    """(rows,) the median course of blinks; its deepest rows are 1."""
    courses = [
        one.blinks[start : start + _BLINK_ROWS]
        for one in tracks
        for start in np.flatnonzero(one.onsets)
        if start + _BLINK_ROWS <= len(one.blinks)
    ]
    if not courses:
        raise InputError("motion files: expected blinks, found none; add longer clips")
    course = np.median(courses, 0)
    course = np.clip((course - _OPEN) / max(1e-6, course.max() - _SHUT - _OPEN), 0, 1)
    last = int(np.flatnonzero(course > 0.02)[-1])
    return np.r_[course[: last + 1], 0.0].astype(np.float32)


def _places(tracks: list[Track]) -> Array:
    places = list(motion_track.windows(tracks, moods.WINDOW, _EVERY))
    if not places:
        raise InputError(
            f"motion files: expected tracks of {moods.WINDOW / RATE_HZ:.1f} s, found shorter ones;"
            " add longer clips"
        )
    return np.array(places)


def _window(values: Array, start: int) -> Array:
    return values[start : start + moods.WINDOW]


def gather(tracks: list[Track], tables: Tables) -> Corpus:
    """Normalise tracks by the tables, and list their windows."""
    places = _places(tracks)
    found = np.stack([moods.statistics(_window(tracks[a].values, b)) for a, b in places])
    standard = (found - tables.statistic_mean) / tables.statistic_deviation
    standard = np.clip(standard, -_MOST_STATISTIC, _MOST_STATISTIC).astype(np.float32)
    names = np.array([moods.label(one) for one in standard])
    features = [imagined_features.encoded(one.values, tables) for one in tracks]
    return Corpus(tracks, features, [_since(one.onsets) for one in tracks], places, standard, names)


def _since(onsets: Array) -> Array:
    """(T,) seconds since the last blink began before each row."""
    since, out = _LONG_AGO_S, np.zeros(len(onsets), np.float32)
    for row, begins in enumerate(onsets):
        out[row] = since
        since = 0.0 if begins else since + 1 / RATE_HZ
    return out


def batch(corpus: Corpus, count: int, length: int, rng: np.random.Generator) -> Batch:
    """Random windows, as many of each mood; length: rows of each, less than ``moods.WINDOW``."""
    present = [name for name in moods.MOODS if (corpus.names == name).any()]
    wanted = rng.choice(present, count)
    chosen = [int(rng.choice(np.flatnonzero(corpus.names == name))) for name in wanted]
    return take(corpus, chosen, length)


def take(corpus: Corpus, chosen: list[int], length: int) -> Batch:
    """These windows."""
    first, rows, conditions, onsets, since = [], [], [], [], []
    for number in chosen:
        track, start = corpus.places[number]
        inside = slice(start + 1, start + 1 + length)
        values = corpus.features[track]
        first.append(values[start])
        rows.append(values[inside])
        rest = corpus.tracks[track].rest_deg
        conditions.append(imagined_features.conditions(corpus.statistics[number], rest))
        onsets.append(corpus.tracks[track].onsets[inside])
        since.append(corpus.since_s[track][inside])
    return Batch(
        np.stack(first), np.stack(rows), np.stack(conditions),
        np.stack(onsets).astype(np.float32), np.stack(since),
    )  # fmt: skip
