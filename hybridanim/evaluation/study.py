"""Blind side-by-side comparison of methods by people: trials, and the key that unblinds them.

Clips of several methods -> trials (Trial): two methods' clips of one source and driver, left and
right of the driver. Order and sides are random by a seed; each method of a pair of methods stands
left as often as right, but for one. What a voter receives names no method (``study_page``); the key
does, and ``tally`` joins both. Two-alternative comparison with ties, as in the user studies of
Siarohin et al. 2019 ("First Order Motion Model for Image Animation", section 4).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim import paths
from hybridanim.errors import InputError

SCHEMA = 1
MOST_BYTES = 64 << 20  # of a key or a file of votes
QUESTIONS = {  # id -> what is asked
    "motion": "Which one follows the driver better?",
    "quality": "Which one looks better?",
    "identity": "Which one looks more like the person of the picture below?",
}
LEFT, EQUAL, RIGHT = CHOICES = ("left", "equal", "right")


@dataclass(frozen=True)
class Trial:
    """Two methods' clips of one source and driver."""

    name: str  # number in the order of showing, as text
    pair: str  # source and driver, for the key
    left: str  # method
    right: str


@dataclass(frozen=True)
class Key:
    """What a study compared."""

    study: str  # its identifier
    methods: tuple[str, ...]
    trials: tuple[Trial, ...]


def draw_trials(pairs: Sequence[str], methods: Sequence[str], seed: int) -> list[Trial]:
    """Every pair of source and driver with every two of the methods, in random order and sides."""
    random = np.random.default_rng(seed)
    drawn: list[tuple[str, str, str]] = []
    for a, b in combinations(methods, 2):
        is_left = np.arange(len(pairs)) % 2 == random.integers(2)
        for pair, first in zip(pairs, random.permutation(is_left), strict=True):
            drawn.append((pair, a, b) if first else (pair, b, a))
    order = random.permutation(len(drawn))
    digits = max(3, len(str(len(drawn))))
    return [Trial(f"{place:0{digits}}", *drawn[int(which)]) for place, which in enumerate(order, 1)]


def make_key(trials: Sequence[Trial], methods: Sequence[str]) -> Key:
    """The key of these trials; its identifier is random, since the same trials may be made anew."""
    return Key(secrets.token_hex(6), tuple(methods), tuple(trials))


def key_to_json(key: Key, about: Mapping[str, Any]) -> dict[str, Any]:
    """The key's file; about: seed, versions and the like, which nothing reads."""
    return {
        "schema": SCHEMA,
        "study": key.study,
        "methods": list(key.methods),
        "trials": [vars(trial) for trial in key.trials],
        "about": dict(about),
    }


def read_key(path: Path) -> Key:
    """The key of a study; raises InputError for a file that is none."""
    table = read_json(path, "--key")
    try:
        trials = tuple(
            Trial(*(str(one[name]) for name in ("name", "pair", "left", "right")))
            for one in table["trials"]
        )
        methods = tuple(str(name) for name in table["methods"])
        key = Key(str(table["study"]), methods, trials)
        is_ours = table["schema"] == SCHEMA
    except (KeyError, TypeError, IndexError):
        is_ours, key = False, None
    if not is_ours or key is None:
        raise InputError(
            f"--key {path}: expected the key of a study, schema {SCHEMA}, got another file; give"
            " the one that evaluate study wrote"
        )
    return key


def read_json(path: Path, where: str) -> Any:
    """The value of a JSON file; raises InputError where it cannot be read."""
    try:
        return json.loads(paths.read_text(path, MOST_BYTES))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{where} {path}: expected a JSON file, got {error}; give the file as it was saved"
        ) from error
