"""Key frames: poses by hand on a time line, which make a clip without a driver.

A ``Key`` names some controls of ``by_hand`` at a time; each control goes smoothly through the keys
that name it. What the first key does not name is 0 there, as in the picture. Between two keys a
monotone cubic (Fritsch and Carlson 1980, by scipy's PchipInterpolator) never leaves the range of
both, so nothing overshoots; it begins and ends at rest. Rotations are interpolated as angles, in
degrees. A file is TOML: ``load`` and ``save``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from hybridanim import paths, schema
from hybridanim.errors import InputError
from hybridanim.text import encoded
from hybridanim.types import Array

from .by_hand import RANGES, Controls, clipped

KIND, SCHEMA = "keyframes", 1
MOST_KEYS = 1000
LONGEST_S, LEAST_FPS, MOST_FPS = 3600.0, 1, 240
_MOST_BYTES = 1 << 20
_SAME_S = 1e-6  # times nearer than this are one
_RAMP_S = 1.0  # before the first and after the last key, where a control rests
_FIX = "see docs/guide/motion.md, key frames"


@dataclass(frozen=True)
class Key:
    """What some controls are at a time; those that are not named go on between other keys.

    Raises InputError for unknown names, values out of range, and times out of 0 to ``LONGEST_S``.
    """

    time_s: float
    amounts: Mapping[str, float] = field(default_factory=dict)  # name of a control -> value

    def __post_init__(self) -> None:
        if not (schema.is_number(self.time_s) and 0 <= self.time_s <= LONGEST_S):
            raise InputError(
                f"key frames: time_s: expected 0 to {LONGEST_S:g} seconds, got {self.time_s!r};"
                " correct the time"
            )
        where = f"key frames, key at {self.time_s:g} s"
        for name, value in self.amounts.items():
            if name not in RANGES:
                schema.refuse_unknown(name, list(RANGES), where)
            least, most = RANGES[name]
            if not (schema.is_number(value) and least <= value <= most):
                raise InputError(
                    f"{where}: {name}: expected {least:g} to {most:g}, got {value!r}; choose within"
                )
        own = {name: float(self.amounts[name]) for name in RANGES if name in self.amounts}
        object.__setattr__(self, "time_s", float(self.time_s))
        object.__setattr__(self, "amounts", own)

    @classmethod
    def of(cls, time_s: float, by: Controls) -> Key:
        """A key that names every control."""
        return cls(time_s, asdict(by))


@dataclass(frozen=True)
class Keyframes:
    """A clip: its keys, in order of time, and its rate.

    Raises InputError for no key, too many, two at one time, and a rate out of 1 to 240.
    """

    keys: tuple[Key, ...]
    fps: Fraction = Fraction(30)  # frames per second

    def __post_init__(self) -> None:
        if not 1 <= len(self.keys) <= MOST_KEYS:
            raise InputError(
                f"key frames: expected 1 to {MOST_KEYS} keys, got {len(self.keys)}; add a [[key]]"
                " with time_s, or leave some out"
            )
        if not LEAST_FPS <= self.fps <= MOST_FPS:
            raise InputError(
                f"key frames: fps: expected {LEAST_FPS} to {MOST_FPS}, got {self.fps}; choose"
                " within"
            )
        times = [key.time_s for key in self.keys]
        for before, after in pairwise(times):
            if after - before < _SAME_S:
                raise InputError(
                    f"key frames: expected times that grow, got {after:g} s after {before:g} s;"
                    " put the keys in order, each time once"
                )

    @property
    def duration_s(self) -> float:
        """Time of the last key; a clip begins at 0."""
        return self.keys[-1].time_s

    @property
    def count(self) -> int:
        """Number of frames: from 0 to the last key, that at its time included."""
        return 1 + math.floor(self.duration_s * self.fps + _SAME_S)

    def times_s(self, start_s: float = 0.0, end_s: float | None = None) -> Array:
        """(N,) float64 times of the frames; start_s, end_s: a cut, its end excluded."""
        times = np.arange(self.count) / float(self.fps)
        last = np.inf if end_s is None else end_s
        return times[(times >= start_s - _SAME_S) & (times < last)]

    def at(self, time_s: float) -> Controls:
        """The controls at a time; before the first and after the last key they rest."""
        return clipped({name: float(curve(time_s)) for name, curve in self._curves.items()})

    @cached_property
    def _curves(self) -> dict[str, Any]:
        """Name of each control that a key names -> its curve."""
        named = [name for name in RANGES if any(name in key.amounts for key in self.keys)]
        return {name: self._curve(name) for name in named}

    def _curve(self, name: str) -> Any:
        start, *others = self.keys
        own = [(start.time_s, start.amounts.get(name, 0.0))]
        own += [(key.time_s, key.amounts[name]) for key in others if name in key.amounts]
        first, last = own[0], own[-1]
        rest = [(first[0] - _RAMP_S, first[1]), *own, (last[0] + _RAMP_S, last[1])]
        times, values = np.array(rest).T
        curve = PchipInterpolator(times, values)
        return lambda time_s: curve(np.clip(time_s, times[0], times[-1]))

    def with_key(self, key: Key) -> Keyframes:
        """With one more key; one at the same time keeps what the new one does not name."""
        others = [one for one in self.keys if abs(one.time_s - key.time_s) >= _SAME_S]
        there = [one for one in self.keys if abs(one.time_s - key.time_s) < _SAME_S]
        merged = Key(key.time_s, {**(there[0].amounts if there else {}), **key.amounts})
        return self._ordered([*others, merged])

    def without_key(self, index: int) -> Keyframes:
        """Without the key of this index; InputError for the last one that is left."""
        return replace(self, keys=(*self.keys[:index], *self.keys[index + 1 :]))

    def with_key_moved(self, index: int, time_s: float) -> Keyframes:
        """With the key of this index at another time; InputError where there is one already."""
        moved = Key(time_s, self.keys[index].amounts)
        return self._ordered([*self.keys[:index], *self.keys[index + 1 :], moved])

    def _ordered(self, keys: list[Key]) -> Keyframes:
        return replace(self, keys=tuple(sorted(keys, key=lambda one: one.time_s)))


def load(path: str | Path) -> Keyframes:
    """Read a file of key frames.

    Raises InputError for another file, another version, unknown names and unfit values.
    """
    where = f"key frames {Path(path).name}"
    table = paths.read_toml(where, path, "a TOML file of key frames", _FIX, _MOST_BYTES)
    if table.get("kind") != KIND:
        raise InputError(
            f'{where}: expected kind = "{KIND}", got {table.get("kind")!r}; give a file of key'
            f" frames, {_FIX}"
        )
    if table.get("schema") != SCHEMA:
        raise InputError(
            f"{where}: expected schema = {SCHEMA}, got {table.get('schema')!r}; use the version of"
            " the program that wrote it"
        )
    for name in table:
        if name not in ("kind", "schema", "fps", "key"):
            schema.refuse_unknown(name, ["kind", "schema", "fps", "key"], where)
    rows = table.get("key", [])
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise InputError(f"{where}: expected [[key]] tables, got another value; {_FIX}")
    try:
        return Keyframes(tuple(_key(row) for row in rows), _fps(table.get("fps", 30)))
    except InputError as error:
        raise InputError(str(error).replace("key frames", where, 1)) from error


def _key(row: Mapping[str, Any]) -> Key:
    if "time_s" not in row:
        raise InputError("key frames: expected time_s in every [[key]], got one without; add it")
    return Key(row["time_s"], {name: value for name, value in row.items() if name != "time_s"})


def _fps(value: Any) -> Fraction:
    """A rate: a whole number, or text such as 30000/1001."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    top, _, bottom = value.partition("/") if isinstance(value, str) else ("", "", "")
    is_right = top.isdecimal() and (bottom or "1").isdecimal() and len(f"{top}{bottom}") <= 20
    if not is_right or int(bottom or "1") == 0:
        raise InputError(
            f"key frames: fps: expected a whole number, or text such as '30000/1001', got"
            f" {value!r}; correct the rate"
        )
    return Fraction(int(top), int(bottom or "1"))


def text_of(keys: Keyframes) -> str:
    """The file's text."""
    fps = str(keys.fps.numerator) if keys.fps.denominator == 1 else f'"{keys.fps}"'
    lines = [f'kind = "{KIND}"', f"schema = {SCHEMA}", f"fps = {fps}"]
    for key in keys.keys:
        lines += ["", "[[key]]", f"time_s = {key.time_s!r}"]
        lines += [f"{name} = {value!r}" for name, value in key.amounts.items()]
    return "\n".join(lines) + "\n"


def save(keys: Keyframes, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a file of key frames, whole or not at all.

    Raises InputError where it cannot be written, or exists and ``overwrite`` is off.
    """
    data = encoded(text_of(keys))
    paths.write_whole("key frames", Path(path), data, overwrite=overwrite)
    return Path(path)
